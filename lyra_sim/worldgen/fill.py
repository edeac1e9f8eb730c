"""Fills holes of an image from what surrounds them, coarse to fine.

Method: push-pull (Gortler et al., "The Lumigraph", 1996): averages of known pixels go up a pyramid, unknown ones are
read back from the level above.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32
from numba import njit


def push_pull(values: Float[np.ndarray, "H W C"], known: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W C"]:
    """`values` with every unknown pixel filled; known ones unchanged. All zero where nothing is known."""
    levels = [(np.ascontiguousarray(values, np.float32), known.astype(np.float32))]
    while max(levels[-1][1].shape) > 1:
        levels.append(_up(*levels[-1]))
    filled = levels[-1][0]
    for below, below_weight in reversed(levels[:-1]):
        filled = _down(filled, below, below_weight)
    return filled


@njit(cache=True)
def _up(values, weight):
    """Half the size; each pixel the weighted mean of four, its weight their sum but at most 1."""
    height, width, channels = values.shape
    out = np.zeros(((height + 1) // 2, (width + 1) // 2, channels), np.float32)
    total = np.zeros(out.shape[:2], np.float32)
    for v in range(height):
        for u in range(width):
            w = weight[v, u]
            if w > 0.0:
                total[v // 2, u // 2] += w
                for c in range(channels):
                    out[v // 2, u // 2, c] += w * values[v, u, c]
    for v in range(out.shape[0]):
        for u in range(out.shape[1]):
            w = total[v, u]
            if w > 0.0:
                for c in range(channels):
                    out[v, u, c] /= w
                total[v, u] = min(w, np.float32(1.0))
    return out, total


@njit(cache=True)
def _down(coarse, fine, weight):
    """Blend each fine pixel with the bilinearly enlarged level above, by how much of it is known."""
    height, width, channels = fine.shape
    rows, cols = coarse.shape[:2]
    out = np.empty_like(fine)
    for v in range(height):
        y = (v + 0.5) / 2 - 0.5
        y0 = int(np.floor(y))
        fy = np.float32(y - y0)
        va, vb = max(y0, 0), min(y0 + 1, rows - 1)
        for u in range(width):
            w = weight[v, u]
            if w >= 1.0:
                out[v, u] = fine[v, u]
                continue
            x = (u + 0.5) / 2 - 0.5
            x0 = int(np.floor(x))
            fx = np.float32(x - x0)
            ua, ub = max(x0, 0), min(x0 + 1, cols - 1)
            for c in range(channels):
                top = coarse[va, ua, c] * (1 - fx) + coarse[va, ub, c] * fx
                low = coarse[vb, ua, c] * (1 - fx) + coarse[vb, ub, c] * fx
                out[v, u, c] = w * fine[v, u, c] + (1 - w) * (top * (1 - fy) + low * fy)
    return out
