"""Episodes begin, end and are counted as they should be, and every knob does what it says and nothing else."""

import dataclasses

import numpy as np
import pytest

from lyra_sim.config.envs import CurriculumConfig, EnvConfig, RandomConfig
from lyra_sim.core.errors import ConfigError, LyraError
from robot_tasks.envs import baselines
from robot_tasks.envs.evaluate import run_quota
from robot_tasks.envs.pool import Pool
from robot_tasks.envs.vector import VectorNav
from robot_tasks.worlds import EpisodeTable
from tests.robot_tasks import flats, rooms
from tests.robot_tasks.flats import core, put

BEAMS = rooms.CARTER.lidar.beams


def play(env: VectorNav, steps: int, seed: int = 0) -> list:
    rng = np.random.default_rng(seed)
    return [env.step(rng.uniform(-1, 1, (env.num_envs, env.action_size))) for _ in range(steps)]


def test_rewards_add_up_to_the_way_that_was_made():
    env = core(envs=4)
    left, total, pay = env.state.geodesic.copy(), np.zeros(4), env.config.reward
    ended = np.zeros(4, bool)
    for k in range(1, 400):
        _, reward, terminated, truncated, info = env.step(baselines.oracle_action(env))
        total += np.where(ended, 0, reward)
        for m, n in enumerate(info["env"]):
            if not ended[n]:
                last = np.expm1(info["final_obs"]["critic"][m, -3])
                expected = left[n] - last + k * pay.time + info["contacts"][m] * pay.contact + pay.success
                assert total[n] == pytest.approx(expected, abs=1e-3)
                assert terminated[n] and not truncated[n] and last < env.config.success_m
                assert info["geodesic_m"][m] / max(info["driven_m"][m], info["geodesic_m"][m]) == pytest.approx(
                    info["spl"][m]
                )
                ended[n] = True
        if ended.all():
            return
    raise AssertionError("the oracle did not arrive")


def test_the_next_episode_begins_in_the_step_that_ends_one():
    env = core(envs=8)
    observed, info = None, {"env": []}
    while len(info["env"]) == 0:
        observed, _, _, _, info = env.step(baselines.oracle_action(env))
    n = info["env"][0]
    start = env.pool.start[env.row[n]]
    np.testing.assert_allclose(env.state.pose[n, :2], start, atol=1e-5)
    away = np.hypot(*(env.pool.goal[env.row[n]] - start))
    assert observed is not None
    assert np.expm1(observed["policy"][n, BEAMS]) == pytest.approx(away, abs=1e-3)
    assert (observed["policy"][n, BEAMS + 3 :] == 0).all()
    assert env.state.age[n] == 0 and env.state.driven[n] == 0


