"""Feet of upright structure as upright planes: the floor's end, column by column, cut into as few straight fronts as
explain it.

A plane that stands upright at any angle has inverse range a cos + b sin of the azimuth, and what is seen of its foot
errs by pixels, which are units of inverse range. So the fronts are the least-squares fit of such curves with a price
for each ("optimal partitioning", Jackson et al. 2005).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numba import njit
from scipy import ndimage

_PRICE_PX2 = 250.0
"""What another front must save, square pixels summed over its columns: a step of 4 pixels over 16 columns."""
_LEAST_COLUMNS = 4
_MEDIAN_COLUMNS = 7
_SLACK = 0.15
"""How much nearer or farther than its seen foot a front may be carried beyond its columns."""


@dataclass(frozen=True)
class Fronts:
    """Upright planes numbered from 0."""

    of_column: Int[np.ndarray, "F C"]
    """The front of the n-th foot in each column; -1 where there is none."""
    plane: Float[np.ndarray, "K 2"]
    """a and b of the inverse range a cos + b sin, 1/m."""
    limits: Float[np.ndarray, "K 2"]
    """Least and largest inverse range, 1/m."""

    def inverse_range(self, front: Int[np.ndarray, "..."], azimuth: Float[np.ndarray, "..."]) -> np.ndarray:
        """Inverse range, 1/m, of fronts at an azimuth (rad)."""
        a, b = np.moveaxis(self.plane[front], -1, 0)
        low, high = np.moveaxis(self.limits[front], -1, 0)
        return np.clip(a * np.cos(azimuth) + b * np.sin(azimuth), low, high)


def fit_fronts(inverse: Float[np.ndarray, "F C"], azimuth: Float[np.ndarray, "C"], pixel: float) -> Fronts:
    """Fit fronts to feet.

    Args:
        inverse: inverse range of the n-th foot from below in each column, 1/m; 0 where there is none.
        azimuth: rad.
        pixel: inverse range that one pixel stands for, 1/m.
    """
    of_column = np.full(inverse.shape, -1)
    planes, limits = [np.zeros((0, 2))], [np.zeros((0, 2))]
    first = 0
    for row, feet in enumerate(inverse):
        columns = np.nonzero(feet > 0)[0]
        if len(columns) == 0:
            continue
        smooth = ndimage.median_filter(feet[columns], _MEDIAN_COLUMNS, mode="nearest")
        basis = np.stack([np.cos(azimuth[columns]), np.sin(azimuth[columns])], axis=1)
        ends = _partition(basis, smooth / pixel, _PRICE_PX2, _LEAST_COLUMNS)
        starts = np.concatenate([[0], ends[:-1]])
        for k, (start, end) in enumerate(zip(starts, ends, strict=True)):
            part = slice(start, end)
            planes.append(_fit(basis[part], smooth[part])[None])
            limits.append(np.array([[smooth[part].min() * (1 - _SLACK), smooth[part].max() * (1 + _SLACK)]]))
            of_column[row, columns[part]] = first + k
        first += len(ends)
    return Fronts(of_column, np.concatenate(planes), np.concatenate(limits))


def _fit(basis: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Plane through feet. Too few columns tell no direction: then it faces the camera."""
    face = np.array([basis[:, 0].mean(), basis[:, 1].mean()])
    face *= (value @ (basis @ face)) / max(float(((basis @ face) ** 2).sum()), 1e-12)
    if len(value) < 3 * _LEAST_COLUMNS:
        return face
    return np.linalg.lstsq(basis, value, rcond=None)[0]


@njit(cache=True)
def _partition(basis, value, price, least):  # pragma: no cover - compiled
    """Ends of the runs of columns with the least sum of squared residuals and prices."""
    n = len(value)
    total = np.zeros((n + 1, 6))
    for i in range(n):
        c, s, y = basis[i, 0], basis[i, 1], value[i]
        total[i + 1] = total[i] + np.array([c * c, c * s, s * s, c * y, s * y, y * y])
    best = np.full(n + 1, np.inf)
    best[0] = 0.0
    before = np.zeros(n + 1, np.int64)
    for j in range(1, n + 1):
        for i in range(max(j - least, 0), -1, -1):
            if 0 < i < least:
                continue
            cc, cs, ss, cy, sy, yy = total[j] - total[i]
            det = cc * ss - cs * cs
            if det > 1e-9 * cc * ss:
                cost = yy - (ss * cy * cy - 2 * cs * cy * sy + cc * sy * sy) / det
            else:
                cost = yy - cy * cy / max(cc, 1e-12)
            cost = best[i] + max(cost, 0.0) + price
            if cost < best[j]:
                best[j], before[j] = cost, i
    ends = np.empty(n + 1, np.int64)
    count, j = 0, n
    while j > 0:
        ends[count] = j
        count, j = count + 1, before[j]
    return ends[:count][::-1].copy()
