"""What a photo's own structure leaves open about its scale: the horizon, and which pixels are floor."""

import math

import numpy as np
from jaxtyping import Bool, Float

from lyra_sim.core.records import Intrinsics
from lyra_sim.depth.floor import CHANCES
from lyra_sim.depth.layout import Layout
from lyra_sim.depth.lines import GravityVote
from lyra_sim.geometry.camera import pixel_rays

_STRIDE_PX = 3
_FARTHEST = 16.0
"""Floor beyond this many camera heights (3.6 degrees below the horizon) is not asked for."""


def horizon_doubt(camera: Intrinsics, gravity: GravityVote, floor: Bool[np.ndarray, "H W"]) -> float:
    """One sigma of ln(range of the floor) from the tilt's: range is h / tan(angle below the horizon), so its logarithm
    changes by 1 / (sin cos) of that angle; the median of the floor's pixels."""
    rays = pixel_rays(camera)[floor]
    sine = rays @ gravity.down_cam / np.linalg.norm(rays, axis=-1)
    return gravity.pitch_sigma_rad * float(np.median(1 / (sine * np.sqrt(1 - sine**2)).clip(1e-2)))


def floor_doubt(
    layout: Layout, chance: Float[np.ndarray, "H W"], down: Float[np.ndarray, "H W"], height_m: float
) -> float:
    """One sigma of ln(scale) from not knowing where the floor ends.

    Floor that was not taken for floor stands upright at its lower end and so lies too near. Were all pixels floor whose
    chance is above t, the median of the floor's depth would grow by exp(m(t)). All pixels are held to one unknown t
    that is equally likely anywhere in (0, 1): the root mean square of m is the sigma.

    Args:
        chance: of each pixel to be floor, by the cues.
        down: downward component of each pixel's ray with z = 1.
    """
    part = (slice(None, None, _STRIDE_PX),) * 2
    kind, depth, below = layout.kind[part], layout.depth_m[part], down[part]
    able = layout.valid[part] & (below > 1 / _FARTHEST)
    floor = kind[able] == 1
    likely = np.where(floor, 1.0, chance[part][able])
    grows = np.where(floor, 0.0, np.log(height_m / below[able] / depth[able]))
    shifts = [float(np.median(grows[likely >= t])) for t in CHANCES if (likely >= t).any()]
    return math.sqrt(float(np.mean(np.square(shifts)))) if shifts else 0.0
