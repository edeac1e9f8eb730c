"""How high the camera stood: as the user stated, or what the photo shows weighed against where cameras usually are."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lyra_sim.config.observe import GroundConfig
from lyra_sim.core.records import Intrinsics
from lyra_sim.depth.height_net import HeightGuess, guess_height
from lyra_sim.depth.levelled import level_view

GIVEN_SIGMA = 0.03
"""A stated camera height is a tape measure's or a mast's, not a survey's."""
_LOG_GRID = np.linspace(math.log(0.2), math.log(3.0), 1084)
"""Steps of 0.25 %."""
_UNUSUAL = (0.3, 2.2)
"""Cameras that nobody holds at eye height (robots, toys, masts) may be anywhere between these heights, metres."""

_FAMILIAR, _STRANGE = 0.9, 1.2
"""Strangeness from which the network is doubted, and at which the doubt is full: nine of ten, and one of a hundred,
photos of places like those it learned from lie beyond."""


@dataclass(frozen=True)
class CameraHeight:
    """Metres above the floor, one sigma of its logarithm, and where it comes from."""

    height_m: float
    sigma: float
    source: Literal["camera_height_given", "camera_height_seen", "camera_height_prior"]


def find_height(
    image: np.ndarray,
    valid: np.ndarray,
    camera: Intrinsics,
    down_cam: np.ndarray,
    config: GroundConfig,
    given_m: float | None,
) -> CameraHeight:
    """The height of the camera of one photo ((H, W, 3) uint8 sRGB, (H, W) bool), gravity known in camera axes."""
    if given_m is not None:
        return CameraHeight(given_m, GIVEN_SIGMA, "camera_height_given")
    if not config.height_from_sizes:
        return CameraHeight(config.height_prior_m, config.height_prior_sigma, "camera_height_prior")
    guess = guess_height(*level_view(image, valid, camera, down_cam))
    return weigh(guess, config)


def weigh(guess: HeightGuess, config: GroundConfig) -> CameraHeight:
    """Bayes' rule on a grid of ln(height): median and spread.

    The prior is a mixture: cameras at the usual height (log-normal), and with `unusual_height_share` cameras anywhere
    in `_UNUSUAL`. So a photo that clearly shows a low camera is believed, and one that shows nothing stays usual. What
    the network says of a photo unlike those it learned from counts little, and its camera is taken to be a usual one.
    """
    strange = min(max((guess.strange - _FAMILIAR) / (_STRANGE - _FAMILIAR), 0.0), 1.0)
    sigma = math.hypot(guess.sigma, config.size_sigma, strange * config.strange_sigma)
    usual = _normal(_LOG_GRID - math.log(config.height_prior_m), config.height_prior_sigma)
    low, high = (math.log(v) for v in _UNUSUAL)
    anywhere = (np.abs(_LOG_GRID - (low + high) / 2) < (high - low) / 2) / (high - low)
    share = (1 - strange) * config.unusual_height_share
    prior = (1 - share) * usual + share * anywhere
    weight = prior * _normal(_LOG_GRID - guess.log_m, sigma)
    weight /= weight.sum()
    middle = float(_LOG_GRID[int(np.searchsorted(np.cumsum(weight), 0.5))])
    spread = float(np.sqrt((weight * (_LOG_GRID - middle) ** 2).sum()))
    return CameraHeight(round(math.exp(middle), 4), round(spread, 4), "camera_height_seen")


def _normal(x: np.ndarray, sigma: float) -> np.ndarray:
    return np.exp(-0.5 * (x / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
