"""The whole stage on a written USD scene: files, free points, determinism, small worlds, robot profiles."""

import gzip
import json

import numpy as np
import pytest
import trimesh
import yaml

from lyra_sim.config.robots import load_robots
from lyra_sim.config.tasks import TasksConfig
from lyra_sim.core.errors import ConfigError, InputError
from robot_tasks import build_nav, map_gate, map_gates
from robot_tasks.build import build_nav_of_soups
from robot_tasks.episode_files import read_episodes
from tests.robot_tasks import rooms

FLAT = rooms.Flat()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    rooms.write_usd(folder / "scene.usda", FLAT.boxes)
    nav = build_nav(
        folder / "scene.usda", folder, floor=FLAT.floor, robots=(rooms.JETBOT, rooms.CARTER), config=rooms.FEW, seed=3
    )
    return folder, nav


def test_all_files_are_there_and_the_flat_is_trainable(world):
    folder, nav = world
    for robot in ("jetbot", "nova_carter"):
        assert nav[robot]["trainable"], nav[robot]["why"]
        names = {p.name for p in (folder / "nav" / robot).iterdir()}
        names -= {"isaac.npz", "igibson", "mobility_gen"}  # of other programs: test_export_maps.py
        assert names == {"map.yaml", "map.png", "map.pgm", "episodes.json.gz", "fields.npz", "lidar.npz", "free_points.csv", "gates.json", "robot.json", "preview.png"}  # fmt: skip  # noqa: E501
        gates = json.loads((folder / "nav" / robot / "gates.json").read_text())
        assert {g["name"] for g in gates["gates"]} >= {"nav_area_m2", "largest_island_share", "spawn_overlap_count", "follower_success", "follower_spl"}  # fmt: skip  # noqa: E501
        assert gates["trainable"] is True
        places = np.stack(np.meshgrid(np.arange(0, 4, 0.005), np.arange(0, 3, 0.005), indexing="ij"), -1).reshape(-1, 2)
        roomy = FLAT.clearance(places) >= {"jetbot": 0.12, "nova_carter": 0.25}[robot]
        assert gates["origin_floor_m"] == 0
        assert gates["origin_away_m"] == pytest.approx(np.hypot(*places[roomy].T).min(), abs=0.07)
    assert {p.name for p in (folder / "omap").iterdir()} == {"occupancy_map.yaml", "occupancy_map.png"}


def test_same_scene_and_seed_give_the_same_bytes(world, tmp_path):
    folder, nav = world
    again = build_nav(
        folder / "scene.usda", tmp_path, floor=FLAT.floor, robots=(rooms.JETBOT, rooms.CARTER), config=rooms.FEW, seed=3
    )
    assert again == nav
    files = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    assert len(files) == 37
    for name in files:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_another_seed_gives_other_episodes(world, tmp_path):
    folder, _ = world
    build_nav_of_soups([FLAT.soup], tmp_path, floor=FLAT.floor, robots=(rooms.CARTER,), config=rooms.FEW, seed=4)
    name = "nav/nova_carter/episodes.json.gz"
    assert read_episodes(tmp_path / name) != read_episodes(folder / name)


@pytest.mark.parametrize("robot", [rooms.JETBOT, rooms.CARTER], ids=lambda r: r.name)
def test_free_points_are_exactly_clear(world, robot):
    points = np.loadtxt(world[0] / "nav" / robot.name / "free_points.csv", delimiter=",")
    assert len(points) >= 12
    need = max(robot.radius_m, 0.15)
    upright_faces = FLAT.soup.triangles[12:]  # all but the floor; they reach from below the floor to 2 m
    solids = trimesh.Trimesh(
        upright_faces.reshape(-1, 3), np.arange(3 * len(upright_faces)).reshape(-1, 3), process=False
    )
    heights = np.linspace(0.01, 0.55, 10)
    upright = np.array([[x, y, z] for x, y in points for z in heights])
    _, distance, _ = trimesh.proximity.closest_point(solids, upright)
    assert distance.min() >= need
    apart = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)) + 9 * np.eye(len(points))
    assert apart.min() >= (0.4 if len(points) >= 24 else 0.25)
    inside = np.minimum(points, np.array(FLAT.size) - points)
    assert inside.min() >= need


