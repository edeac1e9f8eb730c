"""The floor in one photo: superpixels grown from the foreground, stopped by edges, upright lines and foreign colours.

A leak onto a sofa or a car would make an obstacle drivable, a missed rug only costs room; so every doubt goes against
the floor. Superpixels are watershed basins of the colour gradient (Meyer 1991; compact form of Neubert and Protzel
2014), growth is the cheapest path over their borders.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
import scipy.spatial
import scipy.special
from jaxtyping import Bool, Float

from lyra_sim.depth.floor_patches import Patches

_DARK = 12.0
"""Lightness below which a surface shows too little to be judged."""

# Logistic regressions on 200 rendered photos of flats and streets (seeds apart from every test and benchmark); by hand:
# cues that say nothing there are 0, and `REGION_WEIGHTS` punishes darkness, hollow undersides and a foreground that
# looks like the upper half of the photo more than the renders ask for, because worktops and tables do so in real rooms.
WEIGHTS = np.array([-1.12, 1.40, -0.14, 0.0, -0.5, -0.16, 0.0, 0.0, -5.0, 0.0, 0.0, 3.52, -6.0, 0.0])
BIAS = 1.05
THRESHOLD = 1.35
REGION_WEIGHTS = np.array([1.1, 2.1, 1.9, 0.0, -10.0, 1.9, -2.0, -4.3, 1.8, -12.0, 1.6, -10.0])
REGION_BIAS = 7.6
_TOP_COST = 0.7
"""What the upper image edge costs as a rival where it is below the horizon: it may be floor, but rarely is."""
ONE_COLOUR = 2.5
"""How far, in spreads of the best region's chroma, another region's chroma may lie for it to join the core. Light and
shadow change lightness far more than chroma; things in the foreground (cloth, wood, plastic) differ in chroma."""
SMOOTHER = 0.45
"""How much smoother than the best region, in log(roughness + 1), another one of its chroma may be; less where their
chroma differs (a quarter of an ellipse). Shadows, seams and small things on a floor add to its roughness, nothing takes
away from it: of floors in rendered and measured photos, most parts were at most 0.35 smoother, leather, worktops and
boards 0.4 to 0.9."""
STOP = 1.0
SURE = 4.5
"""Score from which a superpixel is floor beyond doubt. The core has to prove itself too: growth leaks, but the cues of
the bumper that it leaked onto are worse than those of the road that it came from. Of core that is floor in rendered and
measured photos half scores above 7, of core on cars and furniture 90 % at most 4 (not so table tops that fill the
foreground)."""
KNOWN = 3.0
"""Score at which a superpixel shows what colours the floor has."""
FOREIGN = 6.0
"""How far, in Lab units weighted by `_COLOUR`, a thing's colour is from the three nearest ones of known floor."""
ROUGHER = 0.5
"""How much more grain than the core a thing has, in log(grain + 1)."""
_COLOUR = np.array([0.7, 1.2, 1.2])
"""Weights of L, a and b in a difference of colour: shadows change lightness more than chroma."""
CHANCES = (np.arange(20) + 0.5) / 20
"""Chances of being floor at which the region is also drawn, to see how much depends on where the line is drawn."""


@dataclass(frozen=True)
class Growth:
    """The strictest growth from the foreground, and what it costs to reach each superpixel."""

    core: Bool[np.ndarray, "N"]
    """Superpixels of the most plausible foreground region; all False where there is none."""
    cost: Float[np.ndarray, "N"]
    rival: Float[np.ndarray, "N"]
    """Cost at which what cannot be floor (above the horizon, upright lines) reaches the superpixel."""
    able: Bool[np.ndarray, "N"]
    """Below the horizon, bright enough to be judged, and nearer to the core than to a smoother thing of its colour."""
    plausible: float
    """Log odds that the core is floor."""
    even: Bool[np.ndarray, "N"]
    """The core and what would join it if it were of its colour."""


