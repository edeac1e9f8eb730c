"""Ways over a free map: shortest routes, straightened, and which reachable place would show most."""

import heapq

import numpy as np
from jaxtyping import Float64
from scipy import ndimage

from lyra_sim.trajectory.freemap import CELL_M, FreeMap

_STEPS = [(di, dj, float(np.hypot(di, dj)) * CELL_M) for di in (-1, 0, 1) for dj in (-1, 0, 1) if di or dj]
_LOOK_M = 1.5
"""Frontier within this distance of a place counts for it."""
_LEAST_FRONTIER = 10
"""Cells of frontier that make a place worth going to."""


def walk_costs(free_map: FreeMap, start: tuple[int, int]) -> tuple[Float64[np.ndarray, "X Y"], np.ndarray]:
    """Walking distance from cell `start` to every cell, metres (inf where unreachable), and the flat index of the cell
    each is reached from. Dijkstra 1959 on 8 neighbours; ties go to the lower cell index."""
    free, width = free_map.free, free_map.free.shape[1]
    cost = np.full(free.shape, np.inf)
    parent = np.full(free.shape, -1, np.int64)
    if not free[start]:
        return cost, parent
    cost[start] = 0.0
    heap: list[tuple[float, int]] = [(0.0, start[0] * width + start[1])]
    while heap:
        so_far, index = heapq.heappop(heap)
        i, j = divmod(index, width)
        if so_far > cost[i, j]:
            continue
        for di, dj, length in _STEPS:
            a, b = i + di, j + dj  # the rim of a map is never free, so this stays inside
            if free[a, b] and so_far + length < cost[a, b] - 1e-12:
                if di and dj and not (free[i, b] and free[a, j]):
                    continue
                cost[a, b] = so_far + length
                parent[a, b] = index
                heapq.heappush(heap, (float(cost[a, b]), a * width + b))
    return cost, parent


def route(free_map: FreeMap, parent: np.ndarray, goal: tuple[int, int]) -> Float64[np.ndarray, "N 2"]:
    """Points from the start of `walk_costs` to `goal`, straightened where a straight walk stays in free cells."""
    cells = [goal]
    while parent[cells[-1]] >= 0:
        i, j = divmod(int(parent[cells[-1]]), free_map.free.shape[1])
        cells.append((i, j))
    return straightened(free_map, free_map.centre(np.array(cells[::-1])))


def straightened(free_map: FreeMap, points: Float64[np.ndarray, "N D"]) -> Float64[np.ndarray, "K D"]:
    """Fewer points of a way (x, y first), where the straight walk between them stays in free cells."""
    kept, at = [0], 0
    while at < len(points) - 1:
        ahead = len(points) - 1
        while ahead > at + 1 and not free_map.line_is_free(points[at], points[ahead]):
            ahead -= 1 + (ahead - at) // 16
        at = max(ahead, at + 1)
        kept.append(at)
    return points[kept]


def frontier_near(free_map: FreeMap) -> Float64[np.ndarray, "X Y"]:
    """For each cell how many frontier cells lie around it."""
    side = np.ones(2 * int(_LOOK_M / CELL_M) + 1)
    rows = ndimage.correlate1d(free_map.frontier.astype(np.float64), side, axis=0, mode="constant")
    return ndimage.correlate1d(rows, side, axis=1, mode="constant")


def best_goal(
    free_map: FreeMap, gain: np.ndarray, cost: np.ndarray, home_cost: np.ndarray, budget_m: float, been: np.ndarray
) -> tuple[int, int] | None:
    """The free cell near which most seen floor goes on unseen, among those that can be reached and returned from.

    Args:
        gain: from `frontier_near`.
        cost, home_cost: walking distance from here and to home, metres.
        budget_m: both together must stay below it.
        been: (N, 2) places already visited; goals keep 0.8 m from them.

    Returns:
        None where nothing worth going to is in reach.
    """
    reachable = np.isfinite(cost) & np.isfinite(home_cost) & (cost + home_cost <= budget_m) & (cost >= 0.3)
    cells = np.argwhere(reachable)
    if not len(cells):
        return None
    near = np.zeros(len(cells), np.bool_)
    centres = free_map.centre(cells)
    for place in been:
        near |= np.linalg.norm(centres - place, axis=1) < 0.8
    score = gain[reachable] / 40.0 - 0.1 * cost[reachable]
    score = np.where(near | (gain[reachable] < _LEAST_FRONTIER), -np.inf, score)
    best = int(np.argmax(score))
    return None if score[best] == -np.inf else (int(cells[best, 0]), int(cells[best, 1]))


def unseen_bearing(free_map: FreeMap, point: np.ndarray, heading: float) -> float:
    """Angle from `heading` to the middle of the frontier ahead within 2.5 m, radians (0 where there is none)."""
    reach = int(2.5 / CELL_M)
    i, j = free_map.cell(point)
    window = free_map.frontier[max(i - reach, 0) : i + reach + 1, max(j - reach, 0) : j + reach + 1]
    cells = np.argwhere(window) + np.maximum([i - reach, j - reach], 0)
    if not len(cells):
        return 0.0
    away = free_map.centre(cells) - point[:2]
    angle = np.angle(np.exp(1j * (np.arctan2(away[:, 1], away[:, 0]) - heading)))
    front = np.abs(angle) < np.pi / 2
    if not front.any():
        return 0.0
    return float(angle[front].mean())
