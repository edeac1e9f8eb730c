"""One control step of many robots in many worlds, compiled for one CPU core: driving, touching walls, lidar, reward.

`warp_kernels.py` says the same for a GPU, line by line and in the same order of operations: all numbers are float32,
sine and cosine are computed here (Moshier's Cephes, sinf.c), so that both give the same bits.

Robots move on exact arcs and slide along walls: a body disc that would come nearer to a wall than its radius is pushed
back up the slope of the clearance. Beams leap from empty square to empty square, without the short steps that sphere
tracing takes beside walls, and meet the lines of the cells between them exactly.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int32
from numba import njit

from robot_tasks.envs.atlas import CLEARANCE_UNIT_M, DISTANCE_UNIT_M, NO_WAY, Atlas
from robot_tasks.envs.beams import OUTSIDE, PAST_CELLS

PHYSICS_S = 0.1
SUBSTEPS = 4
PUSHES = 4
"""Most corrections of a pose per substep; a pose that still touches is taken back."""
TOUCH_M = 1e-3
"""Penetration that counts as a contact."""
JOINT = 1e-3
"""Share of its length by which a line counts as longer at both ends, so that no beam slips through a joint."""
FAR_CELLS = 1e9
"""Where a beam meets nothing."""

F = np.float32


class State(NamedTuple):
    """N robots; arrays that the kernels change in place."""

    pose: Float32[np.ndarray, "N 3"]
    """x, y in metres of the stretched world, yaw in -pi..pi."""
    velocity: Float32[np.ndarray, "N 3"]
    """Forward, to the left, turning."""
    world: Int32[np.ndarray, "N"]
    goal: Int32[np.ndarray, "N"]
    scale: Float32[np.ndarray, "N"]
    """Stretch of the world."""
    radius: Float32[np.ndarray, "N"]
    """Of the body discs, metres."""
    limits: Float32[np.ndarray, "N 5"]
    """Top speed forward, sideways and turning; most change of speed and of turn rate."""
    age: Int32[np.ndarray, "N"]
    """Control steps of the episode so far."""
    last_age: Int32[np.ndarray, "N"]
    """Age at which time is up."""
    geodesic: Float32[np.ndarray, "N"]
    """Way that is left, metres."""
    driven: Float32[np.ndarray, "N"]
    """Metres driven in the episode."""
    contacts: Int32[np.ndarray, "N"]
    """Control steps of the episode with a contact."""


class Outcome(NamedTuple):
    """What a step gave."""

    reward: Float32[np.ndarray, "N"]
    success: Bool[np.ndarray, "N"]
    timeout: Bool[np.ndarray, "N"]


class Rules(NamedTuple):
    """What is the same for all robots: numbers float32, `decimation` an int."""

    offsets: Float32[np.ndarray, "D"]
    """Centres of the body discs along the robot's axis, in radii."""
    decimation: int
    success_m: np.float32
    stop_share: np.float32
    progress: np.float32
    bonus: np.float32
    contact: np.float32
    time: np.float32


_CLEARANCE, _DISTANCE, _NO_WAY = F(CLEARANCE_UNIT_M), F(DISTANCE_UNIT_M), F(NO_WAY)
_DT, _H = F(PHYSICS_S), F(PHYSICS_S / SUBSTEPS)
_ZERO, _HALF, _ONE, _TWO, _TOUCH = F(0), F(0.5), F(1), F(2), F(TOUCH_M)
_PI, _TAU, _TWO_OVER_PI = F(np.pi), F(2 * np.pi), F(2 / np.pi)
_QUARTER = (F(1.5703125), F(4.837512969970703125e-4), F(7.54978995489188e-8))
_SIN = (F(-1.6666654611e-1), F(8.3321608736e-3), F(-1.9515295891e-4))
_COS = (F(4.166664568298827e-2), F(-1.388731625493765e-3), F(2.443315711809948e-5))
_THIRD, _SIXTH, _TWENTYFOURTH, _HUNDRED_TWENTIETH = F(1 / 3), F(1 / 6), F(1 / 24), F(1 / 120)
_FLAT = F(1e-9)
_TINY = F(1e-6)
_PAST, _JOINT, _FAR = F(PAST_CELLS), F(JOINT), F(FAR_CELLS)


