"""Where metres come from: cues of the scale, each with its sigma, weighed against one another and checked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from scipy.stats import chi2

from lyra_sim.core.errors import SceneError

Source = Literal["sensor", "camera_height_given", "network", "gps"]

_CHANCE = 0.05
"""Cues that disagree as much as only this share of sound ones would do contradict each other."""


@dataclass(frozen=True)
class ScaleCue:
    """What lengths must be multiplied by to be metres, as a logarithm, with one sigma of it."""

    source: Source
    log_factor: float
    sigma: float


@dataclass(frozen=True)
class Scale:
    """The factor that was decided on, one sigma of its logarithm, and the most certain cue's source."""

    factor: float
    sigma: float
    source: Source
    notes: dict[str, Any]
    """For the report; JSON values."""


def combine(name: str, cues: Sequence[ScaleCue]) -> Scale:
    """Weighted mean of ln(factor), weights 1 / sigma^2.

    Cues whose chi-square about that mean is beyond 19 of 20 sound ones contradict each other: at least one sigma is
    wrong, so that no mean means anything. Then the most certain cue is kept and its sigma widened by Birge's ratio
    sqrt(chi-square / degrees of freedom) (Birge 1932; the scale factor of the Particle Data Group's averages).

    Args:
        name: the capture's, for the message.

    Raises:
        SceneError: there is no cue.
    """
    if not cues:
        raise SceneError(
            name,
            expected="something that tells the scale",
            got="no measured depth in metres, no GPS positions far enough apart",
            todo="Give depth_scale and poses in metres, or colour images whose EXIF holds GPS positions.",
        )
    weights = [cue.sigma**-2 for cue in cues]
    mean = sum(w * cue.log_factor for w, cue in zip(weights, cues, strict=True)) / sum(weights)
    sigma = sum(weights) ** -0.5
    spread = sum(((cue.log_factor - mean) / cue.sigma) ** 2 for cue in cues)
    agree = len(cues) == 1 or spread <= chi2.isf(_CHANCE, len(cues) - 1)
    best = min(cues, key=lambda cue: cue.sigma)
    if not agree:
        mean, sigma = best.log_factor, best.sigma * math.sqrt(spread / (len(cues) - 1))
    notes = {
        "cues": [
            {"source": c.source, "factor": round(math.exp(c.log_factor), 4), "sigma": round(c.sigma, 4)} for c in cues
        ],
        "agree": bool(agree),
    }
    return Scale(math.exp(mean), sigma, best.source, notes)
