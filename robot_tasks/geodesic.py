"""Shortest distances through free space: fast marching from a goal.

Second-order upwind fast marching (Sethian 1999) with a binary heap; distances within the goal's free disc are exact,
which takes away most of the error a point source makes.
"""

import numpy as np
from jaxtyping import Bool, Float64
from numba import njit
from scipy import ndimage


@njit(cache=True)
def _push(keys, cells, size, key, cell):
    k = size
    while k > 0:
        parent = (k - 1) >> 1
        if keys[parent] <= key:
            break
        keys[k], cells[k] = keys[parent], cells[parent]
        k = parent
    keys[k], cells[k] = key, cell
    return size + 1


@njit(cache=True)
def _pop(keys, cells, size):
    """Remove the first element; the caller has read it."""
    size -= 1
    key, cell = keys[size], cells[size]
    k = 0
    while True:
        child = 2 * k + 1
        if child >= size:
            break
        if child + 1 < size and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= key:
            break
        keys[k], cells[k] = keys[child], cells[child]
        k = child
    keys[k], cells[k] = key, cell
    return size


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
def _march(free, gi, gj, exact_cells, cell):
    """Cells lie in one row after another with a border of two, so that no neighbour has to be asked whether it is
    there: 1.7 times as fast as with indices."""
    nx, ny = free.shape
    row = ny + 4
    value, known = np.full((nx + 4) * row, np.float32(np.inf)), np.full((nx + 4) * row, np.float32(np.inf))
    open_ = np.zeros((nx + 4, row), np.bool_)
    open_[2:-2, 2:-2] = free
    open_ = open_.ravel()
    keys, cells = np.empty(4 * nx * ny + 8, np.float32), np.empty(4 * nx * ny + 8, np.int32)
    size, reach = 0, int(exact_cells)
    for i in range(max(gi - reach, 0), min(gi + reach, nx - 1) + 1):
        for j in range(max(gj - reach, 0), min(gj + reach, ny - 1) + 1):
            d, at = np.hypot(i - gi, j - gj), (i + 2) * row + j + 2
            if d <= exact_cells and open_[at]:
                value[at], open_[at] = d * cell, False
                size = _push(keys, cells, size, value[at], at)
    while size > 0:
        at = cells[0]
        size = _pop(keys, cells, size)
        if known[at] < np.inf:
            continue
        known[at], open_[at] = value[at], False
        for step in (row, -row, 1, -1):
            if open_[at + step]:
                t = _solve(known, at + step, row, cell)
                if t < value[at + step]:
                    value[at + step] = t
                    size = _push(keys, cells, size, t, at + step)
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
    return _march(np.ascontiguousarray(free), goal[0], goal[1], exact, cell_m)


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
