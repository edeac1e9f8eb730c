"""PointNav-v1 and ObjectNav-v1 data sets for habitat-lab: episodes of all worlds, one data set per robot and task,
splits by source place.

    out/habitat/manifest.json
    out/habitat/pointnav/<robot>/v1/<split>/<split>.json.gz           {"episodes": []}
    out/habitat/pointnav/<robot>/v1/<split>/content/<world>.json.gz   the episodes
    out/habitat/objectnav/<robot>/v1/<split>/...                      the same, where worlds have labelled objects
    out/<world>/mesh.glb  mesh.stage_config.json                      the scene; `scenes_dir` is out

Habitat is Y up and its agent looks along -z: p = (x, z, -y), theta = yaw - pi/2 about +y. habitat-lab passes every key
of an episode as keyword, so there is none that it does not know; what is ours lies in `info`. habitat-sim takes a .glb
to be Z up (as Matterport's are) unless a stage config of the same name lies beside it; glTF, and ours, is Y up.
Goals of object navigation have the key `mesh.glb_<category>` in every world, since habitat-lab takes the name of the
scene file: it gives each episode those of its own content file as it reads it.
Sources: habitat-lab `core/dataset.py`, `tasks/nav/nav.py`, `tasks/nav/object_nav_task.py`,
`datasets/pointnav/pointnav_dataset.py`, `datasets/object_nav/object_nav_dataset.py`; habitat-sim
`metadata/managers/StageAttributesManager.cpp`, `AbstractAttributesManager.h`, `nav/PathFinder.h`.
"""

import gzip
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lyra_sim.config.tasks import RobotConfig
from robot_tasks.episode_files import read_episodes
from robot_tasks.follower import SUCCESS_M
from robot_tasks.objects import OBJECTS, read_objects

STAGE_CONFIG = "mesh.stage_config.json"


def write_stage_config(world: Path) -> None:
    """`mesh.stage_config.json`: tells habitat-sim that `mesh.glb` is Y up, and unlit (its texture holds the light)."""
    tree = {"render_asset": "mesh.glb", "collision_asset": "mesh.glb", "up": [0, 1, 0], "front": [0, 0, -1]}
    _write_json(world / STAGE_CONFIG, {**tree, "shader_type": "flat", "units_to_meters": 1.0})


def write_datasets(
    out: Path, worlds: Sequence[dict[str, Any]], robots: Sequence[RobotConfig], cell_m: float, fresh: Path
) -> None:
    """Write the data sets of all robots into `fresh`, with a manifest. A robot's data sets hold the worlds that it is
    trainable in, those of object navigation only such as have objects; worlds from before there was a stage config are
    left out, and named in the manifest.

    Raises:
        InputError: a world's episodes are missing or broken.
    """
    left_out = sorted(line["path"] for line in worlds if not (out / line["path"] / STAGE_CONFIG).exists())
    usable = [line for line in worlds if line["path"] not in left_out]
    datasets, objectnav = {}, {}
    for robot in robots:
        own, name = [line for line in usable if robot.name in line["robots"]], robot.name
        if counts := _write_pointnav(out, own, name, fresh):
            path = f"pointnav/{name}/v1/{{split}}/{{split}}.json.gz"
            datasets[name] = {"data_path": path, "splits": counts, **settings(robot, cell_m)}
        if counts := _write_objectnav(out, own, name, fresh):
            objectnav[name] = {"data_path": f"objectnav/{name}/v1/{{split}}/{{split}}.json.gz", "splits": counts}
    manifest = {
        "format": "PointNav-v1",
        "scenes_dir": "..",
        "frame": "Y up, metres: (x, y, z) of scene.usda is (x, z, -y) here",
        "success_distance": SUCCESS_M,
        "datasets": datasets,
        "objectnav": objectnav,
        "iou": "of an object's pixels with the middle half, in width and height, of the robot's camera picture",
        "left_out": left_out,
    }
    _write_json(fresh / "manifest.json", manifest)


def _write_pointnav(
    out: Path, worlds: Sequence[dict[str, Any]], robot: str, fresh: Path
) -> dict[str, dict[str, dict[str, int]]]:
    """One robot's data set; number of episodes by split and world."""
    counts: dict[str, dict[str, int]] = {}
    root = fresh / "pointnav" / robot / "v1"
    for line in worlds:
        name = line["path"]
        rows = read_episodes(out / name / "nav" / robot / "episodes.json.gz")
        episodes = [habitat_episode(row, f"{name}/mesh.glb") for row in rows]
        _write_gz(root / line["split"] / "content" / f"{name}.json.gz", {"episodes": episodes})
        counts.setdefault(line["split"], {})[name] = len(episodes)
    for split in counts:
        _write_gz(root / split / f"{split}.json.gz", {"episodes": []})
    return {split: {"episodes": of} for split, of in counts.items()}


