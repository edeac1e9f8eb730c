"""Walking distances over free cells, fast enough to be asked for many times while one segment is planned."""

import numpy as np
from jaxtyping import Bool, Float64
from numba import njit

from lyra_sim.trajectory.freemap import CELL_M, FreeMap

_FAR = np.inf


def distances(free: Bool[np.ndarray, "X Y"], start: tuple[int, int]) -> Float64[np.ndarray, "X Y"]:
    """Metres from cell `start` to every cell over 8 neighbours, never through a corner; inf where unreachable. The rim
    of the map must not be free."""
    out = np.full(free.shape, _FAR)
    if free[start]:
        out[start] = 0.0
        _sweep(free, out, CELL_M)
    return out


@njit(cache=True)
def _sweep(free, out, side):
    """Relaxes all cells in four orders until none changes."""
    rows, columns = free.shape
    changed = True
    while changed:
        changed = False
        for order in range(4):
            for a in range(1, rows - 1):
                i = a if order < 2 else rows - 1 - a
                for b in range(1, columns - 1):
                    j = b if order % 2 == 0 else columns - 1 - b
                    if not free[i, j]:
                        continue
                    best = out[i, j]
                    for di in range(-1, 2):
                        for dj in range(-1, 2):
                            if (di == 0 and dj == 0) or not free[i + di, j + dj]:
                                continue
                            if di != 0 and dj != 0 and not (free[i + di, j] and free[i, j + dj]):
                                continue
                            length = side if di == 0 or dj == 0 else side * np.sqrt(2.0)
                            best = min(best, out[i + di, j + dj] + length)
                    if best < out[i, j] - 1e-9:
                        out[i, j] = best
                        changed = True


def way_back(free: Bool[np.ndarray, "X Y"], away: Float64[np.ndarray, "X Y"], goal: tuple[int, int]) -> np.ndarray:
    """Cells (N, 2) from the start of `distances` to `goal`, down the slope of the distances."""
    cells = [goal]
    while away[cells[-1]] > 0:
        i, j = cells[-1]
        around = [
            (away[a, b] + CELL_M * np.hypot(a - i, b - j), a, b)
            for a in (i - 1, i, i + 1)
            for b in (j - 1, j, j + 1)
            if (a, b) != (i, j) and free[a, b] and (a == i or b == j or (free[a, j] and free[i, b]))
        ]
        _, a, b = min(around)
        cells.append((a, b))
    return np.array(cells[::-1])


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
