"""Tables for lidar beams: the lines that a level beam meets, by the cells they cross, and squares without lines.

Cells are as large as the map's; they reach beyond it as far as beams do and lines lie there.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, UInt8
from numba import njit

from lyra_sim.config.tasks import RobotConfig
from robot_tasks.worlds import NavWorld

OUTSIDE = 255
"""Empty square of cells beyond all lines: a beam that comes here meets nothing more."""
PAST_CELLS = 1e-3
"""Lines belong to cells that they pass within this; rounding then loses none."""
_SIGMAS = 3.0
"""A world that is smaller by so much is looked at as far as beams reach there; more than `noise.MOST_SIGMAS`."""


class Beams(NamedTuple):
    """Worlds W, cells U x V of the largest one, L lines by cell."""

    square: UInt8[np.ndarray, "W 4 U V"]
    """Side in cells of the largest square without lines that starts at a cell and extends to the sides that beams of
    a quadrant go to; 0: lines cross the cell. Quadrant 0 goes to smaller x and y, 1 to larger x, 2 to larger y, 3 to
    both."""
    span: Int32[np.ndarray, "W U V 2"]
    """First row of `lines` of a cell, and the one after its last."""
    lines: Float32[np.ndarray, "L 4"]
    """x, y of an end in cells, and the way from there to the other; again for each cell that a line crosses."""
    shift: Float32[np.ndarray, "W 2"]
    """Whole cells: coordinates here are those on the map plus this."""


def beams_of(worlds: Sequence[NavWorld], robot: RobotConfig) -> Beams:
    """The tables of `worlds`, at least one."""
    made = [_lattice(world, robot.lidar.range_m) for world in worlds]
    u, v = np.max([shape for _, shape, _ in made], axis=0)
    square, span = np.full((len(made), 4, u, v), OUTSIDE, np.uint8), np.zeros((len(made), u, v, 2), np.int32)
    kept, before = [np.zeros((1, 4), np.float32)], 1  # never empty: a GPU takes no empty table
    for k, (lines, (nx, ny), _) in enumerate(made):
        count = np.zeros((nx, ny), np.int64)
        _by_cell(lines, count, np.zeros((0, 4), np.float32), False)
        last = np.cumsum(count).reshape(nx, ny)
        span[k, :nx, :ny] = np.stack([last - count, last], -1) + before
        for quadrant in range(4):
            square[k, quadrant, :nx, :ny] = empty_squares(count > 0, quadrant)
        here, at = np.zeros((int(count.sum()), 4), np.float32), last - count
        _by_cell(lines, at, here, True)
        kept.append(here)
        before += len(here)
    shift = np.array([shift for _, _, shift in made], np.float32)
    return Beams(square=square, span=span, lines=np.concatenate(kept), shift=shift)


def _lattice(world: NavWorld, range_m: float) -> tuple[Float64[np.ndarray, "S 4"], tuple[int, int], np.ndarray]:
    """Lines in cells of the world's lattice, its size, and how far it begins before the map. The cells at its border
    hold no lines."""
    size = np.array(world.state.shape)
    lines = (world.lines_m.astype(np.float64) - world.origin_m) / world.cell_m
    reach = math.ceil(range_m * math.exp(_SIGMAS * world.scale_sigma) / world.cell_m)
    near = ((lines.max(1) >= -reach) & (lines.min(1) <= size + reach)).all(1)
    ends = lines[near].reshape(-1, 2)
    low = np.floor(np.clip(ends.min(0, initial=0), -reach, 0)).astype(int) - 2
    high = np.ceil(np.minimum(np.maximum(ends.max(0, initial=0), size), size + reach)).astype(int) + 2
    x, y = high - low
    return (lines[near] - low).reshape(-1, 4), (int(x), int(y)), -low


@njit(cache=True)
def _by_cell(lines, at, out, fill):
    """Count in `at` the lines of each inner cell, or write them to `out` from row `at` on, which then moves on."""
    nx, ny = at.shape
    for k in range(len(lines)):
        ax, ay, bx, by = lines[k, 0], lines[k, 1], lines[k, 2], lines[k, 3]
        if bx < ax:
            ax, ay, bx, by = bx, by, ax, ay
        for i in range(max(int(np.floor(ax - PAST_CELLS)), 1), min(int(np.floor(bx + PAST_CELLS)), nx - 2) + 1):
            near, far = ay, by
            if bx - ax > PAST_CELLS:
                near = ay + (by - ay) * max((i - PAST_CELLS - ax) / (bx - ax), 0.0)
                far = ay + (by - ay) * min((i + 1 + PAST_CELLS - ax) / (bx - ax), 1.0)
            first, last = int(np.floor(min(near, far) - PAST_CELLS)), int(np.floor(max(near, far) + PAST_CELLS))
            for j in range(max(first, 1), min(last, ny - 2) + 1):
                if fill:
                    row = at[i, j]
                    out[row, 0], out[row, 1] = ax, ay
                    out[row, 2], out[row, 3] = bx - ax, by - ay
                at[i, j] += 1


def empty_squares(blocks: Bool[np.ndarray, "U V"], quadrant: int) -> UInt8[np.ndarray, "U V"]:
    """`Beams.square` of one quadrant; the ring of cells at the lattice's edge is `OUTSIDE` unless it blocks."""
    sides = tuple(slice(None, None, 1 if quadrant >> axis & 1 else -1) for axis in (0, 1))
    return np.ascontiguousarray(_squares(np.ascontiguousarray(blocks[sides]))[sides])


@njit(cache=True)
def _squares(blocks):
    nx, ny = blocks.shape
    side = np.zeros((nx, ny), np.uint8)
    for i in range(nx - 1, -1, -1):
        for j in range(ny - 1, -1, -1):
            if blocks[i, j]:
                continue
            if i == 0 or j == 0 or i == nx - 1 or j == ny - 1:
                side[i, j] = OUTSIDE
                continue
            least = OUTSIDE - 2
            for a, b in ((i + 1, j), (i, j + 1), (i + 1, j + 1)):
                least = min(least, 0 if side[a, b] == OUTSIDE else side[a, b])
            side[i, j] = 1 + least
    return side