@pytest.mark.parametrize("variants", ["only one", "the other"])
def test_free_points_stay_off_holes_low_sills_and_tilted_floor(tmp_path, variants):
    floor = ((-0.1, -0.1, -0.1), (3.1, 3.1, 0.0))
    sill = ((1.0, 0.5, -0.01), (1.5, 0.6, 0.012))
    holed = rooms.floor_grid(3, 3, holes=[(2.0, 2.0, 2.2, 2.2)])
    tilted = np.array(
        [[[0, 2.4, 0], [0.6, 2.4, 0], [0.6, 3.0, 0.009]], [[0, 2.4, 0], [0.6, 3.0, 0.009], [0, 3.0, 0.009]]]
    )
    soup = rooms.soup(floor, sill)
    soup = rooms.Soup(triangles=np.concatenate([soup.triangles, tilted]), hull=np.full(26, -1, np.int32))
    soups = [soup] if variants == "only one" else [rooms.soup(floor), soup]
    build_nav_of_soups(soups, tmp_path, floor=holed, robots=(rooms.JETBOT,), config=rooms.FEW, seed=0)
    points = np.loadtxt(tmp_path / "nav/jetbot/free_points.csv", delimiter=",")
    assert len(points) >= 24

    def away(x0, y0, x1, y1):
        dx = np.maximum(np.maximum(x0 - points[:, 0], points[:, 0] - x1), 0)
        dy = np.maximum(np.maximum(y0 - points[:, 1], points[:, 1] - y1), 0)
        return np.hypot(dx, dy).min()

    assert away(1.0, 0.5, 1.5, 0.6) >= 0.15
    assert away(2.0, 2.0, 2.2, 2.2) >= 0.15
    assert away(0.0, 2.45, 0.6, 3.0) > 0
    assert np.minimum(points, 3.0 - points).min() >= 0.15


@pytest.mark.parametrize(("underside", "allowed"), [(False, False), (True, True)])
def test_free_points_are_put_under_a_table_only_where_its_underside_was_seen(tmp_path, underside, allowed):
    floor, table = rooms.soup(((-0.1, -0.1, -0.1), (3.1, 3.1, 0.0))).triangles, rooms.box((1, 1, 0.7), (2.5, 2.5, 0.74))
    looks_up = np.cross(table[:, 1] - table[:, 0], table[:, 2] - table[:, 0])[:, 2] > 0
    triangles = np.concatenate([floor, table if underside else table[looks_up]])
    soup = rooms.Soup(triangles=triangles, hull=np.full(len(triangles), -1, np.int32))
    build_nav_of_soups([soup], tmp_path, floor=rooms.floor_grid(3, 3), robots=(rooms.JETBOT,), config=rooms.FEW, seed=0)
    points = np.loadtxt(tmp_path / "nav/jetbot/free_points.csv", delimiter=",")
    assert ((points > 1.0) & (points < 2.5)).all(1).any() == allowed


def test_episode_file_is_in_the_stated_frame(world):
    folder, _ = world
    raw = (folder / "nav/nova_carter/episodes.json.gz").read_bytes()
    assert raw[4:8] == bytes(4)  # no time stamp
    tree = json.loads(gzip.decompress(raw))
    assert tree["frame"]["up"] == "z"
    assert len(tree["episodes"]) == rooms.FEW.episodes
    for k, episode in enumerate(tree["episodes"]):
        assert episode["episode_id"] == str(k)
        assert episode["start_position"][:2] == episode["path"][0]
        assert episode["goals"][0]["position"][:2] == episode["path"][-1]
        assert abs(episode["start_position"][2]) < 1e-3
        assert np.linalg.norm(episode["start_rotation"]) == pytest.approx(1)
        info = episode["info"]
        straight = np.hypot(*(np.array(episode["path"][-1]) - episode["path"][0]))
        assert info["euclidean_distance"] == pytest.approx(straight, abs=1e-3)
        assert info["geodesic_distance"] <= info["path_length"] + 1e-3
        assert info["follower"]["success"] is True


