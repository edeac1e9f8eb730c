"""How much larger than it is a robot may be in each episode: in a world that is stretched to less, or with a footprint
drawn larger, it must neither start in a wall nor be shut in."""

import numpy as np
from jaxtyping import Float32
from numba import njit

from robot_tasks.geodesic import sample
from robot_tasks.worlds import NavWorld

_FINER = 0.03
"""Steps of the sizes that are tried at the start."""


def largest_bodies(
    world: NavWorld, radius_m: float, offsets: np.ndarray, *, slack_m: float, most: float, reach_m: float
) -> Float32[np.ndarray, "E"]:
    """For each episode the factor, 1 to `most`, by which the robot may grow: at its start no disc touches a wall, and
    its centre gets to the goal on a way that never grows longer. At 1 all may drive: the world's episodes were.

    Args:
        offsets: centres (D,) of the body discs along the robot's axis, in radii.
        slack_m: what its bodies are smaller by than their radius.
        reach_m: nearer than this the goal is reached.
    """
    table = world.episodes
    if most <= 1:
        return np.ones(len(table), np.float32)
    largest, fits = np.ones(len(table)), np.ones(len(table), bool)
    ahead = np.column_stack([np.cos(table.yaw), np.sin(table.yaw)])
    for factor in np.geomspace(1, most, int(np.ceil(np.log(most) / _FINER)) + 1)[1:]:
        body = factor * radius_m
        for offset in offsets:
            at = table.start + offset * body * ahead
            fits &= sample(world.clearance_m, world.origin_m, world.cell_m, at) >= body - slack_m
        largest[fits] = factor
    i, j = np.floor((table.start - world.origin_m) / world.cell_m).astype(int).T
    for g in np.unique(table.goal_index):
        here = table.goal_index == g
        wide = widest(world.distance_m[g].astype(np.float32), world.clearance_m, reach_m - world.cell_m)
        largest[here] = np.minimum(largest[here], (wide[i[here], j[here]] + slack_m) / radius_m)
    return np.maximum(largest, 1).astype(np.float32)


def widest(
    distance_m: Float32[np.ndarray, "X Y"], clearance_m: Float32[np.ndarray, "X Y"], reach_m: float
) -> Float32[np.ndarray, "X Y"]:
    """Radius of the largest disc that gets from each cell to less than `reach_m` from the goal, from cell to nearer
    cell; 0 where none does."""
    order = np.argsort(distance_m, axis=None, kind="stable")
    return _widest(order[: np.isfinite(distance_m).sum()], distance_m, clearance_m, np.float32(reach_m))


@njit(cache=True)
def _widest(order, far, clearance, reach):
    nx, ny = far.shape
    wide = np.zeros((nx, ny), np.float32)
    for cell in order:
        i, j = cell // ny, cell % ny
        best = np.float32(np.inf if far[i, j] < reach else 0)
        for a in range(max(i - 1, 0), min(i + 2, nx)):
            for b in range(max(j - 1, 0), min(j + 2, ny)):
                if far[a, b] < far[i, j]:
                    best = max(best, wide[a, b])
        wide[i, j] = min(clearance[i, j], best)
    return wide
