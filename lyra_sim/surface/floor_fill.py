"""Where missing floor may be filled in: small holes, with nothing standing above and nothing seen free below."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numba import njit
from scipy import ndimage

from lyra_sim.core.records import SpaceGrid, TriMesh
from lyra_sim.surface.heightmap import lowest_surface

CLEAR_M = 0.6
"""Something that stands up to this high above a cell keeps it unfilled; a table top is higher."""
BELOW_M = 0.4
"""How far below the floor seen free space (stairs, a ledge) forbids filling."""


@dataclass(frozen=True)
class Column:
    """What is known above and below floor cells: the voxels and the mesh."""

    space: SpaceGrid
    mesh: TriMesh
    origin: Float[np.ndarray, "2"]
    cell_m: float

    @property
    def margin_m(self) -> float:
        """Distance from the floor within which voxels belong to the floor surface itself."""
        return max(0.06, 3.0 * self.space.voxel_m)


def closing_candidates(cells: Bool[np.ndarray, "X Y"], radius: float) -> Bool[np.ndarray, "X Y"]:
    """Cells that a morphological closing with a disc of `radius` cells would add."""
    if radius <= 0 or not cells.any():
        return np.zeros_like(cells)
    pad = int(np.ceil(radius)) + 1
    padded = np.pad(cells, pad)
    grown = _distance(~padded) <= radius
    closed = _distance(grown) > radius
    return (closed & ~padded)[pad:-pad, pad:-pad]


def _distance(mask: Bool[np.ndarray, "X Y"]) -> Float[np.ndarray, "X Y"]:
    return np.asarray(ndimage.distance_transform_edt(mask))


def fillable(
    column: Column, wanted: Bool[np.ndarray, "X Y"], height: Float[np.ndarray, "X Y"], *, seen_free: bool
) -> Bool[np.ndarray, "X Y"]:
    """Of the wanted cells, those with nothing standing on them and no free space seen below the floor.

    With `seen_free` the space above must also have been looked through: the inside of a box is not floor.
    """
    if not wanted.any():
        return wanted
    low = height + column.margin_m
    above, _ = lowest_surface(
        column.mesh.vertices, column.mesh.faces, column.origin, column.cell_m, low, height + CLEAR_M
    )
    i, j = np.nonzero(wanted & np.isnan(above))
    xy = column.origin + (np.stack([i, j], axis=1) + 0.5) * column.cell_m
    space = column.space
    surface, free, below = _look(
        space.state, space.origin_m, space.voxel_m, xy, height[i, j], column.margin_m, CLEAR_M, BELOW_M
    )
    good = (surface == 0) & (below < 2) & ((free > 0) | (not seen_free))
    out = np.zeros_like(wanted)
    out[i[good], j[good]] = True
    return out


@njit(cache=True)
def _look(state, origin, voxel, xy, height, margin, clear, depth):  # pragma: no cover - compiled
    """Per cell: surface and free voxels in the column above the floor, free voxels below it."""
    nx, ny, nz = state.shape
    surface = np.zeros(len(xy), np.int64)
    free = np.zeros(len(xy), np.int64)
    below = np.zeros(len(xy), np.int64)
    for n in range(len(xy)):
        i = int(np.floor((xy[n, 0] - origin[0]) / voxel))
        j = int(np.floor((xy[n, 1] - origin[1]) / voxel))
        if i < 0 or j < 0 or i >= nx or j >= ny:
            continue
        for k in range(nz):
            dz = origin[2] + (k + 0.5) * voxel - height[n]
            if margin <= dz <= clear:
                surface[n] += state[i, j, k] == 2
                free[n] += state[i, j, k] == 1
            elif -depth <= dz <= -margin:
                below[n] += state[i, j, k] == 1
    return surface, free, below
