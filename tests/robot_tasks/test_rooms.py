"""Rooms and doors of exact flats against their plans; swept paths against dense poses; simple policies on paper."""

import itertools

import numpy as np
import pytest

from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.truth import true_floor
from robot_tasks.colliders import Nearby, Soup, rays_of
from robot_tasks.episodes import Episode
from robot_tasks.fields import domain
from robot_tasks.islands import Space, find_space
from robot_tasks.judge import door_margins
from robot_tasks.navmap import build_map, map_of_soup, measure_ground
from robot_tasks.place import agreement, look_at
from robot_tasks.rooms import WALL_SLAB, crossed, find_rooms, unreached
from robot_tasks.simple import simple_success
from robot_tasks.swept import Stances, boxes_along, path_hits
from tests.robot_tasks import rooms

FLAT = rooms.Flat()


def exact(seed: int, count: int):
    """A procedural flat with its own triangles and floor."""
    scene = make_flat(seed, rooms=count)
    triangles = scene.vertices[scene.faces].astype(float)
    return scene, Soup(triangles=triangles, hull=np.full(len(triangles), -1, np.int32)), true_floor(scene)


@pytest.mark.parametrize(("seed", "count"), [(802, 5), (803, 6), (804, 3), (812, 3)])
def test_rooms_and_doors_are_those_of_the_plan(seed, count):
    scene, soup, floor = exact(seed, count)
    found = find_rooms(build_map(soup, measure_ground(rays_of(soup), floor), WALL_SLAB, 0.05))
    assert len(found.areas_m2) == len(scene.rooms_m)
    middle = (scene.rooms_m[:, :2] + scene.rooms_m[:, 2:]) / 2
    assert len({int(k) for k in found.at(middle)}) == len(scene.rooms_m)
    assert len(found.doors) == len(scene.doors_m)
    for door in scene.doors_m:
        away = [np.hypot(*(d.centre - (door[:2] + door[2:]) / 2)) for d in found.doors]
        k = int(np.argmin(away))
        assert away[k] < 0.3
        assert found.doors[k].width_m == pytest.approx(max(door[2] - door[0], door[3] - door[1]), abs=0.03)
        sides = found.at(np.array([(door[:2] + door[2:]) / 2 + s * _across(door) for s in (-0.5, 0.5)]))
        assert tuple(sorted(sides.tolist())) == found.doors[k].rooms


def _across(door: np.ndarray) -> np.ndarray:
    return np.array([1.0, 0.0]) if door[2] - door[0] < door[3] - door[1] else np.array([0.0, 1.0])


@pytest.fixture(scope="module")
def site():
    found, _, maps = look_at([FLAT.soup], None, FLAT.floor, (rooms.JETBOT, rooms.CARTER), 0.05)
    return found, maps


def test_a_path_crosses_the_doors_on_it(site):
    found, maps = site
    assert len(found.rooms.doors) == 1
    through = np.array([[0.9, 2.5], [1.7, 1.5], [2.3, 1.5], [3.2, 0.5]])
    assert crossed(found.rooms, through) == (0,)
    assert crossed(found.rooms, np.concatenate([through, through[::-1]])) == (0, 0)
    assert crossed(found.rooms, through[:2]) == ()
    for robot, nav in zip((rooms.JETBOT, rooms.CARTER), maps, strict=True):
        assert door_margins(found, nav, robot)[0] == pytest.approx(0.9 - 2 * robot.radius_m, abs=0.05)


