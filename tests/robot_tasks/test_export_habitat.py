"""Habitat: a loader written from habitat-lab's definitions, in which unknown keys raise, and the mesh as habitat-sim
would place it under the episodes."""

import copy
import dataclasses
import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from lyra_sim.core.errors import InputError
from robot_tasks.episode_files import read_episodes
from robot_tasks.export import export_folder
from robot_tasks.objects import OBJECTS, read_objects
from tests.robot_tasks import export_world, rooms

ROBOTS = (rooms.JETBOT, rooms.CARTER)


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    export_world.make(folder)
    run(folder, [export_world.LINE])
    return folder


def run(out: Path, worlds, formats=("habitat", "compass")) -> list[str]:
    scratch = out / ".lyra" / "scratch"
    scratch.mkdir(parents=True)
    return export_folder(out, worlds, ROBOTS, formats, cell_m=0.05, scratch=scratch)


# habitat-lab, core/dataset.py and tasks/nav/nav.py: attrs classes, made from keywords; `required` is not_none_validator
@dataclasses.dataclass(kw_only=True)
class Goal:
    position: list[float]
    radius: float | None = None


@dataclasses.dataclass(kw_only=True)
class Point:
    position: list[Any]
    rotation: list[Any]
    action: Any = None


@dataclasses.dataclass(kw_only=True)
class NavigationEpisode:
    episode_id: str
    scene_id: str
    scene_dataset_config: str = "default"
    additional_obj_config_paths: list[str] = dataclasses.field(default_factory=list)
    start_position: list[float]
    start_rotation: list[float]
    info: dict[str, Any] | None = None
    goals: list[Any]
    start_room: str | None = None
    shortest_paths: list[list[Any]] | None = None

    def __post_init__(self):
        for name in ("episode_id scene_id scene_dataset_config start_position start_rotation goals").split():
            if getattr(self, name) is None:
                raise ValueError(name)


def load_pointnav(data_path: str, split: str, scenes_dir: Path, content_scenes=("*",)) -> list[NavigationEpisode]:
    """`PointNavDatasetV1.__init__` and `from_json`."""
    main = Path(data_path.format(split=split))
    if not (main.exists() and scenes_dir.exists()):
        raise FileNotFoundError(main)
    content = main.parent / "content"
    names = sorted(p.name[: -len(".json.gz")] for p in content.iterdir() if p.name.endswith(".json.gz"))
    scenes = names if "*" in content_scenes else content_scenes
    return [e for name in scenes for e in from_json((content / f"{name}.json.gz").read_bytes(), scenes_dir)]


def from_json(packed: bytes, scenes_dir: Path) -> list[NavigationEpisode]:
    episodes = []
    for row in json.loads(gzip.decompress(packed))["episodes"]:
        episode = NavigationEpisode(**row)
        episode.scene_id = str(scenes_dir / episode.scene_id)
        episode.goals = [Goal(**goal) for goal in episode.goals]
        for path in episode.shortest_paths or []:
            path[:] = [Point(**point) for point in path]
        episodes.append(episode)
    return episodes


@dataclasses.dataclass(kw_only=True)
class ObjectGoalNavEpisode(NavigationEpisode):
    object_category: str | None = None

    @property
    def goals_key(self) -> str:
        return f"{Path(self.scene_id).name}_{self.object_category}"


@dataclasses.dataclass
class AgentState:
    position: list[float]
    rotation: list[float] | None = None


@dataclasses.dataclass
class ObjectViewLocation:
    agent_state: Any
    iou: float | None


@dataclasses.dataclass(kw_only=True)
class ObjectGoal(Goal):
    object_id: str
    object_name: str | None = None
    object_name_id: int | None = None
    object_category: str | None = None
    room_id: str | None = None
    room_name: str | None = None
    view_points: list[Any] | None = None


