"""From a goal's distance field to a path a robot can drive: steepest descent, string pulling, elastic band.

The band (Quinlan and Khatib 1993) tightens the path and pushes it off obstacles; every segment is checked against the
clearance afterwards.
"""

import itertools
import math

import numpy as np
from jaxtyping import Float32, Float64, Int64
from numba import njit

from robot_tasks.geodesic import sample_at
from robot_tasks.navmap import NavMap

_SAG_M = 0.004
"""A chord of an arc around a corner dips this much below the arc's clearance."""
_SPACING_M = 0.08
"""Longest chord; shorter for small robots, whose arcs are tighter."""
_ROUNDS, _SWEEPS = 4, 25
_TAUT = 1e-4
"""A round that changes the length by a smaller share is the last."""


@njit(cache=True)
def _descend(field, start_i, start_j, out):
    """Cells from the start to the goal, each the neighbour to which the field falls fastest; corners are not cut."""
    nx, ny = field.shape
    i, j, n = start_i, start_j, 0
    while n < len(out):
        out[n, 0], out[n, 1] = i, j
        n += 1
        best, bi, bj = 0.0, i, j
        for di in (-1, 0, 1):
            for dj in (-1, 0, 1):
                a, b = i + di, j + dj
                if not (0 <= a < nx and 0 <= b < ny) or not np.isfinite(field[a, b]):
                    continue
                if di != 0 and dj != 0 and not (np.isfinite(field[a, j]) and np.isfinite(field[i, b])):
                    continue
                fall = (field[i, j] - field[a, b]) / np.sqrt(float(di * di + dj * dj) + 1e-30)
                if fall > best:
                    best, bi, bj = fall, a, b
        if bi == i and bj == j:
            break
        i, j = bi, bj
    return n


@njit(cache=True)
def _lowest(clearance, ox, oy, cell, p, q):
    """Smallest clearance along a segment, looked up every half fine cell."""
    steps = max(int(np.ceil(np.hypot(q[0] - p[0], q[1] - p[1]) / (0.5 * cell))), 1)
    lowest = np.inf
    for k in range(steps + 1):
        s = k / steps
        lowest = min(lowest, sample_at(clearance, ox, oy, cell, p[0] + s * (q[0] - p[0]), p[1] + s * (q[1] - p[1])))
    return lowest


@njit(cache=True)
def _keeps(clearance, ox, oy, cell, p, q, need):
    """Is there `need` of clearance all along a segment? Strides as far as the room allows: a bilinear lookup changes
    by at most 1.42 times the way."""
    length = np.hypot(q[0] - p[0], q[1] - p[1])
    at = 0.0
    while True:
        s = at / length if length > 0 else 0.0
        room = sample_at(clearance, ox, oy, cell, p[0] + s * (q[0] - p[0]), p[1] + s * (q[1] - p[1]))
        if room < need:
            return False
        if at >= length:
            return True
        at = min(at + max(0.5 * cell, 0.7 * (room - need)), length)


@njit(cache=True)
def _pull(path, count, clearance, ox, oy, cell, keep, out):
    """String pulling: skip vertices, in doubling strides, while the straight segment keeps `keep` of clearance, or as
    much as the part of the path it replaces had."""
    out[0] = path[0]
    made, anchor = 1, 0
    had = np.empty(count)
    for k in range(count - 1):
        had[k] = _lowest(clearance, ox, oy, cell, path[k], path[k + 1])
    while anchor < count - 1:
        reach, least, stride = anchor + 1, had[anchor], 1
        while stride > 0 and reach < count - 1:
            target, need = min(reach + stride, count - 1), least
            for k in range(reach, target):
                need = min(need, had[k])
            if _keeps(clearance, ox, oy, cell, path[anchor], path[target], min(keep, need)):
                reach, least, stride = target, need, 2 * stride
            else:
                stride //= 2
        out[made] = path[reach]
        made += 1
        anchor = reach
    return made


@njit(cache=True)
def _resample(path, count, spacing, out):
    """Insert vertices so that none is further than `spacing` from the next."""
    made = 0
    for k in range(count - 1):
        p, q = path[k], path[k + 1]
        parts = max(int(np.ceil(np.hypot(q[0] - p[0], q[1] - p[1]) / spacing)), 1)
        for s in range(parts):
            if made >= len(out) - 1:
                break
            out[made, 0] = p[0] + s / parts * (q[0] - p[0])
            out[made, 1] = p[1] + s / parts * (q[1] - p[1])
            made += 1
    out[made] = path[count - 1]
    return made + 1


