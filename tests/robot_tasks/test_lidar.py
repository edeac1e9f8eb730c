"""The light simulation's lidar meets what level rays meet in the colliders, and nothing else; the oracle is Embree."""

import dataclasses

import numpy as np
import pytest

from lyra_sim.config.envs import EnvConfig
from lyra_sim.config.tasks import RobotConfig
from lyra_sim.core.errors import ConfigError
from lyra_sim.core.records import FloorGrid
from robot_tasks.colliders import Soup, rays_of
from robot_tasks.envs import kernels
from robot_tasks.envs.vector import VectorNav
from robot_tasks.lidar import cut
from robot_tasks.navmap import FREE, OCCUPIED, measure_ground
from tests.robot_tasks import flats, rooms
from tests.robot_tasks.flats import FLAT, cast

FLOOR = ((-0.1, -0.1, -0.1), (4.1, 4.1, 0.0))
WALLS = [
    ((x0, y0, -0.05), (x1, y1, 2.0))
    for x0, y0, x1, y1 in ((-0.1, -0.1, 0, 4.1), (4, -0.1, 4.1, 4.1), (-0.1, -0.1, 4.1, 0), (-0.1, 4, 4.1, 4.1))
]
TABLE = [
    ((1.4, 1.4, 0.5), (2.6, 2.6, 0.54)),
    *(((x, y, -0.05), (x + 0.04, y + 0.04, 0.5)) for x in (1.4, 2.56) for y in (1.4, 2.56)),
]


def engines():
    yield kernels
    try:
        from robot_tasks.envs.warp_engine import WarpEngine
    except ImportError:
        return
    yield WarpEngine("cpu")


def seen(world, robot: RobotConfig, poses, scale: float = 1.0) -> np.ndarray:
    """Ranges (N, B) in metres of robots at poses (N, 3) of the world as it is on disk; the same with every engine."""
    found = []
    for engine in engines():
        env = VectorNav([world], robot, EnvConfig(), len(poses), engine=engine)
        env.reset(0)
        env.state.scale[:] = scale
        env.state.pose[:] = np.array(poses) * [scale, scale, 1]
        found.append(env._observe(np.arange(len(poses)))["policy"][:, : robot.lidar.beams] * robot.lidar.range_m)
        np.testing.assert_array_equal(found[0], found[-1])
    return found[0]