@dataclasses.dataclass
class ObjectNav:
    """`ObjectNavDatasetV1`, read as its `from_json` does."""

    episodes: list[ObjectGoalNavEpisode] = dataclasses.field(default_factory=list)
    goals: dict[str, list[ObjectGoal]] = dataclasses.field(default_factory=dict)
    task_ids: dict[str, int] = dataclasses.field(default_factory=dict)

    def read(self, packed: bytes, scenes_dir: Path) -> None:
        tree = json.loads(gzip.decompress(packed))
        self.task_ids = tree["category_to_task_category_id"]
        if self.task_ids.keys() != tree["category_to_scene_annotation_category_id"].keys():
            raise ValueError("categories")
        for key, goals in tree.get("goals_by_category", {}).items():
            self.goals[key] = [ObjectGoal(**goal) for goal in goals]
            for goal in self.goals[key]:
                goal.view_points = [ObjectViewLocation(**view) for view in goal.view_points or []]
                for view in goal.view_points:
                    view.agent_state = AgentState(**view.agent_state)
        for number, row in enumerate(tree["episodes"]):
            episode = ObjectGoalNavEpisode(**row)
            episode.episode_id, episode.scene_id = str(number), str(scenes_dir / episode.scene_id)
            episode.goals = self.goals[episode.goals_key]
            self.episodes.append(episode)


def load_objectnav(out: Path, robot: str, split: str = "val") -> ObjectNav:
    manifest = json.loads((out / "habitat" / "manifest.json").read_text())
    main = out / "habitat" / manifest["objectnav"][robot]["data_path"].format(split=split)
    found = ObjectNav()
    for file in (main, *sorted((main.parent / "content").iterdir())):
        found.read(file.read_bytes(), out / "habitat" / manifest["scenes_dir"])
    return found


def load(out: Path, robot: str) -> list[NavigationEpisode]:
    manifest = json.loads((out / "habitat" / "manifest.json").read_text())
    data = manifest["datasets"][robot]
    return load_pointnav(str(out / "habitat" / data["data_path"]), "val", out / "habitat" / manifest["scenes_dir"])


def turned(q_xyzw, vector) -> np.ndarray:
    """A vector turned by a quaternion, the long way: q v q*."""
    x, y, z, w = q_xyzw
    u, v = np.array([x, y, z]), np.array(vector, float)
    return 2 * (u @ v) * u + (w * w - u @ u) * v + 2 * w * np.cross(u, v)


@pytest.mark.parametrize("robot", ["jetbot", "nova_carter"])
def test_poses_survive_the_way_to_habitat_and_back(out, robot):
    ours = read_episodes(out / export_world.NAME / "nav" / robot / "episodes.json.gz")
    theirs = load(out, robot)
    assert len(ours) == len(theirs) >= 20
    for a, b in zip(ours, theirs, strict=True):
        for p, q in ((a["start_position"], b.start_position), (a["goals"][0]["position"], b.goals[0].position)):
            assert np.abs(np.array(p) - [q[0], -q[2], q[1]]).max() <= 1e-6
        assert math.isclose(np.linalg.norm(b.start_rotation), 1, abs_tol=1e-9)
        ahead = turned(b.start_rotation, [0, 0, -1])  # habitat agents look along -z
        w, x, y, z = a["start_rotation"]
        assert np.abs(turned([x, y, z, w], [1, 0, 0]) - [ahead[0], -ahead[2], ahead[1]]).max() <= 1e-6
        assert np.abs(turned(b.start_rotation, [0, 1, 0]) - [0, 1, 0]).max() <= 1e-9
        assert b.info["geodesic_distance"] == a["info"]["geodesic_distance"]
        assert (b.goals[0].radius, b.scene_dataset_config) == (0.2, "default")
    assert len({e.episode_id for e in theirs}) == len(theirs) and all(isinstance(e.episode_id, str) for e in theirs)


