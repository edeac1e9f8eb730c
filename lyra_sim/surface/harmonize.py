"""Brings images with different exposure and white balance to common colours, and finds which of them show a face as
most others do (no glare, no passer-by)."""

import numpy as np
from jaxtyping import Float, Float32, UInt8

SAMPLES = 8_000
ROUNDS = 10
GAIN_WEIGHT, OFFSET_WEIGHT = 0.02, 0.02
"""Pull of each gain towards 1 and each offset towards 0, relative to the samples of a view."""
AGREE = 0.12
"""Colour distance (0..1) from the consensus at which an image is hardly used for a face."""
CHUNK = 20_000


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


def agreement(
    color: UInt8[np.ndarray, "V M 3"],
    quality: Float32[np.ndarray, "V M"],
    gain: Float[np.ndarray, "V 3"],
    offset: Float[np.ndarray, "V 3"],
) -> Float32[np.ndarray, "V M"]:
    """Weight 0..1 per view and face: near 1 where the view shows the face in the colour that most views agree on."""
    out = np.zeros(quality.shape, np.float32)
    for start in range(0, quality.shape[1], CHUNK):
        part = slice(start, start + CHUNK)
        mapped = (color[:, part] / np.float32(255.0)) * gain[:, None].astype(np.float32)
        mapped += offset[:, None].astype(np.float32)
        seen = (quality[:, part] > 0).astype(np.float32)
        weight = seen
        apart = seen
        for _ in range(3):
            mass = np.maximum(weight.sum(axis=0), np.float32(1e-6))
            consensus = np.einsum("vm,vmc->mc", weight, mapped) / mass[:, None]
            apart = ((mapped - consensus) ** 2).sum(axis=2)
            weight = seen / (1.0 + apart / np.float32(0.01))
        out[:, part] = np.exp(-apart / np.float32(AGREE * AGREE)) * seen
    return out
