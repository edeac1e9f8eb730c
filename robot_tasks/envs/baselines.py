"""Policies that need no training: the oracle that follows the geodesic, straight to the goal, random."""

import numpy as np
from jaxtyping import Float32, Float64

from robot_tasks.envs.atlas import DISTANCE_UNIT_M
from robot_tasks.envs.vector import VectorNav

_SLOWS_RAD = 0.5
"""Heading error at which the oracle and the greedy robot stop driving and only turn."""
_AHEAD_M = 0.1
"""Spacing of the places on the way ahead where the oracle looks for bends."""


def oracle_action(env: VectorNav) -> Float32[np.ndarray, "N A"]:
    """Down the geodesic, braking before bends: what a policy that knew the map could do. Tells what the simulation
    itself makes fail."""
    action = _toward(env, env.observed["critic"][:, -2:])
    action[:, 0] = np.minimum(action[:, 0], _bend_speed(env) / env.state.limits[:, 0])
    return action


def greedy_action(env: VectorNav) -> Float32[np.ndarray, "N A"]:
    """Straight to where the goal is observed."""
    beams = env.robot.lidar.beams
    return _toward(env, env.observed["policy"][:, beams + 1 : beams + 3])


def random_action(env: VectorNav) -> Float32[np.ndarray, "N A"]:
    """Uniform in -1..1."""
    return env.rng.uniform(-1, 1, (env.num_envs, env.action_size)).astype(np.float32)


def _bend_speed(env: VectorNav) -> Float64[np.ndarray, "N"]:
    """Speed from which each robot can still brake for every bend of its way that lies within braking distance: there a
    robot that turns at its top rate goes no faster than the bend is wide. Without it a fast one overshoots (Spot: 1.3 m
    to stop from 1.6 m/s, 6 % of all ways)."""
    state = env.state
    top, turn, gain = (state.limits[:, k].astype(np.float64) for k in (0, 2, 3))
    late = state.velocity[:, 0] * env.step_s * (1 + env.config.random.latency_steps)
    at, speed = state.pose[:, :2].astype(np.float64), top.copy()
    heading, _ = _way_at(env, at)
    for k in range(1, int(np.ceil((top**2 / (2 * gain)).max() / _AHEAD_M)) + 3):
        at = at + _AHEAD_M * np.column_stack([np.cos(heading), np.sin(heading)])
        ahead, left = _way_at(env, at)
        bend = np.abs((ahead - heading + np.pi) % (2 * np.pi) - np.pi)
        there = np.where(left > env.config.success_m, turn * _AHEAD_M / np.maximum(bend, 1e-6), np.inf)
        room = np.maximum((k - 0.5) * _AHEAD_M - late, 0)
        speed = np.minimum(speed, np.sqrt(np.minimum(there, top) ** 2 + 2 * gain * room))
        heading = ahead
    return speed


def _way_at(
    env: VectorNav, at: Float64[np.ndarray, "N 2"]
) -> tuple[Float64[np.ndarray, "N"], Float64[np.ndarray, "N"]]:
    """Heading (world frame, radians) in which each robot's way to its goal shortens at a place, and what is left of
    it there, metres."""
    state, table = env.state, env.atlas.distance
    scale = state.scale.astype(np.float64)[:, None]
    cells = (at - env.atlas.origin[state.world] * scale) / (env.atlas.cell[state.world][:, None] * scale) - 0.5

    def left(du: float, dv: float) -> np.ndarray:
        inside = np.clip(cells + np.array([du, dv]), 0, np.array(table.shape[2:]) - 1.001)
        (i, j), (a, b) = inside.astype(int).T, (inside % 1).T
        corner = [table[state.world, state.goal, i + p, j + q].astype(np.float64) for p in (0, 1) for q in (0, 1)]
        low, high = corner[0] + b * (corner[1] - corner[0]), corner[2] + b * (corner[3] - corner[2])
        return low + a * (high - low)

    heading = np.arctan2(left(0, -1) - left(0, 1), left(-1, 0) - left(1, 0))
    return heading, left(0, 0) * DISTANCE_UNIT_M * scale[:, 0]


def _toward(env: VectorNav, way: np.ndarray) -> Float32[np.ndarray, "N A"]:
    off = np.arctan2(way[:, 1], way[:, 0])
    action = np.zeros((env.num_envs, env.action_size), np.float32)
    patience = 1 + 2 * env.config.random.latency_steps  # else late actions make it swing about its course
    action[:, -1] = np.clip(off / (env.state.limits[:, 2] * env.step_s * patience), -1, 1)
    action[:, 0] = np.clip(1 - np.abs(off) / _SLOWS_RAD, 0, 1)
    return action
