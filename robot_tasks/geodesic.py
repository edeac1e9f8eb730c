"""Shortest distances through free space: fast marching from a goal.

Second-order upwind fast marching (Sethian 1999) whose queue is a ring of buckets a twentieth of a cell wide, in which
order does not count (Yatziv et al. 2006): twice as fast as with a heap, and within half a millimetre of it over 50 m.
Distances within the goal's free disc are exact, which takes away most of the error a point source makes.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numba import njit
from scipy import ndimage

_BUCKETS = 64
_PER_CELL = 20
"""Buckets a cell; keys in the queue differ by less than two cells."""


@njit(cache=True)
def _upwind(known, at, step):
    """Upwind pair along one axis: weight and value of the quadratic's term, weight 0 where nothing is known."""
    a, b = known[at - step], known[at + step]
    best, far = (a, known[at - 2 * step]) if a <= b else (b, known[at + 2 * step])
    if best == np.inf:
        return 0.0, 0.0
    if far <= best:
        return 2.25, (4.0 * best - far) / 3.0
    return 1.0, best


@njit(cache=True)
def _solve(known, at, row, cell):
    """Arrival time at a cell from its known neighbours."""
    wx, tx = _upwind(known, at, row)
    wy, ty = _upwind(known, at, 1)
    if wx > 0 and wy > 0:
        a = wx + wy
        b = wx * tx + wy * ty
        c = wx * tx * tx + wy * ty * ty - cell * cell
        disc = b * b - a * c
        if disc >= 0:
            found = (b + np.sqrt(disc)) / a
            if found >= max(tx, ty):
                return found
    best = np.inf
    if wx > 0:
        best = tx + cell / np.sqrt(wx)
    if wy > 0:
        best = min(best, ty + cell / np.sqrt(wy))
    return best


@njit(cache=True)
def _march(free, goals, exact_cells, cell):
    """Cells lie in one row after another with a border of two, so that no neighbour has to be asked whether it is
    there."""
    nx, ny = free.shape
    row = ny + 4
    value, known = np.full((nx + 4) * row, np.float32(np.inf)), np.full((nx + 4) * row, np.float32(np.inf))
    open_ = np.zeros((nx + 4, row), np.bool_)
    open_[2:-2, 2:-2] = free
    open_ = open_.ravel()
    cells, after = np.empty(4 * nx * ny + 8, np.int32), np.empty(4 * nx * ny + 8, np.int32)
    head, made, waiting, scale = np.full(_BUCKETS, -1), 0, 0, _PER_CELL / cell
    now, reach = int(exact_cells * _PER_CELL), int(exact_cells)
    for gi, gj in goals:
        for i in range(max(gi - reach, 0), min(gi + reach, nx - 1) + 1):
            for j in range(max(gj - reach, 0), min(gj + reach, ny - 1) + 1):
                d, at = np.hypot(i - gi, j - gj), (i + 2) * row + j + 2
                if d <= exact_cells and open_[at]:
                    value[at], open_[at] = d * cell, False
                    if d < exact_cells - 2:
                        known[at] = value[at]
                        continue
                    bucket = max(int(value[at] * scale), now - 2 * _PER_CELL) % _BUCKETS
                    cells[made], after[made], head[bucket] = at, head[bucket], made
                    made, waiting = made + 1, waiting + 1
    now = max(now - 2 * _PER_CELL, 0)
    while waiting > 0:
        k = head[now % _BUCKETS]
        if k < 0:
            now += 1
            continue
        head[now % _BUCKETS], at, waiting = after[k], cells[k], waiting - 1
        if known[at] < np.inf:
            continue
        known[at], open_[at] = value[at], False
        for step in (row, -row, 1, -1):
            if open_[at + step]:
                t = _solve(known, at + step, row, cell)
                if t < value[at + step]:
                    value[at + step] = t
                    bucket = max(int(t * scale), now) % _BUCKETS
                    cells[made], after[made], head[bucket] = at + step, head[bucket], made
                    made, waiting = made + 1, waiting + 1
    return known.reshape(nx + 4, row)[2:-2, 2:-2].copy()


def goal_field(free: Bool[np.ndarray, "X Y"], goal: tuple[int, int], cell_m: float) -> Float64[np.ndarray, "X Y"]:
    """Geodesic distance of every free cell's centre to the centre of cell `goal`, metres; inf where unreachable.

    Paths run over free cells only. Accuracy: second order, within 1 % of scikit-fmm order 2 and of the truth away from
    the goal (the tests measure it).
    """
    if not free[goal]:
        return np.full(free.shape, np.inf)
    reach = 64
    i0, j0 = max(goal[0] - reach, 0), max(goal[1] - reach, 0)
    window = np.pad(free[i0 : goal[0] + reach + 1, j0 : goal[1] + reach + 1], 1)
    inside = ndimage.distance_transform_edt(window)
    assert isinstance(inside, np.ndarray)
    exact = max(float(inside[goal[0] - i0 + 1, goal[1] - j0 + 1]) - 1.0, 0.0)
    return _march(np.ascontiguousarray(free), np.array([goal], np.int64), exact, cell_m)


def nearest_field(
    free: Bool[np.ndarray, "X Y"], goals: Int64[np.ndarray, "G 2"], cell_m: float
) -> Float64[np.ndarray, "X Y"]:
    """The same to the nearest of many goal cells, all different; goals that are not free do not count. Less exact near
    them (a cell too long at worst), because no discs around them are."""
    return _march(np.ascontiguousarray(free), np.ascontiguousarray(goals), 0.0, cell_m)


@njit(cache=True)
def sample_at(grid, ox, oy, cell, x, y):
    """Bilinear value of a grid given at cell centres; clamped at the border."""
    u, v = (x - ox) / cell - 0.5, (y - oy) / cell - 0.5
    nx, ny = grid.shape
    u, v = min(max(u, 0.0), nx - 1.0), min(max(v, 0.0), ny - 1.0)
    i, j = min(int(u), nx - 2), min(int(v), ny - 2)
    a, b = u - i, v - j
    return (
        (1 - a) * (1 - b) * grid[i, j]
        + a * (1 - b) * grid[i + 1, j]
        + (1 - a) * b * grid[i, j + 1]
        + a * b * grid[i + 1, j + 1]
    )


@njit(cache=True)
def _sample(grid, ox, oy, cell, points, out):
    for k in range(len(points)):
        out[k] = sample_at(grid, ox, oy, cell, points[k, 0], points[k, 1])


def sample(
    grid: np.ndarray, origin_m: Float64[np.ndarray, "2"], cell_m: float, points: Float64[np.ndarray, "N 2"]
) -> Float64[np.ndarray, "N"]:
    """Bilinear values of `grid` (given at cell centres, at least 2x2) at world points, clamped at the border."""
    out = np.empty(len(points))
    _sample(grid, origin_m[0], origin_m[1], cell_m, np.ascontiguousarray(points, np.float64), out)
    return out