def _write_objectnav(
    out: Path, worlds: Sequence[dict[str, Any]], robot: str, fresh: Path
) -> dict[str, dict[str, dict[str, int]]]:
    """The same for object navigation. Categories are numbered over all worlds."""
    files = {line["path"]: out / line["path"] / "nav" / robot / OBJECTS for line in worlds}
    found = {name: read_objects(path) for name, path in files.items() if path.exists()}
    found = {name: tree for name, tree in found.items() if tree["episodes"]}
    categories = sorted({goal["object_category"] for tree in found.values() for goal in tree["objects"]})
    ids = {category: number for number, category in enumerate(categories)}
    known = {"category_to_task_category_id": ids, "category_to_scene_annotation_category_id": ids}
    counts: dict[str, dict[str, int]] = {}
    root = fresh / "objectnav" / robot / "v1"
    for line in worlds:
        if (name := line["path"]) in found:
            content = {**objectnav_content(found[name], f"{name}/mesh.glb"), **known}
            _write_gz(root / line["split"] / "content" / f"{name}.json.gz", content)
            counts.setdefault(line["split"], {})[name] = len(content["episodes"])
    for split in counts:
        _write_gz(root / split / f"{split}.json.gz", {"episodes": [], **known})
    return {split: {"episodes": of} for split, of in counts.items()}


def objectnav_content(tree: dict[str, Any], scene_id: str) -> dict[str, Any]:
    """`objects.json.gz` as `episodes` and `goals_by_category` of habitat-lab's ObjectNavDatasetV1."""
    goals: dict[str, list[dict[str, Any]]] = {}
    for found in tree["objects"]:
        goal = {
            "position": to_habitat(found["position"]),
            "radius": None,
            "object_id": found["object_id"],
            "object_name": found["prim"],
            "object_name_id": int(found["object_id"]),
            "object_category": found["object_category"],
            "room_id": None,
            "room_name": None,
            "view_points": [_view_point(view) for view in found["view_points"]],
        }
        goals.setdefault(f"{Path(scene_id).name}_{found['object_category']}", []).append(goal)
    return {"episodes": [habitat_episode(row, scene_id) for row in tree["episodes"]], "goals_by_category": goals}


def _view_point(view: dict[str, Any]) -> dict[str, Any]:
    state = {"position": to_habitat(view["position"]), "rotation": rotation_to_habitat(view["rotation"])}
    return {"agent_state": state, "iou": view["iou"]}


def habitat_episode(row: dict[str, Any], scene_id: str) -> dict[str, Any]:
    """A row of `episodes.json.gz` as the keywords of habitat-lab's NavigationEpisode, one of `objects.json.gz` as those
    of its ObjectGoalNavEpisode."""
    goals = [{"position": to_habitat(g["position"]), "radius": g["radius"]} for g in row.get("goals", ())]
    category = {"object_category": row["object_category"]} if "object_category" in row else {}
    return {
        **category,
        "episode_id": row["episode_id"],
        "scene_id": scene_id,
        "scene_dataset_config": "default",
        "additional_obj_config_paths": [],
        "start_position": to_habitat(row["start_position"]),
        "start_rotation": rotation_to_habitat(row["start_rotation"]),
        "info": row["info"],
        "goals": goals,
        "start_room": None,
        "shortest_paths": None,
    }


def to_habitat(point: Sequence[float]) -> list[float]:
    """World (x, y, z), Z up, to Habitat's frame, metres."""
    x, y, z = map(float, point)
    return [x, z, 0.0 - y]


def rotation_to_habitat(rotation: Sequence[float]) -> list[float]:
    """A rotation (w, 0, 0, z) about our z as that of a Habitat agent, (x, y, z, w)."""
    w, _, _, z = rotation
    half = math.atan2(z, w) - math.pi / 4  # of theta = yaw - pi/2
    return [0.0, math.sin(half), 0.0, math.cos(half)]


def settings(robot: RobotConfig, cell_m: float) -> dict[str, Any]:
    """What a navigation mesh for this robot is built with: `navmesh` in the names of habitat-sim's NavMeshSettings
    (fields that are not named keep their defaults), `agent` in those of habitat-lab's agent. Recast counts climbs in
    whole cells of height, so the cell must be finer than the step; habitat-sim's 0.2 m would leave nothing of it."""
    climb = robot.step_m
    return {
        "navmesh": {
            "cellSize": cell_m,
            "cellHeight": min(max(climb / 2, 0.01), 0.2),
            "agentHeight": robot.slab_m[1],
            "agentRadius": robot.radius_m,
            "agentMaxClimb": climb,
            "agentMaxSlope": robot.slope_deg,
        },
        "agent": {
            "height": robot.slab_m[1],
            "radius": robot.radius_m,
            "max_climb": climb,
            "max_slope": robot.slope_deg,
        },
    }


def _write_json(path: Path, tree: Any) -> None:
    path.write_text(json.dumps(tree, indent=1, sort_keys=True) + "\n")


def _write_gz(path: Path, tree: Any) -> None:
    """Gzipped JSON; the same content gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(tree, separators=(",", ":"), sort_keys=True)
    path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))
