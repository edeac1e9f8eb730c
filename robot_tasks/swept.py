"""Does a robot's box meet a collider anywhere along a path: in 3-D, on the triangles themselves, not on a map.

One box covers each straight leg, as long as the leg and the robot together; turns on the spot are boxes a few degrees
apart. So nothing between two samples is missed on a leg.
"""

import math

import numpy as np
from jaxtyping import Bool, Float64
from numba import njit
from scipy import ndimage

from lyra_sim.config.tasks import RobotConfig
from robot_tasks import footprint
from robot_tasks.colliders import Nearby
from robot_tasks.footprint import box_meets
from robot_tasks.navmap import Ground

_LEG_M = 1.0
"""Longer legs are cut, so that the box follows the floor."""
_PIECE_M = 0.025
"""Over uneven floor legs are cut into such pieces: a robot may be on a ledge at one end of a leg only."""
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
        # cells count whole, and pieces of legs are longer than the robot
        self.reach_m = footprint.circumscribed_m(robot) + _PIECE_M / 2 + ground.cell_m * math.sqrt(0.5)
        size = 2 * math.ceil(self.reach_m / ground.cell_m) + 1
        high = np.where(ground.present, ground.height_m, -np.inf)
        low = np.where(ground.present, ground.height_m, np.inf)
        self.high = np.asarray(ndimage.maximum_filter(high, size, mode="nearest"))
        self.low = np.asarray(ndimage.minimum_filter(low, size, mode="nearest"))

    def at(self, points: Float64[np.ndarray, "N 2"]) -> Float64[np.ndarray, "N"]:
        """Heights of the highest floor under the robot that it climbs from the floor at each point, be that a door
        sill or the upper part of a slope, metres."""
        cell = np.floor((points - self.ground.origin_m) / self.ground.cell_m).astype(int)
        i, j = np.clip(cell, 0, np.array(self.ground.present.shape) - 1).T
        found = self.high[i, j].astype(np.float64)
        for k in np.flatnonzero(found - self.low[i, j] > _LEVEL_M):
            found[k] = self._climbed(points[k], float(self.ground.height_m[i[k], j[k]]))
        return found

    def uneven(self, boxes: Float64[np.ndarray, "B 4"]) -> Bool[np.ndarray, "B"]:
        """Of boxes as in `boxes_along`, those along which the robot does not stand at one height all the way."""
        share = np.linspace(-0.5, 0.5, 9) * boxes[:, 3:]
        points = (
            boxes[:, None, :2] + share[..., None] * np.column_stack([np.cos(boxes[:, 2]), np.sin(boxes[:, 2])])[:, None]
        )
        cell = np.floor((points - self.ground.origin_m) / self.ground.cell_m).astype(int)
        i, j = np.moveaxis(np.clip(cell, 0, np.array(self.ground.present.shape) - 1), -1, 0)
        return (boxes[:, 3] > 0) & (self.high[i, j].max(1) - self.low[i, j].min(1) > _LEVEL_M)

    def _climbed(self, point: Float64[np.ndarray, "2"], floor: float) -> float:
        ground, robot, reach = self.ground, self.robot, self.reach_m
        low = np.maximum(np.floor((point - reach - ground.origin_m) / ground.cell_m).astype(int), 0)
        high = np.floor((point + reach - ground.origin_m) / ground.cell_m).astype(int) + 1
        window = (slice(low[0], high[0]), slice(low[1], high[1]))
        a, b = (np.arange(low[k], low[k] + n) for k, n in enumerate(ground.present[window].shape))
        away = [ground.origin_m[k] + (m + 0.5) * ground.cell_m - point[k] for k, m in enumerate((a, b))]
        under = ground.present[window] & (away[0][:, None] ** 2 + away[1][None] ** 2 <= reach**2)
        heights = ground.height_m[window][under]
        limit = robot.step_m + footprint.circumscribed_m(robot) * math.tan(math.radians(robot.slope_deg))
        return float(heights[heights - floor <= limit].max(initial=floor))