@pytest.mark.parametrize("robot", ["jetbot", "nova_carter"])
def test_goals_of_object_navigation_survive_too(out, robot):
    ours = read_objects(out / export_world.NAME / "nav" / robot / OBJECTS)
    theirs = load_objectnav(out, robot)
    (goal,), (row,) = theirs.goals["mesh.glb_crate"], ours["objects"]
    assert (goal.object_category, goal.object_name, goal.object_id) == ("crate", "/World/Crate", "0")
    assert theirs.task_ids == {"crate": 0} and len(goal.view_points) == len(row["view_points"]) > 5
    pairs = [(row["position"], goal.position)]
    for a, b in zip(row["view_points"], goal.view_points, strict=True):
        pairs.append((a["position"], b.agent_state.position))
        (w, x, y, z), ahead = a["rotation"], turned(b.agent_state.rotation, [0, 0, -1])
        assert np.abs(turned([x, y, z, w], [1, 0, 0]) - [ahead[0], -ahead[2], ahead[1]]).max() <= 1e-6
        assert a["iou"] == b.iou
    assert len(theirs.episodes) == len(ours["episodes"]) > 5
    for a, b in zip(ours["episodes"], theirs.episodes, strict=True):
        pairs.append((a["start_position"], b.start_position))
        assert b.goals is theirs.goals["mesh.glb_crate"] and b.info == a["info"]
    assert max(np.abs(np.array(p) - [q[0], -q[2], q[1]]).max() for p, q in pairs) <= 1e-6


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: _misspell(t["episodes"][0], "object_category"),
        lambda t: _misspell(t["goals_by_category"]["mesh.glb_crate"][0], "object_id"),
        lambda t: _misspell(t["goals_by_category"]["mesh.glb_crate"][0]["view_points"][0], "iou"),
        lambda t: _misspell(t["goals_by_category"]["mesh.glb_crate"][0]["view_points"][0]["agent_state"], "rotation"),
        lambda t: _misspell(t["category_to_scene_annotation_category_id"], "crate"),
        lambda t: _misspell(t["goals_by_category"], "mesh.glb_crate"),
    ],
)
def test_the_object_loader_refuses_what_habitat_would(out, spoil):
    (content,) = (out / "habitat/objectnav/jetbot/v1/val/content").iterdir()
    tree = json.loads(gzip.decompress(content.read_bytes()))
    spoil(tree)
    with pytest.raises((TypeError, ValueError, KeyError)):
        ObjectNav().read(gzip.compress(json.dumps(tree).encode()), out)


def _misspell(tree: dict, key: str) -> None:
    tree[key + "s"] = tree.pop(key)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda e: _misspell(e, "start_rotation"),
        lambda e: _misspell(e["goals"][0], "radius"),
        lambda e: e.update(path=[]),
        lambda e: e.update(start_position=None),
        lambda e: e["goals"][0].pop("position"),
        lambda e: e.update(shortest_paths=[[{"position": [0, 0, 0], "heading": 1}]]),
    ],
)
def test_the_loader_refuses_what_habitat_would(out, spoil):
    (content,) = (out / "habitat/pointnav/jetbot/v1/val/content").iterdir()
    tree = json.loads(gzip.decompress(content.read_bytes()))
    assert from_json(gzip.compress(json.dumps(tree).encode()), out)
    spoilt = copy.deepcopy(tree)
    spoil(spoilt["episodes"][0])
    with pytest.raises((TypeError, ValueError)):
        from_json(gzip.compress(json.dumps(spoilt).encode()), out)


def as_habitat_sim_places_it(asset: Path) -> trimesh.Trimesh:
    """StageAttributesManager: the frame of `<name>.stage_config.json` beside the asset; else .glb is taken as Z up."""
    config = asset.with_name(asset.name.split(".")[0] + ".stage_config.json")
    up, front, mesh = (0, 0, 1), (0, 1, 0), asset
    if config.exists():
        tree = json.loads(config.read_text())
        up, front, mesh = tree["up"], tree["front"], config.parent / tree["render_asset"]
        assert (config.parent / tree["collision_asset"]).exists() and tree["units_to_meters"] == 1
    frame = np.column_stack([np.cross(front, up), up, -np.array(front)])  # to x right, y up, -z ahead
    placed = trimesh.load(mesh, force="mesh", process=False)
    return trimesh.Trimesh(placed.vertices @ frame, placed.faces, process=False)


def floor_below(mesh: trimesh.Trimesh, points: np.ndarray) -> np.ndarray:
    """Height of the mesh under each point, from 0.3 m above it; nan where there is none."""
    above = points + np.array([0, 0.3, 0])
    hit, ray, _ = mesh.ray.intersects_location(above, np.tile([0.0, -1.0, 0.0], (len(points), 1)), multiple_hits=False)
    found = np.full(len(points), np.nan)
    found[ray] = hit[:, 1]
    return found


