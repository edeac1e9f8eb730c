"""Does the robot's real outline fit: the rectangle on the map, the box among the collider triangles."""

import math

import numpy as np
from jaxtyping import Float64
from numba import njit

from lyra_sim.config.tasks import RobotConfig
from robot_tasks.geodesic import sample_at
from robot_tasks.navmap import FREE, NavMap

YAWS = 16
"""Start headings are multiples of a turn over this."""
_TURN_RAD = 0.05
"""Turning on the spot is checked at headings this far apart."""
_TRACKING_M = 0.01
"""What the outline is grown by in checks of plans: how far a driven pose may be from the planned one."""


@njit(cache=True)
def _chord(dx, c, s, half_length, half_width):
    """Lowest and highest y at which the line x = dx runs inside a rectangle turned about the origin; an empty range
    where it misses it."""
    low, high = -half_length - half_width, half_length + half_width
    if abs(s) > 1e-9:
        a, b = (-half_length - c * dx) / s, (half_length - c * dx) / s
        low, high = max(low, min(a, b)), min(high, max(a, b))
    if abs(c) > 1e-9:
        a, b = (s * dx - half_width) / c, (s * dx + half_width) / c
        low, high = max(low, min(a, b)), min(high, max(a, b))
    return low, high


@njit(cache=True)
def _discs_clear(clearance, ox, oy, cell, x, y, c, s, half_length, half_width, grow):
    """True where discs that cover the rectangle meet nothing: mostly so, and 100 times as fast as all its cells."""
    count = int(np.ceil(6 * half_length / half_width))
    need = np.hypot(half_width, half_length / count) - grow
    for k in range(count):
        along = half_length * ((2 * k + 1) / count - 1)
        if sample_at(clearance, ox, oy, cell, x + c * along, y + s * along) < need:
            return False
    return True


@njit(cache=True)
def rectangle_blocked(blocked, clearance, ox, oy, cell, x, y, yaw, half_length, half_width, radius):
    """Does the rectangle at a pose, or the disc it is mapped with, touch a blocked cell? Blocked cells count whole."""
    room = sample_at(clearance, ox, oy, cell, x, y)
    reach = np.hypot(half_length, half_width)
    if room < radius:
        return True
    if room >= reach:
        return False
    grow = cell * np.sqrt(0.5)
    c, s = np.cos(yaw), np.sin(yaw)
    if _discs_clear(clearance, ox, oy, cell, x, y, c, s, half_length + grow, half_width + grow, grow):
        return False
    nx, ny = blocked.shape
    wide = abs(c) * (half_length + grow) + abs(s) * (half_width + grow)
    for i in range(int(np.floor((x - wide - ox) / cell)), int(np.floor((x + wide - ox) / cell)) + 1):
        dx = ox + (i + 0.5) * cell - x
        low, high = _chord(dx, c, s, half_length + grow, half_width + grow)
        for j in range(int(np.floor((y + low - oy) / cell)), int(np.floor((y + high - oy) / cell)) + 1):
            if 0 <= i < nx and 0 <= j < ny and not blocked[i, j]:
                continue
            dy = oy + (j + 0.5) * cell - y
            if abs(c * dx + s * dy) < half_length + grow and abs(c * dy - s * dx) < half_width + grow:
                return True
    return False


@njit(cache=True)
def _sweep(blocked, clearance, ox, oy, cell, poses, half_length, half_width, radius, turn, spacing):
    """Index of the first leg between poses that touches something, -1 if none: turn on the spot, then drive."""
    for k in range(len(poses) - 1):
        x, y, yaw = poses[k]
        dx, dy = poses[k + 1, 0] - x, poses[k + 1, 1] - y
        dyaw = (poses[k + 1, 2] - yaw + np.pi) % (2 * np.pi) - np.pi
        turns = max(int(np.ceil(abs(dyaw) / turn)), 1)
        for t in range(turns + 1):
            if rectangle_blocked(
                blocked, clearance, ox, oy, cell, x, y, yaw + t / turns * dyaw, half_length, half_width, radius
            ):
                return k
        steps = max(int(np.ceil(np.hypot(dx, dy) / spacing)), 1)
        for t in range(1, steps + 1):
            s = t / steps
            if rectangle_blocked(
                blocked,
                clearance,
                ox,
                oy,
                cell,
                x + s * dx,
                y + s * dy,
                poses[k + 1, 2],
                half_length,
                half_width,
                radius,
            ):
                return k
    return -1


def sweep_clear(nav: NavMap, robot: RobotConfig, poses: Float64[np.ndarray, "N 3"], slack_m: float = 0.005) -> bool:
    """Can the robot go through the poses (x, y, yaw), turning on the spot at each and driving straight to the next,
    without its outline touching anything blocked? `slack_m` is what a chord around a corner may lack."""
    return (
        _sweep(
            nav.blocked, nav.clearance_m, nav.origin_m[0], nav.origin_m[1], nav.fine_m,
            np.ascontiguousarray(poses, np.float64), robot.footprint_m[0] / 2 + _TRACKING_M,
            robot.footprint_m[1] / 2 + _TRACKING_M, robot.radius_m - slack_m, _TURN_RAD, 0.04,
        )
        == -1
    )  # fmt: skip


