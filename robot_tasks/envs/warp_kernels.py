"""The kernels of `kernels.py` in Warp: the same step on a GPU, and on a CPU to compare the two.

Line by line the same operations in the same order, float32, without fused multiply-adds; change both files together.
What the functions do and where it comes from is said there.
"""

# ruff: noqa: UP018  warp tells dynamic variables from constants by `float(...)` and `int(...)`
# what is compiled is Warp's language: its annotations are no types to Python
# pyright: reportGeneralTypeIssues=false, reportInvalidTypeForm=false, reportAssignmentType=false, reportArgumentType=false
# pyright: reportOperatorIssue=false

from typing import Any

import numpy as np
import warp as wp

from robot_tasks.envs import kernels
from robot_tasks.envs.atlas import CLEARANCE_UNIT_M, DISTANCE_UNIT_M, NO_WAY
from robot_tasks.envs.beams import OUTSIDE, PAST_CELLS

wp.set_module_options({"enable_backward": False, "fast_math": False, "fuse_fp": False})


def _f32(value: float) -> Any:
    return wp.constant(wp.float32(value))


CLEARANCE, DISTANCE, UNKNOWN = _f32(CLEARANCE_UNIT_M), _f32(DISTANCE_UNIT_M), _f32(NO_WAY)
DT, H = _f32(kernels.PHYSICS_S), _f32(kernels.PHYSICS_S / kernels.SUBSTEPS)
TOUCH, FLAT, TINY = _f32(kernels.TOUCH_M), _f32(1e-9), _f32(1e-6)
PAST, JOINT, FAR = _f32(PAST_CELLS), _f32(kernels.JOINT), _f32(kernels.FAR_CELLS)
PI, TAU, TWO_OVER_PI = _f32(np.pi), _f32(2 * np.pi), _f32(2 / np.pi)
THIRD, SIXTH, TWENTYFOURTH, HUNDRED_TWENTIETH = _f32(1 / 3), _f32(1 / 6), _f32(1 / 24), _f32(1 / 120)
SUBSTEPS, PUSHES, EDGE = (wp.constant(wp.int32(v)) for v in (kernels.SUBSTEPS, kernels.PUSHES, OUTSIDE))


@wp.struct
class Tables:
    clearance: wp.array3d(dtype=wp.uint16)
    distance: wp.array4d(dtype=wp.uint16)
    origin: wp.array2d(dtype=wp.float32)
    cell: wp.array(dtype=wp.float32)
    square: wp.array4d(dtype=wp.uint8)
    span: wp.array4d(dtype=wp.int32)
    lines: wp.array2d(dtype=wp.float32)
    shift: wp.array2d(dtype=wp.float32)


@wp.struct
class Robots:
    pose: wp.array2d(dtype=wp.float32)
    velocity: wp.array2d(dtype=wp.float32)
    world: wp.array(dtype=wp.int32)
    goal: wp.array(dtype=wp.int32)
    scale: wp.array(dtype=wp.float32)
    radius: wp.array(dtype=wp.float32)
    limits: wp.array2d(dtype=wp.float32)
    age: wp.array(dtype=wp.int32)
    last_age: wp.array(dtype=wp.int32)
    geodesic: wp.array(dtype=wp.float32)
    driven: wp.array(dtype=wp.float32)
    contacts: wp.array(dtype=wp.int32)


@wp.struct
class Law:
    offsets: wp.array(dtype=wp.float32)
    decimation: wp.int32
    success_m: wp.float32
    stop_share: wp.float32
    progress: wp.float32
    bonus: wp.float32
    contact: wp.float32
    time: wp.float32


@wp.struct
class Result:
    reward: wp.array(dtype=wp.float32)
    success: wp.array(dtype=wp.bool)
    timeout: wp.array(dtype=wp.bool)


@wp.func
def sincos(a: float):
    q = wp.floor(a * TWO_OVER_PI + 0.5)
    r = ((a - q * 1.5703125) - q * 4.837512969970703125e-4) - q * 7.54978995489188e-8
    z = r * r
    s = r + r * z * (-1.6666654611e-1 + z * (8.3321608736e-3 + z * -1.9515295891e-4))
    c = (1.0 - 0.5 * z) + z * z * (4.166664568298827e-2 + z * (-1.388731625493765e-3 + z * 2.443315711809948e-5))
    k = int(q) & 3
    if k == 0:
        return s, c
    if k == 1:
        return c, -s
    if k == 2:
        return -s, -c
    return -c, s


