"""Histories as the model itself makes them: a segment is predicted in one step, decoded, and trained on as the past.

A generator that has only seen clean pasts drifts when it is fed its own frames. Method: self-augmentation of Lyra 2.0
(nv-tlabs/lyra, models/lyra2_model.py) as described publicly.

Shapes: B batch, C channels, T latents or frames, H W rows and columns.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lyra_sim.training.flow import FlowTable, noised
from lyra_sim.worldgen.lyra2.framing import u8
from lyra_sim.worldgen.lyra2.sampling import Velocity, denoised
from lyra_sim.worldgen.lyra2.vae import VaeStream

MOST_NOISE = 500
"""Predictions start at most at this time (of 1000)."""


@dataclass(frozen=True)
class Lowered:
    """From where a one-step prediction starts, (B,) each."""

    timestep: Tensor
    """0..`MOST_NOISE`, of an entry of the table."""
    sigma: Tensor
    net_timestep: Tensor
    """The whole number that the network is given."""


def lowered(table: FlowTable, entry_B: Tensor, most_noise: float = MOST_NOISE) -> Lowered:
    """The times of drawn entries, scaled down from 0..1000 to 0..`most_noise`."""
    wanted = torch.floor(table.timesteps[entry_B] * (most_noise / 1000)).clamp(min=1)
    near = table.nearest(wanted)
    sigma = table.sigmas[near]
    return Lowered(table.timesteps[near], sigma, torch.floor(1000 * sigma))


@torch.no_grad()
def predict_once(
    velocity: Velocity, history_BCTHW: Tensor, clean_BCTHW: Tensor, eps_BCTHW: Tensor, start: Lowered
) -> Tensor:
    """What the model makes of new latents that were noised to `start`, in one step, float32.

    Args:
        history_BCTHW: packed history, clean.
        clean_BCTHW, eps_BCTHW: true new latents and the noise put on them.
    """
    x = noised(clean_BCTHW.float(), eps_BCTHW.float(), start.sigma)
    v = velocity(torch.cat([history_BCTHW.float(), x], 2), start.net_timestep.to(x))
    return denoised(x, start.sigma.to(x).reshape(-1, 1, 1, 1, 1), v)


@torch.no_grad()
def decode_window(stream: VaeStream, past_CTHW: Tensor, prediction_CTHW: Tensor, repeats: int) -> np.ndarray:
    """Frames (T, H, W, 3) uint8 of a time line with the prediction at its end, from frame 0 on.

    All of it takes the place of the clip's frames, as published (history and prediction are decoded, and the whole
    decoded window is copied): remembered views of the past look as they do when they have been generated, once through
    the autoencoder. The history is that of the time line, not the packed one: the latents of that have gaps between
    them, and a causal decoder would give frames of no place in the clip. Latents of the history before the prediction
    stay those of the true frames; only the predicted segment is encoded again (`ExampleMaker.augmented`).

    Args:
        stream: at the beginning of a clip.
        past_CTHW: latents of the time line so far, which begins with `repeats` times frame 0 (`Packing.repeats`).
    """
    line = torch.cat([past_CTHW, prediction_CTHW.to(past_CTHW)], 1)
    frames = [u8(stream.decode(latent)) for latent in line.split(1, 1)]  # a long clip's values would take gigabytes
    return np.concatenate(frames)[repeats - 1 :]
