"""What speaks for and against floor at each superpixel of a photo: one row of numbers per superpixel.

All cues are ratios to what the same photo shows elsewhere (its foreground, its upper half, its noise), so that they
mean the same under other lenses, exposures and rooms.
"""

import cv2
import numpy as np
from jaxtyping import Float

from lyra_sim.depth.floor_patches import Patches, patch_mean

CUES = (
    "log_cost",
    "log_rival",
    "log_straight",
    "colour_ratio",
    "chroma_away",
    "lightness_away",
    "rough_away",
    "upright_here",
    "upright_near",
    "flat_here",
    "askew_here",
    "depression",
    "darkness",
    "rim",
)


def edge_kinds(
    lab: Float[np.ndarray, "H W 3"], rays: Float[np.ndarray, "H W 3"], down: np.ndarray, axes: np.ndarray
) -> Float[np.ndarray, "H W 3"]:
    """Edge energy 0..1 of each pixel split by what it points to: the nadir, a horizontal axis, neither.

    Args:
        rays: camera rays with z = 1.
        down: gravity, camera axes.
        axes: (2, 3) the horizontal pair, camera axes.
    """
    soft = cv2.GaussianBlur(lab, (0, 0), 1.0)
    gx = cv2.Sobel(soft, cv2.CV_32F, 1, 0, scale=0.125)
    gy = cv2.Sobel(soft, cv2.CV_32F, 0, 1, scale=0.125)
    strongest = np.argmax(gx * gx + gy * gy, axis=2)[..., None]
    gx, gy = np.take_along_axis(gx, strongest, 2)[..., 0], np.take_along_axis(gy, strongest, 2)[..., 0]
    size = np.hypot(gx, gy)
    noise = float(np.median(size)) * 1.5 + 0.6
    energy = np.clip((size - noise) / 4.0, 0, 1)
    gx, gy = gx / np.maximum(size, 1e-6), gy / np.maximum(size, 1e-6)

    def agrees(axis: np.ndarray) -> np.ndarray:
        vx, vy = axis[0] - rays[..., 0] * axis[2], axis[1] - rays[..., 1] * axis[2]
        length = np.maximum(np.hypot(vx, vy), 1e-6)
        sine = (vx * gx + vy * gy) / length
        return np.exp(-((sine / 0.12) ** 2))

    upright = agrees(down)
    flat = np.maximum(agrees(axes[0]), agrees(axes[1]))
    return np.stack(
        [energy * upright * (1 - flat), energy * flat * (1 - upright), energy * (1 - upright) * (1 - flat)], -1
    )


def straight_cost(lab: np.ndarray) -> Float[np.ndarray, "H W"]:
    """What a straight path from the lower image edge up to each pixel crosses: sum of squared vertical gradients."""
    soft = cv2.GaussianBlur(lab, (0, 0), 1.2)
    gy = cv2.Sobel(soft, cv2.CV_32F, 0, 1, scale=0.125)
    size = np.sqrt((gy * gy).sum(-1))
    noise = float(np.median(size)) * 1.5 + 0.3
    step = np.clip(size - noise, 0, 6) ** 2
    return np.cumsum(step[::-1], axis=0)[::-1]


def _histogram(lab: np.ndarray, weight: np.ndarray) -> np.ndarray:
    edges = [np.linspace(0, 100, 17), np.linspace(-64, 64, 25), np.linspace(-64, 64, 25)]
    counts, _ = np.histogramdd(lab, bins=edges, weights=weight)
    for axis in range(3):
        counts = np.apply_along_axis(np.convolve, axis, counts, [0.25, 0.5, 0.25], mode="same")
    return counts / max(counts.sum(), 1e-9)


def _look_up(histogram: np.ndarray, lab: np.ndarray) -> np.ndarray:
    i = np.clip((lab[:, 0] / 100 * 16).astype(int), 0, 15)
    j = np.clip(((lab[:, 1] + 64) / 128 * 24).astype(int), 0, 23)
    k = np.clip(((lab[:, 2] + 64) / 128 * 24).astype(int), 0, 23)
    return histogram[i, j, k]


def patch_cues(
    patches: Patches,
    lab: np.ndarray,
    kinds: np.ndarray,
    elevation_sin: np.ndarray,
    core: np.ndarray,
    cost: np.ndarray,
    rival: np.ndarray,
) -> Float[np.ndarray, "N K"]:
    """The cues of every superpixel, in the order of `CUES`.

    Args:
        core: (N,) superpixels taken for floor by the strictest growth.
        cost, rival: (N,) path costs from the foreground and from what cannot be floor.
    """
    weight = patches.size * core
    total = max(float(weight.sum()), 1e-9)
    mean = (patches.lab * weight[:, None]).sum(0) / total
    spread = np.sqrt((((patches.lab - mean) ** 2) * weight[:, None]).sum(0) / total)
    foreign = patches.size * (patches.below < 0.5) + 0.02 * patches.size
    ratio = np.log(
        (_look_up(_histogram(patches.lab, weight), patches.lab) + 2e-4)
        / (_look_up(_histogram(patches.lab, foreign), patches.lab) + 2e-4)
    )
    rough = float((patches.rough * weight).sum() / total)
    near = cv2.GaussianBlur(kinds[..., 0].astype(np.float32), (0, 0), 5.0)
    means = [patch_mean(patches, v) for v in (kinds[..., 0], near, kinds[..., 1], kinds[..., 2])]
    deep = patch_mean(patches, -elevation_sin)
    bottom = max(float(deep.max()), 0.05)
    chroma = np.linalg.norm((patches.lab - mean)[:, 1:], axis=1) / (4.0 + np.linalg.norm(spread[1:]))
    i, j = patches.pairs.T
    n = len(patches.size)
    rim = np.bincount(i, patches.border * patches.length, n) + np.bincount(j, patches.border * patches.length, n)
    rim /= np.maximum(np.bincount(i, patches.length, n) + np.bincount(j, patches.length, n), 1.0)
    columns = (
        np.log(0.05 + np.minimum(cost, 20.0)),
        np.log(0.05 + np.minimum(rival, 3.0)),
        np.log(1.0 + patch_mean(patches, straight_cost(lab))),
        ratio,
        np.minimum(chroma, 6.0),
        np.minimum(np.abs(patches.lab[:, 0] - mean[0]) / (8.0 + spread[0]), 6.0),
        np.abs(np.log((patches.rough + 1.0) / (rough + 1.0))),
        means[0],
        means[1],
        means[2],
        means[3],
        deep / bottom,
        np.clip((25.0 - patches.lab[:, 0]) / 25.0, 0, 1),
        np.minimum(rim, 8.0),
    )
    return np.stack(columns, 1)