def grow(patches: Patches, *, outdoor: bool = False, limit: float = 0.6, sure: float = 3.5) -> Growth:
    """Cheapest-path growth from each superpixel at the lower image edge; the most plausible regions are the core.

    Args:
        outdoor: under a sky, dark ground is common; indoors it is more often a worktop or a shadow.
        limit: most that a path inside the core may cost.
        sure: regions at least this plausible join the best one, if they are of its colour and not smoother.
    """
    graph = _graph(patches)
    rival = _rivals(patches, graph)
    able = (patches.below > 0.6) & (patches.lab[:, 0] > _DARK)
    none = np.zeros(len(patches.size), bool)
    found = [
        (region_cues(patches, inside, rival, outdoor) @ REGION_WEIGHTS + REGION_BIAS, inside, cost)
        for inside, cost in regions(patches, graph, rival, able, limit)
    ]
    if not found:
        cost = np.full(len(none), np.inf)
        return Growth(core=none, cost=cost, rival=rival, able=able, plausible=-np.inf, even=none)
    scores = np.array([f[0] for f in found])
    best = int(np.argmax(scores))
    core, cost = found[best][1].copy(), found[best][2].copy()
    even, other = core.copy(), np.full(len(none), np.inf)
    for score, inside, away in found:
        if score <= max(sure, scores[best] - 2.0):
            continue
        chroma = chroma_between(patches, found[best][1], inside) / ONE_COLOUR
        smooth = max(smoother_by(patches, found[best][1], inside), 0.0) / SMOOTHER
        if chroma < 1 <= math.hypot(chroma, smooth):
            other = np.minimum(other, away)
            continue
        even |= inside
        if chroma < 1:
            core |= inside
            cost = np.minimum(cost, away)
    able &= cost <= other
    return Growth(core=core, cost=cost, rival=rival, able=able, plausible=float(scores[best]), even=even)


def chroma_between(patches: Patches, one: Bool[np.ndarray, "N"], other: Bool[np.ndarray, "N"]) -> float:
    """Distance of the mean chroma of two regions, in spreads of the first (at least 4 Lab units)."""
    weights = [(patches.size * inside)[:, None] for inside in (one, other)]
    means = [(patches.lab[:, 1:] * weight).sum(0) / max(float(weight.sum()), 1.0) for weight in weights]
    spread = np.sqrt(((patches.lab[:, 1:] - means[0]) ** 2 * weights[0]).sum(0) / max(float(weights[0].sum()), 1.0))
    return float(np.linalg.norm(means[1] - means[0]) / (4.0 + np.linalg.norm(spread)))


def smoother_by(patches: Patches, one: Bool[np.ndarray, "N"], other: Bool[np.ndarray, "N"]) -> float:
    """How much smoother the second region is, in log(mean roughness + 1)."""
    weights = [patches.size * inside for inside in (one, other)]
    rough, smooth = (float((patches.rough * weight).sum() / max(float(weight.sum()), 1.0)) for weight in weights)
    return float(np.log((rough + 1.0) / (smooth + 1.0)))


def regions(patches: Patches, graph, rival: np.ndarray, able: np.ndarray, limit: float):
    """Distinct regions grown from the lower image edge, as (inside (N,), cost (N,)) in order from left to right."""
    height, _ = patches.index.shape
    bottom = np.bincount(patches.index[int(0.94 * height) :].ravel(), minlength=len(patches.size))
    seeds = np.nonzero((bottom > 0) & (patches.below > 0.95) & able & (rival > 0.1))[0]
    taken = np.zeros(len(able), bool)
    for seed in seeds:
        if taken[seed]:
            continue
        cost = scipy.sparse.csgraph.dijkstra(graph, directed=False, indices=seed)
        inside = (cost < limit) & (cost < rival) & able
        inside[seed] = True
        taken |= inside
        yield inside, cost


REGION_CUES = (
    "area",
    "bottom",
    "middle",
    "upright",
    "dark",
    "rival",
    "rim",
    "reach",
    "wide",
    "hollow",
    "rough",
    "foreign",
)


