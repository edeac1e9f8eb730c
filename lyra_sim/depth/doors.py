"""Doorways that a walk saw, for their height: gaps in upright surface, bridged above head height, between jambs, with
floor on both sides. Doors that are shut, and doors whose lintel no frame shows, are not found."""

import numpy as np
import scipy.ndimage
from jaxtyping import Bool, Float, UInt64

CELL_M = 0.05
"""Side of a column's foot, and of a height bin; a column has 64 bins."""
_LOW_BIN = 3
"""Thresholds and mats lie below 15 cm."""
_HEIGHT_M = (1.2, 3.1)
_WIDTH_M = (0.4, 1.8)
"""Doors of any country in units that are up to half again too long or too short."""
_DEEPEST_M = 0.5
_LEAST_RATIO = 1.5
"""Width by depth: lamp shades are as deep as wide."""
_MOST_COLUMNS = 4_000_000
"""100 x 100 m; in larger places nothing is looked for, to bound memory."""
DOOR_SIGMA_M = 0.03
"""How well the lower edge of a lintel is found: frames have no depth at edges, which makes doors 1 to 3 cm too high."""


def door_heights(
    points: Float[np.ndarray, "N 3"], normals: Float[np.ndarray, "N 3"], up: Float[np.ndarray, "3"], floor: float
) -> list[float]:
    """Height above the floor of every open doorway, in the unit of the points, lowest first.

    Args:
        points: surface points, any density.
        normals: unit normals of the points.
        up: unit vector against gravity.
        floor: `up @ p` of the floor.
    """
    east = np.cross(up, np.eye(3)[int(np.argmin(np.abs(up)))])
    east /= np.linalg.norm(east)
    plan = points @ np.stack([east, np.cross(up, east)], 1)
    plan -= plan.min(0) - 2 * CELL_M
    height = points @ up - floor
    cell = np.floor(plan / CELL_M).astype(np.int64)
    shape = tuple(cell.max(0) + 3)
    if shape[0] * shape[1] > _MOST_COLUMNS:
        return []
    upright = np.abs(normals @ up) < 0.35
    matter, walls = _columns(cell, height, shape), _grown(_columns(cell[upright], height[upright], shape))
    ground = np.zeros(shape, bool)
    level = (np.abs(height) < 0.08) & ~upright
    ground[tuple(cell[level].T)] = True
    ground = scipy.ndimage.binary_dilation(ground, iterations=2)
    lowest = _lowest(walls)
    bridged = _bridged(walls, lowest) & (_lowest(matter) >= lowest - 1)
    jamb = scipy.ndimage.binary_dilation(_count(walls, 6, 26) >= 12, iterations=2)
    part = np.asarray(scipy.ndimage.label(bridged, np.ones((3, 3)))[0])  # pyright: ignore[reportIndexIssue]
    mine = part[tuple(cell.T)]
    found: list[tuple[float, np.ndarray]] = []
    for k in range(1, int(part.max()) + 1):
        at = np.argwhere(part == k)
        if not _is_doorway(at, jamb, ground):
            continue
        edge = float(np.median(lowest[tuple(at.T)])) * CELL_M
        rim = height[(mine == k) & upright & (np.abs(height - edge - CELL_M) < 3 * CELL_M)]
        middle = at.mean(0) * CELL_M
        if len(rim) >= 20 and not any(np.linalg.norm(middle - other) < 0.6 for _, other in found):
            found.append((float(np.percentile(rim, 1)), middle))
    return sorted(h for h, _ in found)


def _columns(cell: np.ndarray, height: np.ndarray, shape: tuple[int, ...]) -> UInt64[np.ndarray, "X Y"]:
    """Which height bins of each column hold points, one bit each."""
    bins = np.floor(height / CELL_M).astype(np.int64)
    inside = (bins >= 0) & (bins < 64)
    grid = np.zeros(shape, np.uint64)
    np.bitwise_or.at(grid, tuple(cell[inside].T), np.uint64(1) << bins[inside].astype(np.uint64))
    return grid


def _grown(grid: UInt64[np.ndarray, "X Y"]) -> UInt64[np.ndarray, "X Y"]:
    """Columns together with their eight neighbours. The outermost columns are empty."""
    rows = grid | np.roll(grid, 1, 0) | np.roll(grid, -1, 0)
    return rows | np.roll(rows, 1, 1) | np.roll(rows, -1, 1)


def _lowest(grid: UInt64[np.ndarray, "X Y"]) -> np.ndarray:
    """Lowest bin that holds something above thresholds; 64 where none does."""
    out = np.full(grid.shape, 64)
    for b in range(63, _LOW_BIN - 1, -1):
        out[(grid >> np.uint64(b)) & np.uint64(1) > 0] = b
    return out


def _count(grid: UInt64[np.ndarray, "X Y"], first: int, end: int) -> np.ndarray:
    """How many bins from `first` up to `end` hold something."""
    return np.bitwise_count(grid & np.uint64((1 << end) - (1 << first)))


def _bridged(walls: UInt64[np.ndarray, "X Y"], lowest: np.ndarray) -> Bool[np.ndarray, "X Y"]:
    """Columns of upright surface that begins above head height and goes on for 25 cm with few gaps."""
    above = walls >> np.minimum(lowest, 63).astype(np.uint64)
    low, high = (round(h / CELL_M) for h in _HEIGHT_M)
    return (lowest >= low) & (lowest <= high) & (np.bitwise_count(above & np.uint64(31)) >= 3)


def _is_doorway(at: np.ndarray, jamb: Bool[np.ndarray, "X Y"], ground: Bool[np.ndarray, "X Y"]) -> bool:
    """As wide and as thin as a doorway, upright surface at both ends, floor before and behind."""
    if len(at) < 4:
        return False
    middle = at.mean(0)
    _, axes = np.linalg.eigh(np.cov((at - middle).T))
    across, along = axes.T
    wide, deep = (float(np.ptp((at - middle) @ axis)) * CELL_M + CELL_M for axis in (along, across))
    if not (_WIDTH_M[0] <= wide <= _WIDTH_M[1] and deep <= min(_DEEPEST_M, wide / _LEAST_RATIO)):
        return False

    def holds(grid: np.ndarray, place: np.ndarray) -> bool:
        i, j = np.round(place).astype(int)
        return 0 <= i < grid.shape[0] and 0 <= j < grid.shape[1] and bool(grid[i, j])

    ends = [middle + side * along * (wide / 2 / CELL_M + 1) for side in (-1, 1)]
    sides = [middle + side * across * 0.35 / CELL_M for side in (-1, 1)]
    return all(holds(jamb, end) for end in ends) and all(holds(ground, side) for side in sides)
