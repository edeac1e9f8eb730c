"""More episodes to train on than a world comes with: starts on its main island, drawn from its distance fields.

Nobody drove these before: they are for training only, policies are judged by the verified ones.
"""

import dataclasses

import numpy as np

from lyra_sim.config.tasks import RobotConfig
from robot_tasks.footprint import circumscribed_m
from robot_tasks.worlds import EpisodeTable, NavWorld

_TRIED = 64
"""Cells looked at for one start, of which the one nearest to the wanted distance is taken."""


def with_starts(
    world: NavWorld, robot: RobotConfig, count: int, geodesic_m: tuple[float, float], seed: int
) -> NavWorld:
    """The world with up to `count` more episodes: goals in turn, distances even over `geodesic_m` as far as the world
    reaches, any heading, room to turn on the spot."""
    rng = np.random.default_rng([seed, 9])
    cells = np.argwhere((world.island == 1) & (world.clearance_m >= circumscribed_m(robot) + world.cell_m))
    low, far = geodesic_m[0], world.distance_m[np.isfinite(world.distance_m)]
    high = min(geodesic_m[1], float(far.max(initial=0.0)))
    found: list[tuple[int, int, float]] = []
    for k in range(count if len(cells) and high > low else 0):
        g = k % len(world.goals)
        tried = rng.integers(len(cells), size=_TRIED)
        away = world.distance_m[g][cells[tried, 0], cells[tried, 1]].astype(np.float64)
        best = int(np.argmin(np.abs(away - rng.uniform(low, high))))
        if low <= away[best] <= high:
            found.append((int(tried[best]), g, float(away[best])))
    if not found:
        return world
    start = world.origin_m + (cells[[at for at, _, _ in found]] + 0.5) * world.cell_m
    index = np.array([g for _, g, _ in found], np.int32)
    length, goal = np.array([m for _, _, m in found]), world.goals[index]
    drawn = EpisodeTable(
        start=start, yaw=rng.uniform(-np.pi, np.pi, len(found)), goal=goal, goal_index=index, geodesic_m=length,
        ratio=length / np.maximum(np.hypot(*(goal - start).T), 1e-9), floor_m=np.zeros((len(found), 2)),
    )  # fmt: skip
    names = [field.name for field in dataclasses.fields(EpisodeTable)]
    both = {name: np.concatenate([getattr(world.episodes, name), getattr(drawn, name)]) for name in names}
    return dataclasses.replace(world, episodes=EpisodeTable(**both))
