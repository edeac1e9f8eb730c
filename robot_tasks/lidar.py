"""What a level lidar meets: the colliders cut at its height over the floor, as lines seen from above.

A beam that meets no collider goes on, whether or not anything is known there; so does one in a physics simulator.
"""

import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64
from scipy import ndimage

from lyra_sim.core.errors import InputError
from robot_tasks.colliders import Soup
from robot_tasks.mapfiles import save_arrays
from robot_tasks.navmap import Ground

LIDAR = "lidar.npz"
_DIGITS = 4
"""Ends are rounded to 0.1 mm."""
_AGAIN = "Worlds made before lidars had a file of their own lack it: `lyra-sim run` with the same --out makes it anew."


def cut(soup: Soup, ground: Ground, height_m: float) -> Float32[np.ndarray, "S 2 2"]:
    """Ends x, y of the lines in which collider triangles are `height_m` above the floor.

    Heights are those over the lowest floor beside a triangle's corner: where the floor rises, the lidar rises with it,
    and a kerb stands as high as it looks from below. On level floor the lines are exactly what level rays meet.
    """
    corners = soup.triangles.reshape(-1, 3)
    above = ((corners[:, 2] - _floor_below(ground, corners[:, :2])) - height_m).reshape(-1, 3)
    up = above > 0
    cut_up = up.any(1) & ~up.all(1)
    triangles, above, up = soup.triangles[cut_up], above[cut_up], up[cut_up]
    alone = np.argmax(up == (up.sum(1) == 1)[:, None], axis=1)  # the corner on a side of its own
    row = np.arange(len(alone))
    ends = []
    for step in (1, 2):
        other = (alone + step) % 3
        share = above[row, alone] / (above[row, alone] - above[row, other])
        start = triangles[row, alone, :2]
        ends.append(start + share[:, None] * (triangles[row, other, :2] - start))
    lines = np.round(np.stack(ends, 1), _DIGITS).astype(np.float32)
    return lines[(lines[:, 0] != lines[:, 1]).any(1)]


def _floor_below(ground: Ground, points: Float64[np.ndarray, "N 2"]) -> Float64[np.ndarray, "N"]:
    """Height of the lowest floor within a cell of each point; far from all floor, that of the nearest."""
    lowest = np.asarray(ndimage.minimum_filter(ground.height_m, 3, mode="nearest"))
    cell = np.floor((points - ground.origin_m) / ground.cell_m).astype(np.int64)
    cell = np.clip(cell, 0, np.array(lowest.shape) - 1)
    return lowest[cell[:, 0], cell[:, 1]].astype(np.float64)


def write_lidar(lines_m: Float32[np.ndarray, "S 2 2"], height_m: float, folder: Path) -> None:
    """`lidar.npz`: lines_m float32 (S, 2, 2), x and y of both ends in metres, world frame; height_m."""
    save_arrays(folder / LIDAR, {"lines_m": lines_m, "height_m": np.float64(height_m)})


def read_lidar(folder: Path) -> tuple[Float32[np.ndarray, "S 2 2"], float]:
    """Lines and height of `nav/<robot>/lidar.npz`.

    Raises:
        InputError: it is missing or broken.
    """
    try:
        with np.load(folder / LIDAR) as stored:
            lines, height_m = stored["lines_m"].astype(np.float32), float(stored["height_m"])
        if lines.shape[1:] != (2, 2) or not np.isfinite(lines).all():
            raise ValueError(f"lines of shape {lines.shape}")
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(
            folder / LIDAR, expected="what the robot's lidar meets", got=f"{type(error).__name__}: {error}", todo=_AGAIN
        ) from error  # fmt: skip
    return lines, height_m
