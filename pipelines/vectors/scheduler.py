"""Sampling a known velocity field: schedules, the state after every step, results.

A state is what the next call of the velocity is given, so it is read there.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from lyra_sim.worldgen.lyra2.sampling import (
    DISTILLED,
    Velocity,
    denoised,
    flow_table,
    guided,
    initial_noise,
    sample_distilled,
    sample_unipc,
    unipc_schedule,
)  # fmt: skip
from pipelines.vectors.figure import Figure, Vectors, differing, largest

SIGMA = 1e-6
STATE = 1e-5


def figures(vectors: Vectors) -> Iterator[Figure]:
    """UniPC for every number of steps in the file, then the distilled sampler."""
    for name in sorted(name for name in vectors if name.startswith("unipc_") and name.endswith("/result")):
        yield from _unipc(vectors, name.removesuffix("/result"))
    yield from _distilled(vectors)


def _unipc(vectors: Vectors, case: str) -> Iterator[Figure]:
    steps, shift = len(vectors.shaped(f"{case}/timesteps", None)), vectors.value("shift", float)
    schedule = unipc_schedule(steps, shift)
    yield largest(f"{case} sigmas", schedule.sigmas.numpy(), vectors[f"{case}/sigmas"], SIGMA)
    yield differing(f"{case} time steps", schedule.timesteps.numpy(), vectors[f"{case}/timesteps"])
    both = (_field(vectors, "b_cond"), _field(vectors, "b_uncond"))
    seen = _Seen(guided(*both, vectors.value("guidance", float)))
    history, noise = _start(vectors)
    yield largest(f"{case} initial state", _window(history, noise), vectors[f"{case}/initial_state"], 0)
    result = sample_unipc(seen, history, noise, steps=steps, shift=shift)
    states = np.concatenate([*seen.windows[1:], _window(history, result)])
    yield largest(f"{case} states", states, vectors[f"{case}/states"], STATE)
    yield largest(f"{case} result", result.numpy(), vectors[f"{case}/result"], STATE)


def _distilled(vectors: Vectors) -> Iterator[Figure]:
    shift = vectors.value("shift", float)
    sigmas, timesteps = (table.numpy() for table in flow_table(shift))
    yield largest("dmd schedule sigmas", sigmas, vectors["dmd/schedule_sigmas"], SIGMA)
    yield differing("dmd schedule time steps", timesteps, vectors["dmd/schedule_timesteps"])
    entries = list(DISTILLED)
    yield largest("dmd sigmas", sigmas[entries], vectors["dmd/sigmas"], SIGMA)
    yield differing("dmd time steps", timesteps[entries], vectors["dmd/timesteps"])
    seen = _Seen(_field(vectors, "b_cond"))
    history, noise = _start(vectors)
    yield largest("dmd initial state", _window(history, noise), vectors["dmd/initial_state"], 0)
    result = sample_distilled(seen, history, noise, torch.from_numpy(vectors["dmd/renoise"]), shift=shift)
    states = np.concatenate([*seen.windows[1:], _window(history, result)])
    yield largest("dmd states", states.swapaxes(1, 2), vectors["dmd/states"].swapaxes(1, 2), STATE)
    new = history.shape[2]
    found = zip(seen.windows, seen.velocities, sigmas[entries], strict=True)
    x0 = [denoised(torch.from_numpy(w[:, :, new:]), float(sigma), v) for w, v, sigma in found]
    x0 = np.concatenate([_window(history, x) for x in x0]).swapaxes(1, 2)
    yield largest("dmd predictions", x0, vectors["dmd/x0"], STATE)
    yield largest("dmd result", result.numpy(), vectors["dmd/result"], STATE)


class _Seen:
    """A velocity that keeps what it was given and what it gave."""

    def __init__(self, velocity: Velocity) -> None:
        self.velocity = velocity
        self.windows: list[np.ndarray] = []
        self.velocities: list[Tensor] = []

    def __call__(self, window_BCTHW: Tensor, timestep_B: Tensor, /) -> Tensor:
        self.windows.append(window_BCTHW.numpy())
        self.velocities.append(self.velocity(window_BCTHW, timestep_B))
        return self.velocities[-1]


def _field(vectors: Vectors, offset: str) -> Callable[[Tensor, Tensor], Tensor]:
    A, b = torch.from_numpy(vectors["A"]), torch.from_numpy(vectors[offset])
    new = vectors.value("new_latents", int)

    def velocity(window_BCTHW: Tensor, timestep_B: Tensor) -> Tensor:
        drift = b[:, None, None, None] * (timestep_B / 1000)[:, None, None, None, None]
        return torch.einsum("dc,bcthw->bdthw", A, window_BCTHW[:, :, -new:]) + drift

    return velocity


def _start(vectors: Vectors) -> tuple[Tensor, Tensor]:
    history = torch.from_numpy(vectors["history"])
    shape = (*history.shape[:2], vectors.value("new_latents", int), *history.shape[3:])
    return history, initial_noise(vectors.value("seed", int), shape)


def _window(history: Tensor, new: Tensor) -> np.ndarray:
    return torch.cat([history, new], 2).numpy()