def free_on_map(nav: NavMap, robot: RobotConfig, x: float, y: float, yaw: float) -> bool:
    """Is every cell of the written map that the robot's outline reaches into free? Separating axes, exact."""
    half, (c, s) = np.array(robot.footprint_m) / 2, (math.cos(yaw), math.sin(yaw))
    box = np.array([abs(c) * half[0] + abs(s) * half[1], abs(s) * half[0] + abs(c) * half[1]])
    low = np.floor((np.array([x, y]) - box - nav.origin_m) / nav.cell_m).astype(int)
    high = np.floor((np.array([x, y]) + box - nav.origin_m) / nav.cell_m).astype(int) + 1
    if (low < 0).any() or (high > nav.state.shape).any():
        return False
    taken = np.argwhere(nav.state[low[0] : high[0], low[1] : high[1]] != FREE) + low
    away = np.abs((nav.origin_m + (taken + 0.5) * nav.cell_m - np.array([x, y])) @ np.array([[c, -s], [s, c]]))
    spread = nav.cell_m / 2 * (abs(c) + abs(s))
    return bool(((away[:, 0] >= half[0] + spread) | (away[:, 1] >= half[1] + spread)).all())


def pose_clear(nav: NavMap, robot: RobotConfig, x: float, y: float, yaw: float) -> bool:
    """Does the robot's outline fit at a pose?"""
    return sweep_clear(nav, robot, np.array([[x, y, yaw], [x, y, yaw]]))


def headings(path: Float64[np.ndarray, "N 2"]) -> Float64[np.ndarray, "M"]:
    """Heading of each segment of a polyline, radians."""
    step = np.diff(path, axis=0)
    return np.arctan2(step[:, 1], step[:, 0])


def poses_along(path: Float64[np.ndarray, "N 2"], start_yaw: float) -> Float64[np.ndarray, "N 3"]:
    """Poses of a robot that starts with `start_yaw` and turns at each vertex toward the next: pose k + 1 is reached
    with the heading of segment k."""
    yaw = np.concatenate([[start_yaw], headings(path)])
    return np.column_stack([path, yaw])


@njit(cache=True)
def _apart_along(tri, half, ax, ay, az):
    """Does an axis separate a triangle (box coordinates) from a box?"""
    d = tri[0, 0] * ax + tri[0, 1] * ay + tri[0, 2] * az
    e = tri[1, 0] * ax + tri[1, 1] * ay + tri[1, 2] * az
    f = tri[2, 0] * ax + tri[2, 1] * ay + tri[2, 2] * az
    reach = half[0] * abs(ax) + half[1] * abs(ay) + half[2] * abs(az)
    return min(d, e, f) > reach or max(d, e, f) < -reach


@njit(cache=True)
def box_meets(triangle, centre, c, s, half, tri):
    """Does a triangle meet an upright box whose length runs along (c, s)? Separating axes (Akenine-Moller 2001); `tri`
    (3, 3) is room to work in."""
    for k in range(3):
        x, y = triangle[k, 0] - centre[0], triangle[k, 1] - centre[1]
        tri[k, 0], tri[k, 1], tri[k, 2] = c * x + s * y, c * y - s * x, triangle[k, 2] - centre[2]
    for k in range(3):
        if min(tri[0, k], tri[1, k], tri[2, k]) > half[k] or max(tri[0, k], tri[1, k], tri[2, k]) < -half[k]:
            return False
    for k in range(3):
        x, y, z = tri[(k + 1) % 3, 0] - tri[k, 0], tri[(k + 1) % 3, 1] - tri[k, 1], tri[(k + 1) % 3, 2] - tri[k, 2]
        if (
            _apart_along(tri, half, 0.0, -z, y)
            or _apart_along(tri, half, z, 0.0, -x)
            or _apart_along(tri, half, -y, x, 0.0)
        ):
            return False
    u, v = tri[1] - tri[0], tri[2] - tri[0]
    return not _apart_along(tri, half, u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0])


@njit(cache=True)
def count_box_hits(triangles, centre, yaw, half):
    """Number of triangles that meet an upright box."""
    tri, hits = np.empty((3, 3)), 0
    for t in range(len(triangles)):
        hits += box_meets(triangles[t], centre, np.cos(yaw), np.sin(yaw), half, tri)
    return hits


def box_hits(
    triangles: Float64[np.ndarray, "T 3 3"], robot: RobotConfig, x: float, y: float, floor_m: float, yaw: float
) -> int:
    """Collider triangles that meet the robot's box at a pose: its outline, from its step to its top, exactly in 3-D."""
    low, high = floor_m + min(robot.step_m, robot.slab_m[0]) + 1e-4, floor_m + robot.slab_m[1]
    half = np.array([robot.footprint_m[0] / 2, robot.footprint_m[1] / 2, (high - low) / 2])
    return int(count_box_hits(np.ascontiguousarray(triangles), np.array([x, y, (low + high) / 2]), yaw, half))


def circumscribed_m(robot: RobotConfig) -> float:
    """Radius of the circle around the footprint, at least the map radius."""
    return max(math.hypot(*robot.footprint_m) / 2, robot.radius_m)