def test_every_world_is_visited_however_few_environments_there_are():
    worlds = [flats.flat("jetbot")] * 4

    def visited(envs: int, **settings) -> list[set[int]]:
        env = VectorNav(worlds, rooms.JETBOT, EnvConfig(**settings), envs, seed=0)
        seen = [set() for _ in range(envs)]
        for _ in range(60):
            env.reset()
            for n, world in enumerate(env.state.world):
                seen[n].add(int(world))
        return seen

    assert visited(1) == [{0, 1, 2, 3}]
    assert visited(3) == [{0, 1, 2, 3}] * 3
    assert visited(8) == [{n // 2} for n in range(8)]
    assert visited(8, reset_to="any") == [{0, 1, 2, 3}] * 8
    env = VectorNav(worlds, rooms.JETBOT, EnvConfig(), 2, seed=0)
    env.reset()
    ended = set()
    for _ in range(400):
        ended |= set(env.step(baselines.oracle_action(env))[4]["world"])
    assert ended == {0, 1, 2, 3}


def test_idle_robots_run_out_of_time():
    env = core(envs=4)
    limit = env.state.last_age.copy()
    seconds = 4 * env.pool.geodesic_m[env.row] / env.robot.speed_m_s + 2 * 2 * np.pi / env.robot.turn_rad_s
    np.testing.assert_array_equal(limit, np.ceil(seconds / 0.2))
    for k in range(1, limit.min() + 1):
        _, _, terminated, truncated, info = env.step(np.zeros((4, 2)))
        assert not terminated.any()
        np.testing.assert_array_equal(truncated, limit == k)
    assert (info["spl"] == 0).all() and (info["driven_m"] == 0).all()


def test_a_quota_runs_each_episode_once_in_the_order_asked():
    env = core(envs=7)
    rows = np.random.default_rng(1).permutation(len(env.pool.world))[:25]
    table = run_quota(env, lambda _: baselines.oracle_action(env), rows)
    np.testing.assert_array_equal(env.pool.first[table["world"]] + table["episode"], rows)
    np.testing.assert_allclose(table["geodesic_m"], env.pool.geodesic_m[rows], rtol=1e-6)
    few = core(envs=3)
    again = run_quota(few, lambda _: baselines.oracle_action(few), rows)
    np.testing.assert_array_equal(again["steps"], table["steps"])  # how many run side by side changes nothing


def test_equal_seeds_give_equal_runs_and_others_do_not():
    noisy = {"random": RandomConfig(scale=True, footprint=0.1, latency_steps=2, lidar_noise_m=0.02, drift_m=0.05)}
    a, b, c = (play(core(envs=6, seed=seed, **noisy), 60)[-1][0]["critic"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


def test_near_goals_come_first_and_farther_ones_after_success():
    pool = Pool([flats.flat("jetbot")], CurriculumConfig(bins=4, promote=0.8, window=20))
    rng = np.random.default_rng(0)
    quarter = np.quantile(pool.geodesic_m, 0.25)
    rows = pool.draw(rng, None, 400)
    assert pool.geodesic_m[rows].max() <= quarter
    pool.learn(rows[:40], np.arange(40) % 10 < 8)  # 80 % is not more than 80 %
    assert pool.level == 0
    pool.learn(rows[:20], np.ones(20, bool))
    assert pool.level == 1
    assert quarter < pool.geodesic_m[pool.draw(rng, np.zeros(400, int), 400)].max() <= np.median(pool.geodesic_m)
    pool.learn(rows[:400], np.ones(400, bool))  # all of the class before
    assert pool.level == 1


@pytest.mark.parametrize(
    ("metres", "levels"),
    [
        ([1.0] * 60 + list(np.linspace(2, 9, 40)), [0, 2, 3]),  # one and a half classes of the same distance
        ([1.0] * 30 + [5.0] * 70, [0, 1, 3]),
        ([1.0] * 100, [0, 3]),
    ],
)
def test_classes_that_equal_distances_leave_empty_are_skipped(metres, levels):
    world = flats.flat("jetbot")
    row = np.zeros(len(metres), int)
    table = {f.name: getattr(world.episodes, f.name)[row] for f in dataclasses.fields(world.episodes)}
    table["geodesic_m"] = np.array(metres)
    pool = Pool([dataclasses.replace(world, episodes=EpisodeTable(**table))], CurriculumConfig(bins=4, window=8))
    rng, seen = np.random.default_rng(0), [0]
    for _ in range(100):
        pool.learn(pool.draw(rng, None, 16), np.ones(16, bool))
        seen.append(pool.level)
    assert sorted(set(seen)) == levels
    assert set(pool.geodesic_m[pool.draw(rng, None, 2000)]) == set(metres)


def mirrored(world):
    """The world seen in a mirror that stands along the x axis."""
    t = world.episodes
    flip = np.array([1.0, -1.0])
    origin = np.array([world.origin_m[0], -world.origin_m[1] - world.state.shape[1] * world.cell_m])
    grids = {
        n: np.ascontiguousarray(getattr(world, n)[..., ::-1]) for n in ("state", "clearance_m", "island", "distance_m")
    }
    table = dataclasses.replace(t, start=t.start * flip, goal=t.goal * flip, yaw=-t.yaw)
    grids["lines_m"] = world.lines_m * flip.astype(np.float32)
    return dataclasses.replace(world, origin_m=origin, goals=world.goals * flip, episodes=table, **grids)


@pytest.mark.parametrize("drive", ["unicycle", "omni"])
def test_a_mirrored_episode_is_the_episode_of_the_mirrored_world(drive):
    robot = rooms.CARTER.model_copy(update={"drive": drive, "side_m_s": 0.5 if drive == "omni" else 0.0})
    world = flats.flat("nova_carter")
    here = VectorNav([world], robot, EnvConfig(random=RandomConfig(mirror=True)), 12)
    there = VectorNav([mirrored(world)], robot, EnvConfig(), 12)
    rows = np.arange(12)
    a, b = here.reset(5, quota=rows), there.reset(5, quota=rows)
    turned = here.noise.mirror < 0
    assert 2 < turned.sum() < 10
    np.testing.assert_allclose(a["critic"][turned], b["critic"][turned], atol=2e-3)
    observed, other = play(here, 40)[-1][0], play(there, 40)[-1][0]
    np.testing.assert_allclose(observed["critic"][turned], other["critic"][turned], atol=2e-3)
    assert np.abs(observed["critic"] - other["critic"])[~turned].max() > 0.1


def test_a_stretched_episode_is_the_episode_of_the_stretched_world():
    world, s = flats.flat("jetbot"), 1.25
    t = world.episodes
    table = dataclasses.replace(t, start=t.start * s, goal=t.goal * s, geodesic_m=t.geodesic_m * s)
    far = (world.distance_m.astype(np.float32) * s).astype(np.float16)
    big = dataclasses.replace(
        world, origin_m=world.origin_m * s, cell_m=world.cell_m * s, goals=world.goals * s, episodes=table,
        clearance_m=world.clearance_m * np.float32(s), distance_m=far, lines_m=world.lines_m * np.float32(s),
    )  # fmt: skip
    a, b = (VectorNav([w], rooms.JETBOT, EnvConfig(random=RandomConfig(scale=True)), 6) for w in (world, big))
    a.noise._sigma, b.noise._sigma = np.ones(1), np.zeros(1)
    fixed = type("Fixed", (), {"standard_normal": lambda self, n, *_: np.full(n, np.log(s))})()
    draw = np.random.default_rng(0)
    for name in ("uniform", "integers", "random"):
        setattr(fixed, name, getattr(draw, name))
    a.rng, b.rng = fixed, np.random.default_rng(0)
    rows = np.arange(6)
    a.reset(quota=rows), b.reset(quota=rows)
    np.testing.assert_allclose(a.state.scale, s, rtol=1e-6)
    one, two = play(a, 40)[-1], play(b, 40)[-1]
    np.testing.assert_allclose(a.state.pose, b.state.pose, atol=2e-3)
    np.testing.assert_allclose(one[0]["policy"], two[0]["policy"], atol=5e-3)


def test_late_actions_arrive_late():
    env = core(envs=16, random=RandomConfig(latency_steps=2))
    put(env, 0.7, 2.0, 0.0)
    first = np.full(16, -1)
    for k in range(4):
        env.step(np.tile([1.0, 0.0], (16, 1)) if k == 0 else np.zeros((16, 2)))
        first = np.where((first < 0) & (env.state.velocity[:, 0] > 0), k, first)
    np.testing.assert_array_equal(first, env.noise._late)
    assert set(first) == {0, 1, 2}


def test_noise_has_the_size_that_was_asked_for():
    def seen(**noise):
        return core(envs=400, random=RandomConfig(**noise)).observed["policy"][:, :BEAMS]

    clean, far = seen(), seen() < 0.9
    middle = far & (clean > 0.2)
    assert ((seen(lidar_noise_m=0.05) - clean)[middle] * 5).std() == pytest.approx(0.05, rel=0.05)
    assert (seen(lidar_dropout=0.1)[far] == 1).mean() == pytest.approx(0.1, abs=0.01)
    env = core(envs=400, random=RandomConfig(goal_noise_m=0.2, footprint=0.1, speed=0.2))
    assert env.noise.goal_error.std() == pytest.approx(0.2, rel=0.1)
    share = (env.state.radius + 0.3 * 0.05) / rooms.CARTER.radius_m
    assert np.abs(share - 1).max() <= 0.1 + 1e-5 and share.std() == pytest.approx(0.2 / 12**0.5, rel=0.1)
    speed = env.state.limits[:, 0] / rooms.CARTER.speed_m_s
    assert np.abs(speed - 1).max() <= 0.2 + 1e-5 and speed.std() == pytest.approx(0.4 / 12**0.5, rel=0.1)


def test_odometry_drifts_with_the_way_driven():
    env = core(envs=400, random=RandomConfig(drift_m=0.1, drift_rad=0.02))
    for _ in range(4):
        env.noise.drift(env.rng, np.full(400, 0.25, np.float32))  # a metre
    assert env.noise.goal_error.std() == pytest.approx(0.1, rel=0.1)
    assert env.noise.turn_error.std() == pytest.approx(0.02, rel=0.1)


def test_stopping_can_be_asked_for():
    passing, stopping = (core(envs=1, stop_share=share) for share in (1.0, 0.1))
    for env in (passing, stopping):
        goal = env.pool.goal[env.row[0]]
        put(env, *goal, 0.0)
        env.state.velocity[0, 0] = 0.4
    assert passing.step(np.array([[0.4, 0.0]]))[2][0]
    assert not stopping.step(np.array([[0.4, 0.0]]))[2][0]


def test_actions_that_no_robot_can_drive_are_refused():
    env = core(envs=12)
    action = np.zeros((12, 2))
    for wrong in (np.nan, np.inf):
        action[[3, 7], 1] = wrong
        before = env.state.pose.copy()
        with pytest.raises(LyraError, match="of environments 3, 7"):
            env.step(action)
        np.testing.assert_array_equal(env.state.pose, before)
    for shape in ((2, 12), (24,), (12, 3)):
        with pytest.raises(LyraError, match="shape"):
            env.step(np.zeros(shape))
    assert np.isfinite(env.step(np.zeros((12, 2)))[0]["critic"]).all()


def test_worlds_of_another_robot_are_refused():
    with pytest.raises(ConfigError, match="nova_carter"):
        VectorNav([flats.flat("jetbot")], rooms.CARTER, EnvConfig(), 2)
    with pytest.raises(ConfigError, match="depth"):
        VectorNav([flats.flat("jetbot")], rooms.JETBOT, EnvConfig(depth=True), 2)
