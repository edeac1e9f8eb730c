"""Training times, loss weight and loss, one-step predictions, noise on remembered views."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lyra_sim.training.flow import FlowTable, flow_loss, noised
from lyra_sim.training.memory_noise import memory_sigmas, with_noise
from lyra_sim.training.self_augment import lowered, predict_once
from pipelines.vectors.figure import Figure, Vectors, differing, largest

TIME = 1e-3
SIGMA = 1e-6
TENSOR = 1e-5
RELATIVE = 1e-4


@dataclass
class MemoryNoise:
    """ln(sigma) of the noise on remembered views."""

    mean: float
    std: float


def figures(vectors: Vectors) -> Iterator[Figure]:
    """In the order of a training iteration: draw a time, one step, one augmented history, memory noise."""
    table = FlowTable.build(vectors.value("shift", float))
    for name, made, bar in (
        ("timesteps", table.timesteps, TIME), ("sigmas", table.sigmas, SIGMA), ("weights", table.weights, TENSOR),
    ):  # fmt: skip
        yield largest(f"schedule {name}", made.numpy(), vectors[f"schedule/{name}"], bar)
    normal = _tensor(vectors, "sample/normal")
    entry = table.entry(normal)
    yield largest("sample u", torch.sigmoid(normal).numpy(), vectors["sample/u"], TENSOR)
    for name, values, bar in (
        ("timestep", table.timesteps, TIME), ("sigma", table.sigmas, SIGMA), ("weight", table.weights, TENSOR),
    ):  # fmt: skip
        yield largest(f"sample {name}", values[entry].numpy(), vectors[f"sample/{name}"], bar)
    yield from _steps(vectors, table)
    uniform, noise = _tensor(vectors, "memory_noise/uniform"), _tensor(vectors, "memory_noise/noise")
    drawn = vectors.value("memory_noise", MemoryNoise)
    sigma = memory_sigmas(uniform, drawn.mean, drawn.std)
    yield _relative("memory sigma", sigma, vectors["memory_noise/sigma"])
    result = with_noise(_tensor(vectors, "memory_noise/latents"), sigma, noise)
    yield largest("memory with noise", result.numpy(), vectors["memory_noise/result"], TENSOR)


def _steps(vectors: Vectors, table: FlowTable) -> Iterator[Figure]:
    x0, eps = _tensor(vectors, "step/x0"), _tensor(vectors, "step/eps")
    past = x0.shape[2] - eps.shape[2]
    history, clean = x0[:, :, :past], x0[:, :, past:]
    entry, field = table.entry(_tensor(vectors, "step/normal")), _field(vectors)
    yield largest("step timestep", table.timesteps[entry].numpy(), vectors["step/timestep"], TIME)
    window = torch.cat([history, noised(clean, eps, table.sigmas[entry])], 2)
    yield largest("step x_t", window.numpy(), vectors["step/x_t"], TENSOR)
    loss = flow_loss(field(window, table.timesteps[entry]), clean, eps, table.weights[entry])
    yield _relative("step loss", loss, vectors["step/loss"])
    start = lowered(table, entry, vectors.value("max_T", float))
    yield largest("augment timestep", start.timestep.numpy(), vectors["augment/timestep"], TIME)
    yield largest("augment sigma", start.sigma.numpy(), vectors["augment/sigma"], SIGMA)
    yield differing("augment net_timestep", start.net_timestep.numpy(), vectors["augment/net_timestep"])
    seen: list[Tensor] = []

    def seeing(window_BCTHW: Tensor, timestep_B: Tensor) -> Tensor:
        seen.append(window_BCTHW)
        return field(window_BCTHW, timestep_B)

    prediction = predict_once(seeing, history, clean, eps, start)
    yield largest("augment x_t", seen[0].numpy(), vectors["augment/x_t"], TENSOR)
    yield largest("augment prediction", prediction.numpy(), vectors["augment/prediction"], TENSOR)


def _field(vectors: Vectors) -> Callable[[Tensor, Tensor], Tensor]:
    A, b = _tensor(vectors, "velocity/A"), _tensor(vectors, "velocity/b")
    new = vectors["step/eps"].shape[2]

    def velocity(window_BCTHW: Tensor, timestep_B: Tensor) -> Tensor:
        drift = b[None, :, None, None, None] * (timestep_B / 1000)[:, None, None, None, None]
        return torch.einsum("dc,bcthw->bdthw", A, window_BCTHW[:, :, -new:]) + drift

    return velocity


def _relative(name: str, made: Tensor, wanted: np.ndarray) -> Figure:
    """The largest error as a share of the wanted value; where that is 0 (no weight at 1000), as it is."""
    scale = np.where(wanted == 0, 1.0, np.abs(wanted))
    return largest(f"{name} (relative)", made.numpy() / scale, wanted / scale, RELATIVE)


def _tensor(vectors: Vectors, name: str) -> Tensor:
    return torch.from_numpy(vectors[name])
