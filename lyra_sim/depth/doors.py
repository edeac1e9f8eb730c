"""Doorways that a walk saw, for their height: gaps in upright surface, bridged at least 1.6 m up, between jambs, with
floor on both sides. Not found are doors that are shut, whose lintel no frame shows, or whose floor lies 25 cm and more
above or below the main one. A bridge between two posts is taken for a door."""

import numpy as np
import scipy.ndimage
from jaxtyping import Bool, Float, UInt64

CELL_M = 0.05
"""Side of a column's foot, and of a height bin; a column has 64 bins."""
_LOW_BIN = 3
"""Thresholds and mats lie below 15 cm."""
_HEIGHT_M = (1.6, 2.9)
_WIDTH_M = (0.45, 1.6)
"""Doors of 2.0 to 2.1 m in units that are up to 20 % too short or 35 % too long."""
_DEEPEST_M = 0.5
_LEAST_RATIO = 1.5
"""Width by depth: lamp shades are as deep as wide."""
_STEP_M = 0.25
_MOST_COLUMNS = 4_000_000
"""100 x 100 m; in larger places nothing is looked for, to bound memory."""
DOOR_SIGMA_M = 0.03
"""How well the lower edge of a lintel is found: frames have no depth at edges, which makes doors 1 to 3 cm too high
where a pixel is 1.3 cm wide on the wall."""


def door_heights(
    points: Float[np.ndarray, "N 3"], normals: Float[np.ndarray, "N 3"], up: Float[np.ndarray, "3"], floor: float
) -> list[float]:
    """Heights of open doorways above the floor, in the unit of the points, lowest first.

    Args:
        points: surface points, at least some hundred per square metre of a door's surroundings.
        normals: unit normals of the points.
        up: unit vector against gravity.
        floor: `up @ p` of the floor.
    """
    east = np.cross(up, np.eye(3)[int(np.argmin(np.abs(up)))])
    east /= np.linalg.norm(east)
    plan, height = points @ np.stack([east, np.cross(up, east)], 1), points @ up - floor
    kept = (np.abs(height) < _STEP_M) | ((height > 0) & (height < 64 * CELL_M))
    if not kept.any():
        return []
    low, high = np.percentile(plan[kept], [0.1, 99.9], axis=0)
    kept &= ((plan >= low) & (plan <= high)).all(1)
    cell, height = np.floor((plan[kept] - low) / CELL_M).astype(np.int64) + 2, height[kept]
    shape = tuple(cell.max(0) + 3)
    if shape[0] * shape[1] > _MOST_COLUMNS:
        return []
    upright = np.abs(normals[kept] @ up) < 0.35
    walls = _grown(_columns(cell[upright], height[upright], shape))
    lowest = _lowest(walls)
    bridged = _bridged(walls, lowest) & (_lowest(_columns(cell, height, shape)) >= lowest - 1)
    jamb = scipy.ndimage.binary_dilation(_count(walls, 6, 26) >= 12, iterations=2)
    ground = np.zeros(shape, bool)
    level = (np.abs(height) < _STEP_M) & ~upright
    ground[tuple(cell[level].T)] = True
    ground = scipy.ndimage.binary_dilation(ground, iterations=2)
    part = np.asarray(scipy.ndimage.label(bridged, np.ones((3, 3)))[0])  # pyright: ignore[reportIndexIssue]
    mine = part[tuple(cell.T)]
    found: list[tuple[float, np.ndarray, np.ndarray]] = []
    for k, box in enumerate(scipy.ndimage.find_objects(part), 1):
        at = np.argwhere(part[box] == k) + [side.start for side in box]
        axes = _doorway(at, jamb, ground)
        if axes is None:
            continue
        edge = float(np.median(lowest[tuple(at.T)])) * CELL_M
        rim = height[(mine == k) & upright & (np.abs(height - edge - CELL_M) < 3 * CELL_M)]
        middle = at.mean(0) * CELL_M
        if len(rim) >= 20 and not any(_same(middle, other, its) for _, other, its in found):
            found.append((float(np.percentile(rim, 1)), middle, axes))
    return sorted(h for h, _, _ in found)


def _same(middle: np.ndarray, other: np.ndarray, axes: np.ndarray) -> bool:
    """Whether two lintels are the faces of one thick wall: behind one another. `axes` are across and along."""
    across, along = np.abs(axes.T @ (middle - other))
    return bool(along < 0.3 and across < 1.0)


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
    """Columns of upright surface that begins high up and goes on for 25 cm with few gaps."""
    above = walls >> np.minimum(lowest, 63).astype(np.uint64)
    low, high = (round(h / CELL_M) for h in _HEIGHT_M)
    return (lowest >= low) & (lowest <= high) & (np.bitwise_count(above & np.uint64(31)) >= 3)


def _doorway(
    at: np.ndarray, jamb: Bool[np.ndarray, "X Y"], ground: Bool[np.ndarray, "X Y"]
) -> Float[np.ndarray, "2 2"] | None:
    """Axes across and along (columns) of cells that are as wide and as thin as a doorway, with upright surface at both
    ends and floor before and behind; None where they are not."""
    if len(at) < 4:
        return None
    middle = at.mean(0)
    _, axes = np.linalg.eigh(np.cov((at - middle).T))
    across, along = axes.T
    wide, deep = (float(np.ptp((at - middle) @ axis)) * CELL_M + CELL_M for axis in (along, across))
    if not (_WIDTH_M[0] <= wide <= _WIDTH_M[1] and deep <= min(_DEEPEST_M, wide / _LEAST_RATIO)):
        return None

    def holds(grid: np.ndarray, place: np.ndarray) -> bool:
        i, j = np.round(place).astype(int)
        return 0 <= i < grid.shape[0] and 0 <= j < grid.shape[1] and bool(grid[i, j])

    ends = [middle + side * along * (wide / 2 / CELL_M + 1) for side in (-1, 1)]
    sides = [middle + side * across * (deep / 2 + 0.25) / CELL_M for side in (-1, 1)]
    return axes if all(holds(jamb, end) for end in ends) and all(holds(ground, side) for side in sides) else None
