"""Superpixels of a photo with their statistics and borders: the grains that the floor is grown from."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, Int
from skimage.segmentation import watershed

from lyra_sim.depth.photo_sky import texture


@dataclass(frozen=True)
class Patches:
    """Superpixels of one photo and what is known of each."""

    index: Int[np.ndarray, "H W"]
    size: Float[np.ndarray, "N"]
    lab: Float[np.ndarray, "N 3"]
    rough: Float[np.ndarray, "N"]
    """Mean texture, edges of its border included."""
    grain: Float[np.ndarray, "N"]
    """Standard deviation of lightness inside it, so that an edge along its border says nothing."""
    upright: Float[np.ndarray, "N"]
    below: Float[np.ndarray, "N"]
    pairs: Int[np.ndarray, "M 2"]
    border: Float[np.ndarray, "M"]
    """Mean colour gradient along the common border."""
    barrier: Float[np.ndarray, "M"]
    """Share of the common border that runs along a line segment."""
    length: Float[np.ndarray, "M"]


def gradient(lab: np.ndarray, sigma: float) -> Float[np.ndarray, "H W"]:
    """Colour gradient magnitude, Lab units per pixel, lightness weighted down against shadows."""
    soft = cv2.GaussianBlur(lab, (0, 0), sigma)
    gx, gy = cv2.Sobel(soft, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(soft, cv2.CV_32F, 0, 1, scale=0.125)
    weight = np.array([0.8, 1.2, 1.2], np.float32)
    return np.sqrt(((gx * gx + gy * gy) * weight).sum(-1))


def cut_patches(
    lab: np.ndarray, below: np.ndarray, upright: np.ndarray, lines: np.ndarray, *, spacing_px: int
) -> Patches:
    """Superpixels with their statistics.

    Args:
        lab: (H, W, 3) float32.
        below: (H, W) bool, ray goes down far enough to meet the floor.
        upright: (H, W) float, evidence of upright structure.
        lines: (H, W) float, 0..1 where a line segment runs.
    """
    fine = gradient(lab, 0.8)
    height, width = fine.shape
    markers = np.zeros((height, width), np.int32)
    ys, xs = np.arange(spacing_px // 2, height, spacing_px), np.arange(spacing_px // 2, width, spacing_px)
    count = 0
    for y in ys:
        for x in xs:
            y0, x0 = max(y - 2, 0), max(x - 2, 0)
            window = fine[y0 : y + 3, x0 : x + 3]
            dy, dx = np.unravel_index(int(np.argmin(window)), window.shape)
            count += 1
            markers[y0 + dy, x0 + dx] = count
    compact: Any = 0.002  # skimage takes a float, its annotation says int
    index = watershed(fine + 0.5 * lines, markers, compactness=compact) - 1
    size = np.bincount(index.ravel(), minlength=count).astype(float)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(index.ravel(), values.ravel().astype(float), minlength=count) / np.maximum(size, 1)

    lightness = mean(lab[..., 0])
    pairs, border, barrier, length = _borders(index, gradient(lab, 1.2), lines, count)
    return Patches(
        index=index,
        size=size,
        lab=np.stack([mean(lab[..., c]) for c in range(3)], 1),
        rough=mean(texture(lab[..., 0])),
        grain=np.sqrt(mean((lab[..., 0] - lightness[index]) ** 2)),
        upright=mean(upright),
        below=mean(below),
        pairs=pairs,
        border=border,
        barrier=barrier,
        length=length,
    )


def _borders(index: np.ndarray, edge: np.ndarray, lines: np.ndarray, count: int):
    a = np.concatenate([index[:, :-1].ravel(), index[:-1].ravel()])
    b = np.concatenate([index[:, 1:].ravel(), index[1:].ravel()])
    e = np.concatenate([np.maximum(edge[:, :-1], edge[:, 1:]).ravel(), np.maximum(edge[:-1], edge[1:]).ravel()])
    s = np.concatenate([np.maximum(lines[:, :-1], lines[:, 1:]).ravel(), np.maximum(lines[:-1], lines[1:]).ravel()])
    cross = a != b
    low, high = np.minimum(a, b)[cross].astype(np.int64), np.maximum(a, b)[cross].astype(np.int64)
    key, place = np.unique(low * count + high, return_inverse=True)
    length = np.bincount(place).astype(float)
    pairs = np.stack([key // count, key % count], 1)
    return pairs, np.bincount(place, e[cross]) / length, np.bincount(place, s[cross]) / length, length


def patch_mean(patches: Patches, values: np.ndarray) -> Float[np.ndarray, "N"]:
    """Mean of an image quantity over each superpixel."""
    total = np.bincount(patches.index.ravel(), values.ravel().astype(float), minlength=len(patches.size))
    return total / np.maximum(patches.size, 1.0)
