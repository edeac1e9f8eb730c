"""The light simulation is what gymnasium, stable-baselines3 and rsl_rl take it for."""

import warnings

import numpy as np
import pytest

from lyra_sim.config.envs import EnvConfig
from lyra_sim.core.errors import ConfigError
from robot_tasks.envs import baselines
from tests.robot_tasks import flats, rooms

gymnasium = pytest.importorskip("gymnasium")
nav = pytest.importorskip("robot_tasks.envs.gym")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    flats.write_output(folder)
    return folder


@pytest.mark.parametrize("checker", ["gymnasium.utils.env_checker", "stable_baselines3.common.env_checker"])
def test_environment_checkers_have_nothing_to_say(out, checker):
    check = pytest.importorskip(checker).check_env
    env = gymnasium.make(nav.ID, out=out, robot="jetbot").unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(env)


def test_pictures_pass_the_checker_too(out):
    env = gymnasium.make(nav.ID, out=out, robot="jetbot", config=EnvConfig(depth=True)).unwrapped
    nav_checker = pytest.importorskip("gymnasium.utils.env_checker")
    nav_checker.check_env(env)
    picture = env.reset(seed=0)[0]["depth"]
    assert picture.shape == (1, 48, 64) and 0 < picture.min() < picture.max() <= 1


def test_one_robot_ends_with_its_last_observation(out):
    env = gymnasium.make(nav.ID, out=out, robot="nova_carter")
    core = env.unwrapped.core
    env.reset(seed=1, options={"episode": 4})
    done, info, observed = False, {}, {}
    while not done:
        observed, _, terminated, truncated, info = env.step(baselines.oracle_action(core)[0])
        done = terminated or truncated
    assert info["success"] is True and info["episode"] == 4
    assert np.expm1(observed["critic"][-3]) < core.config.success_m


def test_episodes_that_are_not_there_are_refused(out):
    env = gymnasium.make(nav.ID, out=out, robot="nova_carter")
    last = len(env.unwrapped.core.pool.world) - 1
    for wrong in (-1, last + 1, 10**6, 1.5):
        with pytest.raises(ConfigError, match=f"from 0 to {last}, got {wrong}"):
            env.reset(options={"episode": wrong})
    env.reset(options={"episode": last})
    assert env.unwrapped.core.row == [last]


def test_many_robots_say_what_ended(out):
    env = gymnasium.make_vec(nav.ID, num_envs=8, vectorization_mode="vector_entry_point", out=out, robot="nova_carter")
    assert env.metadata["autoreset_mode"] == gymnasium.vector.AutoresetMode.SAME_STEP
    observed, _ = env.reset(seed=1)
    counted = 0
    for _ in range(150):
        observed, reward, terminated, truncated, infos = env.step(baselines.oracle_action(env.unwrapped.core))
        assert env.observation_space.contains(observed)
        ended = terminated | truncated
        assert reward.shape == (8,)
        if ended.any():
            np.testing.assert_array_equal(infos["_final_obs"], ended)
            np.testing.assert_array_equal(infos["final_info"]["_spl"], ended)
            for n in np.flatnonzero(ended):
                assert env.single_observation_space.contains(infos["final_obs"][n])
                assert np.expm1(infos["final_obs"][n]["critic"][-3]) < 0.2
                counted += 1
        else:
            assert infos == {}
    assert counted > 20


def test_statistics_wrappers_understand_it(out):
    env = gymnasium.make_vec(nav.ID, num_envs=4, vectorization_mode="vector_entry_point", out=out, robot="nova_carter")
    env = gymnasium.wrappers.vector.RecordEpisodeStatistics(env)
    env.reset(seed=0)
    for _ in range(100):
        env.step(baselines.oracle_action(env.unwrapped.core))
    assert len(env.return_queue) > 4 and np.mean(env.return_queue) > 4


def test_either_a_folder_or_worlds(out):
    with pytest.raises(ConfigError):
        nav.make_core(robot="jetbot")
    with pytest.raises(ConfigError):
        nav.make_core(out=out, worlds=[flats.flat("jetbot")], robot="jetbot")


@pytest.mark.parametrize("kind", [nav.NavEnv, nav.NavVectorEnv])
def test_only_equal_seeds_give_equal_environments(kind):
    def starts(at_reset=None, **settings):
        env = kind(worlds=[flats.flat("jetbot")], robot="jetbot", **settings)
        drawn = [env.reset(seed=at_reset)[0]["policy"]]
        return np.concatenate([drawn[0], *(env.reset()[0]["policy"] for _ in range(4))])

    assert (starts() != starts()).any()
    np.testing.assert_array_equal(starts(seed=3), starts(seed=3))
    np.testing.assert_array_equal(starts(at_reset=3), starts(at_reset=3))
    assert (starts(seed=3) != starts(seed=4)).any()


def test_rsl_rl_learns_from_it():
    torch = pytest.importorskip("torch")
    rsl = pytest.importorskip("robot_tasks.envs.rsl")
    runners = pytest.importorskip("rsl_rl.runners")
    torch.set_num_threads(1)
    env = rsl.RslNav(flats.core(rooms.CARTER, envs=16))
    net = {"class_name": "MLPModel", "hidden_dims": [16], "activation": "elu", "obs_normalization": False}
    noise = {"class_name": "GaussianDistribution", "init_std": 1.0, "std_type": "scalar"}
    learner = {
        "class_name": "PPO", "num_learning_epochs": 1, "num_mini_batches": 2, "learning_rate": 1e-3,
        "schedule": "fixed", "gamma": 0.99, "lam": 0.95, "entropy_coef": 0.0, "desired_kl": 0.01, "max_grad_norm": 1.0,
        "value_loss_coef": 1.0, "use_clipped_value_loss": True, "clip_param": 0.2, "rnd_cfg": None,
        "symmetry_cfg": None,
    }  # fmt: skip
    config = {
        "seed": 0, "num_steps_per_env": 8, "save_interval": 100, "multi_gpu": None, "logger": "none",
        "obs_groups": {"actor": ["policy"], "critic": ["critic"]}, "algorithm": learner,
        "actor": {**net, "distribution_cfg": noise}, "critic": net,
    }  # fmt: skip
    runner = runners.OnPolicyRunner(env, config, log_dir=None, device="cpu")
    before = [p.clone() for p in runner.alg.actor.parameters()]
    runner.learn(2, init_at_random_ep_len=True)
    assert any((a != b).any() for a, b in zip(before, runner.alg.actor.parameters(), strict=True))


def test_rsl_rl_is_told_which_ends_are_of_time():
    torch = pytest.importorskip("torch")
    rsl = pytest.importorskip("robot_tasks.envs.rsl")
    core = flats.core(rooms.CARTER, envs=16)
    env = rsl.RslNav(core)
    assert env.get_observations().batch_size == torch.Size([16])
    assert set(env.get_observations().keys()) == {"policy", "critic"}
    env.episode_length_buf = torch.full((16,), 10**6)
    np.testing.assert_array_equal(core.state.age, core.state.last_age - 1)
    _, _, dones, extras = env.step(torch.zeros(16, 2))
    assert dones.all() and extras["time_outs"].all() and extras["log"]["success"] == 0
    done, late = 0, 0
    for _ in range(100):
        _, _, dones, extras = env.step(torch.from_numpy(baselines.oracle_action(core)))
        done, late = done + int(dones.sum()), late + int(extras["time_outs"].sum())
    assert done > 20 and late == 0
