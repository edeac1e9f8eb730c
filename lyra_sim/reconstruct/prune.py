"""Which Gaussians stay: none at borders, of the sky, hardly visible, or in space that is known to be free; and not too
many."""

import math
from collections import Counter

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import KDTree

from lyra_sim.config.geometry3d import FeedforwardConfig
from lyra_sim.core.records import GaussianSplats, SpaceGrid
from lyra_sim.reconstruct.views import View

BORDER = 8 / 256
"""Share of height and width at each border that is left out: heads are worst there (nv-tlabs/lyra)."""
_FREE, _AT_SURFACE = 1, 2
_NEAR_VOXELS, _NEAR_SHARE = 3.0, 0.04
"""A Gaussian belongs to a surface up to this far from it: voxels, and as a share of its distance from the camera."""
_GROWTH = 1.05

Reasons = Counter[str]
"""How many Gaussians were left out, by the first reason that applied."""


def wanted(
    view: View,
    depth_m: Float[np.ndarray, "H W"],
    opacity: Float[np.ndarray, "H W"],
    config: FeedforwardConfig,
    reasons: Reasons,
) -> Bool[np.ndarray, "H W"]:
    """Pixels of one view whose Gaussians may stay; adds to `reasons`.

    What nothing was seen at, filled pixels and the sky give none. A pixel without remembered depth gives one beyond the
    near field only: near by, no depth means that whoever measured or predicted it did not trust it.

    Args:
        depth_m: z-depth of the Gaussians.
    """
    height, width = opacity.shape
    v, u = int(BORDER * height), int(BORDER * width)
    inner = np.zeros(opacity.shape, bool)
    inner[v : height - v, u : width - u] = True
    real = np.isfinite(depth_m) & (depth_m > 0)
    checks = {
        "border": inner,
        "sky_or_filled": view.shown,
        "transparent": opacity >= config.min_opacity,
        "out_of_range": real & (depth_m <= config.max_range_m),
        "near_without_depth": (view.depth_m > 0) | (depth_m > config.max_depth_m),
    }
    keep = np.ones(opacity.shape, bool)
    for name, passed in checks.items():
        reasons[name] += int((keep & ~passed).sum())
        keep &= passed
    return keep


class FreeSpace:
    """Asks what was seen to be free, and how far surfaces are."""

    def __init__(self, space: SpaceGrid) -> None:
        self._space = space
        cells = np.argwhere(space.state == _AT_SURFACE)
        self._surface = KDTree(space.origin_m + (cells + 0.5) * space.voxel_m)

    def inside(self, points: Float[np.ndarray, "N 3"]) -> Bool[np.ndarray, "N"]:
        """Whether points lie in the grid."""
        cell = self._cell(points)
        return np.all((cell >= 0) & (cell < self._space.state.shape), axis=1)

    def floating(self, points: Float[np.ndarray, "N 3"], depth_m: Float[np.ndarray, "N"]) -> Bool[np.ndarray, "N"]:
        """Points in cells that are free and farther from every surface than the error of their depth explains."""
        cell, inside = self._cell(points), self.inside(points)
        out = np.zeros(len(points), bool)
        out[inside] = self._space.state[tuple(cell[inside].T)] == _FREE
        suspects = np.flatnonzero(out)
        reach = np.maximum(_NEAR_VOXELS * self._space.voxel_m, _NEAR_SHARE * depth_m[suspects])
        if len(suspects):
            apart, _ = self._surface.query(points[suspects], distance_upper_bound=float(reach.max()))
            out[suspects] = apart > reach
        return out

    def _cell(self, points: np.ndarray) -> np.ndarray:
        return np.floor((points.astype(np.float64) - self._space.origin_m) / self._space.voxel_m).astype(np.int64)


def thinned(splats: GaussianSplats, most: int, cell_m: float) -> GaussianSplats:
    """At most `most` splats: the most opaque of each cell, at least half a cell wide across, so that no gaps open.
    Unchanged where there are no more.

    Args:
        cell_m: first cell size; grown until it fits.
    """
    if len(splats.means) <= most:
        return splats
    keys = _cells(splats.means, cell_m)
    while (count := len(np.unique(keys))) > most:
        cell_m *= max(_GROWTH, math.sqrt(count / most))  # on surfaces, four times as many cells are half as wide
        keys = _cells(splats.means, cell_m)
    order = np.lexsort((-splats.opacity, keys))
    first = np.ones(len(order), bool)
    first[1:] = keys[order[1:]] != keys[order[:-1]]
    kept = selected(splats, np.sort(order[first]))
    scales, flat = np.array(kept.scales_m), np.argmin(kept.scales_m, axis=1)
    thickness = scales[np.arange(len(scales)), flat]
    scales = np.maximum(scales, np.float32(cell_m / 2))
    scales[np.arange(len(scales)), flat] = thickness
    return GaussianSplats(
        means=kept.means, quaternions=kept.quaternions, scales_m=scales, opacity=kept.opacity, sh=kept.sh
    )


def _cells(points: Float[np.ndarray, "N 3"], cell_m: float) -> np.ndarray:
    cell = np.floor(points.astype(np.float64) / cell_m).astype(np.int64)
    cell -= cell.min(0)
    size = cell.max(0) + 1
    return (cell[:, 0] * size[1] + cell[:, 1]) * size[2] + cell[:, 2]


def in_order(splats: GaussianSplats) -> GaussianSplats:
    """Sorted by place, then opacity: the same set is the same record."""
    x, y, z = splats.means.T
    return selected(splats, np.lexsort((splats.opacity, z, y, x)))


def selected(splats: GaussianSplats, index: np.ndarray) -> GaussianSplats:
    """Some splats, by index or mask."""
    return GaussianSplats(
        means=splats.means[index],
        quaternions=splats.quaternions[index],
        scales_m=splats.scales_m[index],
        opacity=splats.opacity[index],
        sh=splats.sh[index],
    )


def joined(parts: list[GaussianSplats]) -> GaussianSplats:
    """All splats of several with harmonics of degree 0, in order."""
    none = np.zeros((0, 1), np.float32)
    return GaussianSplats(
        means=np.concatenate([none.repeat(3, 1), *(part.means for part in parts)]),
        quaternions=np.concatenate([none.repeat(4, 1), *(part.quaternions for part in parts)]),
        scales_m=np.concatenate([none.repeat(3, 1), *(part.scales_m for part in parts)]),
        opacity=np.concatenate([none[:, 0], *(part.opacity for part in parts)]),
        sh=np.concatenate([none.repeat(3, 1)[:, None], *(part.sh for part in parts)]),
    )
