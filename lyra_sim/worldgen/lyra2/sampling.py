"""Samplers of new latents: UniPC with guidance, or the four steps of the distilled weights.

Flow matching: a state is sigma * noise + (1 - sigma) * clean, the network gives the velocity noise - clean. The state
is float32; all that is random is drawn on the CPU, so it does not depend on the device.
Sources: UniPC (Zhao et al. 2023) as in diffusers; schedules of Lyra 2.0 (nv-tlabs/lyra, models/fm_solvers_unipc.py and
schedulers/self_forcing_scheduler.py) as described publicly.

Shapes: B batch (1), C channels, T latents (of the whole window, of its history or of its new part), H W rows, columns.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np
import torch
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from torch import Tensor

SHIFT = 5.0
GUIDANCE = 5.0
STEPS = 35
TABLE = 1000
"""Entries of the schedule that the network was trained on."""
DISTILLED = (0, 250, 500, 750)
"""Entries of that table at which the distilled network is asked."""
_LARGEST = float(np.float32(0.999))

_Values = TypeVar("_Values", np.ndarray, Tensor)
Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""


class Velocity(Protocol):
    """A network with all that it is conditioned on."""

    def __call__(self, window_BCTHW: Tensor, timestep_B: Tensor, /) -> Tensor:
        """Velocity of the new latents, given history and noisy new latents, and the time (0..1000, float32)."""
        ...


def shifted(s: _Values, shift: float = SHIFT) -> _Values:
    """Sigmas of evenly spaced `s` in 0..1: more of them lie where there is much noise."""
    return shift * s / (1 + (shift - 1) * s)


def flow_table(shift: float = SHIFT) -> tuple[Tensor, Tensor]:
    """(sigmas, times 0..1000) of the `TABLE` entries, most noise first, float32 on the CPU."""
    sigmas = shifted(torch.linspace(1, 0, TABLE + 1)[:-1], shift)
    return sigmas, 1000 * sigmas


def initial_noise(seed: int, shape: Sequence[int]) -> Tensor:
    """Standard normal float32 numbers of NumPy's `RandomState`: the same on every device and version."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(tuple(shape)).astype(np.float32))


def guided(conditional: Velocity, unconditional: Velocity, guidance: float = GUIDANCE) -> Velocity:
    """Classifier-free guidance (Ho and Salimans 2022) as two forward passes, one after the other."""

    def velocity(window_BCTHW: Tensor, timestep_B: Tensor) -> Tensor:
        without = unconditional(window_BCTHW, timestep_B).float()
        return without + guidance * (conditional(window_BCTHW, timestep_B).float() - without)

    return velocity


def denoised(x: Tensor, sigma: float | Tensor, velocity: Tensor) -> Tensor:
    """The clean latents that a velocity points to, float32; computed in float64."""
    return (x.double() - sigma * velocity.double()).float()


def unipc_schedule(steps: int = STEPS, shift: float = SHIFT) -> UniPCMultistepScheduler:
    """UniPC of order 2 (order 1 in the first and last step) with its sigmas and whole-number times set."""
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)
    scheduler.set_timesteps(sigmas=np.linspace(_LARGEST, 0.0, steps + 1)[:-1])  # pyright: ignore[reportArgumentType]
    scheduler.set_begin_index(0)  # else it looks its first time up, and takes the second of two equal ones
    return scheduler


@torch.no_grad()
def sample_unipc(
    velocity: Velocity,
    history_BCTHW: Tensor,
    noise_BCTHW: Tensor,
    *,
    steps: int = STEPS,
    shift: float = SHIFT,
    on_step: Progress | None = None,
) -> Tensor:
    """New latents, float32, from noise of their shape.

    Args:
        history_BCTHW: clean latents in packed order; they stand in front of the noisy ones and never change.
        noise_BCTHW: see `initial_noise`.
    """
    scheduler = unipc_schedule(steps, shift)
    x = noise_BCTHW.float()
    for i, timestep in enumerate(scheduler.timesteps):
        v = velocity(torch.cat([history_BCTHW.float(), x], 2), _times(float(timestep), x))
        x = scheduler.step(v.float(), timestep, x, return_dict=False)[0]
        if on_step:
            on_step(i + 1, steps)
    return x


def draw_renoise(seed: int, shape: Sequence[int]) -> Tensor:
    """Noise of the distilled sampler: (steps - 1, T, C, H, W) for a window of shape (1, C, T, H, W), on the CPU."""
    _, channels, latents, rows, columns = shape
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn(len(DISTILLED) - 1, latents, channels, rows, columns, generator=generator)


@torch.no_grad()
def sample_distilled(
    velocity: Velocity,
    history_BCTHW: Tensor,
    noise_BCTHW: Tensor,
    renoise_STCHW: Tensor,
    *,
    shift: float = SHIFT,
    on_step: Progress | None = None,
) -> Tensor:
    """New latents, float32, in four steps without guidance, for weights distilled to that (DMD, Yin et al. 2024).

    Args:
        history_BCTHW: clean latents in packed order, the same before every step.
        noise_BCTHW: see `initial_noise`.
        renoise_STCHW: see `draw_renoise`; drawn for the whole window, history too, as the original does.
    """
    sigmas, timesteps = (values[list(DISTILLED)].tolist() for values in flow_table(shift))
    x = noise_BCTHW.float()
    fresh_SCTHW = renoise_STCHW.to(x).transpose(1, 2)[:, :, history_BCTHW.shape[2] :]
    for i, (sigma, timestep) in enumerate(zip(sigmas, timesteps, strict=True)):
        if i:
            x = (1 - sigma) * x + sigma * fresh_SCTHW[i - 1 : i]
        v = velocity(torch.cat([history_BCTHW.float(), x], 2), _times(timestep, x))
        x = denoised(x, sigma, v)
        if on_step:
            on_step(i + 1, len(DISTILLED))
    return x


def _times(timestep: float, x_BCTHW: Tensor) -> Tensor:
    return torch.full((len(x_BCTHW),), timestep, dtype=torch.float32, device=x_BCTHW.device)
