"""Episodes as a file, in the terms of Habitat's PointNav data set but in our Z-up world frame."""

import gzip
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lyra_sim.core.errors import InputError
from robot_tasks.episodes import Episode
from robot_tasks.follower import SUCCESS_M, Drive
from robot_tasks.rooms import Rooms

FRAME = {
    "up": "z",
    "units": "m",
    "position": "[x, y, z], world frame of scene.usda; z is the height that the robot stands at: that of the highest "
    "floor under it that it climbs",
    "rotation": "[w, x, y, z], unit, about +z; the robot looks along +x where it is the identity",
    "habitat": "p = (x, z, -y); with yaw about +z, theta = yaw - pi/2: rotation [x, y, z, w] = "
    "[0, sin(theta/2), 0, cos(theta/2)]",
}
"""Stored with the episodes, so that nobody has to guess; Habitat itself is Y-up and looks along -z."""


def write_episodes(
    episodes: Sequence[Episode],
    drives: Sequence[Drive],
    heights_m: Sequence[tuple[float, float]],
    doors: Sequence[tuple[int, ...]],
    rooms: Rooms,
    margins_m: Sequence[float],
    robot: str,
    path: Path,
) -> None:
    """`episodes.json.gz`; the same episodes give the same bytes.

    Args:
        heights_m: height that the robot stands at, at start and goal of each episode.
        doors: that each episode leads through, in order, by their numbers in `rooms`.
        margins_m: of each door of `rooms`, what it is wider for this robot than the robot.
    """
    rows = [
        _row(k, episode, drive, z)
        for k, (episode, drive, z) in enumerate(zip(episodes, drives, heights_m, strict=True))
    ]
    for row, episode, way in zip(rows, episodes, doors, strict=True):
        row["info"] |= _difficulty(episode, way, rooms, margins_m)
    tree = {"frame": FRAME, "robot": robot, "episodes": rows}
    text = json.dumps(tree, separators=(",", ":"), sort_keys=True)
    path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))


def _row(number: int, episode: Episode, drive: Drive, heights: tuple[float, float]) -> dict[str, Any]:
    half = episode.start_yaw / 2
    start, goal = (_rounded([*p, z]) for p, z in zip((episode.start, episode.goal), heights, strict=True))
    return {
        "episode_id": str(number),
        "scene_id": "scene.usda",
        "start_position": start,
        "start_rotation": [round(math.cos(half), 9), 0.0, 0.0, round(math.sin(half), 9)],
        "goals": [{"position": goal, "radius": SUCCESS_M}],
        "path": [_rounded(p) for p in episode.path],
        "info": {
            "geodesic_distance": round(episode.geodesic_m, 4),
            "euclidean_distance": round(episode.euclidean_m, 4),
            "ratio": round(episode.geodesic_m / max(episode.euclidean_m, 1e-9), 4),
            "path_length": round(episode.path_m, 4),
            "min_clearance_m": round(episode.clearance_m, 4),
            "turn_rad": round(_turning(episode.path), 4),
            "follower": {"success": drive.success, "driven_m": round(drive.driven_m, 4), "s": round(drive.seconds, 1)},
        },
    }


def _difficulty(episode: Episode, doors: tuple[int, ...], rooms: Rooms, margins_m: Sequence[float]) -> dict[str, Any]:
    """Rooms at both ends, doors on the way, and the narrowest of them with what it leaves beside the robot."""
    ends = rooms.at(np.stack([episode.start, episode.goal]))
    narrow = min(doors, key=lambda door: margins_m[door], default=None)
    return {
        "rooms": [int(k) for k in ends],
        "doors": list(doors),
        "narrowest_door_m": None if narrow is None else round(rooms.doors[narrow].width_m, 3),
        "door_margin_m": None if narrow is None else round(margins_m[narrow], 3),
    }


def _rounded(point: Sequence[float] | np.ndarray) -> list[float]:
    return [round(float(v), 4) for v in point]


def _turning(path: np.ndarray) -> float:
    step = np.diff(path, axis=0)
    return float(np.abs(np.diff(np.unwrap(np.arctan2(step[:, 1], step[:, 0])))).sum())


def read_episodes(path: Path) -> list[dict[str, Any]]:
    """The episodes of a file as written, path points included.

    Raises:
        InputError: the file is not one of ours.
    """
    try:
        return json.loads(gzip.decompress(path.read_bytes()))["episodes"]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            path, expected="an episodes.json.gz", got=str(error), todo="Make the world again with --fresh."
        ) from error
