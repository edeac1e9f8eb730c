"""What the video generator learns: the velocity between noise and clean latents, at times drawn from a table.

Rectified flow (Liu et al. 2023) with the table, the drawing of times and the loss weight of Lyra 2.0 (nv-tlabs/lyra,
models/lyra2_model.py) as described publicly.

Shapes: B batch, C channels, T latents, H W rows and columns of a latent.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lyra_sim.worldgen.lyra2.sampling import SHIFT, TABLE, flow_table


@dataclass(frozen=True)
class FlowTable:
    """The times that are trained, most noise first; float32 on the CPU."""

    sigmas: Tensor
    timesteps: Tensor
    """0..1000."""
    weights: Tensor
    """Of the loss: highest in the middle, 0 at 1000, with mean 1 over the table."""

    @classmethod
    def build(cls, shift: float = SHIFT) -> "FlowTable":
        """The table of a schedule."""
        sigmas, timesteps = flow_table(shift)
        bell = torch.exp(-2 * ((timesteps.double() - 500) / 1000) ** 2)
        raised = bell - bell.min()
        return cls(sigmas, timesteps, (raised / raised.mean()).float())

    def entry(self, normal: Tensor) -> Tensor:
        """Entries of standard normal draws; low numbers are much noise."""
        return (TABLE * torch.sigmoid(normal)).long().clamp(max=TABLE - 1)

    def nearest(self, timestep: Tensor) -> Tensor:
        """The entries closest to the given times."""
        return (self.timesteps - timestep[:, None]).abs().argmin(1)


def noised(clean_BCTHW: Tensor, eps_BCTHW: Tensor, sigma_B: Tensor) -> Tensor:
    """sigma * noise + (1 - sigma) * clean."""
    sigma = sigma_B.to(clean_BCTHW).reshape(-1, 1, 1, 1, 1)
    return sigma * eps_BCTHW + (1 - sigma) * clean_BCTHW


def flow_loss(velocity_BCTHW: Tensor, clean_BCTHW: Tensor, eps_BCTHW: Tensor, weight_B: Tensor) -> Tensor:
    """(B,): weighted mean square of the velocity's error, in float32."""
    off = velocity_BCTHW.float() - (eps_BCTHW - clean_BCTHW).float()
    return weight_B.to(off) * off.square().flatten(1).mean(1)