def poses_in(world, count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    cells = np.argwhere(world.island == 1)
    at = world.origin_m + (cells[rng.integers(len(cells), size=count)] + rng.random((count, 2))) * world.cell_m
    return np.column_stack([at, rng.uniform(-np.pi, np.pi, count)])


@pytest.mark.parametrize("robot", [rooms.JETBOT, rooms.CARTER], ids=lambda r: r.name)
@pytest.mark.parametrize("scale", [1.0, 1.06])
def test_ranges_are_those_of_rays_against_the_colliders(robot, scale):
    world = flats.flat(robot.name)
    poses = poses_in(world, 100)
    off = np.abs(seen(world, robot, poses, scale) - cast(FLAT.soup, robot, poses, scale=scale))
    assert np.quantile(off, 0.99) < 1e-5
    assert (off > 1e-3).sum() <= 3  # of 6400; edges are met or missed by rounding


def clutter(seed: int) -> Soup:
    """Turned prisms, floating triangles and half-open things in a room."""
    rng = np.random.default_rng(seed)
    parts = [rooms.soup(FLOOR, *WALLS).triangles]
    for _ in range(12):
        turn, (x, y) = rng.uniform(0, np.pi), rng.uniform(0.5, 3.5, 2)
        size = rng.uniform([0.02, 0.05, 0.05], [0.2, 0.6, 0.6])
        made = rooms.box(-size / 2, size / 2) + np.array([0, 0, rng.uniform(0, 0.5)])
        c, s = np.cos(turn), np.sin(turn)
        made[..., :2] = made[..., :2] @ [[c, s], [-s, c]] + [x, y]
        parts.append(made[: rng.integers(4, 13)])
    parts.append(rng.uniform([0.2, 0.2, 0.05], [3.8, 3.8, 0.5], (40, 1, 3)) + rng.normal(0, 0.15, (40, 3, 3)))
    triangles = np.concatenate(parts)
    return Soup(triangles=triangles, hull=np.full(len(triangles), -1, np.int32))


@pytest.mark.parametrize("robot", [rooms.JETBOT, rooms.CARTER], ids=lambda r: r.name)
def test_ranges_are_right_among_things_of_any_shape(robot):
    soup = clutter(1)
    empty = flats.world_of(rooms.soup(FLOOR, *WALLS), rooms.floor_grid(4, 4), robot)
    ground = measure_ground(rays_of(soup), rooms.floor_grid(4, 4))
    world = dataclasses.replace(empty, lines_m=cut(soup, ground, robot.lidar.height_m))
    poses = poses_in(empty, 200)
    off = np.abs(seen(world, robot, poses) - cast(soup, robot, poses))
    assert (cast(soup, robot, poses) < cast(rooms.soup(*WALLS), robot, poses) - 0.1).mean() > 0.2
    assert np.quantile(off, 0.99) < 1e-4
    assert (off > 0.01).mean() < 2e-3


def test_beams_pass_under_a_table_where_the_body_does_not():
    soup, floor = rooms.soup(FLOOR, *WALLS, *TABLE), rooms.floor_grid(4, 4)
    world = flats.world_of(soup, floor, rooms.CARTER)
    assert rooms.CARTER.lidar.height_m < 0.5 < rooms.CARTER.slab_m[1]
    middle = tuple(np.floor((np.array([2.0, 2.0]) - world.origin_m) / world.cell_m).astype(int))
    assert world.state[middle] == OCCUPIED
    pose = [[0.7, 2.0, 0.0]]
    ranges = seen(world, rooms.CARTER, pose)[0]
    assert ranges[0] == pytest.approx(3.3, abs=1e-4)  # the wall behind the table
    np.testing.assert_allclose(ranges, cast(soup, rooms.CARTER, pose)[0], atol=1e-4)
    legs = np.arctan2(0.58, 0.72)  # from the robot to the nearest leg
    near = seen(world, rooms.CARTER, [[0.7, 2.0, legs]])[0]
    assert near[0] == pytest.approx(np.hypot(0.72, 0.58), abs=0.05)
    env = VectorNav([world], rooms.CARTER, EnvConfig(success_m=1e-6), 1)
    env.reset(0)
    flats.put(env, 0.7, 2.0, 0.0)
    for _ in range(30):
        env.step(np.array([[1.0, 0.0]]))
    assert env.state.contacts[0] > 0 and env.state.pose[0, 0] < 1.4 - rooms.CARTER.radius_m
    high = rooms.CARTER.model_copy(update={"lidar": rooms.CARTER.lidar.model_copy(update={"height_m": 0.52})})
    top = seen(flats.world_of(soup, floor, high), high, pose)[0]
    assert top[0] == pytest.approx(0.7, abs=1e-4)  # the table's edge


def test_unknown_floor_stops_the_body_and_no_beam():
    hole = (2.0, 1.0, 3.0, 3.0)
    soup, floor = rooms.soup(FLOOR, *WALLS), rooms.floor_grid(4, 4, holes=[hole])
    world = flats.world_of(soup, floor, rooms.JETBOT)
    assert world.state[tuple(np.floor((np.array([2.5, 2.0]) - world.origin_m) / world.cell_m).astype(int))] not in (
        OCCUPIED, FREE,
    )  # fmt: skip
    assert seen(world, rooms.JETBOT, [[1.0, 2.0, 0.0]])[0, 0] == pytest.approx(3.0, abs=1e-4)
    env = VectorNav([world], rooms.JETBOT, EnvConfig(success_m=1e-6), 1)
    env.reset(0)
    flats.put(env, 1.0, 2.0, 0.0)
    for _ in range(40):
        env.step(np.array([[1.0, 0.0]]))
    assert env.state.pose[0, 0] < 2.0 and env.state.contacts[0] > 0


def small_floor(wall_x: float) -> tuple[Soup, FloorGrid]:
    """Floor known to x = 2 only, a wall far beyond it, nothing elsewhere."""
    return rooms.soup(FLOOR, ((wall_x, 0.0, 0.0), (wall_x + 0.1, 4.0, 2.0))), rooms.floor_grid(2, 4)


def test_beams_meet_walls_beyond_the_map_and_are_as_long_as_the_range_where_nothing_is():
    for wall_x, expected in ((3.9, 3.2), (5.4, 4.7), (6.4, 5.0)):
        soup, floor = small_floor(wall_x)
        world = flats.world_of(soup, floor, rooms.JETBOT)
        assert world.origin_m[0] + world.state.shape[0] * world.cell_m < 3
        ranges = seen(world, rooms.JETBOT, [[0.7, 2.0, 0.0]])[0]
        assert ranges[0] == pytest.approx(expected, abs=1e-4)
        assert (ranges[16:48] == rooms.JETBOT.lidar.range_m).all()
        np.testing.assert_allclose(ranges, cast(soup, rooms.JETBOT, [[0.7, 2.0, 0.0]])[0], atol=1e-4)


def test_no_line_at_all_is_no_fault():
    world = dataclasses.replace(flats.flat("jetbot"), lines_m=np.zeros((0, 2, 2), np.float32))
    assert (seen(world, rooms.JETBOT, poses_in(world, 5)) == rooms.JETBOT.lidar.range_m).all()


def test_heights_are_those_over_the_floor_that_is_there():
    terrace = ((2.0, -0.1, -0.1), (4.1, 4.1, 0.3))
    crate = ((3.0, 1.5, 0.3), (3.4, 2.5, 0.5))
    soup = rooms.soup(FLOOR, *WALLS, terrace, crate)
    floor = rooms.floor_grid(4, 4, height_m=lambda x, y: np.where(x > 2.0, 0.3, 0.0))
    lines = cut(soup, measure_ground(rays_of(soup), floor), 0.1)
    middle = lines.mean(1)
    on_crate = (np.abs(middle - [3.2, 2.0]) <= [0.2 + 1e-6, 0.5 + 1e-6]).all(1)
    length = np.hypot(*(lines[:, 0] - lines[:, 1]).T)
    assert length[on_crate].sum() == pytest.approx(2 * (0.4 + 1.0), abs=1e-4)
    kerb = (np.abs(lines[..., 0] - 2.0) < 1e-6).all(1)
    assert length[kerb].sum() == pytest.approx(4.2, abs=1e-4)  # higher than the lidar on the floor below


def test_a_robot_with_a_lidar_of_another_height_is_refused():
    high = rooms.JETBOT.model_copy(update={"lidar": rooms.JETBOT.lidar.model_copy(update={"height_m": 0.3})})
    with pytest.raises(ConfigError, match="lidar"):
        VectorNav([flats.flat("jetbot")], high, EnvConfig(), 1)