def boxes_along(path: Float64[np.ndarray, "N 2"], start_yaw: float) -> Float64[np.ndarray, "B 4"]:
    """Rows (x, y, yaw, extra length, metres) whose boxes cover a robot that turns at each vertex and drives straight to
    the next."""
    step = np.diff(path, axis=0)
    length = np.hypot(*step.T)
    yaws = np.unwrap(np.concatenate([[start_yaw], np.arctan2(step[:, 1], step[:, 0])]))
    turns = np.maximum(np.ceil(np.abs(np.diff(yaws)) / _TURN_RAD).astype(int), 1)
    parts = np.maximum(np.ceil(length / _LEG_M).astype(int), 1)
    at, on = (np.repeat(np.arange(len(step)), n) for n in (turns, parts))
    done, gone = (np.arange(len(k)) - (np.cumsum(n) - n)[k] for k, n in ((at, turns), (on, parts)))
    swing = yaws[at] + done / turns[at] * np.diff(yaws)[at]
    middle = path[on] + ((gone + 0.5) / parts[on])[:, None] * step[on]
    rows = np.column_stack([path[at], swing, np.zeros(len(at))])
    legs = np.column_stack([middle, yaws[on + 1], (length / parts)[on]])
    order = np.argsort(np.concatenate([2 * at, 2 * on + 1]), kind="stable")
    return np.concatenate([rows, legs])[order]


def _in_pieces(boxes: Float64[np.ndarray, "B 4"], cut: Bool[np.ndarray, "B"]) -> Float64[np.ndarray, "C 4"]:
    """The same with some of the boxes cut into short ones."""
    parts = np.where(cut, np.maximum(np.ceil(boxes[:, 3] / _PIECE_M), 1), 1).astype(int)
    of = np.repeat(np.arange(len(boxes)), parts)
    k = np.arange(len(of)) - (np.cumsum(parts) - parts)[of]
    made = boxes[of]
    away = ((k + 0.5) / parts[of] - 0.5) * made[:, 3]
    made[:, :2] += away[:, None] * np.column_stack([np.cos(made[:, 2]), np.sin(made[:, 2])])
    made[:, 3] /= parts[of]
    return made


@njit(cache=True)
def _first_hit(triangles, bounds, owner, start, origin, side, shape, boxes, low, high, length, width):
    """Number of the first box that meets a triangle, -1 where none does."""
    half, centre, tri = np.empty(3), np.empty(3), np.empty((3, 3))
    for b in range(len(boxes)):
        half[0], half[1], half[2] = (length + boxes[b, 3]) / 2, width / 2, (high[b] - low[b]) / 2
        centre[0], centre[1], centre[2] = boxes[b, 0], boxes[b, 1], (low[b] + high[b]) / 2
        c, s = np.cos(boxes[b, 2]), np.sin(boxes[b, 2])
        wide, deep = abs(c) * half[0] + abs(s) * half[1], abs(s) * half[0] + abs(c) * half[1]
        i0 = max(int(np.floor((centre[0] - wide - origin[0]) / side)), 0)
        i1 = min(int(np.floor((centre[0] + wide - origin[0]) / side)), shape[0] - 1)
        j0 = max(int(np.floor((centre[1] - deep - origin[1]) / side)), 0)
        j1 = min(int(np.floor((centre[1] + deep - origin[1]) / side)), shape[1] - 1)
        for i in range(i0, i1 + 1):
            if j0 > j1:
                break
            for k in range(start[i * shape[1] + j0], start[i * shape[1] + j1 + 1]):
                if (
                    bounds[k, 5] < low[b]
                    or bounds[k, 2] > high[b]
                    or bounds[k, 3] < centre[0] - wide
                    or bounds[k, 0] > centre[0] + wide
                    or bounds[k, 4] < centre[1] - deep
                    or bounds[k, 1] > centre[1] + deep
                ):
                    continue
                if box_meets(triangles[owner[k]], centre, c, s, half, tri):
                    return b
    return -1


def path_hits(
    nearby: Nearby, stances: Stances, path: Float64[np.ndarray, "N 2"], start_yaw: float
) -> Float64[np.ndarray, "2"] | None:
    """The first place of a path at which the robot's box meets a collider triangle; None where the way is free."""
    robot, boxes = stances.robot, boxes_along(path, start_yaw)
    boxes = _in_pieces(boxes, stances.uneven(boxes))
    floor = stances.at(boxes[:, :2])
    hit = _first_hit(
        nearby.triangles, nearby.boxes, nearby.owner, nearby.start, nearby.origin, nearby.side_m, nearby.shape, boxes,
        floor + min(robot.step_m, robot.slab_m[0]) + 1e-4, floor + robot.slab_m[1], *robot.footprint_m,
    )  # fmt: skip
    return None if hit < 0 else boxes[hit, :2].copy()