def test_a_room_behind_a_door_too_narrow_is_not_reached():
    wall = [((1.95, 0.0, -0.05), (2.05, 1.3, 2.0)), ((1.95, 1.7, -0.05), (2.05, 3.0, 2.0))]
    soup = rooms.soup(*FLAT.boxes[:5], *wall)
    holes = [*FLAT.rectangles[:4], (1.95, 0.0, 2.05, 1.3), (1.95, 1.7, 2.05, 3.0)]
    found, _, maps = look_at([soup], None, rooms.floor_grid(4, 3, holes=holes), (rooms.JETBOT, rooms.CARTER), 0.05)
    lost = []
    for robot, nav in zip((rooms.JETBOT, rooms.CARTER), maps, strict=True):
        space = find_space(nav, robot.radius_m, 0.025)
        lost.append(unreached(found.rooms, space.main, space.cell_m, 0.25))
    assert lost[0] == [] and len(lost[1]) == 1
    assert door_margins(found, maps[1], rooms.CARTER)[0] < 0


@pytest.mark.parametrize(("known", "doors"), [(0.15, 1), (0.4, 2)])
def test_a_gap_in_a_wall_is_a_door_only_where_floor_is_known_across(known, doors):
    """A wall with a door, and a piece that nobody saw, of which a strip of floor is known."""
    solid = ((1.95, 0.0, 2.05, 0.2), (1.95, 0.7, 2.05, 1.05), (1.95, 1.95, 2.05, 3.0))
    soup = rooms.soup(*FLAT.boxes[:5], *(((x0, y0, -0.05), (x1, y1, 2.0)) for x0, y0, x1, y1 in solid))
    unseen = ((1.85, 0.2, 2.15, 0.45 - known / 2), (1.85, 0.45 + known / 2, 2.15, 0.7))
    holes = [*FLAT.rectangles[:4], *solid, *unseen]
    floor = rooms.floor_grid(4, 3, holes=holes)
    found = find_rooms(build_map(soup, measure_ground(rays_of(soup), floor), WALL_SLAB, 0.05))
    assert len(found.areas_m2) == 2 and len(found.doors) == doors


@pytest.mark.parametrize("robot", [rooms.JETBOT, rooms.CARTER], ids=lambda r: r.name)
def test_swept_paths_meet_what_dense_boxes_meet(robot, site):
    found, _ = site
    rng = np.random.default_rng(1)
    stances, nearby = Stances(found.ground, robot), Nearby(FLAT.soup.triangles)
    clear = hit = 0
    for _ in range(60):
        path = rng.uniform((0.3, 0.2), (1.85, 2.85), (3, 2))
        yaw = float(rng.uniform(-np.pi, np.pi))
        want = any(_touches(robot, pose) for pose in _dense(path, yaw))
        got = path_hits(nearby, stances, path, yaw) is not None
        clear, hit = clear + (not want), hit + want
        assert got or not want  # a box over a leg is never smaller than the boxes in it
        if got and not want:
            assert any(_touches(robot, pose, 0.03) for pose in _dense(path, yaw))
    assert clear >= 5 and hit >= 5


def _dense(path: np.ndarray, yaw: float) -> np.ndarray:
    """Poses 1 cm and 1 degree apart."""
    poses = []
    for a, b in itertools.pairwise(path):
        heading = float(np.arctan2(*(b - a)[::-1]))
        turn = (heading - yaw + np.pi) % (2 * np.pi) - np.pi
        poses += [(*a, yaw + s * turn) for s in np.linspace(0, 1, int(abs(turn) / 0.017) + 2)]
        poses += [(*(a + s * (b - a)), heading) for s in np.linspace(0, 1, int(np.hypot(*(b - a)) / 0.01) + 2)]
        yaw = heading
    return np.array(poses)


def _touches(robot, pose: np.ndarray, grow: float = 0.0) -> bool:
    """Does a robot's rectangle meet one of the flat's, by points of both outlines and both middles."""
    half = np.array(robot.footprint_m) / 2 + grow
    u = np.linspace(-1, 1, 41)
    edge = np.concatenate([np.stack([a, b], 1) * half for a, b in ((u, u**0), (u, -(u**0)), (u**0, u), (-(u**0), u))])
    c, s = np.cos(pose[2]), np.sin(pose[2])
    turn = np.array([[c, -s], [s, c]])
    if (FLAT.clearance(pose[:2] + edge @ turn.T) <= 0).any():
        return True
    corners = np.array([(x, y) for x0, y0, x1, y1 in FLAT.rectangles for x in (x0, x1) for y in (y0, y1)])
    return bool((np.abs((corners - pose[:2]) @ turn) < half).all(1).any())


