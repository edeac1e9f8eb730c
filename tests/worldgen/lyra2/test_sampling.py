"""Samplers against exact solutions of known velocity fields, and against numbers computed by the published code."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lyra_sim.worldgen.lyra2.sampling import (
    draw_renoise,
    flow_table,
    guided,
    initial_noise,
    sample_distilled,
    sample_unipc,
    unipc_schedule,
)  # fmt: skip
from pipelines.vectors import compare
from tests.data import shared_data

SHAPE = (1, 3, 2, 4, 5)
HISTORY = torch.randn(1, 3, 4, 4, 5, generator=torch.Generator().manual_seed(0))


def _new(window: torch.Tensor) -> torch.Tensor:
    assert torch.equal(window[:, :, :4], HISTORY), "the history is the same before every step"
    return window[:, :, 4:]


def _decay(window: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    assert timestep.dtype == torch.float32 and timestep.shape == (1,)
    return 0.7 * _new(window)


def test_unipc_converges_to_the_exact_solution_of_a_linear_field():
    noise = initial_noise(5, SHAPE)
    sigma = float(unipc_schedule(8).sigmas[0])  # dx / dsigma = 0.7 x from this sigma to 0
    exact = noise * np.exp(-0.7 * sigma)
    off = [float((sample_unipc(_decay, HISTORY, noise, steps=n) - exact).abs().max()) for n in (8, 16, 32)]
    assert off[2] < 5e-3
    assert off[0] > 3 * off[1] > 9 * off[2], "a solver of order 1 only halves its error"


def test_unipc_reports_every_step_and_gives_whole_numbers_to_the_network():
    times, done = [], []

    def velocity(window, timestep):
        times.append(float(timestep))
        return torch.zeros_like(_new(window), dtype=torch.bfloat16)

    out = sample_unipc(velocity, HISTORY, initial_noise(1, SHAPE), steps=5, on_step=lambda *at: done.append(at))
    assert out.dtype == torch.float32 and out.shape == SHAPE
    assert done == [(i + 1, 5) for i in range(5)]
    sigmas = [5 * s / (1 + 4 * s) for s in np.linspace(0.999, 0, 6)[:-1]]
    assert times == [int(1000 * sigma) for sigma in sigmas]


def test_a_field_that_points_to_one_result_ends_there():
    wanted = torch.full(SHAPE, 0.3)

    def velocity(window, timestep):
        return (_new(window) - wanted) / (timestep.item() / 1000)

    noise, again = initial_noise(2, SHAPE), draw_renoise(2, (1, 3, 6, 4, 5))
    assert torch.allclose(sample_distilled(velocity, HISTORY, noise, again), wanted, atol=1e-6)


def test_the_distilled_sampler_noises_each_prediction_again():
    """One latent by hand: prediction x - sigma v, then (1 - sigma) prediction + sigma noise, for four sigmas."""
    noise, again = initial_noise(3, SHAPE), draw_renoise(7, (1, 3, 6, 4, 5))
    same, other = (draw_renoise(seed, (1, 3, 6, 4, 5)) for seed in (7, 8))
    assert torch.equal(again, same) and not torch.equal(again, other)
    done = []
    out = sample_distilled(_decay, HISTORY, noise, again, on_step=lambda *at: done.append(at))
    x = noise[0, 1, 1, 2, 3].double().item()
    for i, sigma in enumerate((1.0, 0.9375, 5 / 6, 0.625)):
        if i:
            x = (1 - sigma) * x + sigma * again[i - 1, 4 + 1, 1, 2, 3].item()
        x -= sigma * 0.7 * x
    assert out[0, 1, 1, 2, 3].item() == pytest.approx(x, abs=1e-6)
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_guidance_extrapolates_from_the_unconditional_velocity():
    asked = []

    def field(name, value):
        def velocity(window, timestep):
            asked.append(name)
            return torch.full((1,), value, dtype=torch.bfloat16)

        return velocity

    out = guided(field("with", 2.0), field("without", 1.0), 5.0)(HISTORY, torch.zeros(1))
    assert out.item() == 6.0 and out.dtype == torch.float32
    assert sorted(asked) == ["with", "without"]


def test_the_table_is_dense_where_there_is_much_noise():
    sigmas, timesteps = flow_table()
    q = np.arange(1000, 0, -1) / 1000
    assert np.abs(sigmas.numpy() - 5 * q / (1 + 4 * q)).max() < 1e-6
    assert timesteps[0] == 1000 and timesteps[750] == 625


def test_seeded_noise_is_numpys():
    wanted = np.random.RandomState(11).standard_normal(SHAPE).astype(np.float32)
    assert np.array_equal(initial_noise(11, SHAPE).numpy(), wanted)


def test_reference_numbers():
    file = Path(shared_data()).parent / "vectors" / "scheduler.safetensors"
    if not file.exists():
        pytest.skip(f"reference vectors not on this machine: {file.name}")
    assert compare([file]) == 0