def region_cues(patches: Patches, inside: np.ndarray, rival: np.ndarray, outdoor: bool) -> Float[np.ndarray, "K"]:
    """What a grown region looks like as a whole, in the order of `REGION_CUES`."""
    height, width = patches.index.shape
    size = patches.size * inside
    area = max(float(size.sum()), 1.0)
    mask = inside[patches.index]
    bottom = np.asarray(mask[int(0.97 * height) :].any(0), float)
    columns = mask.any(0)
    below = bottom.sum() / max(columns.sum(), 1)
    i, j = patches.pairs.T
    length = patches.length * np.not_equal(inside[i], inside[j])
    total = max(float(length.sum()), 1.0)
    rows = np.nonzero(mask.any(1))[0]
    above = patches.size * (patches.below < 0.5)
    mean = (patches.lab * size[:, None]).sum(0) / area
    alike = np.exp(-((patches.lab - mean) ** 2).sum(1) / 100.0)
    return np.array(
        [
            np.log(area / patches.size.sum()),
            bottom.mean(),
            bottom[width // 3 : -(width // 3)].mean(),
            float((length * np.maximum(patches.upright[i], patches.upright[j])).sum()) / total,
            np.clip(((16.0 if outdoor else 30.0) - mean[0]) / 30.0, 0, 1),
            np.log(0.05 + float((np.minimum(rival, 3.0) * size).sum()) / area),
            np.log(0.2 + float((patches.border * length).sum()) / total),
            1.0 - rows[0] / height,
            columns.mean(),
            max(0.65 - below, 0.0),
            min(np.log(0.3 + float((patches.rough * size).sum()) / area), 1.5),
            max(float((alike * above).sum() / max(above.sum(), 1.0)) - 0.1, 0.0),
        ]
    )


def _rivals(patches: Patches, graph) -> Float[np.ndarray, "N"]:
    """Cost at which each patch is reached from what cannot be floor."""
    n = len(patches.size)
    start = np.full(n, np.inf)
    start[patches.below < 0.5] = 0.0
    start = np.minimum(start, np.where(patches.upright > 0.15, 0.25, np.inf))
    top = np.unique(patches.index[: max(patches.index.shape[0] // 40, 2)])
    start[top] = np.minimum(start[top], _TOP_COST)
    source = np.nonzero(np.isfinite(start))[0]
    if not len(source):
        return np.full(n, np.inf)
    i, j, w = scipy.sparse.find(graph)
    hub = np.full(len(source), n)
    wide = scipy.sparse.coo_matrix(
        (np.r_[w, start[source] + 1e-6], (np.r_[i, hub], np.r_[j, source])), shape=(n + 1, n + 1)
    ).tocsr()
    return scipy.sparse.csgraph.dijkstra(wide, directed=False, indices=n)[:n]


def border_cost(patches: Patches) -> Float[np.ndarray, "M"]:
    """What it costs to cross each border."""
    i, j = patches.pairs.T
    step = np.sqrt((((patches.lab[i] - patches.lab[j]) * _COLOUR) ** 2).sum(1))
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
    chance: Float[np.ndarray, "H W"]
    """Most of `CHANCES` that may be asked of every superpixel on the way from the core; 0 where it cannot be floor."""
    sure: Bool[np.ndarray, "H W"]
    """Floor beyond doubt, wherever it lies."""
    plausible: float
    core_share: float
    """Share of the photo that the strictest growth covers, whatever its colours; small ones are usually no floor."""


def decide(patches: Patches, growth: Growth, cues: Float[np.ndarray, "N K"], valid: np.ndarray) -> FloorRegion:
    """Superpixels whose cues say floor and that hang together with the core through borders that do not stop them."""
    share = float((patches.size * growth.even).sum() / patches.size.sum())
    score = cues @ WEIGHTS + BIAS
    core = growth.core & (score > SURE)
    growth = replace(growth, core=core, able=growth.able & ~things(patches, core, growth.able & (score > KNOWN)))
    open_border = border_cost(patches) < STOP
    chance = np.zeros(len(score))
    for level in CHANCES:
        chance[_joined(patches, growth, open_border, score > scipy.special.logit(level))] = level
    mine = _joined(patches, growth, open_border, score > THRESHOLD)
    sure = mine & (score > SURE)
    return FloorRegion(
        mask=mine[patches.index] & valid,
        chance=chance[patches.index] * valid,
        sure=sure[patches.index] & valid,
        plausible=growth.plausible,
        core_share=share,
    )


def things(patches: Patches, core: Bool[np.ndarray, "N"], known: Bool[np.ndarray, "N"]) -> Bool[np.ndarray, "N"]:
    """Superpixels that look like the foot of a thing: of a colour that no known floor has, and rougher than the core.

    Markings, rugs and sunlight are foreign but even, the rim of a shadow is rough but of known colours; wheels,
    bumpers and the fronts of seats are both. What stands above such a foot is hidden by it (`layout.cut_behind`).

    Args:
        core: floor beyond doubt in the foreground.
        known: superpixels that show what colours the floor has.
    """
    known = known | core
    if not core.any():
        return ~known
    lab = patches.lab * _COLOUR
    away, _ = scipy.spatial.cKDTree(lab[known]).query(lab, k=[1, 2, 3])
    usual = np.average(patches.grain[core], weights=patches.size[core])
    return ~known & (away.mean(1) > FOREIGN) & (np.log1p(patches.grain) - np.log1p(usual) > ROUGHER)


def _joined(patches: Patches, growth: Growth, open_border: np.ndarray, likely: np.ndarray) -> Bool[np.ndarray, "N"]:
    """The core, and what is likely and hangs together with it."""
    accepted = growth.able & likely | growth.core
    i, j = patches.pairs.T
    crossed = accepted[i] & accepted[j] & open_border
    n = len(patches.size)
    links = scipy.sparse.coo_matrix((crossed.astype(float), (i, j)), shape=(n, n))
    _, part = scipy.sparse.csgraph.connected_components(links, directed=False)
    return accepted & np.isin(part, np.unique(part[growth.core]))
