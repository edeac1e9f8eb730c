"""Training times, loss, one-step predictions and memory noise: closed forms, scipy, the published code's numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from lyra_sim.training.flow import FlowTable, flow_loss, noised
from lyra_sim.training.memory_noise import memory_sigmas, with_noise
from lyra_sim.training.self_augment import Lowered, decode_window, lowered, predict_once
from lyra_sim.worldgen.lyra2.framing import pixels_of, u8
from pipelines.vectors import compare
from tests.data import shared_data

TABLE = FlowTable.build()
SHAPE = (2, 3, 2, 4, 5)


def _random(seed: int, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_weights_are_a_bell_over_the_table_with_mean_one():
    t = TABLE.timesteps.double().numpy()
    assert TABLE.weights[0] == 0 and TABLE.weights.mean().item() == pytest.approx(1, abs=1e-6)
    assert abs(t[int(TABLE.weights.argmax())] - 500) < 2
    density = stats.norm(500, 500).pdf(t)  # exp(-2 ((t - 500) / 1000)^2) up to a factor
    rise = (density - density.min()) / (density - density.min()).mean()
    assert np.abs(rise - TABLE.weights.numpy()).max() < 1e-5


def test_entries_of_normal_draws_follow_the_logistic_normal_distribution():
    normal = _random(0, (20000,))
    share = TABLE.entry(normal).double().numpy() / 1000
    expected = stats.norm.cdf(stats.logistic.ppf([0.2, 0.5, 0.9]))
    assert np.abs([(share < q).mean() for q in (0.2, 0.5, 0.9)] - expected).max() < 0.01
    assert TABLE.entry(torch.tensor([-60.0, 60.0])).tolist() == [0, 999]


def test_the_loss_of_the_true_velocity_is_nothing_and_else_the_weighted_mean_square():
    clean, eps, sigma = _random(1), _random(2), torch.tensor([0.25, 0.5])
    x = noised(clean, eps, sigma)
    assert torch.allclose(x[1], (clean[1] + eps[1]) / 2, atol=1e-6)
    assert torch.equal(noised(clean, eps, torch.zeros(2)), clean)
    weight = torch.tensor([2.0, 3.0])
    assert torch.equal(flow_loss(eps - clean, clean, eps, weight), torch.zeros(2))
    off = flow_loss(eps - clean + 0.5, clean, eps, weight)
    assert torch.allclose(off, 0.25 * weight)


def test_lowered_times_are_entries_of_the_lower_half():
    entry = torch.arange(1000)
    start = lowered(TABLE, entry)
    table = TABLE.timesteps.double().numpy()
    for i in (0, 123, 700, 998, 999):
        wanted = max(np.floor(table[i] * 0.5), 1)
        near = int(np.abs(table - wanted).argmin())
        assert start.timestep[i] == TABLE.timesteps[near] and start.sigma[i] == TABLE.sigmas[near]
    assert start.timestep.max() < 503 and start.timestep.min() == TABLE.timesteps[-1]
    assert torch.equal(start.net_timestep, start.timestep.floor())


def test_one_step_with_the_true_velocity_gives_the_clean_latents_back():
    history, clean, eps = _random(3, (2, 3, 4, 4, 5)), _random(1), _random(2)
    start = lowered(TABLE, torch.tensor([100, 900]))
    given = []

    def velocity(window, timestep):
        given.append((window, timestep))
        return (eps - clean).to(torch.float64)

    out = predict_once(velocity, history, clean, eps, start)
    assert out.dtype == torch.float32 and torch.allclose(out, clean, atol=1e-6)
    window, timestep = given[0]
    assert torch.equal(window[:, :, :4], history) and torch.equal(timestep, start.net_timestep)
    half = Lowered(start.timestep, torch.tensor([0.0, 0.0]), start.net_timestep)
    assert torch.equal(predict_once(lambda *_: _random(9), history, clean, eps, half), clean)


def test_memory_sigmas_are_log_normal():
    uniform = torch.from_numpy(np.random.default_rng(4).random(4000, np.float32))
    sigma = memory_sigmas(uniform).numpy()
    expected = stats.lognorm(s=2.0, scale=np.exp(-3.0)).ppf(uniform.double().numpy())
    assert np.abs(sigma / expected - 1).max() < 1e-5
    assert torch.isfinite(memory_sigmas(torch.tensor([0.0, 1.0]))).all()
    latents, noise = _random(5), _random(6)
    out = with_noise(latents, torch.tensor([0.0, 2.0]), noise)
    assert torch.equal(out[:, :, 0], latents[:, :, 0])
    assert torch.equal(out[:, :, 1], latents[:, :, 1] + 2 * noise[:, :, 1])


class _Repeater:
    """A stream whose frames show the number of their latent: one frame for the first, four for each other."""

    def __init__(self) -> None:
        self.begun = False

    def decode(self, latents_CTHW: torch.Tensor) -> torch.Tensor:
        counts = torch.tensor([4] * latents_CTHW.shape[1])
        counts[0] = counts[0] if self.begun else 1
        self.begun = True
        return latents_CTHW[:3].transpose(0, 1).repeat_interleave(counts, 0)


def test_the_decoded_window_begins_with_frame_0_and_ends_with_the_prediction():
    levels = torch.linspace(-1, 1, 6)[None, :, None, None].expand(3, 6, 2, 2)
    frames = decode_window(_Repeater(), levels[:, :4], levels[:, 4:], repeats=9)  # pyright: ignore[reportArgumentType]
    shown = np.repeat(np.rint((np.linspace(-1, 1, 6) + 1) * 127.5), [1, 4, 4, 4, 4, 4])[8:]
    assert frames.dtype == np.uint8 and frames[:, 0, 0, 0].tolist() == shown.tolist()


def test_pixels_keep_their_values_through_the_network_scale():
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(2, 8, 16, 3)
    values = pixels_of(pixels)
    assert values.shape == (2, 3, 8, 16) and values.min() == -1 and values.max() == 1
    assert np.array_equal(u8(values), pixels)


def test_reference_numbers():
    file = Path(shared_data()).parent / "vectors" / "self_augment.safetensors"
    if not file.exists():
        pytest.skip(f"reference vectors not on this machine: {file.name}")
    assert compare([file]) == 0
