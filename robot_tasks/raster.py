"""Which cells of a floor plan hold something solid at robot height: exact, so that a 2 cm panel is never lost.

A triangle is cut into strips of cells (Sutherland and Hodgman 1974); what of it lies over a cell is convex, so it meets
the height band exactly when its height interval does.
"""

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64
from numba import njit

_SHIFT_M = 1e-5
"""Cells are shifted by this much so that a face on a cell border falls into one cell, whatever float32 did to it."""

_NEEDLE_M = 1e-5
"""Triangles of hulls no higher than this say nothing about where the hull ends."""


@njit(cache=True)
def _clip(points, count, axis, bound, keep_above, out):
    """Polygon `points[:count]` cut at coordinate `axis` = bound; returns the number of corners written to `out`."""
    made = 0
    for k in range(count):
        m = k + 1 if k + 1 < count else 0
        a, b = points[k, axis], points[m, axis]
        inside_a = a >= bound if keep_above else a <= bound
        inside_b = b >= bound if keep_above else b <= bound
        if inside_a:
            for d in range(3):
                out[made, d] = points[k, d]
            made += 1
        if inside_a != inside_b:
            t = (bound - a) / (b - a)
            for d in range(3):
                out[made, d] = points[k, d] + t * (points[m, d] - points[k, d])
            out[made, axis] = bound
            made += 1
    return made


@njit(cache=True)
def _height_range(polygon, count, axis, below, above):
    """Lowest and highest z of a convex polygon between two coordinates of an axis; an empty range where it has nothing
    there."""
    foot, top = np.inf, -np.inf
    for k in range(count):
        m = k + 1 if k + 1 < count else 0
        p, q = (k, m) if polygon[k, axis] <= polygon[m, axis] else (m, k)
        start, end, z, rise = polygon[p, axis], polygon[q, axis], polygon[p, 2], polygon[q, 2] - polygon[p, 2]
        if end < below or start > above:
            continue
        slope = rise / (end - start) if end > start else 0.0
        a = z if start >= below else z + slope * (below - start)
        b = z + rise if end <= above else z + slope * (above - start)
        foot, top = min(foot, a, b), max(top, a, b)
    return foot, top


@njit(cache=True)
def _mark_triangles(triangles, origin, cell, low, high, rows, columns, out):
    """Strips run along the longer side of a triangle seen from above: there are fewer of them."""
    bands = out.shape[2]
    floor_low, floor_high = low.min(), high.max()
    half, strip = np.empty((10, 3)), np.empty((10, 3))
    for t in range(len(triangles)):
        tri = triangles[t]
        if tri[:, 2].max() < floor_low or tri[:, 2].min() > floor_high:
            continue
        across = 0 if tri[:, 0].max() - tri[:, 0].min() <= tri[:, 1].max() - tri[:, 1].min() else 1
        along = 1 - across
        first = int(np.floor((tri[:, across].min() - origin[across] + _SHIFT_M) / cell))
        last = int(np.floor((tri[:, across].max() - origin[across] + _SHIFT_M) / cell))
        for u in range(max(first, 0), min(last, out.shape[across] - 1) + 1):
            left = origin[across] + u * cell - _SHIFT_M
            n = _clip(tri, 3, across, left, True, half)
            n = _clip(half, n, across, left + cell, False, strip)
            if n == 0:
                continue
            v0 = int(np.floor((strip[:n, along].min() - origin[along] + _SHIFT_M) / cell))
            v1 = int(np.floor((strip[:n, along].max() - origin[along] + _SHIFT_M) / cell))
            for v in range(max(v0, 0), min(v1, out.shape[along] - 1) + 1):
                i, j = (u, v) if across == 0 else (v, u)
                marked = True
                for s in range(bands):
                    marked = marked and out[i, j, s]
                if marked:
                    continue
                bottom = origin[along] + v * cell - _SHIFT_M
                foot, top = _height_range(strip, n, along, bottom, bottom + cell)
                for s in range(bands):
                    if top > low[rows[i], columns[j], s] and foot < high[rows[i], columns[j], s]:
                        out[i, j, s] = True


