"""From a posed clip to what one training step sees: a segment to be generated, its history and all conditions.

Follows the published training of Lyra 2.0 (nv-tlabs/lyra, models/lyra2_model.py, as described publicly): the time line
begins with repeats of frame 0; the memory holds frames of the whole clip, past and future, but none near the segment;
remembered views get noise; every second step trains on a history of the model's own (`self_augment`).

Shapes: B batch (1), C channels, T latents or frames, H W rows and columns, M context tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lyra_sim.memory.packing import FRAMES_PER_LATENT, Packing
from lyra_sim.memory.spatial import STRIDE, SpatialMemory
from lyra_sim.training.clips import Clip
from lyra_sim.training.flow import FlowTable
from lyra_sim.training.memory_noise import memory_sigmas, with_noise
from lyra_sim.training.self_augment import Autoencoder, decode_window, lowered, predict_once, to_values
from lyra_sim.worldgen.lyra2.sampling import Velocity

MASKS = 4
MARGIN = 16
"""Frames this near to the segment are not remembered."""
TEXT_DROPOUT = 0.2


@dataclass(frozen=True)
class Remembered:
    """A view out of the memory, as `Clip` has it."""

    frame_id: int
    frame: np.ndarray
    depth_m: np.ndarray
    w2c: np.ndarray
    K: np.ndarray


@dataclass(frozen=True)
class Moment:
    """All that is known when a segment is about to be generated."""

    frames: np.ndarray
    """(n, H, W, 3) uint8, from frame 0 on."""
    latents: Tensor
    """(C, T, H, W) of the time line so far, with the repeats of frame 0 in front."""
    depth_m: np.ndarray
    """(H, W) of the last frame."""
    w2c: np.ndarray
    """(n + new frames, 4, 4)."""
    K: np.ndarray
    """(n + new frames, 3, 3)."""
    remembered: tuple[Remembered, ...]
    """Worst to best, at most one for each memory slot."""


@dataclass(frozen=True)
class Conditions:
    """What a moment says to the network, (B, C, T, H, W) each."""

    history: Tensor
    """Clean latents in packed order."""
    y: Tensor
    """Masks, condition latents and rays of the whole window."""
    buffer: Tensor
    """Correspondences of the whole window."""


@dataclass(frozen=True)
class Example:
    """One training step's tensors."""

    given: Conditions
    text: Tensor
    """(B, M, C) tokens."""
    image: Tensor
    """(B, M, C) tokens of the last frame of the history."""
    target: Tensor
    """(B, C, T, H, W) clean new latents."""

    def velocity(self, net: Callable[..., Tensor]) -> Velocity:
        """The network with these conditions."""

        def velocity(window_BCTHW: Tensor, timestep_B: Tensor) -> Tensor:
            given = self.given
            return net(window_BCTHW, timestep_B, self.text, self.image, given.y, given.buffer)

        return velocity

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> "Example":
        """The same on a device."""
        given = Conditions(**{name: tensor.to(device, dtype) for name, tensor in vars(self.given).items()})
        rest = {name: t.to(device, dtype) for name, t in vars(self).items() if isinstance(t, Tensor)}
        return Example(given=given, **rest)


class Retrieve(Protocol):
    """Which frames of a memory are shown for a target view while training."""

    def __call__(
        self, memory: SpatialMemory, w2c: np.ndarray, K: np.ndarray, size: tuple[int, int], rng: np.random.Generator, /
    ) -> list[int]:
        """Frame ids, worst to best, at most one for each memory slot."""
        ...


