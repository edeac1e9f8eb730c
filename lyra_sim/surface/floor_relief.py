"""Low flat things on a floor that wheels roll over: door sills, mats, plates; tops with an edge around them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

LEAST_M = (0.0125, 0.005)
"""Tops are looked for above these heights in turn: noise may join a door sill to low things beside it. Lower ones
cannot be told from the noise of a repaired floor."""
MOST_M = 0.0225
"""Higher ones stand in the way of the robots' wheels (2 cm); they are floor only where they are broad."""
NOISE_M = 0.005
LEAST_M2 = 0.015
FLAT_SHARE = 0.25
"""Most residual of 80 % of a top's inner cells, in shares of its height."""
RING_CELLS = (2, 6)
"""The floor beside a top is taken this far from it."""


@dataclass(frozen=True)
class Top:
    """The cells of a low flat thing, and its height above the floor beside it."""

    cells: Bool[np.ndarray, "X Y"]
    rise_m: float


def low_tops(above: Float[np.ndarray, "X Y"], cell_m: float) -> list[Top]:
    """Level parts with an edge all around, 5 to 22 mm above the floor and at least three cells wide.

    Args:
        above: measured height above the repaired floor, metres; NaN where unknown.
    """
    found: list[Top] = []
    left = above.copy()
    for least in LEAST_M:
        label = parts((left >= least) & (left <= MOST_M + NOISE_M))
        for number, box in enumerate(ndimage.find_objects(label), 1):
            wide = tuple(slice(max(s.start - RING_CELLS[1], 0), s.stop + RING_CELLS[1]) for s in box)
            whole = label[wide] == number
            top = _top(left[wide], whole) if whole.sum() * cell_m**2 >= LEAST_M2 else None
            if top is None:
                continue
            cells = np.zeros(above.shape, bool)
            cells[wide] = top.cells
            found.append(Top(cells=cells, rise_m=top.rise_m))
        for top in found:
            left[top.cells] = np.nan
    return found


def parts(cells: Bool[np.ndarray, "X Y"]) -> Int[np.ndarray, "X Y"]:
    """Number from 1 of the connected part (8 neighbours) of each cell, 0 elsewhere."""
    return np.asarray(ndimage.label(cells, np.ones((3, 3)))[0])  # pyright: ignore[reportIndexIssue]


def _top(above: Float[np.ndarray, "X Y"], whole: Bool[np.ndarray, "X Y"]) -> Top | None:
    """The top among these cells, None where they are no flat top with an edge around.

    Its height is a little more than the median of the cells inside: the fusion smears the rim of narrow tops down.
    """
    inner = np.asarray(ndimage.binary_erosion(whole, np.ones((3, 3))), bool)
    near, far = (np.asarray(ndimage.binary_dilation(whole, iterations=n), bool) for n in RING_CELLS)
    ring = far & ~near & (np.abs(above) <= MOST_M)
    if inner.sum() < 4 or ring.sum() < 12:
        return None
    height, ground = float(np.percentile(above[inner], 60)), float(np.median(above[ring]))
    rise = height - ground
    flat = np.percentile(np.abs(above[inner] - height), 80) <= max(FLAT_SHARE * rise, 0.002)
    if not (flat and LEAST_M[-1] <= rise <= MOST_M):
        return None
    cells = near & (above - ground > 0.5 * rise) & (above <= MOST_M + NOISE_M)
    return Top(cells=cells, rise_m=rise)