@njit(cache=True)
def sincos(a):
    """Sine and cosine, |a| up to some thousand, within 2e-7."""
    q = np.floor(a * _TWO_OVER_PI + _HALF)
    r = ((a - q * _QUARTER[0]) - q * _QUARTER[1]) - q * _QUARTER[2]
    z = r * r
    s = r + r * z * (_SIN[0] + z * (_SIN[1] + z * _SIN[2]))
    c = (_ONE - _HALF * z) + z * z * (_COS[0] + z * (_COS[1] + z * _COS[2]))
    k = int(q) & 3
    if k == 0:
        return s, c
    if k == 1:
        return c, -s
    if k == 2:
        return -s, -c
    return -c, s


@njit(cache=True)
def _bilinear(p, q, r, s, a, b):
    low, high = p + b * (q - p), r + b * (s - r)
    return low + a * (high - low), high - low, (q - p) + a * ((s - r) - (q - p))


@njit(cache=True)
def _cell_of(u, n):
    """Cell below a coordinate between cell centres, and the coordinate past its centre."""
    at = min(max(u - _HALF, _ZERO), F(n - 1) - _TINY)
    i = min(int(at), n - 2)
    return i, at - F(i)


@njit(cache=True)
def _clearance_at(table, u, v):
    """Bilinear clearance at cell coordinates and its slope along both axes, in units of the table."""
    i, a = _cell_of(u, table.shape[0])
    j, b = _cell_of(v, table.shape[1])
    return _bilinear(F(table[i, j]), F(table[i, j + 1]), F(table[i + 1, j]), F(table[i + 1, j + 1]), a, b)


@njit(cache=True)
def _distance_at(table, u, v):
    """Bilinear distance at cell coordinates in units of the table; negative where a corner has no way."""
    i, a = _cell_of(u, table.shape[0])
    j, b = _cell_of(v, table.shape[1])
    p, q = F(table[i, j]), F(table[i, j + 1])
    r, s = F(table[i + 1, j]), F(table[i + 1, j + 1])
    if max(max(p, q), max(r, s)) >= _NO_WAY:
        return -_ONE
    value, _, _ = _bilinear(p, q, r, s, a, b)
    return value


@njit(cache=True)
def _fall(before, after, per):
    """Slope between two distances, 0 where one is not known."""
    if min(before, after) < _ZERO:
        return _ZERO
    return (before - after) * per


@njit(cache=True)
def _toward(now, wanted, most):
    return now + min(max(wanted - now, -most), most)


@njit(cache=True)
def _settle(clearance, ox, oy, per_cell, unit, x, y, yaw, radius, offsets):
    """Push a pose off the walls its discs are in. A disc off the centre turns the body, too, as far as the push would
    turn a free one of this length. Returns the pose, whether anything touched, whether it is free now."""
    touched = False
    reach = offsets[len(offsets) - 1]
    inertia = radius * radius * (_HALF + reach * reach * _THIRD)
    for _ in range(PUSHES):
        s, c = sincos(yaw)
        deepest, px, py, arm = _ZERO, _ZERO, _ZERO, _ZERO
        for k in range(len(offsets)):
            off = offsets[k] * radius
            room, gx, gy = _clearance_at(clearance, (x + off * c - ox) * per_cell, (y + off * s - oy) * per_cell)
            depth = radius - room * unit
            if depth > deepest:
                steep = np.sqrt(gx * gx + gy * gy)
                deepest, arm = depth, off
                if steep > _TINY:
                    px, py = gx / steep, gy / steep
                else:
                    px, py = _ZERO, _ZERO
        if deepest <= _ZERO:
            return x, y, yaw, touched, True
        if deepest > _TOUCH:
            touched = True
        lever = arm * (c * py - s * px)
        push = deepest / (inertia + lever * lever)
        x, y, yaw = x + px * (push * inertia), y + py * (push * inertia), yaw + push * lever
    return x, y, yaw, touched, deepest <= _TOUCH


