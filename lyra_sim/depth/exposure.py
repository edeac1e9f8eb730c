"""Exposure and white balance of each frame of a walk, from the colours in which other frames show the same places.

Log gains by robust least squares over pairs of frames, as for panoramas (Brown and Lowe 2007, "Automatic panoramic
image stitching using invariant features", section 6), reweighted after Cauchy (Holland and Welsch 1977).
"""

import cv2
import numpy as np
from jaxtyping import Float64, UInt8
from numba import njit

from lyra_sim.depth.overlap import CoarseWalk
from lyra_sim.geometry.camera import pixel_rays

_STRIDE = 2
"""Every so manieth cell of the coarse grid, both ways, is a sample."""
_LEAST_SAMPLES = 30
_ENOUGH_SAMPLES = 500
"""More samples make a pair of frames no surer."""
_RANGE = (12.0, 243.0)
"""Colours outside say nothing: noise or clipped."""
_SLACK_M, _SLACK_SHARE = 0.02, 0.01
_GAUGE = 1e-3
"""Weight of the pull of every ln(gain) towards 0, relative to a pair: decides what no pair can tell."""
_FREE, _PULL = 0.2, 1.0
"""ln(gain) costs nothing up to here; what is beyond is pulled back, or images would clip and darken: steps between
neighbours are removed, a slow change from bright to dark places partly stays."""
_SPREAD = 0.03
"""Residual of a pair, in ln(gain), at which it counts half."""
_ROUNDS = 8
_DIGITS = 4
"""Gains are rounded: linear algebra libraries differ beyond this between numbers of threads."""


def find_gains(images: UInt8[np.ndarray, "T H W 3"], walk: CoarseWalk) -> Float64[np.ndarray, "T 3"]:
    """Gain of each frame and channel relative to the mean frame; divide by it to get common colours. 1 where nothing
    is shared with other frames."""
    h, w = walk.depth_m.shape[1:]
    small = np.stack([
        cv2.resize(image[: h * walk.step, : w * walk.step], (w, h), interpolation=cv2.INTER_AREA) for image in images
    ])  # fmt: skip
    pairs, ratios, weights = [], [], []
    rays = pixel_rays(walk.camera)
    for t in range(len(images)):
        for o in walk.partners[t]:
            if o < 0:
                break
            found = _ratios(
                small[t], small[o], walk.depth_m[t], walk.depth_m[o], walk.T_cam_world[o] @ walk.T_world_cam[t], rays,
                walk.lens,
            )  # fmt: skip
            if len(found) >= _LEAST_SAMPLES:
                pairs.append((t, o))
                ratios.append(np.median(found, axis=0))
                weights.append(min(len(found), _ENOUGH_SAMPLES) / _ENOUGH_SAMPLES)
    if not pairs:
        return np.ones((len(images), 3))
    who, ratio, sure = np.array(pairs), np.array(ratios), np.array(weights)
    grey = ratio.mean(1)
    exposure = _solve(len(images), who, grey, sure, _PULL)
    tint = np.stack([_solve(len(images), who, ratio[:, k] - grey, sure, 0.0) for k in range(3)], 1)
    return np.exp(np.round(exposure[:, None] + tint, _DIGITS))


def evened(images: UInt8[np.ndarray, "T H W 3"], gains: Float64[np.ndarray, "T 3"]) -> UInt8[np.ndarray, "T H W 3"]:
    """The images in common colours."""
    out = np.empty_like(images)
    levels = np.arange(256.0)[:, None]
    for t, gain in enumerate(gains):
        table = np.clip(np.rint(levels / gain), 0, 255).astype(np.uint8)
        out[t] = cv2.LUT(images[t], table[None])
    return out


def _solve(count: int, pairs: np.ndarray, ratio: np.ndarray, weight: np.ndarray, pull: float) -> np.ndarray:
    """Log gains g (T,) with g[s] - g[o] = ratio for most pairs (s, o), about 0."""
    s, o = pairs.T
    gains, sure = np.zeros(count), weight
    for _ in range(_ROUNDS):
        excess = np.maximum(1.0 - _FREE / np.maximum(np.abs(gains), _FREE), 0.0)
        matrix, right = np.diag(_GAUGE + pull * excess), np.zeros(count)
        np.add.at(matrix, (s, s), sure)
        np.add.at(matrix, (o, o), sure)
        np.add.at(matrix, (s, o), -sure)
        np.add.at(matrix, (o, s), -sure)
        np.add.at(right, s, sure * ratio)
        np.add.at(right, o, -sure * ratio)
        gains = np.linalg.solve(matrix, right)
        sure = weight / (1.0 + ((gains[s] - gains[o] - ratio) / _SPREAD) ** 2)
    return gains - gains.mean()


@njit(cache=True)
def _ratios(colour, other, depth, other_depth, T_other_cam, rays, lens):
    """ln(colour / colour in the other frame), (N, 3), of cells whose surface both frames see."""
    height, width = depth.shape
    out = np.empty((height * width, 3))
    n = 0
    for v in range(0, height, _STRIDE):
        for u in range(0, width, _STRIDE):
            d = depth[v, u]
            if d == 0.0:
                continue
            x, y = rays[v, u, 0] * d, rays[v, u, 1] * d
            z = T_other_cam[2, 0] * x + T_other_cam[2, 1] * y + T_other_cam[2, 2] * d + T_other_cam[2, 3]
            if z < 0.05:
                continue
            i = (T_other_cam[0, 0] * x + T_other_cam[0, 1] * y + T_other_cam[0, 2] * d + T_other_cam[0, 3]) / z
            j = (T_other_cam[1, 0] * x + T_other_cam[1, 1] * y + T_other_cam[1, 2] * d + T_other_cam[1, 3]) / z
            i, j = i * lens[0] + lens[2], j * lens[1] + lens[3]
            if i < 0 or j < 0 or i >= width or j >= height:
                continue
            a, b = int(i), int(j)
            if abs(other_depth[b, a] - z) > _SLACK_M + _SLACK_SHARE * z:
                continue
            good = True
            for k in range(3):
                low, high = min(colour[v, u, k], other[b, a, k]), max(colour[v, u, k], other[b, a, k])
                good &= low >= _RANGE[0] and high <= _RANGE[1]
                out[n, k] = np.log(max(colour[v, u, k], 1) / max(other[b, a, k], 1))
            n += good
    return out[:n]
