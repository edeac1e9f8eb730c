"""Scale of depths that a network predicted for known cameras: its cameras are laid over the known ones, and what they
grew by, the depths grew by too.

`normalise_cameras`, `separate_centres` and `fit_centres` do what the published procedure does (Depth Anything 3, as
Lyra 2.0 uses it), also where its result means nothing: about a point that all cameras share it divides noise by 1e-6.
`judge` says whether a fit may be used.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from lyra_sim.geometry.camera import invert
from lyra_sim.geometry.sim3 import Sim3, umeyama

RANSAC_VIEWS = 10
"""From so many views on, outliers are looked for."""
SEED, SUBSETS = 42, 10
_NEAREST_UNIT = 0.1
"""Least length, in scene units, that normalised translations are divided by."""
_COINCIDENT = 1e-10
"""Summed variance of the camera centres (squared scene units) below which they are moved apart."""
_OFFSET = 1e-6

MAX_SIGMA = 0.05
"""One sigma of ln(scale) up to which a fit is used: a step of 5 % between the depths of two segments shows."""
NOISE_FLOOR = 0.003
"""Error of predicted camera centres that is assumed at least, as a share of the median depth. A fit to few centres may
leave no residual and still be wrong; networks place cameras no better than to some thousandths of the depth."""

_MEDIAN_LENGTH = 1.538
"""Median length of a vector whose three components have one sigma each."""


@dataclass(frozen=True)
class CentreFit:
    """Given camera centres laid over predicted ones: predicted = scale * rotation @ given + translation."""

    sim3: Sim3
    inliers: Int[np.ndarray, "M"]
    """Views that the fit was made with, in their order."""
    offsets_added: bool
    """The centres determined no rotation (one spot, one line); millionths of a unit were added to both sets."""


@dataclass(frozen=True)
class Verdict:
    """Whether the scale of a fit may be used, how sure it is, and why not."""

    trusted: bool
    sigma: float
    """One sigma of ln(scale); infinite where nothing determines it."""
    why: str
    """Empty where it is trusted."""


def normalise_cameras(w2c: Float[np.ndarray, "V 4 4"]) -> Float[np.ndarray, "V 4 4"]:
    """Cameras as the network is given them, float32: relative to the first; translations divided by the median distance
    of the centres from the first one (itself counted, the lower of two middle values), at least 0.1."""
    w2c = np.asarray(w2c, np.float64)
    relative = w2c @ invert(w2c[:1])
    distance = np.sort(np.linalg.norm(centres(relative), axis=1))
    relative[:, :3, 3] /= max(float(distance[(len(distance) - 1) // 2]), _NEAREST_UNIT)
    return relative.astype(np.float32)


def separate_centres(w2c: Float[np.ndarray, "V 4 4"]) -> Float[np.ndarray, "V 4 4"]:
    """The same cameras, float32; where all stand in one spot, each centre moved by a millionth of a unit.

    Over a window of ten views these offsets are almost one and the same: they determine no scale.
    """
    w2c = np.asarray(w2c, np.float32)
    spots = centres(w2c.astype(np.float64))
    if spots.var(0).sum() >= _COINCIDENT:
        return w2c
    i = np.arange(len(w2c))
    moved = spots.astype(np.float32) + _offsets(i, 1e-5, 1.3e-5, 7e-6).astype(np.float32)
    out = w2c.copy()
    out[:, :3, 3] = -np.einsum("nij,nj->ni", w2c[:, :3, :3].astype(np.float64), moved)
    return out


def fit_centres(given: Float[np.ndarray, "V 4 4"], predicted: Float[np.ndarray, "V R 4"]) -> CentreFit | None:
    """The similarity from the centres of the given cameras (w2c, after `separate_centres`) to the predicted ones.

    From `RANSAC_VIEWS` views on the fit is repeated on the largest set of views that agree with a fit to a half of
    them.

    Returns:
        None where even offset centres determine no rotation (a single view).
    """
    source, target = centres(np.asarray(given, np.float64)), centres(np.asarray(predicted, np.float64))
    everything = np.arange(len(source))
    if len(source) < RANSAC_VIEWS:
        return _fit(source, target, everything)
    whole = _fit(source, target, everything)
    if whole is None:
        return None
    apart = np.linalg.norm(whole.sim3.apply(source)[:, None] - target[None], axis=2)
    limit = float(np.median(apart.min(1)))
    rng = np.random.default_rng(SEED)
    best, best_score, agreeing = whole, (-1, -math.inf), everything[:0]
    for _ in range(SUBSETS):
        chosen = rng.choice(len(source), max(3, (len(source) + 1) // 2), replace=False)
        fit = _fit(source, target, chosen)
        if fit is None:
            continue
        error = np.linalg.norm(fit.sim3.apply(source) - target, axis=1)
        inside = np.flatnonzero(error <= limit)
        score = (len(inside), -float(error[inside].mean()) if len(inside) else -math.inf)
        if score > best_score:
            best, best_score, agreeing = fit, score, inside
    return _fit(source, target, agreeing) if len(agreeing) >= 3 else best


def judge(fit: CentreFit | None, given: np.ndarray, predicted: np.ndarray, depth: np.ndarray) -> Verdict:
    """Whether the centres determine the scale of this fit.

    The scale is the ratio of two spreads, so one sigma of its logarithm is the noise of a predicted centre over the
    spread of the given ones as the fit scales it: noise / (scale * sqrt(sum of squared distances from their mean)). The
    noise is what the fit leaves over in its own views (7 degrees of freedom taken off), at least what the median over
    all views says (few views may agree by chance), at least `NOISE_FLOOR` of the depth. Above
    `MAX_SIGMA` the fit is refused; so are cameras in one spot. Cameras on a straight line need offsets for their
    rotation, but their scale is as sure as that of others.

    Args:
        given: (V, 4, 4) w2c as the loop knows them, before `separate_centres`.
        predicted: (V, 3 or 4, 4) w2c of the network.
        depth: its depths, in its own units; 0 where unknown.
    """
    if fit is None:
        return Verdict(False, math.inf, f"{len(given)} camera(s) determine no scale")
    spots = centres(np.asarray(given, np.float64))
    if spots.var(0).sum() < _COINCIDENT:
        return Verdict(False, math.inf, "the cameras stand in one spot")
    error = np.linalg.norm(fit.sim3.apply(spots) - centres(np.asarray(predicted, np.float64)), axis=1)
    source, left = spots[fit.inliers], np.square(error[fit.inliers]).sum()
    freedom = max(3 * len(source) - 7, 1)
    known = depth[np.isfinite(depth) & (depth > 0)]
    floor = NOISE_FLOOR * float(np.median(known)) if known.size else math.inf
    noise = max(math.sqrt(left / freedom), float(np.median(error)) / _MEDIAN_LENGTH, floor)
    reach = fit.sim3.scale * math.sqrt(np.square(source - source.mean(0)).sum())
    sigma = noise / reach if reach > 0 else math.inf
    if sigma <= MAX_SIGMA:
        return Verdict(True, sigma, "")
    why = f"the cameras spread by {reach:.3g}, their predicted places are unsure by {noise:.3g} (network's units): "
    return Verdict(False, sigma, f"{why}scale unsure to {sigma:.0%}, {MAX_SIGMA:.0%} allowed")


def centres(w2c: Float[np.ndarray, "V R 4"]) -> Float[np.ndarray, "V 3"]:
    """Camera centres in the world; rows below the third are not read."""
    return -np.einsum("nji,nj->ni", w2c[:, :3, :3], w2c[:, :3, 3])


def _fit(source: np.ndarray, target: np.ndarray, chosen: np.ndarray) -> CentreFit | None:
    fit = umeyama(source[chosen], target[chosen])
    if fit is not None:
        return CentreFit(fit, chosen, False)
    apart = _offsets(np.arange(len(chosen)), 0.07, 0.11, 0.13)
    fit = umeyama(source[chosen] + apart, target[chosen] + apart)
    return None if fit is None else CentreFit(fit, chosen, True)


def _offsets(index: np.ndarray, x: float, y: float, z: float) -> np.ndarray:
    turn = 2 * np.pi * index
    return _OFFSET * np.stack([np.sin(turn * x), np.cos(turn * y), np.sin(turn * z)], 1)
