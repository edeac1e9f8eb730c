"""ROS maps, MobilityGen, COMPASS, iGibson and the arrays for Isaac Lab, read back by readers written from the public
sources of those programs."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image
from pxr import Usd
from scipy import ndimage

from lyra_sim.config.load import load_config
from lyra_sim.config.robots import load_robots
from lyra_sim.config.tasks import TasksConfig
from lyra_sim.core.errors import ConfigError, InputError
from robot_tasks import export
from robot_tasks.colliders import rays_of
from robot_tasks.episode_files import read_episodes
from robot_tasks.export import compass, igibson
from robot_tasks.export.written import WrittenMap
from robot_tasks.navmap import build_map, measure_ground, robot_slab
from robot_tasks.place import COMPASS_CELL_M, COMPASS_SLAB
from tests.robot_tasks import export_world, rooms

ROBOTS = (rooms.JETBOT, rooms.CARTER)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return export_world.make(tmp_path_factory.mktemp("out"))


def true_map(slab, cell_m: float = 0.05) -> np.ndarray:
    """The map in memory, [x, y]."""
    soup = export_world.slanted_soup()
    return build_map(soup, measure_ground(rays_of(soup), export_world.floor()), slab, cell_m)


def nav2_grid(path: Path, *, mode: str | None = None, free_thresh: float | None = None) -> tuple[np.ndarray, dict]:
    """nav2_map_server, map_io.cpp: data[height - 1 - row, column] in -1, 0..100."""
    meta = yaml.safe_load(path.read_text())
    assert len(meta["origin"]) == 3
    image = Image.open(path.parent / meta["image"])
    alpha = np.asarray(image.getchannel("A")) if "A" in image.getbands() else None
    shade = np.asarray(image.convert("RGB"), float).mean(2) / 255
    mode = mode or meta.get("mode", "trinary")
    if mode == "trinary" and alpha is not None:
        shade = (3 * shade + alpha / 255) / 4
    occ = shade if meta["negate"] else 1 - shade
    low, high = free_thresh or meta["free_thresh"], meta["occupied_thresh"]
    between = np.full(occ.shape, -1) if mode == "trinary" else np.rint((occ - low) / (high - low) * 100)
    data = np.where(occ > high, 100, np.where(occ < low, 0, between)).astype(int)
    if mode == "scale" and alpha is not None:
        data[alpha < 255] = -1
    return data[::-1], meta


def in_ros_values(state: np.ndarray) -> np.ndarray:
    """[x, y] of 0, 127, 255 as rows by y of 100, -1, 0."""
    out = np.full(state.T.shape, -1)
    out[state.T == 0], out[state.T == 255] = 100, 0
    return out


@pytest.mark.parametrize("image", ["map.png", "map.pgm"])
@pytest.mark.parametrize("robot", ROBOTS, ids=lambda r: r.name)
@pytest.mark.parametrize("free_thresh", [None, 0.25])
def test_ros_map_equals_the_array_unknown_included(world, tmp_path, robot, image, free_thresh):
    expected = true_map(robot_slab(robot))
    assert set(np.unique(expected.state)) == {0, 127, 255}
    source = world / "nav" / robot.name
    meta = yaml.safe_load((source / "map.yaml").read_text())
    (tmp_path / "map.yaml").write_text(yaml.safe_dump({**meta, "image": image}))
    (tmp_path / image).write_bytes((source / image).read_bytes())
    data, meta = nav2_grid(tmp_path / "map.yaml", free_thresh=free_thresh)
    assert np.array_equal(data, in_ros_values(expected.state))
    assert np.allclose(meta["origin"], [*expected.origin_m, 0]) and meta["resolution"] == expected.cell_m
    scaled, _ = nav2_grid(tmp_path / "map.yaml", mode="scale")
    assert np.array_equal(scaled == 100, data == 100) and np.array_equal(scaled == 0, data == 0)


def test_omap_equals_the_array_too(world):
    expected = true_map(COMPASS_SLAB, COMPASS_CELL_M)
    data, _ = nav2_grid(world / "omap" / "occupancy_map.yaml")
    assert np.array_equal(data, in_ros_values(expected.state))


@dataclass
class MobilityGenConfig:
    """config.py; some versions pass all keys as keywords."""

    scenario_type: str
    robot_type: str
    scene_usd: str


def mobility_gen_map(path: Path) -> tuple[np.ndarray, dict]:
    """OccupancyMap.from_ros_yaml: rows from the top, 0 unknown, 1 free, 2 occupied."""
    meta = yaml.safe_load(path.read_text())
    grey = np.asarray(Image.open(path.parent / meta["image"]).convert("L"))
    data = grey if meta["negate"] else 255 - grey
    out = np.zeros(data.shape, np.uint8)
    out[data < meta["free_thresh"] * 255] = 1
    out[data > meta["occupied_thresh"] * 255] = 2
    return out, meta


@pytest.mark.parametrize("robot", ROBOTS, ids=lambda r: r.name)
def test_mobility_gen_opens_the_recording(world, robot):
    folder = world / "nav" / robot.name / "mobility_gen"
    config = MobilityGenConfig(**json.loads((folder / "config.json").read_text()))
    assert config.robot_type == {"jetbot": "JetbotRobot", "nova_carter": "CarterRobot"}[robot.name]
    assert (folder / config.scene_usd).resolve() == (world / "scene.usda").resolve()
    data, meta = mobility_gen_map(folder / "occupancy_map" / "map.yaml")
    expected = true_map(robot_slab(robot))
    values = {0: 2, 127: 0, 255: 1}
    assert np.array_equal(data, np.vectorize(values.get)(expected.state.T[::-1]))
    # pixel_to_world: origin is the lower left corner
    row, column = np.argwhere(data == 1)[0]
    x = (column + 0.5) / data.shape[1] * data.shape[1] * meta["resolution"] + meta["origin"][0]
    y = (1 - (row + 0.5) / data.shape[0]) * data.shape[0] * meta["resolution"] + meta["origin"][1]
    assert 0 < x < 4 and 0 < y < 3 and export_world.FLAT.clearance(np.array([x, y])) > 0
    stage = Usd.Stage.Open(str(folder / "stage.usd"))
    assert str(stage.GetDefaultPrim().GetPath()) == "/World"
    assert stage.GetPrimAtPath("/World/scene/Box_0").IsValid()  # the scene came through the reference
    assert not stage.GetPrimAtPath("/World/robot").IsValid()


def test_robots_that_mobility_gen_does_not_know_get_no_recording(tmp_path):
    world = export_world.make(tmp_path, robots=load_robots(("turtlebot",)))
    assert {p.name for p in (world / "nav/turtlebot").iterdir() if p.is_dir()} == {"igibson"}
    assert (world / "nav/turtlebot/isaac.npz").exists()


class CompassChecker:
    """utils/occupancy_map.py, map beside the scene: any of several channels, origin bottom left."""

    def __init__(self, path: Path):
        self.meta = yaml.safe_load(path.read_text())
        pixels = np.array(Image.open(path.parent / self.meta["image"]))
        self.occupied = ((255 - pixels) / 255)[:, :, 0] > self.meta["free_thresh"]

    def collides(self, x: float, y: float, distance: float) -> bool:
        ox, oy, _ = self.meta["origin"]
        column = math.floor((x - ox) / self.meta["resolution"])
        row = self.occupied.shape[0] - 1 - math.floor((y - oy) / self.meta["resolution"])
        reach = math.ceil(distance / self.meta["resolution"])
        if (
            min(row, column) - reach < 0
            or row + reach >= len(self.occupied)
            or column + reach >= self.occupied.shape[1]
        ):
            return True
        return bool(self.occupied[row - reach : row + reach, column - reach : column + reach].any())


def test_compass_reads_the_map_and_draws_poses(world):
    entry = compass.scene_entry(world.parent, world.name)
    checker = CompassChecker(world.parent / entry["omap_path"])
    expected = true_map(COMPASS_SLAB, COMPASS_CELL_M)
    assert np.array_equal(checker.occupied, (expected.state != 255).T[::-1])  # unknown counts as occupied there
    rng = np.random.default_rng(0)
    (x0, x1), (y0, y1) = (entry["pose_sample_range"][k] for k in "xy")
    drawn = np.array([checker.collides(rng.uniform(x0, x1), rng.uniform(y0, y1), 0.75) for _ in range(3000)])
    assert 0 < entry["pose_fits_share"] == pytest.approx(1 - drawn.mean(), abs=0.03)
    everywhere = rng.uniform([-1, -1], [5, 4], (3000, 2))
    fits = np.array([p for p in everywhere if not checker.collides(*p, 0.75)])
    assert len(fits) > 50 and (fits >= [x0, y0]).all() and (fits <= [x1, y1]).all()
    assert not checker.collides(*entry["seed_xy"], 0.0) and checker.occupied.any()
    assert entry["env_spacing"] >= max(expected.state.shape) * COMPASS_CELL_M
    assert (world.parent / entry["usd_path"]).exists() and entry["prim_path"] == "{ENV_REGEX_NS}/Flat00123abcd"
    stage = Usd.Stage.Open(str(world.parent / entry["usd_path"]))
    assert stage.GetDefaultPrim().IsValid()
    assert not [p for p in stage.Traverse() if p.GetTypeName() in ("PhysicsScene", "Plane")]


@pytest.mark.parametrize("seed", [5, 6, 7])
def test_compass_entry_of_a_drawn_map(tmp_path, seed):
    """Against a slow search: which poses fit, the smallest range around them, the free cell nearest the origin."""
    rng = np.random.default_rng(seed)
    state = np.full((70, 90), 255, np.uint8)
    state[:10], state[:, 80:] = 127, 0
    for x, y in rng.integers(0, 70, (seed, 2)):
        state[x : x + 2, y : y + 2] = rng.choice([0, 127])
    (tmp_path / "w" / "omap").mkdir(parents=True)
    Image.fromarray(np.stack([state.T[::-1]] * 3, axis=2)).save(tmp_path / "w/omap/map.png")
    text = "image: map.png\nresolution: 0.05\norigin: [-0.21, -1.03, 0.0]\nnegate: 0\nfree_thresh: 0.196\n"
    (tmp_path / "w/omap/occupancy_map.yaml").write_text(text)
    entry, checker = compass.scene_entry(tmp_path, "w"), CompassChecker(tmp_path / "w/omap/occupancy_map.yaml")
    centres = np.array([(i + 0.5, j + 0.5) for i in range(70) for j in range(90)]) * 0.05 + [-0.21, -1.03]
    fits = np.array([not checker.collides(*p, 0.75) for p in centres])
    low, high = centres[fits].min(0) - 0.025, centres[fits].max(0) + 0.025
    assert np.allclose([entry["pose_sample_range"][k] for k in "xy"], np.column_stack([low, high]), atol=1e-4)
    inside = ((centres > low) & (centres < high)).all(1)
    assert entry["pose_fits_share"] == pytest.approx(fits[inside].mean(), abs=1e-4)
    free = centres[(state == 255).ravel()]
    assert np.hypot(*entry["seed_xy"]) == pytest.approx(np.hypot(*free.T).min(), abs=1e-4)


def test_compass_in_a_world_where_its_square_fits_nowhere():
    free = np.zeros((40, 40), bool)
    free[5:15, 5:35] = True
    assert not compass.pose_fits(free, 0.05).any()
    free[:] = True
    assert compass.pose_fits(free, 0.05).sum() == 10**2  # rows and columns 15 to 24


def igibson_map(path: Path, resolution: float = 0.1, erosion: int = 0) -> np.ndarray:
    """scenes/indoor_scene.py, load_trav_map."""
    trav = np.array(Image.open(path))
    height, width = trav.shape
    assert height == width
    size = int(height * 0.01 / resolution)
    trav = cv2.resize(trav, (size, size))
    if erosion:
        trav = cv2.erode(trav, np.ones((erosion, erosion)))
    trav[trav < 255] = 0
    return trav


@pytest.mark.parametrize("resolution", [0.1, 0.05, 0.02])
@pytest.mark.parametrize("robot", ROBOTS, ids=lambda r: r.name)
def test_igibson_map_is_free_exactly_where_whole_blocks_are(world, robot, resolution):
    trav = igibson_map(world / "nav" / robot.name / "igibson" / "floor_trav_0.png", resolution)
    nav = true_map(robot_slab(robot))
    size = len(trav)
    assert (trav == 255).any()
    for row in range(0, size, 3):
        for column in range(0, size, 3):
            # map_to_world: flip((xy - size / 2) * resolution)
            x, y = (np.array([column, row]) + 0.5 - size / 2) * resolution
            low = np.floor(np.array([x, y]) / 0.1 + 1e-9) * 0.1
            first = np.floor((low - nav.origin_m) / nav.cell_m + 1e-6).astype(int)
            last = np.ceil((low + 0.1 - nav.origin_m) / nav.cell_m - 1e-6).astype(int)
            inside = (first >= 0).all() and (last <= nav.state.shape).all()
            free = inside and (nav.state[first[0] : last[0], first[1] : last[1]] == 255).all()
            assert (trav[row, column] == 255) == free, (x, y)


def test_igibson_point_is_where_the_world_says():
    state = np.zeros((60, 40), np.uint8)
    state[50:54, 8:12] = 255  # x 1.5 to 1.7, y -0.6 to -0.4
    found = igibson.traversable(WrittenMap(origin_m=np.array([-1.0, -1.0]), cell_m=0.05, state=state))
    assert found.shape == (400, 400)
    rows, columns = np.nonzero(found)
    assert (columns.min(), columns.max() + 1) == (350, 370) and (rows.min(), rows.max() + 1) == (140, 160)


@pytest.mark.parametrize(("origin", "cell"), [((-1.825, 0.613), 0.05), ((-0.5, -2.0), 0.025), ((0.03, -0.4), 0.07)])
def test_igibson_blocks_that_a_cell_reaches_into_take_its_value(origin, cell):
    """Maps that do not lie on the blocks: every corner and middle of every cell against the block it falls into."""
    state = np.random.default_rng(1).choice(np.array([0, 127, 255], np.uint8), (37, 53), p=[0.02, 0.02, 0.96])
    found = igibson.traversable(WrittenMap(origin_m=np.array(origin), cell_m=cell, state=state))[5::10, 5::10]
    half = len(found) // 2
    free = np.zeros(found.T.shape, bool)
    for i, j in np.ndindex(free.shape):
        at = (np.array([i, j]) - half) * 0.1  # samples of the block, a micrometre inside its borders
        steps = np.linspace(1e-6, 0.1 - 1e-6, 9)
        cells = [np.floor((at[k] + steps - origin[k]) / cell).astype(int) for k in (0, 1)]
        if min(cells[0][0], cells[1][0]) >= 0 and cells[0][-1] < 37 and cells[1][-1] < 53:
            free[i, j] = (state[np.ix_(*cells)] == 255).all()
    assert free.any() and np.array_equal(found == 255, free.T)


@pytest.mark.parametrize("robot", ROBOTS, ids=lambda r: r.name)
def test_isaac_arrays_agree_with_episodes_and_fields(world, robot):
    folder = world / "nav" / robot.name
    rows = read_episodes(folder / "episodes.json.gz")
    with np.load(folder / "isaac.npz") as stored:
        a = dict(stored)
    with np.load(folder / "fields.npz") as stored:
        assert not set(stored) & set(a), "held twice"
        a |= stored
    assert a["version"] == 2 and len(rows) == len(a["start_m"]) >= 20
    assert np.allclose(a["start_m"], [r["start_position"] for r in rows])
    half = a["start_yaw_rad"] / 2
    same = np.abs(np.array([r["start_rotation"] for r in rows]) @ [[1, 0], [0, 0], [0, 0], [0, 1]])
    assert np.allclose(same, np.abs(np.column_stack([np.cos(half), np.sin(half)])), atol=1e-8)
    assert np.allclose(a["goal_m"][:, :2], a["goals"][a["goal_index"]], atol=1e-3)
    assert np.allclose(a["start_m"][:, 2], export_world.RISE * a["start_m"][:, 1], atol=0.03)
    cell = np.floor((a["start_m"][:, :2] - a["origin_m"]) / a["cell_m"]).astype(int)
    to_goal = a["distance_m"][a["goal_index"], cell[:, 0], cell[:, 1]].astype(float)
    assert np.allclose(to_goal, a["geodesic_m"], rtol=0.03, atol=0.05)  # a cell is 5 cm wide
    assert (a["state"][cell[:, 0], cell[:, 1]] == 255).all() and (a["island"][cell[:, 0], cell[:, 1]] == 1).all()
    assert a["distance_m"].shape == (len(a["goals"]), *a["state"].shape) and a["distance_m"].dtype == np.float16
    assert a["clearance_m"].shape == a["island"].shape == a["state"].shape
    free = ndimage.distance_transform_edt(a["state"] == 255) * float(a["cell_m"])
    assert (a["clearance_m"] <= free + 0.05).all()


def test_a_world_without_episodes_is_exported(tmp_path):
    config = rooms.FEW.model_copy(update={"episodes": 0})
    world = export_world.make(tmp_path, config=config, robots=(rooms.JETBOT,))
    with np.load(world / "nav/jetbot/isaac.npz") as stored:
        assert stored["start_m"].shape == (0, 3) and stored["goal_index"].shape == (0,)


def test_goals_without_a_field_are_refused(world, tmp_path):
    nav = export.read_nav(world / "nav" / "jetbot")
    broken = type(nav)(folder=tmp_path, map=nav.map, fields={**nav.fields, "goals": nav.fields["goals"] + 0.5}, episodes=nav.episodes)  # fmt: skip  # noqa: E501
    with pytest.raises(InputError, match=r"0\.\d+ m from the next"):
        export.isaac.write(broken, rooms.JETBOT)


def test_formats_can_be_chosen_and_unknown_ones_are_named(tmp_path):
    config = rooms.FEW.model_copy(update={"formats": ("igibson",)})
    world = export_world.make(tmp_path, config=config, robots=(rooms.JETBOT,))
    assert {p.name for p in (world / "nav/jetbot").iterdir() if p.is_dir()} == {"igibson"}
    assert not (world / "nav/jetbot/isaac.npz").exists() and not (world / "mesh.stage_config.json").exists()
    assert set(TasksConfig().formats) == {"habitat", "compass", "mobility_gen", "isaac", "igibson"}
    with pytest.raises(ConfigError, match="'habitat', 'compass', 'mobility_gen', 'isaac' or 'igibson'"):
        load_config(overrides=["tasks.formats=[habitat, gibson]"])


def test_broken_files_are_told(world, tmp_path):
    (tmp_path / "map.yaml").write_text("image: map.png\nresolution: 0.05\norigin: [0, 0, 0]\n")
    with pytest.raises(InputError, match="a ROS map"):
        export.written.read_map(tmp_path / "map.yaml")
    for name in ("map.yaml", "map.png", "episodes.json.gz"):
        (tmp_path / name).write_bytes((world / "nav/jetbot" / name).read_bytes())
    (tmp_path / "fields.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InputError, match=r"fields\.npz"):
        export.read_nav(tmp_path)