@dataclass(frozen=True)
class ExampleMaker:
    """Makes examples of clips with the networks that stay frozen.

    Args:
        text: caption -> (M, C) tokens.
        image: frame (3, H, W) in [-1, 1] -> (M, C) tokens.
        memory_stride: every n-th frame is remembered.
        margin: see `MARGIN`.
    """

    packing: Packing
    autoencoder: Autoencoder
    condition: Callable[[Moment], Conditions]
    retrieve: Retrieve
    text: Callable[[str], Tensor]
    image: Callable[[Tensor], Tensor]
    table: FlowTable
    device: torch.device | str = "cpu"
    memory_stride: int = STRIDE
    margin: int = MARGIN
    text_dropout: float = TEXT_DROPOUT

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
        stream = self.autoencoder.stream()
        past = self._past(stream, clip, segment)
        target = stream.encode(self._frames(clip, segment))
        return self._example(clip, segment, past, target, rng, first_only=first_only)

    def augmented(self, clip: Clip, segment: int, net: Callable[..., Tensor], rng: np.random.Generator) -> Example:
        """The segment after `segment`, which the past shows as the network predicts it in one step.

        What was predicted is decoded, takes the place of the clip's frames and is encoded again as a continuation of
        the true past; so is the target, but after the true frames.
        """
        stream = self.autoencoder.stream()
        past = self._past(stream, clip, segment)
        before = stream.copy()
        target, after = (stream.encode(self._frames(clip, k)) for k in (segment, segment + 1))
        example = self._example(clip, segment, past, target, rng)
        start = lowered(self.table, self.table.entry(normal(rng, (1,))))
        eps = normal(rng, example.target.shape).to(self.device)
        velocity = example.velocity(net)
        prediction = predict_once(velocity, example.given.history, example.target, eps, start)[0]
        seen = decode_window(self.autoencoder.stream(), past, prediction, self.packing.repeats)
        clip = replace(clip, frames=np.concatenate([seen, clip.frames[len(seen) :]]))
        past = torch.cat([past, before.encode(self._frames(clip, segment))], 1)
        return self._example(clip, segment + 1, past, after, rng)

    def _past(self, stream, clip: Clip, segment: int) -> Tensor:
        """Latents of the time line up to a segment; piece by piece, because a long clip's values take gigabytes."""
        first = to_values(clip.frames[:1]).expand(self.packing.repeats, -1, -1, -1)
        return torch.cat([stream.encode(first), *(stream.encode(self._frames(clip, k)) for k in range(segment))], 1)

    def _frames(self, clip: Clip, segment: int) -> Tensor:
        begin = 1 + self.new_frames * segment
        return to_values(clip.frames[begin : begin + self.new_frames])

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
        known = 1 + self.new_frames * segment
        end = known + self.new_frames
        moment = Moment(
            frames=clip.frames[:known],
            latents=past_CTHW,
            depth_m=clip.depth_m[known - 1],
            w2c=clip.w2c[:end],
            K=clip.K[:end],
            remembered=self._remembered(clip, known, [0] if first_only else self._rememberable(clip, known), rng),
        )
        text = "" if rng.random() < self.text_dropout else clip.caption(known)
        return Example(
            given=self._noisy_memory(self.condition(moment), rng),
            text=self.text(text)[None],
            image=self.image(to_values(clip.frames[known - 1 : known])[0])[None],
            target=target_CTHW[None],
        ).to(self.device)

    def _rememberable(self, clip: Clip, known: int) -> list[int]:
        """Frames that may be remembered for the segment that begins at `known`: not frame 0 and not the last one
        before the segment, which the network is shown anyway."""
        near = range(known - self.margin, known + self.new_frames + self.margin)
        frames = range(0, len(clip.frames), self.memory_stride)
        return [i for i in frames if i not in near and i not in (0, known - 1)]

    def _remembered(
        self, clip: Clip, known: int, frames: list[int], rng: np.random.Generator
    ) -> tuple[Remembered, ...]:
        memory = SpatialMemory(stride=self.memory_stride)
        for i in frames:
            memory.add(i, clip.depth_m[i], clip.w2c[i], clip.K[i])
        last = known + self.new_frames - 1
        found = self.retrieve(memory, clip.w2c[last : last + 1], clip.K[last : last + 1], clip.frames.shape[1:3], rng)
        return tuple(Remembered(i, clip.frames[i], clip.depth_m[i], clip.w2c[i], clip.K[i]) for i in found)

    def _noisy_memory(self, given: Conditions, rng: np.random.Generator) -> Conditions:
        """Noise on the latents of remembered views, the same one in history and condition latents."""
        slots = [i for i, kind in enumerate(self.packing.kinds) if kind == "s"]
        if not slots:
            return given
        history, y = given.history.clone(), given.y.clone()
        sigma = memory_sigmas(torch.from_numpy(rng.random(len(slots), np.float32)))
        noise = normal(rng, history[:, :, slots].shape).to(history)
        channels = slice(MASKS, MASKS + history.shape[1])
        history[:, :, slots] = with_noise(history[:, :, slots], sigma, noise)
        y[:, channels, slots] = with_noise(y[:, channels, slots], sigma, noise)
        return replace(given, history=history, y=y)


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
    """Standard normal float32 numbers on the CPU, the same on every machine."""
    return torch.from_numpy(rng.standard_normal(shape, np.float32))
