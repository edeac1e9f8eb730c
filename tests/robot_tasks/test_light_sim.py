"""The light simulation drives, touches and sees as geometry says; every oracle here is other code or paper."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from lyra_sim.config.robots import load_robots
from robot_tasks.envs import baselines, kernels
from robot_tasks.envs.atlas import DISTANCE_UNIT_M, pack
from robot_tasks.envs.evaluate import run_quota
from robot_tasks.envs.vector import VectorNav, body_offsets
from tests.robot_tasks import flats, rooms
from tests.robot_tasks.flats import FLAT, core, put


def bodies(env: VectorNav) -> np.ndarray:
    """Exact distance (N, D) of the body discs' centres to the flat's walls."""
    x, y, yaw = env.state.pose.T.astype(np.float64)
    off = env.rules.offsets * env.state.radius[:, None]
    at = np.stack([x[:, None] + off * np.cos(yaw)[:, None], y[:, None] + off * np.sin(yaw)[:, None]], -1)
    return FLAT.clearance(at)


def test_sine_and_cosine_are_those_of_numpy():
    angles = np.linspace(-40, 40, 20001).astype(np.float32)
    found = np.array([kernels.sincos(a) for a in angles])
    exact = np.column_stack([np.sin(angles.astype(np.float64)), np.cos(angles.astype(np.float64))])
    assert np.abs(found - exact).max() < 2e-6  # the angle itself is a float32 of 4e-6
    assert np.abs(found - exact)[np.abs(angles) <= np.pi].max() < 2e-7


@pytest.mark.parametrize("drive", ["unicycle", "omni"])
def test_driving_is_the_integral_of_limited_speeds(drive):
    side = 0.5 if drive == "omni" else 0.0
    robot = rooms.CARTER.model_copy(
        update={"drive": drive, "side_m_s": side, "radius_m": 0.05, "footprint_m": (0.1, 0.1)}
    )
    env = core(robot, envs=1)
    put(env, 0.6, 1.5, 0.3)
    wanted = np.array([0.6, -0.5, 0.7] if side else [0.6, 0.0, 0.7])
    for _ in range(5):
        env.step(wanted[None] if side else wanted[None, [0, 2]])
    top = np.array([robot.speed_m_s, side, robot.turn_rad_s])
    gain = np.array([robot.accel_m_s2, robot.accel_m_s2, robot.turn_accel_rad_s2])

    def rate(t, pose):
        steps = np.floor(t / kernels.PHYSICS_S + 1e-9) + 1  # speeds change at the start of a physics step
        v = np.sign(wanted) * np.minimum(np.abs(wanted) * top, gain * steps * kernels.PHYSICS_S)
        c, s = np.cos(pose[2]), np.sin(pose[2])
        return [c * v[0] - s * v[1], s * v[0] + c * v[1], v[2]]

    pose = np.array([0.6, 1.5, 0.3])
    for k in range(10):
        span = (k * kernels.PHYSICS_S, (k + 1) * kernels.PHYSICS_S - 1e-9)
        pose = solve_ivp(rate, span, pose, rtol=1e-9, atol=1e-10).y[:, -1]
    np.testing.assert_allclose(env.state.pose[0], pose, atol=2e-6)
    assert env.state.contacts[0] == 0


@pytest.mark.parametrize("body", ["discs", "inscribed"])
@pytest.mark.parametrize("robot", [rooms.JETBOT, rooms.CARTER], ids=lambda r: r.name)
def test_no_body_enters_a_wall_whatever_it_does(robot, body):
    env = core(robot, envs=32, body=body)
    rng = np.random.default_rng(0)
    lowest, hits = np.inf, 0
    action = np.zeros((32, 2), np.float32)
    for _ in range(300):
        action = np.clip(0.8 * action + 0.6 * rng.standard_normal((32, 2)) + [0.2, 0], -1, 1)
        hits += env.step(action)[4]["contacts"].sum()
        lowest = min(lowest, float((bodies(env) - env.state.radius[:, None]).min()))
    assert lowest > -0.005
    assert env.state.contacts.sum() + hits > 100


def test_walls_are_slid_along():
    env = core(rooms.JETBOT, envs=1, body="inscribed")
    put(env, 0.9, 2.7, np.pi / 4)  # up against the wall y = 3
    for _ in range(15):
        env.step(np.array([[1.0, 0.0]]))
    x, y, _ = env.state.pose[0]
    assert env.state.contacts[0] > 3
    driven = 3.0 - 0.3 * 0.3 / 2 / 0.5  # metres at 0.3 m/s in 3 s, less starting up at 0.5 m/s2
    assert x - 0.9 == pytest.approx(0.3 * driven * np.cos(np.pi / 4), rel=0.1)
    assert FLAT.clearance(np.array([x, y])) >= env.state.radius[0]


def test_the_nose_of_a_long_robot_stops_it():
    assert body_offsets(rooms.JETBOT) == (0.0,)
    assert body_offsets(rooms.CARTER) == pytest.approx((-0.1125, 0.1125))
    spot = load_robots(["spot"])[0]
    assert len(body_offsets(spot)) == 3
    assert body_offsets(spot)[-1] + spot.radius_m == pytest.approx(spot.footprint_m[0] / 2)
    stops = {}
    for body in ("discs", "inscribed"):
        env = core(envs=1, body=body)
        put(env, 0.7, 2.0, np.pi)
        for _ in range(15):
            env.step(np.array([[1.0, 0.0]]))
        stops[body] = float(env.state.pose[0, 0])
    assert stops["discs"] - stops["inscribed"] == pytest.approx(0.1125, abs=0.02)
    assert stops["inscribed"] == pytest.approx(0.25, abs=0.03)


def test_a_wall_turns_the_nose_that_runs_along_it():
    for yaw, along in ((np.pi / 2 - 1.0, 0.0), (np.pi / 2 + 1.0, np.pi)):
        env = core(envs=1)
        put(env, 0.9 if along == 0 else 1.3, 2.65, yaw)  # towards the wall y = 3
        start = abs(float(env.state.pose[0, 2]) - along)
        for _ in range(6):
            env.step(np.array([[0.3, 0.0]]))
        assert env.state.contacts[0] > 0
        assert abs(float(env.state.pose[0, 2]) - along) < start - 0.1
    env = core(rooms.JETBOT, envs=1)  # one disc: nothing to turn it by
    put(env, 0.9, 2.8, 1.0)
    for _ in range(6):
        env.step(np.array([[1.0, 0.0]]))
    assert env.state.contacts[0] > 0 and env.state.pose[0, 2] == np.float32(1.0)


@pytest.mark.parametrize("robot", [rooms.JETBOT, rooms.CARTER], ids=lambda r: r.name)
def test_who_knows_the_way_arrives_and_who_does_not_does_not(robot):
    env = core(robot, envs=16)
    table = {
        name: run_quota(env, lambda _, act=act: act(env))
        for name, act in (("oracle", baselines.oracle_action), ("random", baselines.random_action))
    }
    assert table["oracle"]["success"].mean() >= 0.99
    assert table["oracle"]["spl"].mean() >= 0.95
    assert table["random"]["success"].mean() <= 0.2


def test_who_knows_the_way_brakes_before_bends():
    """A robot that needs 1.3 m to stop goes round the door post on the shortest way nevertheless."""
    fast = rooms.CARTER.model_copy(update={"speed_m_s": 1.6, "turn_rad_s": 1.0})
    env = core(fast, envs=16)
    table = run_quota(env, lambda _: baselines.oracle_action(env), np.flatnonzero(env.pool.ratio > 1.1))
    assert table["success"].all()
    assert table["spl"].mean() >= 0.97


def test_the_way_left_is_the_shortest_one_and_points_down():
    env = core(envs=64)
    lengths = env.pool.geodesic_m[env.row]
    np.testing.assert_allclose(env.state.geodesic, lengths, rtol=0.03)
    way = env.observed["critic"][:, -2:]
    step = 0.05 * np.column_stack([np.cos(env.state.pose[:, 2]), np.sin(env.state.pose[:, 2])])
    turned = np.column_stack(
        [step[:, 0] * way[:, 0] - step[:, 1] * way[:, 1], step[:, 1] * way[:, 0] + step[:, 0] * way[:, 1]]
    )
    env.state.pose[:, :2] += turned
    before = env.state.geodesic.copy()
    env._observe(np.arange(64))
    assert np.median(before - env.state.geodesic) == pytest.approx(0.05, abs=0.003)


def test_distances_do_not_leak_through_walls():
    world = flats.flat("jetbot")
    atlas = pack([world], rooms.JETBOT)
    row = int((0.5 - world.origin_m[1]) / world.cell_m)  # across the wall between the rooms, far from the door
    column = lambda x: int((x - world.origin_m[0]) / world.cell_m)  # noqa: E731
    for field in atlas.distance[0, :, :, row] * DISTANCE_UNIT_M:
        left, right = field[column(1.72)], field[column(2.28)]
        assert (field[column(1.75) : column(1.9)] < left + 0.3).all()
        assert (field[column(2.1) : column(2.25)] < right + 0.3).all()
        assert (field[column(1.75) : column(1.9)] > left - 0.3).all()
        assert (field[column(2.1) : column(2.25)] > right - 0.3).all()
    apart = [abs(f[column(1.72)] - f[column(2.28)]) for f in atlas.distance[0, :, :, row] * DISTANCE_UNIT_M]
    assert max(apart) > 1
    stored = np.isfinite(world.distance_m)
    off = np.abs(atlas.distance[0] * DISTANCE_UNIT_M - world.distance_m.astype(np.float64))[stored]
    assert off.max() <= DISTANCE_UNIT_M / 2 + 1e-6