@njit(cache=True)
def _advance(x, y, yaw, v, side, w):
    """The pose after one substep at constant speeds: an exact arc. The series are exact in float32 below 0.3 rad."""
    s, c = sincos(yaw)
    turn = w * _H
    t2 = turn * turn
    along = _ONE - t2 * (_SIXTH - t2 * _HUNDRED_TWENTIETH)
    across = turn * (_HALF - t2 * _TWENTYFOURTH)
    dx, dy = (v * along - side * across) * _H, (v * across + side * along) * _H
    return x + (c * dx - s * dy), y + (s * dx + c * dy), yaw + turn


@njit(cache=True)
def move(atlas: Atlas, state: State, command, rules: Rules, order, out: Outcome):
    """Drive every robot for one control step.

    Args:
        command: float32 (N, 3), wanted speed forward, to the left and turning.
        order: int64 (N,), robots in the order in which they are worked on: those of one world together.
    """
    for m in range(len(order)):
        n = order[m]
        world = state.world[n]
        clearance = atlas.clearance[world]
        scale, radius = state.scale[n], state.radius[n]
        ox, oy = atlas.origin[world, 0] * scale, atlas.origin[world, 1] * scale
        per_cell, unit = _ONE / (atlas.cell[world] * scale), _CLEARANCE * scale
        x, y, yaw = state.pose[n, 0], state.pose[n, 1], state.pose[n, 2]
        v, side, w = state.velocity[n, 0], state.velocity[n, 1], state.velocity[n, 2]
        gain, turn_gain = state.limits[n, 3] * _DT, state.limits[n, 4] * _DT
        hit, way = False, _ZERO
        for _ in range(rules.decimation):
            v = _toward(v, command[n, 0], gain)
            side = _toward(side, command[n, 1], gain)
            w = _toward(w, command[n, 2], turn_gain)
            for _ in range(SUBSTEPS):
                ax, ay, turned = _advance(x, y, yaw, v, side, w)
                bx, by, turned, touched, free = _settle(
                    clearance, ox, oy, per_cell, unit, ax, ay, turned, radius, rules.offsets
                )
                hit = hit or touched
                if free:
                    way = way + np.sqrt((bx - x) * (bx - x) + (by - y) * (by - y))
                    x, y, yaw = bx, by, turned
                    if yaw >= _PI:
                        yaw = yaw - _TAU
                    if yaw < -_PI:
                        yaw = yaw + _TAU
                else:
                    v, side, w = _ZERO, _ZERO, _ZERO
        state.pose[n, 0], state.pose[n, 1], state.pose[n, 2] = x, y, yaw
        state.velocity[n, 0], state.velocity[n, 1], state.velocity[n, 2] = v, side, w
        state.driven[n] += way
        _judge(atlas, state, rules, n, per_cell, x - ox, y - oy, hit, out)


@njit(cache=True)
def _judge(atlas, state, rules, n, per_cell, x, y, hit, out):
    """Way that is left, reward, and whether the episode is over. Where no way is known, the last one is left."""
    far = _distance_at(atlas.distance[state.world[n], state.goal[n]], x * per_cell, y * per_cell)
    left = far * (_DISTANCE * state.scale[n])
    if far < _ZERO:
        left = state.geodesic[n]
    slow = (
        abs(state.velocity[n, 0]) <= rules.stop_share * state.limits[n, 0]
        and abs(state.velocity[n, 1]) <= rules.stop_share * state.limits[n, 1]
        and abs(state.velocity[n, 2]) <= rules.stop_share * state.limits[n, 2]
    )
    state.age[n] += 1
    done = left < rules.success_m and slow
    reward = rules.progress * (state.geodesic[n] - left) + rules.time
    if hit:
        reward = reward + rules.contact
        state.contacts[n] += 1
    if done:
        reward = reward + rules.bonus
    state.geodesic[n] = left
    out.reward[n] = reward
    out.success[n] = done
    out.timeout[n] = not done and state.age[n] >= state.last_age[n]


