"""Ramps in a height map of the floor: broad plane parts that are steeper than the floor around them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from lyra_sim.surface.floor_relief import parts
from lyra_sim.surface.linear import robust_plane

EDGE_SLOPE = 0.13
"""Over 12 cm the height changes by more than this share: a step that the cells smear, no ramp."""
BEND_SLOPE = 0.06
"""Slope against the floor at large from which a part of it is a ramp: 3.4 degrees; ramps are built at 5."""
EDGE_HALF, BEND_HALF = 2, 4
"""Half widths, in cells, of the windows in which the slope is taken."""
PLANE_M = 0.008
"""Most residual of 90 % of a ramp's cells from its plane."""
RIM_CELLS = 5
"""Narrower strips along edges seem to slope since their windows reach over the edge."""
LEAST_RISE_M = 0.04
LEAST_M2 = 0.1
LEAST_HALF_WIDTH_M = 0.15
REACH_M = 0.3
"""A ramp goes on so far beyond the cells whose window lies wholly on it, where the heights follow its plane."""


@dataclass(frozen=True)
class Ramp:
    """A sloping part of the floor: its core, where it may extend to, and the height of its plane at every cell."""

    core: Bool[np.ndarray, "X Y"]
    around: Bool[np.ndarray, "X Y"]
    height: Float[np.ndarray, "X Y"]


def find_ramps(height: Float[np.ndarray, "X Y"], cell_m: float) -> list[Ramp]:
    """Parts of the floor that slope against the rest of it, lie in one plane and rise by 4 cm or more.

    Args:
        height: metres, NaN where there is no floor candidate.
    """
    known = ~np.isnan(height)
    if not known.any():
        return []
    edge = np.hypot(*_slopes(height, EDGE_HALF)) / cell_m > EDGE_SLOPE
    slope = _slopes(np.where(edge, np.nan, height), BEND_HALF) / cell_m
    at_large = np.nanmedian(slope[:, known & ~edge], axis=1) if (known & ~edge).any() else np.zeros(2)
    bend = known & ~edge & (np.hypot(*(slope - at_large[:, None, None])) > BEND_SLOPE)
    label, found = parts(np.asarray(ndimage.binary_opening(bend, np.ones((RIM_CELLS, RIM_CELLS))), bool)), []
    for number, box in enumerate(ndimage.find_objects(label), 1):
        core = label[box] == number
        if core.sum() * cell_m**2 < LEAST_M2:
            continue
        if np.asarray(ndimage.distance_transform_edt(np.pad(core, 1))).max() * cell_m < LEAST_HALF_WIDTH_M:
            continue
        whole = np.zeros(height.shape, bool)
        whole[box] = core
        i, j = np.nonzero(whole)
        plane = robust_plane(i, j, height[i, j])
        fitted = plane[0] * i + plane[1] * j + plane[2]
        if np.percentile(np.abs(fitted - height[i, j]), 90) > PLANE_M or np.ptp(fitted) < LEAST_RISE_M:
            continue
        rows, columns = np.indices(height.shape)
        around = ndimage.binary_dilation(whole, iterations=round(REACH_M / cell_m))
        found.append(Ramp(core=whole, around=around, height=plane[0] * rows + plane[1] * columns + plane[2]))
    return found


def _slopes(height: Float[np.ndarray, "X Y"], half: int) -> Float[np.ndarray, "2 X Y"]:
    """Slope along both axes, metres per cell, of the plane through the known cells of the window around each cell;
    0 where fewer than half of them are known."""
    known = ~np.isnan(height)
    weight = known.astype(np.float64)
    z = np.where(known, height, 0.0)
    one, arm = np.ones(2 * half + 1), np.arange(-half, half + 1, dtype=np.float64)

    def total(values: np.ndarray, along: np.ndarray, across: np.ndarray) -> np.ndarray:
        first = ndimage.correlate1d(values, along, axis=0, mode="constant")
        return ndimage.correlate1d(first, across, axis=1, mode="constant")

    n, x, y = total(weight, one, one), total(weight, arm, one), total(weight, one, arm)
    fit = known & (n >= 0.5 * len(one) ** 2)
    n = np.maximum(n, 1.0)
    mean = total(z, one, one) / n
    xx, yy = total(weight, arm**2, one) - x * x / n, total(weight, one, arm**2) - y * y / n
    xy = total(weight, arm, arm) - x * y / n
    xz, yz = total(z, arm, one) - x * mean, total(z, one, arm) - y * mean
    det = np.where(fit, xx * yy - xy * xy, 1.0)
    det = np.where(det > 1e-9, det, 1.0)
    return np.stack([np.where(fit, xz * yy - yz * xy, 0.0), np.where(fit, yz * xx - xz * xy, 0.0)]) / det
