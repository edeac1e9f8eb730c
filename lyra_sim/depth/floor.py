"""The floor in one photo: superpixels grown from the foreground, stopped by edges, upright lines and foreign colours.

A leak onto a sofa or a car would make an obstacle drivable, a missed rug only costs room; so every doubt goes against
the floor. Superpixels are watershed basins of the colour gradient (Meyer 1991; compact form of Neubert and Protzel
2014), growth is the cheapest path over their borders.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
from jaxtyping import Bool, Float, Int
from skimage.segmentation import watershed

from lyra_sim.depth.photo_sky import texture


@dataclass(frozen=True)
class Patches:
    """Superpixels of one photo and what is known of each."""

    index: Int[np.ndarray, "H W"]
    size: Float[np.ndarray, "N"]
    lab: Float[np.ndarray, "N 3"]
    rough: Float[np.ndarray, "N"]
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
    index = watershed(fine + 0.5 * lines, markers, compactness=0.002) - 1
    size = np.bincount(index.ravel(), minlength=count).astype(float)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(index.ravel(), values.ravel().astype(float), minlength=count) / np.maximum(size, 1)

    pairs, border, barrier, length = _borders(index, gradient(lab, 1.2), lines, count)
    return Patches(
        index=index,
        size=size,
        lab=np.stack([mean(lab[..., c]) for c in range(3)], 1),
        rough=mean(texture(lab[..., 0])),
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


@dataclass(frozen=True)
class FloorRegion:
    """Where the floor is sure, and how the growth got there."""

    mask: Bool[np.ndarray, "H W"]
    cost: Float[np.ndarray, "H W"]


def grow_floor(patches: Patches, valid: np.ndarray, *, limit: float = 1.0) -> FloorRegion:
    """Cheapest-path growth from the best of the patches that touch the lower image edge."""
    height, _ = patches.index.shape
    bottom = np.bincount(patches.index[int(0.94 * height) :].ravel(), minlength=len(patches.size))
    seeds = np.nonzero((bottom > 0) & (patches.below > 0.95))[0]
    graph = _graph(patches)
    best, best_score, best_cost = None, -np.inf, None
    if len(seeds):
        far = scipy.sparse.csgraph.dijkstra(graph, directed=False, indices=seeds, limit=limit * 3)
        model_bad = _foreign(patches)
        for row, _ in zip(far, seeds, strict=True):
            cost = row + model_bad
            inside = (cost < limit) & (patches.below > 0.6)
            score = (
                np.sqrt((patches.size * inside).sum() / patches.size.sum())
                + 1.0 * (bottom * inside).sum() / max(bottom.sum(), 1)
                - 1.5 * (patches.upright * patches.size * inside).sum() / max((patches.size * inside).sum(), 1)
            )
            if score > best_score:
                best, best_score, best_cost = inside, score, cost
    if best is None or best_cost is None:
        empty = np.zeros(patches.index.shape, bool)
        return FloorRegion(mask=empty, cost=np.full(patches.index.shape, np.inf))
    mask = best[patches.index] & valid
    return FloorRegion(mask=mask, cost=best_cost[patches.index])


def _graph(patches: Patches):
    i, j = patches.pairs.T
    weight = np.array([0.7, 1.2, 1.2])
    step = np.sqrt((((patches.lab[i] - patches.lab[j]) * weight) ** 2).sum(1))
    rough = 0.5 * (patches.rough[i] + patches.rough[j])
    rough_step = np.abs(np.log((patches.rough[i] + 1.0) / (patches.rough[j] + 1.0)))
    contrast = step / (5.0 + 0.8 * rough)
    edge = np.maximum(patches.border - 0.35 * rough, 0) / 4.0
    upright = np.maximum(patches.upright[i], patches.upright[j])
    cost = 0.30 * contrast**2 + 0.25 * edge**2 + 0.5 * patches.barrier**2 + 0.25 * rough_step**2 + 1.0 * upright**2
    cost += 0.004
    n = len(patches.size)
    return scipy.sparse.coo_matrix((cost, (i, j)), shape=(n, n)).tocsr()


def _foreign(patches: Patches) -> Float[np.ndarray, "N"]:
    return np.zeros(len(patches.size))
