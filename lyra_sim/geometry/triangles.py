"""Exact distances between points and triangles, in float64."""

import numpy as np
from jaxtyping import Float, Int
from numba import njit


@njit(cache=True)
def _dot(x, y):
    return x[0] * y[0] + x[1] * y[1] + x[2] * y[2]


@njit(cache=True)
def _minus(x, y):
    return (x[0] - y[0], x[1] - y[1], x[2] - y[2])


@njit(cache=True)
def _along(x, y, t):
    return (x[0] + t * y[0], x[1] + t * y[1], x[2] + t * y[2])


@njit(cache=True)
def _nearest(p, a, b, c):
    """Nearest point of triangle abc to p; Christer Ericson, Real-Time Collision Detection (2005), section 5.1.5."""
    ab, ac, ap = _minus(b, a), _minus(c, a), _minus(p, a)
    d1, d2 = _dot(ab, ap), _dot(ac, ap)
    if d1 <= 0.0 and d2 <= 0.0:
        return a
    bp = _minus(p, b)
    d3, d4 = _dot(ab, bp), _dot(ac, bp)
    if d3 >= 0.0 and d4 <= d3:
        return b
    cp = _minus(p, c)
    d5, d6 = _dot(ab, cp), _dot(ac, cp)
    if d6 >= 0.0 and d5 <= d6:
        return c
    vc, vb, va = d1 * d4 - d3 * d2, d5 * d2 - d1 * d6, d3 * d6 - d5 * d4
    if vc <= 0.0 and d1 >= 0.0 and d3 <= 0.0 and d1 > d3:
        return _along(a, ab, d1 / (d1 - d3))
    if vb <= 0.0 and d2 >= 0.0 and d6 <= 0.0 and d2 > d6:
        return _along(a, ac, d2 / (d2 - d6))
    if va <= 0.0 and d4 >= d3 and d5 >= d6 and (d4 - d3) + (d5 - d6) > 0.0:
        return _along(b, _minus(c, b), (d4 - d3) / ((d4 - d3) + (d5 - d6)))
    total = va + vb + vc
    if total <= 0.0:  # a triangle without area, and p beside none of its edges but for rounding
        return a
    return _along(_along(a, ab, vb / total), ac, vc / total)


@njit(cache=True)
def _nearest_points(points, corners, out):
    for i in range(len(points)):
        p = (points[i, 0], points[i, 1], points[i, 2])
        a = (corners[i, 0, 0], corners[i, 0, 1], corners[i, 0, 2])
        b = (corners[i, 1, 0], corners[i, 1, 1], corners[i, 1, 2])
        c = (corners[i, 2, 0], corners[i, 2, 1], corners[i, 2, 2])
        out[i, 0], out[i, 1], out[i, 2] = _nearest(p, a, b, c)


def nearest_points(points: Float[np.ndarray, "N 3"], corners: Float[np.ndarray, "N 3 3"]) -> Float[np.ndarray, "N 3"]:
    """Nearest point of each triangle to the point of the same row, metres."""
    out = np.empty((len(points), 3))
    _nearest_points(np.ascontiguousarray(points, np.float64), np.ascontiguousarray(corners, np.float64), out)
    return out


def split_long(
    corners: Float[np.ndarray, "M 3 3"], longest_m: float, most: int = 500_000
) -> tuple[Float[np.ndarray, "K 3 3"], Int[np.ndarray, "K"]]:
    """The same surface with no edge longer than `longest_m` (unless that takes more than `most` triangles), by halving
    longest edges; and which input triangle each piece belongs to."""
    pieces, parent = corners, np.arange(len(corners))
    while True:
        edges = np.linalg.norm(pieces[:, [1, 2, 0]] - pieces, axis=2)
        long = np.flatnonzero(edges.max(axis=1) > longest_m)
        if len(long) == 0 or len(pieces) + len(long) > most:
            return pieces, parent
        first = edges[long].argmax(axis=1)
        a, b, c = (pieces[long, (first + k) % 3] for k in range(3))
        middle = (a + b) / 2
        halves = np.concatenate([np.stack([a, middle, c], 1), np.stack([middle, b, c], 1)])
        keep = np.ones(len(pieces), bool)
        keep[long] = False
        pieces = np.concatenate([pieces[keep], halves])
        parent = np.concatenate([parent[keep], parent[long], parent[long]])