@njit(cache=True)
def _mark_hull(triangles, origin, cell, low, high, rows, columns, out):
    """Cells whose vertical centre line runs inside the convex hull within the band. Needles, which cut up its flat
    faces and whose normals are rounding, bound nothing."""
    nx, ny = out.shape
    thin = np.empty(len(triangles), np.bool_)
    for t in range(len(triangles)):
        u, v = triangles[t, 1] - triangles[t, 0], triangles[t, 2] - triangles[t, 0]
        longest = max(np.sum(u * u), np.sum(v * v), np.sum((u - v) ** 2))
        thin[t] = np.sum(np.cross(u, v) ** 2) <= (_NEEDLE_M**2) * longest
    bottom, top = np.empty(3), np.empty(3)
    for d in range(3):
        bottom[d], top[d] = triangles[:, :, d].min(), triangles[:, :, d].max()
    i0, i1 = max(int((bottom[0] - origin[0]) / cell), 0), min(int((top[0] - origin[0]) / cell), nx - 1)
    j0, j1 = max(int((bottom[1] - origin[1]) / cell), 0), min(int((top[1] - origin[1]) / cell), ny - 1)
    for i in range(i0, i1 + 1):
        for j in range(j0, j1 + 1):
            x, y = origin[0] + (i + 0.5) * cell, origin[1] + (j + 0.5) * cell
            z0, z1 = max(bottom[2], low[rows[i], columns[j]]), min(top[2], high[rows[i], columns[j]])
            for t in range(len(triangles)):
                if thin[t]:
                    continue
                a = triangles[t, 0]
                n = np.cross(triangles[t, 1] - a, triangles[t, 2] - a)
                side = n[0] * (x - a[0]) + n[1] * (y - a[1]) - n[2] * a[2]  # inside: side + n_z z <= 0
                if n[2] > 1e-12:
                    z1 = min(z1, -side / n[2])
                elif n[2] < -1e-12:
                    z0 = max(z0, -side / n[2])
                elif side > 0:
                    z1 = z0 - 1.0
                if z1 <= z0:
                    break
            if z1 > z0:
                out[i, j] = True


def rasterise(
    triangles: Float64[np.ndarray, "T 3 3"],
    hull: Int32[np.ndarray, "T"],
    origin_m: Float64[np.ndarray, "2"],
    cell_m: float,
    low_m: Float32[np.ndarray, "S U V"],
    high_m: Float32[np.ndarray, "S U V"],
    *,
    rows: Int64[np.ndarray, "X"] | None = None,
    columns: Int64[np.ndarray, "Y"] | None = None,
) -> Bool[np.ndarray, "S X Y"]:
    """Cells that hold collider between the heights `low_m` and `high_m` (world z), of S bands at once: cutting the
    triangles is what takes long.

    Args:
        triangles: corner coordinates, outward winding.
        hull: hull number of each triangle, -1 for open meshes; the inside of hulls counts as solid.
        origin_m: lower left corner of cell (0, 0).
        rows, columns: where the heights of cell (i, j) lie: low_m[:, rows[i], columns[j]]; left out, at (i, j).
    """
    rows = np.arange(low_m.shape[1]) if rows is None else rows
    columns = np.arange(low_m.shape[2]) if columns is None else columns
    low, high = (np.ascontiguousarray(np.moveaxis(band, 0, 2), np.float64) for band in (low_m, high_m))
    out, origin = np.zeros((len(rows), len(columns), len(low_m)), bool), np.asarray(origin_m, np.float64)
    _mark_triangles(np.ascontiguousarray(triangles), origin, cell_m, low, high, rows, columns, out)
    for number in np.unique(hull[hull >= 0]):
        solid = np.ascontiguousarray(triangles[hull == number])
        for band in range(len(low_m)):
            _mark_hull(solid, origin, cell_m, low[..., band], high[..., band], rows, columns, out[..., band])
    return np.ascontiguousarray(np.moveaxis(out, 2, 0))


@njit(cache=True)
def _band_distance(triangles, point, low, high, reach):
    """Horizontal distance of a vertical line through `point` to the triangles cut to heights low..high; stops at
    `reach`."""
    best = reach
    a, b = np.empty((8, 3)), np.empty((8, 3))
    for t in range(len(triangles)):
        tri = triangles[t]
        if (
            tri[:, 0].min() > point[0] + best
            or tri[:, 0].max() < point[0] - best
            or tri[:, 1].min() > point[1] + best
            or tri[:, 1].max() < point[1] - best
            or tri[:, 2].max() <= low
            or tri[:, 2].min() >= high
        ):
            continue
        n = _clip(tri, 3, 2, low, True, a)
        n = _clip(a, n, 2, high, False, b)
        left, right = False, False
        for k in range(n):
            p, q = b[k], b[(k + 1) % n]
            ex, ey = q[0] - p[0], q[1] - p[1]
            wx, wy = point[0] - p[0], point[1] - p[1]
            length2 = ex * ex + ey * ey
            s = min(max((wx * ex + wy * ey) / length2, 0.0), 1.0) if length2 > 1e-18 else 0.0
            best = min(best, np.hypot(wx - s * ex, wy - s * ey))
            cross = ex * wy - ey * wx
            left, right = left or cross > 0, right or cross < 0
        if n > 2 and left != right:
            best = 0.0
    return best


def band_distance(
    triangles: Float64[np.ndarray, "T 3 3"],
    point: Float64[np.ndarray, "2"],
    low_m: float,
    high_m: float,
    reach_m: float,
) -> float:
    """Exact horizontal distance from `point` to the nearest collider face between two heights, at most `reach_m`."""
    return float(_band_distance(triangles, np.asarray(point, np.float64), low_m, high_m, reach_m))
