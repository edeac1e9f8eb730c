"""The video VAE of Wan 2.1, whole clips at once or as a stream that remembers between calls.

It is causal: frame 0 makes a latent of its own, every four frames after it one more; each depends on what came before
through features that the convolutions keep. `VaeStream` keeps them from call to call, so that a walk of any length
costs the memory of four frames (3.8 GiB at 480 x 832 in 16 bits). Network and latent statistics: diffusers'
AutoencoderKLWan.

Shapes: T frames, C channels (3 or 16), t latents, h w = H/8, W/8.
"""

from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch import Tensor

from lyra_sim.memory.packing import FRAMES_PER_LATENT
from lyra_sim.worldgen.lyra2.weights import fill, of_tensors, open_weights, read_torch


def load_vae(source: Path, *, dtype: torch.dtype = torch.bfloat16, device: torch.device | str = "cpu") -> "WanVae":
    """The VAE from a diffusers folder, or from a torch file under Wan's original names (the release's `vae.pth`).

    Raises:
        ResourceError: nothing is there.
        ConfigError: it is no such VAE.
    """
    source = source.expanduser()
    if source.is_dir() or not source.exists():
        weights = open_weights(source)
        config: Any = AutoencoderKLWan.load_config(str(source), local_files_only=True)
    else:
        weights = of_tensors(source, convert_wan_vae_to_diffusers(read_torch(source)))
        first = weights.shapes.get("encoder.conv_in.weight")
        config = {"base_dim": first[0]} if first else {}
    with init_empty_weights():
        model: Any = AutoencoderKLWan.from_config(config)
    fill(model, weights, lambda _name: dtype, device)
    return WanVae(model.eval())


class WanVae:
    """Clips to normalised latents and back; `stream` where a clip comes in pieces.

    `model.enable_tiling` and `model.enable_slicing` apply to whole clips; a stream is bounded without them.
    """

    def __init__(self, model: AutoencoderKLWan) -> None:
        self.model = model

    @torch.no_grad()
    def encode(self, frames_TCHW: Tensor) -> Tensor:
        """(16, t, h, w) float32 of a clip that begins here: 1 + 4 k frames in -1..1."""
        _check_frames(len(frames_TCHW) - 1)
        x = frames_TCHW.to(self.model.device, self.model.dtype).transpose(0, 1)[None]
        return self.normalised(self.model.encode(x).latent_dist.mode())[0]

    @torch.no_grad()
    def decode(self, latents_CTHW: Tensor) -> Tensor:
        """(T, 3, H, W) float32 in -1..1 of latents that begin a clip."""
        z = self.raw(latents_CTHW[None])
        return self.model.decode(z).sample[0].transpose(0, 1).float()

    def stream(self) -> "VaeStream":
        """A new stream at the beginning of a clip."""
        return VaeStream(self)

    def normalised(self, z_BCTHW: Tensor) -> Tensor:
        """Latents of the network with mean 0 and deviation 1, as the transformer wants them; float32."""
        mean, std = self._statistics(z_BCTHW.device)
        return (z_BCTHW.float() - mean) / std

    def raw(self, latents_BCTHW: Tensor) -> Tensor:
        """Inverse of `normalised`, in the type and on the device of the network."""
        latents = latents_BCTHW.to(self.model.device, torch.float32)
        mean, std = self._statistics(latents.device)
        return (latents * std + mean).to(self.model.dtype)

    def _statistics(self, device: torch.device) -> tuple[Tensor, Tensor]:
        mean, std = (self.model.config[name] for name in ("latents_mean", "latents_std"))
        return tuple(torch.tensor(v, device=device).view(1, -1, 1, 1, 1) for v in (mean, std))  # pyright: ignore[reportReturnType]


class VaeStream:
    """Where a clip has got to, for the encoder and the decoder apart; gives what whole-clip calls would give."""

    def __init__(self, vae: WanVae) -> None:
        self.vae = vae
        self._encoder: list[Any] = []
        self._decoder: list[Any] = []
        self.reset()

    def reset(self) -> None:
        """Back to the beginning of a clip."""
        counts = self.vae.model._cached_conv_counts
        self._encoder, self._decoder = [None] * counts["encoder"], [None] * counts["decoder"]

    def copy(self) -> "VaeStream":
        """The same place in the clip, going on by itself from here (features are replaced, never changed, so they can
        be shared)."""
        twin = VaeStream(self.vae)
        twin._encoder, twin._decoder = list(self._encoder), list(self._decoder)
        return twin

    @torch.no_grad()
    def encode(self, frames_TCHW: Tensor) -> Tensor:
        """(16, t, h, w) float32 of the next frames, in -1..1: 1 + 4 k of them at the beginning of a clip, then 4 k."""
        model = self.vae.model
        first = int(self._encoder[0] is None)
        _check_frames(len(frames_TCHW) - first)
        frames = frames_TCHW.transpose(0, 1)[None]
        groups = (len(frames_TCHW) - first) // FRAMES_PER_LATENT
        out = []
        for group in frames.split([1] * first + [FRAMES_PER_LATENT] * groups, 2):
            x = group.to(model.device, model.dtype)
            moments = model.quant_conv(model.encoder(x, feat_cache=self._encoder, feat_idx=[0]))
            out.append(self.vae.normalised(moments.chunk(2, 1)[0])[0])
        return torch.cat(out, 1)

    @torch.no_grad()
    def decode(self, latents_CTHW: Tensor) -> Tensor:
        """(T, 3, H, W) float32 in -1..1 of the next latents: one frame for the first of a clip, four for each other."""
        model = self.vae.model
        out = []
        for latent in latents_CTHW.split(1, 1):
            first = self._decoder[0] is None
            z = model.post_quant_conv(self.vae.raw(latent[None]))
            x = model.decoder(z, feat_cache=self._decoder, feat_idx=[0], first_chunk=first)
            out.append(x[0].transpose(0, 1).float().clamp(-1, 1))
        return torch.cat(out)


def _check_frames(after_first: int) -> None:
    assert after_first >= 0 and after_first % FRAMES_PER_LATENT == 0, (
        f"a clip begins with 1 + 4 k frames and goes on with 4 k; got {after_first} after the first"
    )
