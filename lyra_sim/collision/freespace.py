"""How much of the space that was seen to be free lies inside a convex hull."""

import numpy as np
from jaxtyping import Float, UInt8, UInt16
from numba import njit
from scipy import ndimage

from lyra_sim.core.records import SpaceGrid

FREE = 1
OPEN_M = 0.1
"""Space is open where all around is free this far."""


class FreeSpace:
    """The free voxels of a world, summed along z so that a column of a hull costs two look-ups."""

    def __init__(self, space: SpaceGrid) -> None:
        self.voxel_m, self._origin = space.voxel_m, np.asarray(space.origin_m, np.float64)
        free = (space.state == FREE).astype(np.uint8)
        self._free = _summed(free)
        self._open = _summed(ndimage.minimum_filter(free, 2 * round(OPEN_M / space.voxel_m) + 1, mode="nearest"))

    def inside(self, planes: Float[np.ndarray, "F 4"], corners: Float[np.ndarray, "K 3"]) -> tuple[float, bool]:
        """Cubic metres of free voxels whose centre lies in a hull, and whether an open one's does; the hull is given by
        planes (n, d) with n . x + d <= 0 inside and by its corners."""
        ends = corners.min(axis=0), corners.max(axis=0)
        free, opened = _count(self._free, self._open, self._origin, self.voxel_m, planes, *ends)
        return free * self.voxel_m**3, opened > 0


def _summed(voxels: UInt8[np.ndarray, "X Y Z"]) -> UInt16[np.ndarray, "X Y U"]:
    """Number of ones below each voxel."""
    below = np.zeros((*voxels.shape[:2], voxels.shape[2] + 1), np.uint16)
    np.cumsum(voxels, axis=2, dtype=np.uint16, out=below[:, :, 1:])
    return below


@njit(cache=True)
def _count(free, opened, origin, voxel, planes, low, high):  # pragma: no cover - compiled
    nx, ny, nz = free.shape[0], free.shape[1], free.shape[2] - 1
    i0, i1 = max(int(np.floor((low[0] - origin[0]) / voxel)), 0), min(int((high[0] - origin[0]) / voxel), nx - 1)
    j0, j1 = max(int(np.floor((low[1] - origin[1]) / voxel)), 0), min(int((high[1] - origin[1]) / voxel), ny - 1)
    frees, opens = 0, 0
    for i in range(i0, i1 + 1):
        x = origin[0] + (i + 0.5) * voxel
        for j in range(j0, j1 + 1):
            y = origin[1] + (j + 0.5) * voxel
            z0, z1 = low[2], high[2]
            for k in range(len(planes)):
                side = planes[k, 0] * x + planes[k, 1] * y + planes[k, 3]
                slope = planes[k, 2]
                if slope > 1e-9:
                    z1 = min(z1, -side / slope)
                elif slope < -1e-9:
                    z0 = max(z0, -side / slope)
                elif side > 0:
                    z1 = z0 - 1.0
                if z1 < z0:
                    break
            if z1 < z0:
                continue
            a = max(int(np.ceil((z0 - origin[2]) / voxel - 0.5)), 0)
            b = min(int(np.floor((z1 - origin[2]) / voxel - 0.5)) + 1, nz)
            if b > a:
                frees += int(free[i, j, b]) - int(free[i, j, a])
                opens += int(opened[i, j, b]) - int(opened[i, j, a])
    return frees, opens
