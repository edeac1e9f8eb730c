"""Policies that need no training: the oracle that follows the geodesic, straight to the goal, random."""

import numpy as np
from jaxtyping import Float32

from robot_tasks.envs.vector import VectorNav

_SLOWS_RAD = 0.5
"""Heading error at which the oracle and the greedy robot stop driving and only turn."""


def oracle_action(env: VectorNav) -> Float32[np.ndarray, "N A"]:
    """Down the geodesic: what a policy that knew the map could do. Tells what the simulation itself makes fail."""
    return _toward(env, env.observed["critic"][:, -2:])


def greedy_action(env: VectorNav) -> Float32[np.ndarray, "N A"]:
    """Straight to where the goal is observed."""
    beams = env.robot.lidar.beams
    return _toward(env, env.observed["policy"][:, beams + 1 : beams + 3])


def random_action(env: VectorNav) -> Float32[np.ndarray, "N A"]:
    """Uniform in -1..1."""
    return env.rng.uniform(-1, 1, (env.num_envs, env.action_size)).astype(np.float32)


def _toward(env: VectorNav, way: np.ndarray) -> Float32[np.ndarray, "N A"]:
    off = np.arctan2(way[:, 1], way[:, 0])
    action = np.zeros((env.num_envs, env.action_size), np.float32)
    patience = 1 + 2 * env.config.random.latency_steps  # else late actions make it swing about its course
    action[:, -1] = np.clip(off / (env.state.limits[:, 2] * env.step_s * patience), -1, 1)
    action[:, 0] = np.clip(1 - np.abs(off) / _SLOWS_RAD, 0, 1)
    return action