@njit(cache=True)
def look(atlas: Atlas, state: State, rows, beams, range_m, ranges, way):
    """Lidar and the way on of some robots.

    Args:
        rows: int64 (M,), the robots.
        beams: float32 (B, 2), cosine and sine of each beam's bearing from the robot's heading.
        ranges: float32 (M, B), filled with metres, at most `range_m`.
        way: float32 (M, 2), filled with the direction, in the robot's frame, in which the way to the goal shortens
            fastest; its length is about 1, less where ways part, 0 where no way is known.
    Sets `state.geodesic` of these robots, too, where it is known.
    """
    for m in range(len(rows)):
        n = rows[m]
        world = state.world[n]
        cell = atlas.cell[world] * state.scale[n]
        per_cell = _ONE / cell
        u = (state.pose[n, 0] - atlas.origin[world, 0] * state.scale[n]) * per_cell
        v = (state.pose[n, 1] - atlas.origin[world, 1] * state.scale[n]) * per_cell
        s, c = sincos(state.pose[n, 2])
        table = atlas.distance[world, state.goal[n]]
        far = _distance_at(table, u, v)
        if far >= _ZERO:
            state.geodesic[n] = far * (_DISTANCE * state.scale[n])
        per = _DISTANCE * _HALF / atlas.cell[world]
        gx = _fall(_distance_at(table, u - _ONE, v), _distance_at(table, u + _ONE, v), per)
        gy = _fall(_distance_at(table, u, v - _ONE), _distance_at(table, u, v + _ONE), per)
        way[m, 0], way[m, 1] = c * gx + s * gy, c * gy - s * gx
        most = range_m * per_cell
        square, span, lines = atlas.square[world], atlas.span[world], atlas.lines
        x, y = u + atlas.shift[world, 0], v + atlas.shift[world, 1]
        for k in range(len(beams)):
            dx = c * beams[k, 0] - s * beams[k, 1]
            dy = s * beams[k, 0] + c * beams[k, 1]
            ranges[m, k] = _ray(square, span, lines, x, y, dx, dy, most) * cell


@njit(cache=True)
def _meet(lines, first, last, u, v, dx, dy):
    """Length in cells of a beam from (u, v) to the nearest of some lines."""
    nearest = _FAR
    for k in range(first, last):
        px, py, ex, ey = lines[k, 0] - u, lines[k, 1] - v, lines[k, 2], lines[k, 3]
        steep, far, along = dx * ey - dy * ex, px * ey - py * ex, px * dy - py * dx
        if steep < _ZERO:
            steep, far, along = -steep, -far, -along
        joint = _JOINT * steep
        if steep > _FLAT and far >= _ZERO and along >= -joint and along <= steep + joint:
            nearest = min(nearest, far / steep)
    return nearest


@njit(cache=True)
def _ray(square, span, lines, u, v, dx, dy, most):
    """Length in cells of a beam from (u, v) on the lattice of lines to the first that it meets, at most `most`."""
    if abs(dx) < _FLAT:
        dx = _FLAT
    if abs(dy) < _FLAT:
        dy = _FLAT
    right, up = dx > _ZERO, dy > _ZERO
    empty = square[int(right) + 2 * int(up)]
    inv_x, inv_y = _ONE / dx, _ONE / dy
    i, j = int(u), int(v)
    while True:
        side = int(empty[i, j])
        if side == OUTSIDE:
            return most
        leap = max(side, 1)
        a = i + leap if right else i - leap
        b = j + leap if up else j - leap
        tx = (F(a if right else a + 1) - u) * inv_x
        ty = (F(b if up else b + 1) - v) * inv_y
        t = min(tx, ty)
        if side == 0:
            near = _meet(lines, span[i, j, 0], span[i, j, 1], u, v, dx, dy)
            if near <= t + _PAST:
                return min(near, most)
        if t >= most:
            return most
        if tx < ty:
            across = int(v + t * dy)
            j = min(max(across, j), b - 1) if up else max(min(across, j), b + 1)
            i = a
        else:
            across = int(u + t * dx)
            i = min(max(across, i), a - 1) if right else max(min(across, i), a + 1)
            j = b
