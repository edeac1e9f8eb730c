"""What a robot's commands and sensors suffer: late actions, drifting odometry, noisy ranges; drawn per episode."""

import numpy as np

from lyra_sim.config.envs import RandomConfig
from robot_tasks.envs.kernels import State

MOST_SIGMAS = 2.0
"""Farther than this the scale of a world is not drawn from what its reconstruction is unsure of."""


class Noise:
    """Randomisation of N robots. Everything is off at a `RandomConfig()`."""

    def __init__(self, config: RandomConfig, envs: int, actions: int, sigma: np.ndarray) -> None:
        """Args: sigma (W,): uncertainty of each world's scale."""
        self.config, self._sigma = config, sigma
        self.stretch = np.exp(MOST_SIGMAS * sigma * config.scale)
        """(W,) most that each world is stretched by; the least is 1 over it."""
        self.goal_error = np.zeros((envs, 2), np.float32)
        """Of the goal's place in the world frame, metres."""
        self.turn_error = np.zeros(envs, np.float32)
        """Of the heading."""
        self.mirror = np.ones(envs, np.float32)
        """-1 where left is right."""
        self._late = np.zeros(envs, np.int64)
        self._queue = np.zeros((config.latency_steps + 1, envs, actions), np.float32)

    def start(
        self, rng: np.random.Generator, rows: np.ndarray, state: State, limits: np.ndarray, radius: float,
        room: np.ndarray,
    ) -> None:  # fmt: skip
        """Draw for new episodes of robots `rows`; sets their scale, radius and limits.

        Args:
            limits: (5,), as `State.limits`, of the robot as it is.
            room: (M,) how much larger each robot may be against its world, at least 1: what is drawn beyond goes as
                far as it may.
        """
        c, n = self.config, len(rows)
        spread = np.clip(rng.standard_normal(n), -MOST_SIGMAS, MOST_SIGMAS) * self._sigma[state.world[rows]] * c.scale
        size = 1 + c.footprint * rng.uniform(-1, 1, n)
        scale = np.maximum(np.exp(spread), np.minimum(size / room, 1))
        state.scale[rows] = scale
        state.radius[rows] = radius * np.minimum(size, np.maximum(room * scale, 1))
        share = np.ones((n, 5))
        share[:, :3] += c.speed * rng.uniform(-1, 1, (n, 1))
        share[:, 3:] += c.accel * rng.uniform(-1, 1, (n, 1))
        state.limits[rows] = limits * share
        self._late[rows] = rng.integers(c.latency_steps + 1, size=n)
        self._queue[:, rows] = 0
        self.goal_error[rows] = rng.standard_normal((n, 2)) * c.goal_noise_m
        self.turn_error[rows] = 0
        self.mirror[rows] = np.where(rng.random(n) < 0.5 * c.mirror, -1, 1)

    def delay(self, action: np.ndarray) -> np.ndarray:
        """The actions (N, A) that arrive now, when these are sent."""
        if self.config.latency_steps == 0:
            return action
        self._queue = np.concatenate([action[None], self._queue[:-1]])
        return self._queue[self._late, np.arange(len(action))]

    def drift(self, rng: np.random.Generator, metres: np.ndarray) -> None:
        """Odometry after driving (N,) metres more."""
        c = self.config
        if c.drift_m or c.drift_rad:
            root = np.sqrt(metres)[:, None] * rng.standard_normal((len(metres), 3), np.float32)
            self.goal_error += c.drift_m * root[:, :2]
            self.turn_error += c.drift_rad * root[:, 2]

    def blur(self, rng: np.random.Generator, ranges: np.ndarray, most: float) -> None:
        """Disturb lidar ranges (M, B) in place."""
        c = self.config
        if c.lidar_noise_m:
            ranges += np.float32(c.lidar_noise_m) * rng.standard_normal(ranges.shape, np.float32)
            np.clip(ranges, 0, most, out=ranges)
        if c.lidar_dropout:
            ranges[rng.random(ranges.shape, np.float32) < c.lidar_dropout] = most