def test_fields_look_up_the_episodes_distances(world):
    folder, _ = world
    with np.load(folder / "nav/nova_carter/fields.npz") as stored:
        goals, distance = stored["goals"], stored["distance_m"].astype(float)
        origin, cell = stored["origin_m"], float(stored["cell_m"])
        assert stored["island"].max() >= 1
        assert distance.shape[1:] == stored["clearance_m"].shape
    for episode in read_episodes(folder / "nav/nova_carter/episodes.json.gz"):
        g = int(np.hypot(*(goals - episode["path"][-1]).T).argmin())
        i, j = np.floor((np.array(episode["path"][0]) - origin) / cell).astype(int)
        assert distance[g, i, j] == pytest.approx(episode["info"]["geodesic_distance"], abs=0.12)


def test_map_gate_passes_on_what_was_written_and_fails_on_another_scene(world, tmp_path):
    folder, _ = world
    found = map_gates(folder, floor=FLAT.floor, config=rooms.FEW)
    assert list(found) == list(rooms.FEW.robots) and all(gate.ok and gate.value == 1.0 for gate in found.values())
    assert map_gate(found).value == 1.0
    (tmp_path / "nav").symlink_to(folder / "nav")
    rooms.write_usd(tmp_path / "scene.usda", FLAT.boxes[:-1])
    found = map_gates(tmp_path, floor=FLAT.floor, config=rooms.FEW)
    gate = map_gate(found)
    assert not gate.ok and gate.value == min(one.value for one in found.values())
    assert "another map" in gate.why


def test_a_closet_is_not_trainable_and_says_so(tmp_path):
    closet = rooms.soup(((-0.1, -0.1, -0.1), (1.4, 1.4, 0.0)), ((-0.1, -0.1, 0.0), (0.0, 1.3, 1.0)))
    nav = build_nav_of_soups([closet], tmp_path, floor=rooms.floor_grid(1.3, 1.3), robots=(rooms.JETBOT, rooms.CARTER), config=rooms.FEW, seed=0)  # fmt: skip  # noqa: E501
    for robot in ("jetbot", "nova_carter"):
        assert nav[robot]["trainable"] is False
        assert "m2" in nav[robot]["why"]
        assert "longest way" in nav[robot]["why"]
    assert nav["jetbot"]["episodes"] >= 20  # small, but there are ways to go
    assert nav["jetbot"]["nav_area_m2"] == pytest.approx((1.3 - 0.24) ** 2, rel=0.06)


def test_no_room_at_all_gives_empty_files(tmp_path):
    slot = rooms.soup(((-0.1, -0.1, -0.1), (1.4, 0.4, 0.0)))
    nav = build_nav_of_soups(
        [slot], tmp_path, floor=rooms.floor_grid(1.3, 0.3), robots=(rooms.CARTER,), config=TasksConfig(), seed=0
    )
    assert nav["nova_carter"]["trainable"] is False
    assert nav["nova_carter"]["episodes"] == 0
    assert (tmp_path / "nav/nova_carter/free_points.csv").read_text() == ""
    assert read_episodes(tmp_path / "nav/nova_carter/episodes.json.gz") == []


def test_robot_profiles(tmp_path):
    jetbot, carter = load_robots(["jetbot", "nova_carter"])
    assert (jetbot.radius_m, carter.footprint_m) == (0.12, (0.725, 0.5))
    own = {**carter.model_dump(mode="json"), "name": "mine"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(own))
    assert load_robots([str(tmp_path / "mine.yaml")])[0].name == "mine"
    for broken in (
        {**own, "name": "../up"},
        {**own, "radius_m": 0.1},
        {**own, "slab_m": [0.5, 0.1]},
        {**own, "wheels": 4},
        [],
        [own],
    ):
        (tmp_path / "bad.yaml").write_text(yaml.safe_dump(broken))
        with pytest.raises(ConfigError, match=r"bad\.yaml"):
            load_robots([str(tmp_path / "bad.yaml")])
    with pytest.raises(ConfigError, match="jetbot, nova_carter"):
        load_robots(["jetbto"])
    with pytest.raises(ConfigError, match="once"):
        load_robots(["jetbot", "jetbot"])
    with pytest.raises(ConfigError, match="robot profile"):
        load_robots([str(tmp_path / "absent.yaml")])


def test_a_broken_episode_file_is_an_input_error(tmp_path):
    (tmp_path / "episodes.json.gz").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"episodes\.json\.gz"):
        read_episodes(tmp_path / "episodes.json.gz")
