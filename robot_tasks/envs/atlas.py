"""Many worlds in a few padded tables that the step kernels read: clearance, ways to the goals, what lidar beams meet.

Tables are integers: clearance in 0.1 mm and distances in 2 mm as uint16 (what the files' float16 resolve at 0.2 m and
4 m), empty squares as uint8. A 10 m flat takes 80 kB of clearance, 160 kB of squares and 80 kB per goal; the first two
of eight such worlds stay in the cache of one core. Of the table of lines by cell only cells with lines are read.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, UInt8, UInt16
from numba import njit

from lyra_sim.config.tasks import RobotConfig
from lyra_sim.core.errors import ConfigError
from robot_tasks.envs.beams import beams_of
from robot_tasks.worlds import NavWorld

CLEARANCE_UNIT_M, DISTANCE_UNIT_M = 1e-4, 2e-3
NO_WAY = 65535
"""Distance where no way is known."""
_RIM_CELLS = 2
"""Cells past those that are filled too, because the corners of a bilinear sample lie there."""

_LEVEL_CELLS = 0.1
"""Steps of clearance, in cells, in which cells for smaller bodies are filled: in a gap that is too narrow for the
robot the values of its two sides meet where it is narrowest, which only bodies that fit get to."""


class Atlas(NamedTuple):
    """Worlds W, goals G, cells X x Y of the largest world; index 0 of a cell axis lies at `origin`."""

    clearance: UInt16[np.ndarray, "W X Y"]
    """At cell centres, in 0.1 mm; 0 in the padding."""
    distance: UInt16[np.ndarray, "W G X Y"]
    """Way to the goal at cell centres, in 2 mm."""
    origin: Float32[np.ndarray, "W 2"]
    cell: Float32[np.ndarray, "W"]
    square: UInt8[np.ndarray, "W 4 U V"]
    """This and the following: as in `Beams`."""
    span: Int32[np.ndarray, "W U V 2"]
    lines: Float32[np.ndarray, "L 4"]
    shift: Float32[np.ndarray, "W 2"]


def pack(
    worlds: Sequence[NavWorld],
    robot: RobotConfig,
    *,
    bodies_m: Sequence[tuple[float, float]] | None = None,
) -> Atlas:
    """The tables of `worlds` for one robot.

    Args:
        bodies_m: for each world the radius of the robot's body and of the smallest that will drive there, in metres of
            the world as it is on disk: they get to cells that have no distance yet. None: the robot's radius.

    Raises:
        ConfigError: no world, or one without episodes or made for another robot or another height of its lidar.
    """
    for world in worlds:
        if world.robot != robot.name or len(world.episodes) == 0:
            raise ConfigError(
                world.name, expected=f"a world with episodes for {robot.name}",
                got=f"{len(world.episodes)} episodes for {world.robot}", todo="Leave it out or make it for this robot.",
            )  # fmt: skip
        if abs(world.lidar_height_m - robot.lidar.height_m) > 1e-6:
            raise ConfigError(
                world.name, expected=f"a world seen by a lidar {robot.lidar.height_m} m high",
                got=f"{world.lidar_height_m} m", todo="`lyra-sim run` with the same --out makes it anew.",
            )  # fmt: skip
    if not worlds:
        raise ConfigError("worlds", expected="at least one world", got="none", todo="Give some.")
    n, goals = len(worlds), max(len(w.goals) for w in worlds)
    x, y = np.max([w.state.shape for w in worlds], axis=0)
    atlas = Atlas(
        clearance=np.zeros((n, x, y), np.uint16),
        distance=np.full((n, goals, x, y), NO_WAY, np.uint16),
        origin=np.array([w.origin_m for w in worlds], np.float32),
        cell=np.array([w.cell_m for w in worlds], np.float32),
        **beams_of(worlds, robot)._asdict(),
    )
    for k, world in enumerate(worlds):
        u, v = world.state.shape
        atlas.clearance[k, :u, :v] = np.minimum(np.floor(world.clearance_m / CLEARANCE_UNIT_M + 0.5), NO_WAY)
        body, smallest = bodies_m[k] if bodies_m else (robot.radius_m, robot.radius_m)
        levels = np.linspace(body, smallest, 1 + int(np.ceil((body - smallest) / (_LEVEL_CELLS * world.cell_m))))
        far = world.distance_m.astype(np.float32)
        for g in range(len(world.goals)):
            for level in levels:
                _extend(far[g], world.clearance_m >= level, np.float32(world.cell_m))
            _rim(far[g], np.float32(world.cell_m))
        atlas.distance[k, : len(far), :u, :v] = np.minimum(np.floor(far / DISTANCE_UNIT_M + 0.5), NO_WAY)
    return atlas


@njit(cache=True)
def _extend(far, inside, cell):
    """Fill the distance field of one goal, in place: cells `inside` that a way along cells reaches."""
    nx, ny = far.shape
    changed = True
    todo = inside & ~np.isfinite(far)
    while changed:
        changed = False
        for turn in range(2):
            for a in range(1, nx - 1):
                i = a if turn == 0 else nx - 1 - a
                for b in range(1, ny - 1):
                    j = b if turn == 0 else ny - 1 - b
                    if todo[i, j]:
                        best = _nearest(far, i, j, cell)
                        if best < far[i, j]:
                            far[i, j] = best
                            changed = True


@njit(cache=True)
def _rim(far, cell):
    """Fill a rim around all that is known, in place. A cell takes the value of the nearest side, so nothing leaks
    through a wall."""
    nx, ny = far.shape
    for _ in range(_RIM_CELLS):
        before = far.copy()
        for i in range(1, nx - 1):
            for j in range(1, ny - 1):
                if not np.isfinite(before[i, j]):
                    far[i, j] = _nearest(before, i, j, cell)


@njit(cache=True)
def _nearest(far, i, j, cell):
    best = np.float32(np.inf)
    for di in range(-1, 2):
        for dj in range(-1, 2):
            step = cell * np.float32(np.sqrt(di * di + dj * dj))
            best = min(best, np.float32(far[i + di, j + dj] + step))
    return best
