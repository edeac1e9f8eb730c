"""The traversability map of iGibson and OmniGibson.

    nav/<robot>/igibson/floor_trav_0.png

255 is traversable. The image is square, its centre is the world's origin, a pixel is 1 cm, and rows grow with y: row 0
is the smallest y, other than in a ROS map. Both programs shrink it to 0.1 m by looking only at the middle of each
block; so all pixels of a block have one value here, and it is traversable where all of the block is free. They erode
by the robot's radius themselves.
Sources: iGibson `scenes/indoor_scene.py`; OmniGibson `maps/map_base.py`, `maps/traversable_map.py`.
"""

import math

import numpy as np
from jaxtyping import UInt8

from lyra_sim.config.tasks import RobotConfig
from lyra_sim.io.images import write_png
from robot_tasks.export.written import WrittenMap, WrittenNav
from robot_tasks.navmap import FREE

BLOCK_M, BLOCK_PX = 0.1, 10


def write(nav: WrittenNav, robot: RobotConfig) -> None:
    """`floor_trav_0.png`."""
    write_png(nav.folder / "igibson" / "floor_trav_0.png", traversable(nav.map), level=1)


def traversable(found: WrittenMap) -> UInt8[np.ndarray, "S S"]:
    """The image: 255 where a whole block of 0.1 m is free, else 0."""
    ends = np.concatenate([found.origin_m, found.origin_m + np.array(found.state.shape) * found.cell_m])
    half = math.ceil(float(np.abs(ends).max()) / BLOCK_M - 1e-9)
    edges = (np.arange(2 * half + 1) - half) * BLOCK_M
    blocked = np.pad(found.state != FREE, 1, constant_values=True)
    first, last = [], []
    for k in (0, 1):
        at = (edges - found.origin_m[k]) / found.cell_m
        limit = blocked.shape[k] - 1
        first.append(np.clip(np.floor(at[:-1] + 1e-6).astype(int) + 1, 0, limit))
        last.append(np.clip(np.ceil(at[1:] - 1e-6).astype(int), 0, limit))
    total = np.pad(blocked.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    (x0, y0), (x1, y1) = np.ix_(*first), np.ix_(*last)
    x1, y1 = x1 + 1, y1 + 1
    count = total[x1, y1] - total[x0, y1] - total[x1, y0] + total[x0, y0]
    free = np.where(count == 0, 255, 0).astype(np.uint8)
    return free.T.repeat(BLOCK_PX, axis=0).repeat(BLOCK_PX, axis=1)
