"""Episodes and maps of a finished world as anybody reads them: yaml, Pillow, json, and arithmetic of its own.

Nothing here is used by the package, and of the package only the robot profiles are used.
"""

import gzip
import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from lyra_sim.config.tasks import RobotConfig

FREE = 255
STEP_M, TURN_RAD = 0.02, math.radians(3)


@dataclass(frozen=True)
class Written:
    """The episodes of one robot in one world. World frame, metres, radians."""

    start: np.ndarray
    """(E, 4) x, y, floor height and heading."""
    goal: np.ndarray
    """(E, 4) with the heading in which the path arrives."""
    paths: list[np.ndarray]
    """(N, 2) each."""


def read_written(folder: Path) -> Written:
    """From `nav/<robot>` of a world."""
    rows = json.loads(gzip.decompress((folder / "episodes.json.gz").read_bytes()))["episodes"]
    paths = [np.array(row["path"], float) for row in rows]
    arrive = [math.atan2(*(path[-1] - path[-2])[::-1]) for path in paths]
    start = [[*r["start_position"], 2 * math.atan2(r["start_rotation"][3], r["start_rotation"][0])] for r in rows]
    goal = [[*row["goals"][0]["position"], yaw] for row, yaw in zip(rows, arrive, strict=True)]
    return Written(np.array(start, float).reshape(-1, 4), np.array(goal, float).reshape(-1, 4), paths)


class WrittenMap:
    """`map.yaml` and its picture; every cell that is not free counts whole."""

    def __init__(self, folder: Path) -> None:
        head = yaml.safe_load((folder / "map.yaml").read_text())
        with Image.open(folder / head["image"]) as image:
            self.free = np.asarray(image.convert("L"))[::-1].T == FREE
        self.origin, self.cell_m = np.array(head["origin"][:2], float), float(head["resolution"])
        lattice = np.argwhere(~self.free)
        self._solid = self.origin + lattice * self.cell_m

    def clearance(self, points: np.ndarray) -> np.ndarray:
        """(N,) distance of (N, 2) points to the nearest cell that is not free, 0 inside one; outside the map nothing
        is free."""
        high = self.origin + np.array(self.free.shape) * self.cell_m
        room = np.minimum(points - self.origin, high - points).min(1).clip(0)
        for k, point in enumerate(points):
            gap = np.maximum(np.maximum(self._solid - point, point - self._solid - self.cell_m), 0)
            room[k] = min(room[k], np.hypot(*gap.T).min(initial=np.inf))
        return room

    def outline_free(self, pose: np.ndarray, robot: RobotConfig) -> bool:
        """Does no cell that is not free reach into the robot's rectangle at (x, y, z, yaw)? Separating axes, exact."""
        half, (c, s) = np.array(robot.footprint_m) / 2, (math.cos(pose[3]), math.sin(pose[3]))
        away = self._solid + self.cell_m / 2 - pose[:2]
        side, spread = self.cell_m / 2, abs(c) + abs(s)
        box = abs(c) * half[0] + abs(s) * half[1], abs(s) * half[0] + abs(c) * half[1]
        apart = (np.abs(away[:, 0]) >= box[0] + side) | (np.abs(away[:, 1]) >= box[1] + side)
        apart |= np.abs(away @ (c, s)) >= half[0] + side * spread
        apart |= np.abs(away @ (-s, c)) >= half[1] + side * spread
        return bool(apart.all())


def sweep(path: np.ndarray, start_yaw: float) -> np.ndarray:
    """(N, 3) poses of a robot that turns on the spot at each vertex, every 3 degrees, and drives straight to the next,
    every 2 cm."""
    poses, yaw = [[*path[0], start_yaw]], start_yaw
    for a, b in itertools.pairwise(path):
        ahead = math.atan2(*(b - a)[::-1])
        turn = (ahead - yaw + math.pi) % (2 * math.pi) - math.pi
        for k in range(1, math.ceil(abs(turn) / TURN_RAD) + 1):
            poses.append([*a, yaw + turn * k / math.ceil(abs(turn) / TURN_RAD)])
        parts = max(math.ceil(float(np.hypot(*(b - a))) / STEP_M), 1)
        poses += [[*(a + (b - a) * k / parts), ahead] for k in range(1, parts + 1)]
        yaw = ahead
    return np.array(poses)
