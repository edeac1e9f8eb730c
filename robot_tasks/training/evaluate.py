"""Drives a fixed quota of episodes in each of many worlds: the same ones for every policy that is compared.

A running mean of training flatters: quick successes end sooner and count more often. Here every episode counts once.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from rsl_rl.models import MLPModel
from tensordict import TensorDict

from lyra_sim.config.envs import EnvConfig
from lyra_sim.config.tasks import RobotConfig
from lyra_sim.core.errors import InputError
from robot_tasks.envs.baselines import greedy_action, oracle_action, random_action
from robot_tasks.envs.evaluate import run_quota
from robot_tasks.envs.vector import Observations, VectorNav
from robot_tasks.training.pictures import Track
from robot_tasks.training.scores import MEASURES, Scores
from robot_tasks.worlds import NavWorld

_ENVS = 1024
BASELINES = ("random", "greedy", "oracle")


class Driver(Protocol):
    """Anything that drives."""

    def act(self, env: VectorNav, obs: Observations, fresh: np.ndarray) -> np.ndarray:
        """Actions (N, A) of all robots; those of `fresh` (N,) are at the start of an episode."""
        ...


class Baseline:
    """A policy that needs no training, by name."""

    def __init__(self, name: str) -> None:
        self._action = {"random": random_action, "greedy": greedy_action, "oracle": oracle_action}[name]

    def act(self, env: VectorNav, obs: Observations, fresh: np.ndarray) -> np.ndarray:
        """See `Driver`."""
        return self._action(env)


class Learned:
    """A trained network, without the noise of exploration."""

    def __init__(self, actor: MLPModel) -> None:
        torch.set_num_threads(1)
        self._actor = actor.eval()
        self._actor.reset()

    def act(self, env: VectorNav, obs: Observations, fresh: np.ndarray) -> np.ndarray:
        """See `Driver`."""
        seen = TensorDict({"policy": torch.from_numpy(obs["policy"])}, batch_size=[env.num_envs])
        with torch.inference_mode():
            self._actor.reset(torch.from_numpy(fresh))
            return self._actor(seen).numpy()


def quota(worlds: Sequence[NavWorld], each: int) -> list[np.ndarray]:
    """Of each world `each` numbers of episodes, or of each as many as the smallest world has, if these are fewer: none
    is taken twice, and every world counts alike. They are spread evenly over the geodesic distances.

    Raises:
        InputError: a world has no episodes.
    """
    chosen = []
    smallest = min(worlds, key=lambda world: len(world.episodes))
    each = min(each, len(smallest.episodes))
    if each == 0:
        raise InputError(smallest.name, expected="episodes", got="none", todo="Leave this world out.")
    for world in worlds:
        count = len(world.episodes)
        order = np.argsort(world.episodes.geodesic_m, kind="stable")
        chosen.append(order[(np.arange(each) * count) // each])
    return chosen


def evaluate(
    worlds: Sequence[NavWorld],
    robot: RobotConfig,
    config: EnvConfig,
    driver: Driver,
    each: int,
    *,
    seed: int = 0,
) -> tuple[Scores, list[list[Track]]]:
    """Scores of a driver over `each` episodes per world (fewer as `quota` says), and its tracks by world in the same
    order.

    The worlds are frozen: nothing of `config.random` is drawn and no curriculum holds.
    """
    frozen = EnvConfig.model_validate({**config.model_dump(), "random": {}, "curriculum": {}})
    chosen = quota(worlds, each)
    each = len(chosen[0])
    env = VectorNav(worlds, robot, frozen, min(len(worlds) * each, _ENVS), seed=seed)
    rows = np.concatenate([env.pool.first[k] + numbers for k, numbers in enumerate(chosen)])
    ways = _Ways(env, driver)
    found = run_quota(env, ways, rows, seed=seed)
    shape = (len(worlds), each)
    scores = Scores(
        worlds=tuple(world.name for world in worlds),
        **{name: np.asarray(found[name], np.float64).reshape(shape) for name in (*MEASURES, "seconds", "geodesic_m")},
    )
    tracks = [ways.track(int(row), bool(good)) for row, good in zip(rows, found["success"], strict=True)]
    return scores, [tracks[k * each : (k + 1) * each] for k in range(len(worlds))]


class _Ways:
    """Asks the driver, tells it which robots start anew, and keeps where each drove."""

    def __init__(self, env: VectorNav, driver: Driver) -> None:
        self.env, self.driver = env, driver
        self._now: list[list[np.ndarray]] = [[] for _ in range(env.num_envs)]
        self._of_row: dict[int, list[np.ndarray]] = {}

    def __call__(self, obs: Observations) -> np.ndarray:
        env = self.env
        fresh = env.state.age == 0
        for n in np.flatnonzero(env.row >= 0):
            if fresh[n]:
                self._now[n] = self._of_row[int(env.row[n])] = []
            self._now[n].append(env.state.pose[n, :2].copy())
        return self.driver.act(env, obs, fresh)

    def track(self, row: int, success: bool) -> Track:
        goal = self.env.pool.goal[row].astype(np.float32)
        return Track(xy_m=np.array(self._of_row[row], np.float32), goal_m=goal, success=success)
