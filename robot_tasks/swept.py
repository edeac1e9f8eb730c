"""Does a robot's box meet a collider anywhere along a path: in 3-D, on the triangles themselves, not on a map.

One box covers each straight leg, as long as the leg and the robot together; turns on the spot are boxes a few degrees
apart. So nothing between two samples is missed on a leg.
"""

import math

import numpy as np
from jaxtyping import Float64
from scipy import ndimage

from lyra_sim.config.tasks import RobotConfig
from robot_tasks import footprint
from robot_tasks.colliders import Nearby
from robot_tasks.navmap import Ground

_LEG_M = 0.5
"""Longer legs are cut, so that the box follows the floor."""
_TURN_RAD = 0.1
_LEVEL_M = 1e-3


class Stances:
    """Heights that a robot stands at: over level ground looked up, elsewhere found.

    Args:
        ground: the floor.
        robot: whose footprint and step count.
    """

    def __init__(self, ground: Ground, robot: RobotConfig) -> None:
        self.ground, self.robot = ground, robot
        size = 2 * math.ceil(footprint.circumscribed_m(robot) / ground.cell_m) + 1
        high = np.where(ground.present, ground.height_m, -np.inf)
        low = np.where(ground.present, ground.height_m, np.inf)
        self.high = np.asarray(ndimage.maximum_filter(high, size, mode="nearest"))
        self.low = np.asarray(ndimage.minimum_filter(low, size, mode="nearest"))

    def at(self, point: Float64[np.ndarray, "2"]) -> float:
        """Height of the highest floor under the robot that it climbs from the floor at `point`, be that a door sill
        or the upper part of a slope, metres."""
        ground, robot = self.ground, self.robot
        cell = np.floor((point - ground.origin_m) / ground.cell_m).astype(int)
        i, j = np.clip(cell, 0, np.array(ground.present.shape) - 1)
        if self.high[i, j] - self.low[i, j] <= _LEVEL_M:
            return float(self.high[i, j])
        floor, reach = float(ground.height_m[i, j]), footprint.circumscribed_m(robot)
        low = np.maximum(np.floor((point - reach - ground.origin_m) / ground.cell_m).astype(int), 0)
        high = np.floor((point + reach - ground.origin_m) / ground.cell_m).astype(int) + 1
        window = (slice(low[0], high[0]), slice(low[1], high[1]))
        a, b = (np.arange(low[k], low[k] + n) for k, n in enumerate(ground.present[window].shape))
        away = [ground.origin_m[k] + (m + 0.5) * ground.cell_m - point[k] for k, m in enumerate((a, b))]
        under = ground.present[window] & (away[0][:, None] ** 2 + away[1][None] ** 2 <= reach**2)
        heights = ground.height_m[window][under]
        limit = robot.step_m + reach * math.tan(math.radians(robot.slope_deg))
        return float(heights[heights - floor <= limit].max(initial=floor))


def boxes_along(path: Float64[np.ndarray, "N 2"], start_yaw: float) -> Float64[np.ndarray, "B 4"]:
    """Rows (x, y, yaw, extra length, metres) whose boxes cover a robot that turns at each vertex and drives straight to
    the next."""
    step = np.diff(path, axis=0)
    length = np.hypot(*step.T)
    yaws = np.unwrap(np.concatenate([[start_yaw], np.arctan2(step[:, 1], step[:, 0])]))
    turns = np.maximum(np.ceil(np.abs(np.diff(yaws)) / _TURN_RAD).astype(int), 1)
    parts = np.maximum(np.ceil(length / _LEG_M).astype(int), 1)
    rows = []
    for k, (turn, part) in enumerate(zip(turns, parts, strict=True)):
        swing = yaws[k] + np.arange(turn + 1) / turn * (yaws[k + 1] - yaws[k])
        rows.append(np.column_stack([np.tile(path[k], (turn + 1, 1)), swing, np.zeros(turn + 1)]))
        middle = path[k] + (np.arange(part) + 0.5)[:, None] / part * step[k]
        rows.append(np.column_stack([middle, np.full(part, yaws[k + 1]), np.full(part, length[k] / part)]))
    return np.concatenate(rows)


def path_hits(
    nearby: Nearby, stances: Stances, path: Float64[np.ndarray, "N 2"], start_yaw: float
) -> Float64[np.ndarray, "2"] | None:
    """The first place of a path at which the robot's box meets a collider triangle; None where the way is free."""
    robot = stances.robot
    for x, y, yaw, extra in boxes_along(path, start_yaw):
        near = nearby.around(x, y, footprint.circumscribed_m(robot) + extra / 2)
        place = np.array([x, y])
        if footprint.box_hits(near, robot, x, y, stances.at(place), yaw, longer_m=extra):
            return place
    return None
