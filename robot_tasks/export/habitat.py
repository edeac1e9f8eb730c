"""PointNav-v1 data sets for habitat-lab: episodes of all worlds, one data set per robot, splits by source place.

    out/habitat/manifest.json
    out/habitat/pointnav/<robot>/v1/<split>/<split>.json.gz           {"episodes": []}
    out/habitat/pointnav/<robot>/v1/<split>/content/<world>.json.gz   the episodes
    out/<world>/mesh.glb  mesh.stage_config.json                      the scene; `scenes_dir` is out

Habitat is Y up and its agent looks along -z: p = (x, z, -y), theta = yaw - pi/2 about +y. habitat-lab passes every key
of an episode as keyword, so there is none that it does not know; what is ours lies in `info`. habitat-sim takes a .glb
to be Z up (as Matterport's are) unless a stage config of the same name lies beside it; glTF, and ours, is Y up.
Sources: habitat-lab `core/dataset.py`, `tasks/nav/nav.py`, `datasets/pointnav/pointnav_dataset.py`; habitat-sim
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

STAGE_CONFIG = "mesh.stage_config.json"


def write_stage_config(world: Path) -> None:
    """`mesh.stage_config.json`: tells habitat-sim that `mesh.glb` is Y up, and unlit (its texture holds the light)."""
    tree = {"render_asset": "mesh.glb", "collision_asset": "mesh.glb", "up": [0, 1, 0], "front": [0, 0, -1]}
    _write_json(world / STAGE_CONFIG, {**tree, "shader_type": "flat", "units_to_meters": 1.0})


def write_pointnav(
    out: Path, worlds: Sequence[dict[str, Any]], robots: Sequence[RobotConfig], cell_m: float, fresh: Path
) -> None:
    """Write the data sets of all robots into `fresh`, with a manifest. A robot's data set holds the worlds that it is
    trainable in; worlds from before there was a stage config are left out, and named in the manifest.

    Raises:
        InputError: a world's episodes are missing or broken.
    """
    left_out = sorted(line["path"] for line in worlds if not (out / line["path"] / STAGE_CONFIG).exists())
    usable = [line for line in worlds if line["path"] not in left_out]
    datasets = {}
    for robot in robots:
        counts = _write_robot(out, [w for w in usable if robot.name in w["robots"]], robot.name, fresh)
        if counts:
            datasets[robot.name] = {"splits": counts, **settings(robot, cell_m)}
            datasets[robot.name]["data_path"] = f"pointnav/{robot.name}/v1/{{split}}/{{split}}.json.gz"
    manifest = {
        "format": "PointNav-v1",
        "scenes_dir": "..",
        "frame": "Y up, metres: (x, y, z) of scene.usda is (x, z, -y) here",
        "success_distance": SUCCESS_M,
        "datasets": datasets,
        "left_out": left_out,
    }
    _write_json(fresh / "manifest.json", manifest)


def _write_robot(
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


def habitat_episode(row: dict[str, Any], scene_id: str) -> dict[str, Any]:
    """A row of `episodes.json.gz` as the keywords of habitat-lab's NavigationEpisode."""
    w, _, _, z = row["start_rotation"]
    half = math.atan2(z, w) - math.pi / 4  # of theta = yaw - pi/2
    return {
        "episode_id": row["episode_id"],
        "scene_id": scene_id,
        "scene_dataset_config": "default",
        "additional_obj_config_paths": [],
        "start_position": to_habitat(row["start_position"]),
        "start_rotation": [0.0, math.sin(half), 0.0, math.cos(half)],
        "info": row["info"],
        "goals": [{"position": to_habitat(goal["position"]), "radius": goal["radius"]} for goal in row["goals"]],
        "start_room": None,
        "shortest_paths": None,
    }


def to_habitat(point: Sequence[float]) -> list[float]:
    """World (x, y, z), Z up, to Habitat's frame, metres."""
    x, y, z = map(float, point)
    return [x, z, 0.0 - y]


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
