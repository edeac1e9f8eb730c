"""Recognising 360 degree panoramas, which must not be read as if a pinhole camera had taken them."""

import numpy as np
from jaxtyping import UInt8


def looks_equirectangular(rgb: UInt8[np.ndarray, "H W 3"]) -> bool:
    """True for an image of 2:1 whose left and right edges continue each other and whose top and bottom rows are each
    one point of the sphere, so hardly vary.

    Both are judged against the image itself: the step across the seam against steps between neighbouring columns, the
    variation along the outer rows against that of the rows a quarter from top and bottom.
    """
    height, width = rgb.shape[:2]
    if abs(width / height - 2.0) > 0.02 or height < 64:
        return False
    gray = rgb.mean(axis=2)
    steps = np.abs(np.diff(gray, axis=1)).mean(axis=0)
    seam = float(np.abs(gray[:, 0] - gray[:, -1]).mean())
    local = np.abs(np.diff(gray, axis=1)).mean(axis=1)
    outer = float(max(local[:2].mean(), local[-2:].mean()))
    inner = float(local[height // 4 : -(height // 4)].mean())
    return inner > 0.5 and seam < 1.5 * float(np.median(steps)) + 1.0 and outer < 0.5 * inner