@wp.func
def bilinear(p: float, q: float, r: float, s: float, a: float, b: float):
    low = p + b * (q - p)
    high = r + b * (s - r)
    return low + a * (high - low), high - low, (q - p) + a * ((s - r) - (q - p))


@wp.func
def cell_of(u: float, n: int):
    """Cell below a coordinate between cell centres, and the coordinate past its centre."""
    at = wp.min(wp.max(u - 0.5, 0.0), float(n - 1) - TINY)
    i = wp.min(int(at), n - 2)
    return i, at - float(i)


@wp.func
def clearance_at(tables: Tables, w: int, u: float, v: float):
    i, a = cell_of(u, tables.clearance.shape[1])
    j, b = cell_of(v, tables.clearance.shape[2])
    p = float(tables.clearance[w, i, j])
    q = float(tables.clearance[w, i, j + 1])
    r = float(tables.clearance[w, i + 1, j])
    s = float(tables.clearance[w, i + 1, j + 1])
    return bilinear(p, q, r, s, a, b)


@wp.func
def distance_at(tables: Tables, w: int, g: int, u: float, v: float):
    i, a = cell_of(u, tables.distance.shape[2])
    j, b = cell_of(v, tables.distance.shape[3])
    p = float(tables.distance[w, g, i, j])
    q = float(tables.distance[w, g, i, j + 1])
    r = float(tables.distance[w, g, i + 1, j])
    s = float(tables.distance[w, g, i + 1, j + 1])
    value, _gx, _gy = bilinear(p, q, r, s, a, b)
    if wp.max(wp.max(p, q), wp.max(r, s)) >= UNKNOWN:
        value = float(-1.0)
    return value


@wp.func
def fall(before: float, after: float, per: float):
    if wp.min(before, after) < 0.0:
        return 0.0
    return (before - after) * per


@wp.func
def toward(now: float, wanted: float, most: float):
    return now + wp.min(wp.max(wanted - now, -most), most)


@wp.func
def settle(
    tables: Tables, w: int, ox: float, oy: float, per_cell: float, unit: float, x0: float, y0: float,
    yaw0: float, radius: float, offsets: wp.array(dtype=wp.float32),
):  # fmt: skip
    x = float(x0)
    y = float(y0)
    yaw = float(yaw0)
    deepest = float(0.0)
    touched = bool(False)
    reach = offsets[offsets.shape[0] - 1]
    inertia = radius * radius * (0.5 + reach * reach * THIRD)
    for _push in range(PUSHES):
        s, c = sincos(yaw)
        deepest = float(0.0)
        px = float(0.0)
        py = float(0.0)
        arm = float(0.0)
        for k in range(offsets.shape[0]):
            off = offsets[k] * radius
            room, gx, gy = clearance_at(tables, w, (x + off * c - ox) * per_cell, (y + off * s - oy) * per_cell)
            depth = radius - room * unit
            if depth > deepest:
                steep = wp.sqrt(gx * gx + gy * gy)
                deepest = depth
                arm = off
                if steep > TINY:
                    px = gx / steep
                    py = gy / steep
                else:
                    px = float(0.0)
                    py = float(0.0)
        if deepest <= 0.0:
            break
        if deepest > TOUCH:
            touched = bool(True)
        lever = arm * (c * py - s * px)
        push = deepest / (inertia + lever * lever)
        x = x + px * (push * inertia)
        y = y + py * (push * inertia)
        yaw = yaw + push * lever
    return x, y, yaw, touched, deepest <= TOUCH


@wp.func
def advance(x: float, y: float, yaw: float, v: float, side: float, w: float):
    s, c = sincos(yaw)
    turn = w * H
    t2 = turn * turn
    along = 1.0 - t2 * (SIXTH - t2 * HUNDRED_TWENTIETH)
    across = turn * (0.5 - t2 * TWENTYFOURTH)
    dx = (v * along - side * across) * H
    dy = (v * across + side * along) * H
    return x + (c * dx - s * dy), y + (s * dx + c * dy), yaw + turn


