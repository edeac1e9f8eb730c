"""Gates about shape: colliders against the surface, the measured depth, the floor. Pure functions of arrays."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from lyra_sim.collision.measure import View
from lyra_sim.core.records import FloorGrid
from lyra_sim.geometry.rays import RayScene

_HOLE_CELL_M = 0.025
_HOLE_M = 0.05
_TILE_M = 0.5
_TILE_POINTS = 20
"""Fewer measured points than this say nothing about a tile's height."""
_FLOOR_BAND_M = 0.15
"""Points further than this from the floor's height are not floor."""
_NUDGES_M = np.array([(0.0, 0.0), (3.1e-4, 1.7e-4), (-2.3e-4, 2.9e-4), (-1.9e-4, -3.3e-4)])
"""A ray through an edge that two triangles share may slip between them; beside it, it cannot."""


def floor_holes_m2(colliders: RayScene, floor: FloorGrid) -> tuple[float, tuple[float, float] | None]:
    """Area of seen or filled floor where the vertical line meets no collider within 5 cm of the floor height, in
    cells of 2.5 cm, and the middle of one such cell."""
    cut = max(1, round(floor.cell_m / _HOLE_CELL_M))
    cells = np.argwhere(floor.state > 0)
    step = (np.arange(cut) + 0.5) / cut
    inner = np.stack(np.meshgrid(step, step, indexing="ij"), -1).reshape(-1, 2)
    xy = (floor.origin_m + (cells[:, None] + inner[None]) * floor.cell_m).reshape(-1, 2)
    height = np.repeat(floor.height_m[tuple(cells.T)].astype(np.float64), cut * cut)
    open_ = np.arange(len(xy))
    for nudge in _NUDGES_M:
        found = _drop(colliders, xy[open_] + nudge, height[open_] + _HOLE_M)
        open_ = open_[~(found <= 2 * _HOLE_M)]
    spot = (float(xy[open_[0], 0]), float(xy[open_[0], 1])) if len(open_) else None
    return len(open_) * (floor.cell_m / cut) ** 2, spot


def _drop(colliders: RayScene, xy: Float[np.ndarray, "N 2"], start_m: np.ndarray) -> Float[np.ndarray, "N"]:
    """How far below `start_m` the first collider lies (inf where none)."""
    origins = np.concatenate([xy, start_m[:, None]], 1)
    return colliders.cast(origins, np.broadcast_to([0.0, 0.0, -1.0], origins.shape))[0]


def floor_fit_p95_m(colliders: RayScene, floor: FloorGrid, views: Iterable[View]) -> float | None:
    """95th percentile over tiles of 0.5 m of |collider height - measured height|, both medians of the tile's measured
    floor points. None where no tile has enough of them.

    Measured floor points are every 10th input pixel whose point lies within 15 cm of the height of a cell of seen floor
    that has floor on all sides: at the floor's border the feet of walls would be taken for it.
    """
    inner = ndimage.binary_erosion(floor.state > 0, np.ones((3, 3), bool)) & (floor.state == 1)
    points = np.concatenate([np.zeros((0, 3)), *(view.points(10) for view in views)])
    cell = np.floor((points[:, :2] - floor.origin_m) / floor.cell_m).astype(np.int64)
    inside = ((cell >= 0) & (cell < floor.state.shape)).all(1)
    points, cell = points[inside], cell[inside]
    height = floor.height_m[tuple(cell.T)].astype(np.float64)
    on_floor = inner[tuple(cell.T)] & (np.abs(points[:, 2] - height) <= _FLOOR_BAND_M)
    points, height = points[on_floor], height[on_floor]
    found = height + _FLOOR_BAND_M - _drop(colliders, points[:, :2], height + _FLOOR_BAND_M)
    met = np.isfinite(found) & (np.abs(found - height) <= _FLOOR_BAND_M)
    points, found = points[met], found[met]
    tile = np.floor(points[:, :2] / _TILE_M).astype(np.int64)
    _, index, count = np.unique(tile, axis=0, return_inverse=True, return_counts=True)
    index = index.ravel()
    order = np.argsort(index, kind="stable")
    apart = [
        abs(float(np.median(found[members]) - np.median(points[members, 2])))
        for members in np.split(order, np.cumsum(count)[:-1])
        if len(members) >= _TILE_POINTS
    ]
    return float(np.percentile(apart, 95)) if apart else None