@njit(cache=True)
def _relax(path, count, clearance, ox, oy, cell, want, sweeps):
    """Move each vertex to the middle of its neighbours, then uphill in clearance until it has `want`; a vertex that
    cannot have it keeps its place unless the move gains clearance."""
    for _ in range(sweeps):
        for k in range(1, count - 1):
            x, y = 0.5 * (path[k - 1, 0] + path[k + 1, 0]), 0.5 * (path[k - 1, 1] + path[k + 1, 1])
            has = sample_at(clearance, ox, oy, cell, x, y)
            for _step in range(4):
                if has >= want:
                    break
                gx = sample_at(clearance, ox, oy, cell, x + cell, y) - sample_at(clearance, ox, oy, cell, x - cell, y)
                gy = sample_at(clearance, ox, oy, cell, x, y + cell) - sample_at(clearance, ox, oy, cell, x, y - cell)
                norm = np.hypot(gx, gy)
                if norm < 1e-9:
                    break
                x, y = x + gx / norm * (want - has + 1e-4), y + gy / norm * (want - has + 1e-4)
                has = sample_at(clearance, ox, oy, cell, x, y)
            if has >= want or has >= sample_at(clearance, ox, oy, cell, path[k, 0], path[k, 1]):
                path[k, 0], path[k, 1] = x, y


@njit(cache=True)
def _tighten(path, count, clearance, ox, oy, cell, want, spacing, rounds, sweeps, sag):
    size = 4 * count + 400
    a, b = np.empty((size, 2)), np.empty((size, 2))
    made = _pull(path, count, clearance, ox, oy, cell, want - sag, a)
    before = np.inf
    for _ in range(rounds):
        made = _resample(a, made, spacing, b)
        _relax(b, made, clearance, ox, oy, cell, want, sweeps)
        made = _pull(b, made, clearance, ox, oy, cell, want - sag, a)
        length = 0.0
        for k in range(made - 1):
            length += np.hypot(a[k + 1, 0] - a[k, 0], a[k + 1, 1] - a[k, 1])
        if abs(before - length) < _TAUT * length:
            break
        before = length
    lowest = np.inf
    for k in range(made - 1):
        lowest = min(lowest, _lowest(clearance, ox, oy, cell, a[k], a[k + 1]))
    return a[:made].copy(), lowest


def descend(field: Float32[np.ndarray, "X Y"], start: tuple[int, int]) -> Int64[np.ndarray, "N 2"]:
    """Cell-by-cell path from `start` to the goal of `field`; one cell where unreachable."""
    cells = np.empty((4 * sum(field.shape) + field.size // 2, 2), np.int64)
    return cells[: _descend(field, start[0], start[1], cells)]


def tighten(path: Float64[np.ndarray, "N 2"], nav: NavMap, radius_m: float, want_m: float) -> np.ndarray | None:
    """The path pulled taut: shortest in its neighbourhood that keeps `want_m` of clearance where there is room.

    Returns:
        Float64 (M, 2) vertices with the ends of `path`; None where a segment would come nearer than `radius_m` (less
        4 mm for chords) to something blocked.
    """
    if len(path) < 2:
        return None
    spacing = min(_SPACING_M, 0.8 * math.sqrt(8 * radius_m * _SAG_M))
    found, lowest = _tighten(
        np.ascontiguousarray(path), len(path), nav.clearance_m, nav.origin_m[0], nav.origin_m[1], nav.fine_m,
        want_m, spacing, _ROUNDS, _SWEEPS, _SAG_M,
    )  # fmt: skip
    return found if lowest >= radius_m - _SAG_M - 1e-3 else None


def length(path: Float64[np.ndarray, "N 2"]) -> float:
    """Length of a polyline, metres."""
    return float(np.hypot(*np.diff(path, axis=0).T).sum())


def least_clearance(path: Float64[np.ndarray, "N 2"], nav: NavMap) -> float:
    """Smallest clearance along a polyline, metres."""
    x, y = nav.origin_m
    pairs = itertools.pairwise(path)
    return float(min(_lowest(nav.clearance_m, x, y, nav.fine_m, p, q) for p, q in pairs))