def test_episodes_stand_on_the_mesh_that_habitat_shows(out, tmp_path):
    episodes = load(out, "nova_carter")
    ends = np.array([p for e in episodes for p in (e.start_position, e.goals[0].position)])
    assert np.ptp(ends[:, 1]) > 0.05  # the floor is not level
    (scene,) = {e.scene_id for e in episodes}
    assert Path(scene).resolve() == (out / export_world.NAME / "mesh.glb").resolve()
    assert np.abs(floor_below(as_habitat_sim_places_it(Path(scene)), ends) - ends[:, 1]).max() <= 0.03
    alone = tmp_path / "mesh.glb"  # without its stage config the floor would stand upright
    alone.write_bytes(Path(scene).read_bytes())
    off = np.abs(floor_below(as_habitat_sim_places_it(alone), ends) - ends[:, 1])
    assert not (off <= 0.03).all()


def test_splits_manifest_and_navmesh_settings(out):
    root = out / "habitat"
    files = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
    assert files == {"manifest.json"} | {
        f"{task}/{robot.name}/v1/val/{name}.json.gz"
        for task in ("pointnav", "objectnav")
        for robot in ROBOTS
        for name in ("val", f"content/{export_world.NAME}")
    }
    for name in files - {"manifest.json"}:
        raw = (root / name).read_bytes()
        assert raw[4:8] == bytes(4)  # no time in the header
    assert json.loads(gzip.decompress((root / "pointnav/jetbot/v1/val/val.json.gz").read_bytes())) == {"episodes": []}
    manifest = json.loads((root / "manifest.json").read_text())
    carter = manifest["datasets"]["nova_carter"]
    # the members of habitat-sim's NavMeshSettings that an agent decides
    assert set(carter["navmesh"]) == {"cellSize", "cellHeight", "agentHeight", "agentRadius", "agentMaxClimb", "agentMaxSlope"}  # fmt: skip  # noqa: E501
    assert (carter["navmesh"]["agentRadius"], carter["navmesh"]["agentMaxSlope"]) == (0.25, 5.0)
    for robot in manifest["datasets"].values():  # Recast floors the climb to whole cells
        assert (
            math.floor(np.float32(robot["navmesh"]["agentMaxClimb"]) / np.float32(robot["navmesh"]["cellHeight"])) >= 1
        )
    assert set(carter["agent"]) == {"height", "radius", "max_climb", "max_slope"}
    assert carter["splits"]["val"]["episodes"][export_world.NAME] == len(load(out, "nova_carter"))


def test_data_sets_follow_the_worlds(tmp_path):
    world = export_world.make(tmp_path)
    line = {**export_world.LINE, "robots": ["jetbot"]}
    assert run(tmp_path, [line]) == ["compass", "habitat"]
    assert not (tmp_path / "habitat/pointnav/nova_carter").exists()  # not trainable there
    before = (tmp_path / "habitat/pointnav/jetbot/v1/val/content").joinpath(f"{world.name}.json.gz").read_bytes()
    run(tmp_path, [line])
    assert (tmp_path / f"habitat/pointnav/jetbot/v1/val/content/{world.name}.json.gz").read_bytes() == before
    run(tmp_path, [{**line, "split": "train"}])
    assert sorted(p.name for p in (tmp_path / "habitat/pointnav/jetbot/v1").iterdir()) == ["train"]
    (world / "nav/jetbot/objects.json.gz").unlink()  # a world without objects
    run(tmp_path, [line])
    assert not (tmp_path / "habitat/objectnav").exists()
    assert json.loads((tmp_path / "habitat/manifest.json").read_text())["objectnav"] == {}
    (world / "mesh.stage_config.json").unlink()  # a world from before: Habitat would lay it on its side
    run(tmp_path, [line])
    assert json.loads((tmp_path / "habitat/manifest.json").read_text())["left_out"] == [world.name]
    assert not (tmp_path / "habitat/pointnav").exists()
    assert run(tmp_path, [line], formats=("compass",)) == ["compass"]
    assert not (tmp_path / "habitat").exists()
    (world / "omap/occupancy_map.yaml").write_text("image: none.png\n")
    with pytest.raises(InputError, match="occupancy_map"):
        run(tmp_path, [line])
    assert run_anew(tmp_path, []) == []
    assert not (tmp_path / "compass").exists()


def run_anew(out: Path, worlds) -> list[str]:
    """After a run that failed: its scratch folder is swept when the next one begins."""
    for path in sorted((out / ".lyra" / "scratch").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (out / ".lyra" / "scratch").rmdir()
    return run(out, worlds)