def test_boxes_of_a_path_cover_it():
    path = np.array([[0.0, 0.0], [2.5, 0.0], [2.5, 1.0]])
    boxes = boxes_along(path, np.pi / 2)
    legs = boxes[boxes[:, 3] > 0]
    assert legs[:, 3].sum() == pytest.approx(3.5)
    assert np.allclose(legs[legs[:, 2] == 0, 0].mean(), 1.25)
    turns = boxes[boxes[:, 3] == 0]
    assert np.abs(np.diff(turns[turns[:, 0] == 0, 2])).max() <= 0.1


def test_simple_policies_reach_what_lies_ahead_and_not_what_lies_behind_a_wall():
    nav = map_of_soup(FLAT.soup, rooms.CARTER, FLAT.floor)

    def task(start, goal, path_m):
        return Episode(
            start=np.array(start), start_yaw=0.0, goal=np.array(goal), geodesic_m=path_m, path=np.array([start, goal]),
            path_m=path_m, clearance_m=0.3,
        )  # fmt: skip

    ahead, behind = task((0.9, 1.5), (3.2, 1.5), 2.3), task((1.4, 2.6), (2.6, 2.6), 3.0)
    assert simple_success([ahead], nav, rooms.CARTER, 0)[1] == 1.0
    assert simple_success([behind], nav, rooms.CARTER, 0)[1] == 0.0
    assert simple_success([ahead, behind] * 20, nav, rooms.CARTER, 0)[0] < 0.5
    assert simple_success([], nav, rooms.CARTER, 0) == (0.0, 0.0)


def test_maps_that_block_other_places_disagree():
    a = np.full((40, 40), 255, np.uint8)
    a[10:12] = 0
    shifted, lost = np.roll(a, 1, 0), a.copy()
    lost[30:34] = 0
    assert agreement(a, shifted) == 1.0
    assert agreement(a, lost) == pytest.approx(1 - 4 / 6)
    assert agreement(lost, a) == pytest.approx(1 - 4 / 6)


def test_field_cells_never_join_what_is_apart():
    rng = np.random.default_rng(3)
    for _ in range(50):
        free = rng.random((40, 40)) < 0.35
        space = Space(origin_m=np.zeros(2), cell_m=0.025, island=free.astype(np.int32), areas_m2=())
        before, after = space.coarse(2), domain(space, 2)
        assert (after >= before).all()
        assert _parts(after) == _parts(before)


def _parts(grid: np.ndarray) -> int:
    """Number of pieces that hang together over sides, by plain flooding."""
    left, count = {tuple(c) for c in np.argwhere(grid)}, 0
    while left:
        count, front = count + 1, [left.pop()]
        while front:
            i, j = front.pop()
            for cell in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
                if cell in left:
                    left.remove(cell)
                    front.append(cell)
    return count


def test_triangles_by_place_are_those_near():
    rng = np.random.default_rng(0)
    triangles = rng.uniform(-3, 3, (200, 1, 3)) + rng.uniform(-0.6, 0.6, (200, 3, 3))
    nearby = Nearby(triangles)
    mesh = triangles[..., :2]
    for x, y in rng.uniform(-4, 4, (50, 2)):
        got = nearby.around(float(x), float(y), 0.7)
        low, high = mesh.min(1), mesh.max(1)
        need = ((low <= (x + 0.7, y + 0.7)) & (high >= (x - 0.7, y - 0.7))).all(1)
        kept = {t.tobytes() for t in got}
        assert all(t.tobytes() in kept for t in triangles[need])
