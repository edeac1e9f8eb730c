"""Drives recorded in the light simulation, for holding the Isaac Lab package against it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lyra_sim.config.envs import EnvConfig
from lyra_sim.config.tasks import RobotConfig
from robot_tasks.envs import kernels
from robot_tasks.envs.vector import VectorNav
from robot_tasks.worlds import NavWorld


class _Watched:
    """The kernels, and what they left before ended episodes were replaced."""

    def __init__(self) -> None:
        self.look = kernels.look

    def move(self, atlas: Any, state: Any, *rest: Any) -> None:
        before = state.contacts.copy()
        kernels.move(atlas, state, *rest)
        self.pose, self.velocity = state.pose.copy(), state.velocity.copy()
        self.hit = state.contacts > before


def record_drives(
    worlds: Sequence[NavWorld], robot: RobotConfig, config: EnvConfig, envs: int, steps: int, seed: int = 0
) -> dict[str, np.ndarray]:
    """What robots did that follow the falling distance with a heavy hand; every fifth only turns.

    Returns:
        Over T steps of N robots: `action` (T, N, A) as sent; `pose` and `velocity` (T, N, 3), `hit`, `reward`,
        `terminated`, `truncated` (T, N) after the step; `policy`, `critic` (T + 1, N, _) observations before each step
        and after the last; `world`, `episode` (T + 1, N) of the same moments, `level` (T + 1,) of the curriculum.
    """
    rng, watched = np.random.default_rng(seed), _Watched()
    env = VectorNav(worlds, robot, config, envs, seed=seed, engine=watched)
    rows: dict[str, list[np.ndarray]] = {}

    def note(**values: Any) -> None:
        for name, value in values.items():
            rows.setdefault(name, []).append(np.array(value))

    def note_start(observed: Any) -> None:
        world = env.pool.world[env.row]
        note(**observed, world=world, episode=env.row - env.pool.first[world], level=env.pool.level)

    note_start(env.reset())
    for _ in range(steps):
        off = np.arctan2(env.observed["critic"][:, -1], env.observed["critic"][:, -2])
        forward = np.where(np.abs(off) < 0.7, 1.0, -0.5) + rng.normal(0, 0.4, envs)
        forward[4::5] = -1
        action = np.column_stack([forward, 1.5 * off + rng.normal(0, 0.6, envs)]).astype(np.float32)
        observed, reward, terminated, truncated, _ = env.step(action)
        note(
            action=action, pose=watched.pose, velocity=watched.velocity, hit=watched.hit, reward=reward,
            terminated=terminated, truncated=truncated,
        )  # fmt: skip
        note_start(observed)
    return {name: np.stack(values) for name, values in rows.items()}
