"""Metric scale of a posed walk from the GPS positions of its frames: how much longer its baselines are in metres."""

import math

import numpy as np
from jaxtyping import Float

from lyra_sim.depth.scale_cues import ScaleCue

_MOST_SIGMA = 0.5
"""A cue less certain than this says nothing: the walk is hardly longer than its fixes are wrong."""


def gps_cue(
    centres: Float[np.ndarray, "T 3"], up: Float[np.ndarray, "3"], fixes: Float[np.ndarray, "T 3"]
) -> ScaleCue | None:
    """The factor that turns the walk's units into metres; None where GPS cannot tell it.

    Least squares of a turn, a shift and a factor in the plane (Umeyama 1991), as complex numbers: z' = a z + b. Errors
    of fixes that are minutes apart hang together, so however many there are, they count as two at their root mean
    square distance from the middle; where they lie farther from the fit than they claim to be wrong, the residual is
    believed.

    Args:
        centres: camera centres, any unit.
        up: unit vector against gravity in the same frame; a few degrees off shorten baselines by less than 1 %.
        fixes: metres to the east and north of some point, one sigma of each; rows of NaN where a frame has none.
    """
    known = np.isfinite(fixes).all(1)
    if known.sum() < 2:
        return None
    across = np.cross(up, np.eye(3)[int(np.argmin(np.abs(up)))])
    across /= np.linalg.norm(across)
    here = centres[known] @ across + 1j * (centres[known] @ np.cross(up, across))
    there, sigma = fixes[known, 0] + 1j * fixes[known, 1], fixes[known, 2]
    weight = sigma**-2 / (sigma**-2).sum()
    here, there = here - weight @ here, there - weight @ there
    power = float(weight @ np.abs(here) ** 2)
    if power < 1e-12:
        return None
    turn = complex(weight @ (here.conj() * there)) / power
    residual = float(weight @ np.abs(there - turn * here) ** 2) / 2
    variance = max(float(1 / (sigma**-2).mean()), residual) / (2 * power)
    if variance >= (_MOST_SIGMA * abs(turn)) ** 2:
        return None
    return ScaleCue("gps", math.log(abs(turn)), math.sqrt(variance) / abs(turn))
