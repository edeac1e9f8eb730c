"""Brings generated images to common colours, as far as faces of the mesh tell; those of walks are evened when observed
(`lyra_sim.depth.exposure`)."""

import numpy as np
from jaxtyping import Float, Float32, UInt8

SAMPLES = 8_000
ROUNDS = 10
GAIN_WEIGHT, OFFSET_WEIGHT = 0.02, 0.02
"""Pull of each gain towards 1 and each offset towards 0, relative to the samples of a view."""


def exposures(
    color: UInt8[np.ndarray, "V M 3"], quality: Float32[np.ndarray, "V M"], area: Float[np.ndarray, "M"]
) -> tuple[Float[np.ndarray, "V 3"], Float[np.ndarray, "V 3"]]:
    """Gain and offset (in colours 0..1) per view and channel.

    They minimise the differences between the views of the same faces (sampled by area), by alternating between the
    mean colour of each face and a robust straight line per view (Huber weights), kept near identity.

    Args:
        color: what each view shows at each face; meaningless where quality is 0.
    """
    gain, offset = np.ones((len(color), 3)), np.zeros((len(color), 3))
    shared = np.nonzero((quality > 0).sum(axis=0) >= 2)[0]
    if len(shared) == 0:
        return gain, offset
    rng = np.random.default_rng(0)
    total = np.cumsum(area[shared])
    spots = (np.arange(SAMPLES) + rng.random(SAMPLES)) / SAMPLES * total[-1]
    picks = shared[np.unique(np.minimum(np.searchsorted(total, spots), len(shared) - 1))]
    seen = quality[:, picks] > 0
    for channel in range(3):
        gain[:, channel], offset[:, channel] = _solve(color[:, picks, channel] / 255.0, seen)
    return gain, offset


def _solve(color: Float[np.ndarray, "V K"], seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gain and offset per view for one channel."""
    gain, offset = np.ones(len(color)), np.zeros(len(color))
    usable = seen & (color > 0.02) & (color < 0.98)  # clipped values say nothing about exposure
    weight = usable.astype(np.float64)
    for _ in range(ROUNDS):
        mapped = gain[:, None] * color + offset[:, None]
        target = (weight * mapped).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-9)
        weight = usable * np.minimum(1.0, 0.08 / np.maximum(np.abs(mapped - target), 1e-6))
        mass, wx = weight.sum(axis=1), weight * color
        sx, sxx = wx.sum(axis=1), (wx * color).sum(axis=1)
        sy, sxy = (weight * target).sum(axis=1), (wx * target).sum(axis=1)
        a, d = sxx + GAIN_WEIGHT * mass, mass * (1.0 + OFFSET_WEIGHT)
        right_gain = sxy + GAIN_WEIGHT * mass
        det = np.maximum(a * d - sx * sx, 1e-12)
        known = mass >= 20
        gain = np.where(known, np.clip((right_gain * d - sx * sy) / det, 0.4, 2.5), gain)
        offset = np.where(known, (a * sy - sx * right_gain) / det, offset)
    return gain, offset
