"""Heights of a mesh seen from above, on a grid of square cells."""

import numpy as np
from jaxtyping import Float, Int
from numba import njit


@njit(cache=True)
def _lowest(a, b, c, low, high, origin_x, origin_y, cell, height, face_at):  # pragma: no cover - compiled
    nx, ny = height.shape
    for f in range(len(a)):
        ax, ay, bx, by, cx, cy = a[f, 0], a[f, 1], b[f, 0], b[f, 1], c[f, 0], c[f, 1]
        det = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if abs(det) < 1e-14:
            continue
        i0 = max(0, int(np.ceil((min(ax, bx, cx) - origin_x) / cell - 0.5 - 1e-9)))
        i1 = min(nx - 1, int(np.floor((max(ax, bx, cx) - origin_x) / cell - 0.5 + 1e-9)))
        j0 = max(0, int(np.ceil((min(ay, by, cy) - origin_y) / cell - 0.5 - 1e-9)))
        j1 = min(ny - 1, int(np.floor((max(ay, by, cy) - origin_y) / cell - 0.5 + 1e-9)))
        for i in range(i0, i1 + 1):
            for j in range(j0, j1 + 1):
                x = origin_x + (i + 0.5) * cell
                y = origin_y + (j + 0.5) * cell
                u = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / det
                v = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / det
                if u < -1e-9 or v < -1e-9 or u + v > 1 + 1e-9:
                    continue
                z = a[f, 2] + u * (b[f, 2] - a[f, 2]) + v * (c[f, 2] - a[f, 2])
                if low[i, j] <= z <= high[i, j] and not z >= height[i, j]:
                    height[i, j] = z
                    face_at[i, j] = f


def lowest_surface(
    vertices: Float[np.ndarray, "N 3"],
    faces: Int[np.ndarray, "M 3"],
    origin: Float[np.ndarray, "2"],
    cell_m: float,
    low: Float[np.ndarray, "X Y"],
    high: Float[np.ndarray, "X Y"],
) -> tuple[Float[np.ndarray, "X Y"], Int[np.ndarray, "X Y"]]:
    """The lowest crossing of the vertical line through each cell's centre with the faces, between `low` and `high`.

    Returns:
        Height in metres (NaN where nothing is met) and the face met (-1).
    """
    height = np.full(low.shape, np.nan)
    face_at = np.full(low.shape, -1, np.int64)
    a, b, c = (np.ascontiguousarray(vertices[faces[:, k]], np.float64) for k in range(3))
    _lowest(a, b, c, low, high, float(origin[0]), float(origin[1]), cell_m, height, face_at)
    return height, face_at


@njit(cache=True)
def _connect(height, step, label):  # pragma: no cover - compiled
    nx, ny = height.shape
    stack = np.empty((nx * ny, 2), np.int32)
    count = 0
    for i0 in range(nx):
        for j0 in range(ny):
            if label[i0, j0] >= 0 or np.isnan(height[i0, j0]):
                continue
            label[i0, j0] = count
            stack[0, 0], stack[0, 1] = i0, j0
            top = 1
            while top:
                top -= 1
                i, j = stack[top, 0], stack[top, 1]
                for di in range(-1, 2):
                    for dj in range(-1, 2):
                        p, q = i + di, j + dj
                        if p < 0 or q < 0 or p >= nx or q >= ny or label[p, q] >= 0:
                            continue
                        if abs(height[p, q] - height[i, j]) <= step:  # false for NaN
                            label[p, q] = count
                            stack[top, 0], stack[top, 1] = p, q
                            top += 1
            count += 1
    return count


def connected_levels(height: Float[np.ndarray, "X Y"], step_m: float) -> Int[np.ndarray, "X Y"]:
    """Number the patches of cells whose heights change by at most `step_m` from cell to cell (8 neighbours); -1 for
    NaN cells. Numbers follow the order of the first cell."""
    label = np.full(height.shape, -1, np.int64)
    _connect(np.ascontiguousarray(height), step_m, label)
    return label


@njit(cache=True)
def _medians(height, step, half, least, out):  # pragma: no cover - compiled
    nx, ny = height.shape
    buffer = np.empty((2 * half + 1) ** 2)
    for a in range(out.shape[0]):
        for b in range(out.shape[1]):
            n = 0
            for i in range(max(0, a * step - half), min(nx, a * step + half)):
                for j in range(max(0, b * step - half), min(ny, b * step + half)):
                    if not np.isnan(height[i, j]):
                        buffer[n] = height[i, j]
                        n += 1
            if n >= least:
                out[a, b] = np.median(buffer[:n])


def window_medians(height: Float[np.ndarray, "X Y"], step: int, window: int, least: int) -> Float[np.ndarray, "A B"]:
    """Median height in a square window of `window` cells around every `step`-th cell corner (A = X // step + 2);
    NaN where fewer than `least` cells are known."""
    out = np.full((height.shape[0] // step + 2, height.shape[1] // step + 2), np.nan)
    _medians(np.ascontiguousarray(height), step, window // 2, least, out)
    return out
