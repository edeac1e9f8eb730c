"""From a posed clip to what one training step sees: a segment to be generated, its history and all conditions.

Follows the published training of Lyra 2.0 (nv-tlabs/lyra, models/lyra2_model.py, as described publicly): the time line
begins with repeats of frame 0; the memory holds frames of the whole clip, past and future, but none near the segment;
remembered views get noise; every second step trains on a history of the model's own (`self_augment`).

Shapes: B batch (1), C channels, T latents or frames, H W rows and columns, M context tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lyra_sim.memory.packing import FRAMES_PER_LATENT, Packing
from lyra_sim.memory.spatial import SpatialMemory, excluded_in_training
from lyra_sim.memory.twin import Twin
from lyra_sim.training.clips import Clip
from lyra_sim.training.flow import FlowTable
from lyra_sim.training.memory_noise import memory_sigmas, with_noise
from lyra_sim.training.self_augment import decode_window, lowered, predict_once
from lyra_sim.worldgen.lyra2.conditioning import MASK_CHANNELS, Known, Way, condition
from lyra_sim.worldgen.lyra2.framing import from_frame_0, pixels_of
from lyra_sim.worldgen.lyra2.network import Lyra2Network
from lyra_sim.worldgen.lyra2.sampling import Velocity
from lyra_sim.worldgen.lyra2.vae import VaeStream

TEXT_DROPOUT = 0.2


@dataclass(frozen=True)
class Example:
    """One training step's tensors, float32."""

    history: Tensor
    """(B, C, T, H, W) latents in packed order."""
    target: Tensor
    """(B, C, T, H, W) clean new latents."""
    y: Tensor
    """(B, C, T, H, W): masks, condition latents and rays of the whole window."""
    buffer: Tensor
    """(B, C, T, H, W): correspondences of the whole window."""
    text: Tensor
    """(B, M, C) tokens."""
    image: Tensor
    """(B, M, C) tokens of the last frame of the history."""

    def velocity(self, net: Callable[..., Tensor]) -> Velocity:
        """The network with these conditions."""

        def velocity(window_BCTHW: Tensor, timestep_B: Tensor) -> Tensor:
            return net(window_BCTHW, timestep_B, self.text, self.image, self.y, self.buffer)

        return velocity

    def to(self, device: torch.device | str) -> "Example":
        """The same on a device."""
        return Example(**{name: tensor.to(device, torch.float32) for name, tensor in vars(self).items()})


