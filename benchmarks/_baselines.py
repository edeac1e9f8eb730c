"""The policies that need no training, each through every episode of some worlds in the light simulation, once."""

from collections.abc import Sequence

import numpy as np

from lyra_sim.config.envs import EnvConfig
from lyra_sim.config.tasks import RobotConfig
from robot_tasks.envs import baselines
from robot_tasks.envs.evaluate import run_quota
from robot_tasks.envs.vector import VectorNav
from robot_tasks.worlds import NavWorld

LEAST_SUCCESS, LEAST_SPL = 0.99, 0.95
"""Of the oracle, in every world."""


def drive_baselines(worlds: Sequence[NavWorld], robot: RobotConfig) -> dict[str, dict[str, np.ndarray]]:
    """For oracle, greedy and random the table of `run_quota` over all episodes; `world` is the number in `worlds`."""
    env = VectorNav(worlds, robot, EnvConfig(), 256)
    policies = {
        "oracle": baselines.oracle_action,
        "greedy": baselines.greedy_action,
        "random": baselines.random_action,
    }
    return {name: run_quota(env, lambda _, act=act: act(env)) for name, act in policies.items()}
