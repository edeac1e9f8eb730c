"""Noise on remembered views while training, so that the generator does not copy from its memory what is out of place.

Method: Lyra 2.0 (nv-tlabs/lyra, models/lyra2_model.py) as described publicly; latent + sigma * noise, one sigma per
view, not rescaled. None is added when generating.
"""

import torch
from torch import Tensor

MEAN, STD = -3.0, 2.0
"""Of ln sigma, which is normally distributed."""


def memory_sigmas(uniform: Tensor, mean: float = MEAN, std: float = STD) -> Tensor:
    """Sigmas of numbers drawn uniformly from (0, 1), through the inverse of the normal distribution."""
    tiny = 2.0**-24  # the ends would be 0 and infinity
    return torch.exp(mean + std * torch.special.ndtri(uniform.double().clamp(tiny, 1 - tiny))).to(uniform)


def with_noise(latents_BCTHW: Tensor, sigma_T: Tensor, noise_BCTHW: Tensor) -> Tensor:
    """Latents with noise of one sigma per latent."""
    return latents_BCTHW + sigma_T.to(latents_BCTHW)[None, None, :, None, None] * noise_BCTHW