@dataclass(frozen=True)
class ExampleMaker:
    """Makes examples of clips.

    Args:
        network: its VAE and encoders are used.
        device: where examples go and warps are computed.
        way: how the past reaches the network, as it will when generating.
    """

    network: Lyra2Network
    table: FlowTable
    device: torch.device | str = "cpu"
    way: Way = "memory"
    text_dropout: float = TEXT_DROPOUT

    @property
    def packing(self) -> Packing:
        """Of the network."""
        return self.network.transformer.packing

    @property
    def new_frames(self) -> int:
        """Frames of a segment."""
        return FRAMES_PER_LATENT * self.packing.new_latents

    def segments(self, frames: int) -> int:
        """Whole segments of a clip, after frame 0."""
        return (frames - 1) // self.new_frames

    def clean(self, clip: Clip, segment: int, rng: np.random.Generator, *, first_only: bool = False) -> Example:
        """A segment after its true past.

        Args:
            first_only: remember frame 0 alone, as when a walk begins from a photo.
        """
        stream = self.network.vae.stream()
        past = self._past(stream, clip, segment)
        target = stream.encode(self._frames(clip, segment))
        return self._example(clip, segment, past, target, rng, first_only=first_only)

    def augmented(self, clip: Clip, segment: int, net: Callable[..., Tensor], rng: np.random.Generator) -> Example:
        """The segment after `segment`, which the past shows as the network predicts it in one step.

        What was predicted is decoded, takes the place of the clip's frames and is encoded again as a continuation of
        the true past; so is the target, but after the true frames.
        """
        stream = self.network.vae.stream()
        past = self._past(stream, clip, segment)
        before = stream.copy()
        target, after = (stream.encode(self._frames(clip, k)) for k in (segment, segment + 1))
        example = self._example(clip, segment, past, target, rng)
        start = lowered(self.table, self.table.entry(normal(rng, (1,))))
        eps = normal(rng, example.target.shape).to(self.device)
        prediction = predict_once(example.velocity(net), example.history, example.target, eps, start)[0]
        seen = decode_window(self.network.vae.stream(), past, prediction, self.packing.repeats)
        clip = replace(clip, frames=np.concatenate([seen, clip.frames[len(seen) :]]))
        past = torch.cat([past, before.encode(self._frames(clip, segment))], 1)
        return self._example(clip, segment + 1, past, after, rng)

    def _past(self, stream: VaeStream, clip: Clip, segment: int) -> Tensor:
        """Latents of the time line up to a segment; piece by piece, because a long clip's values take gigabytes."""
        first = pixels_of(clip.frames[:1]).expand(self.packing.repeats, -1, -1, -1)
        return torch.cat([stream.encode(first), *(stream.encode(self._frames(clip, k)) for k in range(segment))], 1)

    def _frames(self, clip: Clip, segment: int) -> Tensor:
        begin = 1 + self.new_frames * segment
        return pixels_of(clip.frames[begin : begin + self.new_frames])

    def _example(
        self,
        clip: Clip,
        segment: int,
        past_CTHW: Tensor,
        target_CTHW: Tensor,
        rng: np.random.Generator,
        *,
        first_only: bool = False,
    ) -> Example:
        begin = 1 + self.new_frames * segment
        end = begin + self.new_frames
        w2c, memory = from_frame_0(clip.w2c, clip.w2c[0]), SpatialMemory()
        for i in [0] if first_only else range(0, len(clip.frames), memory.stride):
            memory.add(i, clip.depth_m[i], w2c[i], clip.K[i])
        found = memory.sample(
            w2c[end - 1 : end], clip.K[end - 1 : end], clip.depth_m.shape[1:], rng,
            count=self.packing.spatial_slots, exclude=() if first_only else excluded_in_training(begin, end),
        )  # fmt: skip
        known = Known(
            frames=begin,
            pixels=lambda i: pixels_of(clip.frames[i]).numpy(),
            latents=past_CTHW,
            w2c=w2c,
            K=clip.K,
            last_depth=clip.depth_m[begin - 1],
            memory=memory,
            depth=lambda i: clip.depth_m[i],
        )
        retrieved = [frame_id for _, frame_id in found]
        encode = self.network.vae.encode
        made = condition(
            known, self.packing, encode, Twin(self.device, torch.float32), way=self.way, retrieved=retrieved
        )
        history, y = self._with_memory_noise(made.latents, made.y, rng)
        text = "" if rng.random() < self.text_dropout else clip.caption(begin)
        image = self.network.images.encode(pixels_of(clip.frames[begin - 1]))
        return Example(
            history=history, target=target_CTHW[None], y=y, buffer=made.buffer, text=self.network.texts([text]),
            image=image[None],
        ).to(self.device)  # fmt: skip

    def _with_memory_noise(self, history: Tensor, y: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Noise on the latents of remembered views, the same in the history and in the condition latents."""
        slots = [i for i, kind in enumerate(self.packing.kinds) if kind == "s"]
        sigma = memory_sigmas(torch.from_numpy(rng.random(len(slots), np.float32)))
        noise = normal(rng, history[:, :, slots].shape).to(history)
        history, y = history.clone(), y.clone()
        history[:, :, slots] = noisy = with_noise(history[:, :, slots], sigma, noise)
        y[:, MASK_CHANNELS : MASK_CHANNELS + history.shape[1], slots] = noisy
        return history, y


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
    """Standard normal float32 numbers on the CPU, the same on every machine."""
    return torch.from_numpy(rng.standard_normal(shape, np.float32))
