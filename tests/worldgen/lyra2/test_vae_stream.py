"""The streaming VAE gives what diffusers gives for the whole clip, however the clip is cut."""

import re

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch import Tensor

from lyra_sim.core.errors import ConfigError, ResourceError
from lyra_sim.worldgen.lyra2.vae import WanVae, load_vae


@pytest.fixture(scope="module")
def model() -> AutoencoderKLWan:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoencoderKLWan(base_dim=4, num_res_blocks=2).eval()


@pytest.fixture(scope="module")
def clip() -> Tensor:
    return torch.rand((17, 3, 16, 24), generator=torch.Generator().manual_seed(1)) * 2 - 1


@torch.no_grad()
def _latents(model: AutoencoderKLWan, clip: Tensor) -> Tensor:
    """Diffusers' own whole-clip encoding, normalised by hand."""
    mode = model.encode(clip.permute(1, 0, 2, 3)[None]).latent_dist.mode()[0]
    mean, std = (torch.tensor(model.config[name])[:, None, None, None] for name in ("latents_mean", "latents_std"))
    return (mode - mean) / std


@torch.no_grad()
def _frames(model: AutoencoderKLWan, latents: Tensor) -> Tensor:
    mean, std = (torch.tensor(model.config[name])[:, None, None, None] for name in ("latents_mean", "latents_std"))
    return model.decode((latents * std + mean)[None]).sample[0].permute(1, 0, 2, 3)


@pytest.mark.parametrize("cuts", [[], [0], [1, 3], [0, 1, 2, 3]])
def test_a_clip_in_pieces_is_the_clip(model, clip, cuts):
    expected = _latents(model, clip)
    assert expected.shape == (16, 5, 2, 3)
    stream = WanVae(model).stream()
    ends = [*(1 + 4 * cut for cut in cuts), len(clip)]
    pieces = [clip[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    made = torch.cat([stream.encode(piece) for piece in pieces], 1)
    assert torch.allclose(made, expected, atol=1e-6)
    latents = expected.split([1] * 5, 1) if len(pieces) > 2 else (expected[:, :2], expected[:, 2:])
    frames = torch.cat([stream.decode(latent) for latent in latents])
    assert frames.shape == clip.shape and torch.allclose(frames, _frames(model, expected), atol=5e-5)


def test_whole_clips_and_single_frames(model, clip):
    vae = WanVae(model)
    assert torch.allclose(vae.encode(clip), _latents(model, clip), atol=1e-6)
    assert torch.allclose(vae.decode(vae.encode(clip)), _frames(model, _latents(model, clip)), atol=1e-5)
    assert vae.encode(clip[:1]).shape == (16, 1, 2, 3)
    assert torch.allclose(vae.raw(vae.normalised(torch.ones(1, 16, 1, 1, 1))), torch.ones(1, 16, 1, 1, 1), atol=1e-6)


def test_a_copy_goes_on_from_its_place_and_leaves_the_original_alone(model, clip):
    vae = WanVae(model)
    stream = vae.stream()
    stream.encode(clip[:9])
    before = stream.copy()
    other = before.encode(-clip[9:13])  # what a degraded history would be
    assert torch.allclose(stream.encode(clip[9:13]), _latents(model, clip[:13])[:, 3:], atol=1e-6)
    degraded = torch.cat([clip[:9], -clip[9:13]])
    assert torch.allclose(other, _latents(model, degraded)[:, 3:], atol=1e-6)
    stream.reset()
    assert torch.allclose(stream.encode(clip[:5]), _latents(model, clip[:5]), atol=1e-6)


def test_what_a_stream_keeps_does_not_grow(model, clip):
    stream = WanVae(model).stream()

    def kept() -> int:
        return sum(t.numel() for t in (*stream._encoder, *stream._decoder) if isinstance(t, Tensor))

    stream.decode(stream.encode(clip[:9]))
    size = kept()
    for _ in range(3):
        stream.decode(stream.encode(clip[1:9]))
    assert kept() == size > 0


def test_tiling_is_diffusers_own(model, clip):
    tiled = AutoencoderKLWan.from_config(model.config).eval()
    tiled.load_state_dict(model.state_dict())
    tiled.enable_tiling(16, 16, 8, 8)
    large = torch.cat([clip[:5], clip[5:10]], 3)
    assert not torch.allclose(WanVae(tiled).encode(large), _latents(model, large), atol=1e-4)
    assert torch.allclose(WanVae(tiled).encode(large), _latents(tiled, large), atol=1e-6)


def _wan_name(name: str) -> str:
    """The name of a tensor in Wan's own VAE."""
    parts = {"norm1": "residual.0", "conv1": "residual.2", "norm2": "residual.3", "conv2": "residual.6"}
    name = re.sub(r"^quant_conv", "conv1", name)
    name = re.sub(r"^post_quant_conv", "conv2", name)
    name = re.sub(r"coder\.conv_in", "coder.conv1", name)
    name = name.replace("norm_out", "head.0").replace("conv_out", "head.2")
    if "down_blocks" in name or ".resnets." in name:
        name = re.sub(r"\.(norm1|conv1|norm2|conv2)\.", lambda m: f".{parts[m[1]]}.", name)
    name = name.replace("conv_shortcut", "shortcut").replace("down_blocks", "downsamples")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"middle.{2 * int(m[1])}", name)
    name = name.replace("mid_block.attentions.0", "middle.1")
    name = re.sub(r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"upsamples.{4 * int(m[1]) + int(m[2])}", name)
    return re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"upsamples.{4 * int(m[1]) + 3}", name)


def test_both_kinds_of_file_give_the_same_network(tmp_path, model, clip):
    model.save_pretrained(tmp_path / "vae")
    torch.save({_wan_name(name): tensor for name, tensor in model.state_dict().items()}, tmp_path / "vae.pth")
    for source in (tmp_path / "vae", tmp_path / "vae.pth"):
        vae = load_vae(source, dtype=torch.float32)
        assert torch.equal(vae.stream().encode(clip), WanVae(model).stream().encode(clip))
    assert load_vae(tmp_path / "vae").model.dtype == torch.bfloat16


def test_files_that_are_something_else(tmp_path, model):
    with pytest.raises(ResourceError):
        load_vae(tmp_path / "none.pth")
    state = {_wan_name(name): tensor for name, tensor in model.state_dict().items()}
    torch.save({k: v for k, v in state.items() if k != "decoder.middle.1.proj.bias"}, tmp_path / "vae.pth")
    with pytest.raises(ConfigError, match=r"1 missing: decoder\.mid_block\.attentions\.0\.proj\.bias"):
        load_vae(tmp_path / "vae.pth")