@wp.kernel
def move_kernel(tables: Tables, robots: Robots, command: wp.array2d(dtype=wp.float32), law: Law, out: Result):
    n = wp.tid()
    world = robots.world[n]
    scale = robots.scale[n]
    radius = robots.radius[n]
    ox = tables.origin[world, 0] * scale
    oy = tables.origin[world, 1] * scale
    per_cell = 1.0 / (tables.cell[world] * scale)
    unit = CLEARANCE * scale
    x = float(robots.pose[n, 0])
    y = float(robots.pose[n, 1])
    yaw = float(robots.pose[n, 2])
    v = float(robots.velocity[n, 0])
    side = float(robots.velocity[n, 1])
    w = float(robots.velocity[n, 2])
    gain = robots.limits[n, 3] * DT
    turn_gain = robots.limits[n, 4] * DT
    hit = bool(False)
    way = float(0.0)
    for _step in range(law.decimation):
        v = toward(v, command[n, 0], gain)
        side = toward(side, command[n, 1], gain)
        w = toward(w, command[n, 2], turn_gain)
        for _substep in range(SUBSTEPS):
            ax, ay, bent = advance(x, y, yaw, v, side, w)
            bx, by, turned, touched, free = settle(
                tables, world, ox, oy, per_cell, unit, ax, ay, bent, radius, law.offsets
            )  # fmt: skip
            hit = hit or touched
            if free:
                way = way + wp.sqrt((bx - x) * (bx - x) + (by - y) * (by - y))
                x = bx
                y = by
                yaw = turned
                if yaw >= PI:
                    yaw = yaw - TAU
                if yaw < -PI:
                    yaw = yaw + TAU
            else:
                v = float(0.0)
                side = float(0.0)
                w = float(0.0)
    robots.pose[n, 0] = x
    robots.pose[n, 1] = y
    robots.pose[n, 2] = yaw
    robots.velocity[n, 0] = v
    robots.velocity[n, 1] = side
    robots.velocity[n, 2] = w
    robots.driven[n] = robots.driven[n] + way
    judge(tables, robots, law, out, n, per_cell, x - ox, y - oy, hit)


@wp.func
def judge(
    tables: Tables, robots: Robots, law: Law, out: Result, n: int, per_cell: float, x: float, y: float, hit: bool
):
    far = distance_at(tables, robots.world[n], robots.goal[n], x * per_cell, y * per_cell)
    left = float(far * (DISTANCE * robots.scale[n]))
    if far < 0.0:
        left = robots.geodesic[n]
    slow = (
        wp.abs(robots.velocity[n, 0]) <= law.stop_share * robots.limits[n, 0]
        and wp.abs(robots.velocity[n, 1]) <= law.stop_share * robots.limits[n, 1]
        and wp.abs(robots.velocity[n, 2]) <= law.stop_share * robots.limits[n, 2]
    )
    robots.age[n] = robots.age[n] + 1
    done = left < law.success_m and slow
    reward = float(law.progress * (robots.geodesic[n] - left) + law.time)
    if hit:
        reward = reward + law.contact
        robots.contacts[n] = robots.contacts[n] + 1
    if done:
        reward = reward + law.bonus
    robots.geodesic[n] = left
    out.reward[n] = reward
    out.success[n] = done
    out.timeout[n] = not done and robots.age[n] >= robots.last_age[n]


