"""The floor in one photo: superpixels grown from the foreground, stopped by edges, upright lines and foreign colours.

A leak onto a sofa or a car would make an obstacle drivable, a missed rug only costs room; so every doubt goes against
the floor. Superpixels are watershed basins of the colour gradient (Meyer 1991; compact form of Neubert and Protzel
2014), growth is the cheapest path over their borders.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
from jaxtyping import Bool, Float

from lyra_sim.depth.floor_patches import Patches

_DARK = 12.0
"""Lightness below which a surface shows too little to be judged."""

WEIGHTS = np.array([-0.85, 1.31, -0.05, 0.0, -0.40, 0.0, 0.0, 0.0, -6.4, 0.0, 0.0, 4.15, -6.5, 0.0])
BIAS = -0.11
THRESHOLD = 1.5
STOP = 1.0


@dataclass(frozen=True)
class Growth:
    """The strictest growth from the foreground, and what it costs to reach each superpixel."""

    core: Bool[np.ndarray, "N"]
    """Superpixels of the most plausible foreground region; all False where there is none."""
    cost: Float[np.ndarray, "N"]
    rival: Float[np.ndarray, "N"]
    """Cost at which what cannot be floor (above the horizon, upright lines) reaches the superpixel."""
    able: Bool[np.ndarray, "N"]
    """Below the horizon and bright enough to be judged."""


def grow(patches: Patches, *, limit: float = 0.6) -> Growth:
    """Cheapest-path growth from each superpixel at the lower image edge; the most plausible region wins.

    Args:
        limit: most that a path inside the core may cost.
    """
    graph = _graph(patches)
    rival = _rivals(patches, graph)
    height, _ = patches.index.shape
    bottom = np.bincount(patches.index[int(0.94 * height) :].ravel(), minlength=len(patches.size)).astype(float)
    able = (patches.below > 0.6) & (patches.lab[:, 0] > _DARK)
    seeds = np.nonzero((bottom > 0) & (patches.below > 0.95) & able & (rival > 0.1))[0]
    best, best_score, best_cost = np.zeros(len(patches.size), bool), -np.inf, np.full(len(patches.size), np.inf)
    if len(seeds):
        far = scipy.sparse.csgraph.dijkstra(graph, directed=False, indices=seeds)
        for cost in far:
            inside = (cost < limit) & (cost < rival) & able
            score = _plausible(patches, inside, bottom)
            if score > best_score:
                best, best_score, best_cost = inside, score, cost
    return Growth(core=best, cost=best_cost, rival=rival, able=able)


def _rivals(patches: Patches, graph) -> Float[np.ndarray, "N"]:
    """Cost at which each patch is reached from what cannot be floor."""
    n = len(patches.size)
    start = np.full(n, np.inf)
    start[patches.below < 0.5] = 0.0
    start = np.minimum(start, np.where(patches.upright > 0.15, 0.25, np.inf))
    source = np.nonzero(np.isfinite(start))[0]
    if not len(source):
        return np.full(n, np.inf)
    i, j, w = scipy.sparse.find(graph)
    hub = np.full(len(source), n)
    wide = scipy.sparse.coo_matrix(
        (np.r_[w, start[source] + 1e-6], (np.r_[i, hub], np.r_[j, source])), shape=(n + 1, n + 1)
    ).tocsr()
    return scipy.sparse.csgraph.dijkstra(wide, directed=False, indices=n)[:n]


def _plausible(patches: Patches, inside: np.ndarray, bottom: np.ndarray) -> float:
    """How much a grown region looks like the floor: large, wide at the lower edge, not lined by upright edges."""
    area = float((patches.size * inside).sum())
    if area == 0:
        return -np.inf
    i, j = patches.pairs.T
    rim = inside[i] != inside[j]
    lined = float((patches.length * np.maximum(patches.upright[i], patches.upright[j]))[rim].sum())
    upright = lined / max(float(patches.length[rim].sum()), 1.0)
    share = float((bottom * inside).sum()) / max(float(bottom.sum()), 1.0)
    return float(np.sqrt(area / patches.size.sum())) + share - 2.0 * upright


def border_cost(patches: Patches) -> Float[np.ndarray, "M"]:
    """What it costs to cross each border."""
    i, j = patches.pairs.T
    weight = np.array([0.7, 1.2, 1.2])
    step = np.sqrt((((patches.lab[i] - patches.lab[j]) * weight) ** 2).sum(1))
    rough = 0.5 * (patches.rough[i] + patches.rough[j])
    rough_step = np.abs(np.log((patches.rough[i] + 1.0) / (patches.rough[j] + 1.0)))
    contrast = step / (5.0 + 0.8 * rough)
    edge = np.maximum(patches.border - 0.35 * rough, 0) / 4.0
    upright = np.maximum(patches.upright[i], patches.upright[j])
    cost = 0.30 * contrast**2 + 0.25 * edge**2 + 0.5 * patches.barrier**2 + 0.25 * rough_step**2 + 1.0 * upright**2
    return cost + 0.004


def _graph(patches: Patches):
    n = len(patches.size)
    i, j = patches.pairs.T
    return scipy.sparse.coo_matrix((border_cost(patches), (i, j)), shape=(n, n)).tocsr()


@dataclass(frozen=True)
class FloorRegion:
    """Where the floor is sure, and how the growth got there."""

    mask: Bool[np.ndarray, "H W"]
    cost: Float[np.ndarray, "H W"]
    core_share: float
    """Share of the photo that the strictest growth covers; small cores are usually no floor at all."""


def decide(patches: Patches, growth: Growth, cues: Float[np.ndarray, "N K"], valid: np.ndarray) -> FloorRegion:
    """Superpixels whose cues say floor and that hang together with the core through borders that do not stop them."""
    share = float((patches.size * growth.core).sum() / patches.size.sum())
    score = cues @ WEIGHTS + BIAS
    accepted = growth.able & (score > THRESHOLD) | growth.core
    i, j = patches.pairs.T
    open_border = accepted[i] & accepted[j] & (border_cost(patches) < STOP)
    n = len(patches.size)
    links = scipy.sparse.coo_matrix((open_border.astype(float), (i, j)), shape=(n, n))
    _, part = scipy.sparse.csgraph.connected_components(links, directed=False)
    mine = accepted & np.isin(part, np.unique(part[growth.core]))
    cost = np.where(np.isfinite(growth.cost), growth.cost, 1e6)
    return FloorRegion(mask=mine[patches.index] & valid, cost=cost[patches.index], core_share=share)
