"""Plane fits with their uncertainty, and clouds thinned to one oriented patch per cell."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_CORRELATED_PATCHES = 25
"""Depth errors of neighbouring patches go together; this many patches count as one independent measurement."""


@dataclass(frozen=True)
class PlaneFit:
    """A plane through `centre`. `axes` (2, 3) lie in it; `tilt_sigma_rad` (2,) is how uncertain its tilt is along
    each of them, from its residuals and its extent."""

    centre: np.ndarray
    normal: np.ndarray
    axes: np.ndarray
    tilt_sigma_rad: np.ndarray


def fit_plane(points: Float[np.ndarray, "N 3"], patch_m: float, *, band_m: float) -> PlaneFit:
    """Total least squares, with residuals beyond the band or 2.5 robust sigmas left out (five rounds)."""
    kept = points
    for _ in range(5):
        centre = kept.mean(0)
        around = kept - centre
        covariance = np.einsum("ni,nj->ij", around, around) / len(kept)  # not BLAS: its sums depend on threads
        spread, vectors = np.linalg.eigh(covariance + 1e-12 * np.eye(3))
        residual = (points - centre) @ vectors[:, 0]
        limit = min(band_m, max(2.5 * 1.4826 * float(np.median(np.abs(around @ vectors[:, 0]))), 0.004))
        inliers = points[np.abs(residual) <= limit]
        if len(inliers) < 10:
            break
        kept = inliers
    noise = max(float(np.sqrt(spread[0])), patch_m / 100)
    independent = max(len(kept) / _CORRELATED_PATCHES, 1.0)
    extent = np.sqrt(np.maximum(spread[1:], 1e-8))
    return PlaneFit(
        centre=centre, normal=vectors[:, 0], axes=vectors[:, 1:].T, tilt_sigma_rad=noise / (extent * independent**0.5)
    )


def patch_cloud(
    points: Float[np.ndarray, "N 3"], normals: Float[np.ndarray, "N 3"], patch_m: float
) -> tuple[Float[np.ndarray, "M 3"], Float[np.ndarray, "M 3"]]:
    """Mean point and unit mean normal per cubic cell, in the order of the cells; cells without one direction are
    left out."""
    cells = np.floor(points / patch_m).astype(np.int64)
    cells -= cells.min(0)
    size = cells.max(0) + 1
    key = (cells[:, 0] * size[1] + cells[:, 1]) * size[2] + cells[:, 2]
    _, group = np.unique(key, return_inverse=True)
    count = np.bincount(group).astype(np.float64)
    mean = np.stack([np.bincount(group, points[:, i]) for i in range(3)], 1) / count[:, None]
    direction = np.stack([np.bincount(group, normals[:, i]) for i in range(3)], 1) / count[:, None]
    length = np.linalg.norm(direction, axis=1)
    sure = length > 0.8
    return mean[sure], direction[sure] / length[sure, None]