@wp.kernel
def look_kernel(
    tables: Tables, robots: Robots, rows: wp.array(dtype=wp.int64), beams: wp.array2d(dtype=wp.float32),
    range_m: wp.float32, ranges: wp.array2d(dtype=wp.float32), way: wp.array2d(dtype=wp.float32),
):  # fmt: skip
    m, k = wp.tid()
    n = int(rows[m])
    world = robots.world[n]
    cell = tables.cell[world] * robots.scale[n]
    per_cell = 1.0 / cell
    u = (robots.pose[n, 0] - tables.origin[world, 0] * robots.scale[n]) * per_cell
    v = (robots.pose[n, 1] - tables.origin[world, 1] * robots.scale[n]) * per_cell
    s, c = sincos(robots.pose[n, 2])
    if k == 0:
        goal = robots.goal[n]
        far = distance_at(tables, world, goal, u, v)
        if far >= 0.0:
            robots.geodesic[n] = far * (DISTANCE * robots.scale[n])
        per = DISTANCE * 0.5 / tables.cell[world]
        gx = fall(distance_at(tables, world, goal, u - 1.0, v), distance_at(tables, world, goal, u + 1.0, v), per)
        gy = fall(distance_at(tables, world, goal, u, v - 1.0), distance_at(tables, world, goal, u, v + 1.0), per)
        way[m, 0] = c * gx + s * gy
        way[m, 1] = c * gy - s * gx
    dx = c * beams[k, 0] - s * beams[k, 1]
    dy = s * beams[k, 0] + c * beams[k, 1]
    ranges[m, k] = ray(tables, world, u, v, dx, dy, range_m * per_cell) * cell


@wp.func
def meet(tables: Tables, first: int, last: int, u: float, v: float, dx: float, dy: float):
    nearest = float(FAR)
    for k in range(first, last):
        px = tables.lines[k, 0] - u
        py = tables.lines[k, 1] - v
        ex = tables.lines[k, 2]
        ey = tables.lines[k, 3]
        steep = dx * ey - dy * ex
        far = px * ey - py * ex
        along = px * dy - py * dx
        if steep < 0.0:
            steep = -steep
            far = -far
            along = -along
        joint = JOINT * steep
        if steep > FLAT and far >= 0.0 and along >= -joint and along <= steep + joint:
            nearest = wp.min(nearest, far / steep)
    return nearest


@wp.func
def ray(tables: Tables, w: int, u0: float, v0: float, dx0: float, dy0: float, most: float):
    u = u0 + tables.shift[w, 0]
    v = v0 + tables.shift[w, 1]
    dx = float(dx0)
    dy = float(dy0)
    if wp.abs(dx) < FLAT:
        dx = FLAT
    if wp.abs(dy) < FLAT:
        dy = FLAT
    right = wp.where(dx > 0.0, 1, 0)
    up = wp.where(dy > 0.0, 1, 0)
    quadrant = right + 2 * up
    inv_x = 1.0 / dx
    inv_y = 1.0 / dy
    i = int(u)
    j = int(v)
    found = float(most)
    while True:
        side = int(tables.square[w, quadrant, i, j])
        if side == EDGE:
            break
        leap = wp.max(side, 1)
        a = i + wp.where(right == 1, leap, -leap)
        b = j + wp.where(up == 1, leap, -leap)
        tx = (float(a + 1 - right) - u) * inv_x
        ty = (float(b + 1 - up) - v) * inv_y
        t = float(wp.min(tx, ty))
        if side == 0:
            near = meet(tables, tables.span[w, i, j, 0], tables.span[w, i, j, 1], u, v, dx, dy)
            if near <= t + PAST:
                found = wp.min(near, most)
                break
        if t >= most:
            break
        if tx < ty:
            across = int(v + t * dy)
            j = wp.where(up == 1, wp.min(wp.max(across, j), b - 1), wp.max(wp.min(across, j), b + 1))
            i = a
        else:
            across = int(u + t * dx)
            i = wp.where(right == 1, wp.min(wp.max(across, i), a - 1), wp.max(wp.min(across, i), a + 1))
            j = b
    return found


@wp.kernel
def cast_kernel(
    mesh: wp.uint64, origins: wp.array(dtype=wp.vec3), directions: wp.array(dtype=wp.vec3),
    depth: wp.array(dtype=wp.float32), face: wp.array(dtype=wp.int32), bary: wp.array(dtype=wp.vec2),
):  # fmt: skip
    n = wp.tid()
    length = wp.length(directions[n])
    hit = wp.mesh_query_ray(mesh, origins[n], directions[n] / length, 1.0e6)
    depth[n] = wp.inf
    face[n] = -1
    if hit.result:
        depth[n] = hit.t / length
        face[n] = hit.face
        bary[n] = wp.vec2(hit.v, 1.0 - hit.u - hit.v)
