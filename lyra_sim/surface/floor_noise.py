"""How far the measured heights of a floor scatter, place by place: what stands out by less is no evidence."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy import ndimage

from lyra_sim.collision.measure import View
from lyra_sim.core.records import FloorGrid
from lyra_sim.geometry.cells import cells_of
from lyra_sim.surface.heightmap import window_medians

REACH_M = 0.08
"""Points further off the repaired floor belong to other things."""
LEAST_POINTS, LEAST_CELLS = 3, 20
WINDOW_CELLS = 20
"""Half a metre: single cells scatter where something low has its edge, most cells only from noise."""


def floor_noise(views: Sequence[View], grid: FloorGrid) -> Float[np.ndarray, "X Y"]:
    """Standard deviation in metres of the measured heights within a cell, over all frames: the median of the half
    metre around. Where too little was measured, that of the nearest place; 0 where nothing was."""
    shape = grid.state.shape
    cells = grid.state.size
    count, total, square = np.zeros(cells), np.zeros(cells), np.zeros(cells)
    for view in views:
        at, above = _over_floor(view.points(), grid)
        count += np.bincount(at, minlength=cells)
        total += np.bincount(at, above, cells)
        square += np.bincount(at, above * above, cells)
    variance = (square - total**2 / np.maximum(count, 1)) / np.maximum(count - 1, 1)
    spread = np.where(count >= LEAST_POINTS, np.sqrt(np.maximum(variance, 0.0)), np.nan).reshape(shape)
    around = window_medians(spread, 1, WINDOW_CELLS, least=LEAST_CELLS)[: shape[0], : shape[1]]
    if np.isnan(around).all():
        return np.zeros(shape)
    nearest = ndimage.distance_transform_edt(np.isnan(around), return_distances=False, return_indices=True)
    return around[tuple(np.asarray(nearest))]


def _over_floor(points: Float[np.ndarray, "N 3"], grid: FloorGrid) -> tuple[Int[np.ndarray, "K"], np.ndarray]:
    """Flat index of the cell of each point near the floor, and its height above it."""
    found, cell = cells_of(points[:, :2], grid.origin_m, grid.cell_m, grid.state.shape)
    at = np.asarray(np.ravel_multi_index(tuple(cell), grid.state.shape))
    above = points[found, 2] - grid.height_m.ravel()[at]
    near = (grid.state.ravel()[at] > 0) & (np.abs(above) <= REACH_M)
    return at[near], above[near]
