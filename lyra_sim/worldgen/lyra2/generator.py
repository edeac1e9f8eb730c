"""The generator that dreams: one step of Lyra 2.0 per segment, on a past that it keeps itself.

Retrieve and condition, sample, decode, estimate the depth of the new frames; once the segment is committed it is
encoded again from its pixels and remembered. Source of the loop: nv-tlabs/lyra, inference/lyra2_ar_inference.py, as
described publicly. What differs from there:

- Pixels are rounded to 8 bits before they are encoded again, so that a walk that goes on from files is the same as one
  that was never interrupted.
- Depth and scale of the start come from the observe stage (a sensor, or what was chosen for photos), not from Depth
  Anything 3 scaled by MoGe. A start of several frames brings more than one remembered view.
- Pictures are cut to the network's shape, not squeezed.
- Frames without any depth are not remembered, and a scale that cameras do not determine is refused (`depth.align`).
"""

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lyra_sim.config.depth_network import Da3Config, DepthAnythingConfig
from lyra_sim.config.lyra2 import Lyra2Config
from lyra_sim.core.records import Frames, Intrinsics, Label, PixelOrigin, PosedFrames, Segment
from lyra_sim.depth.networks.build import build_network as build_depth
from lyra_sim.depth.new_frames import DepthUpdate
from lyra_sim.depth.sensor import clean_depth
from lyra_sim.memory import warp
from lyra_sim.memory.packing import Packing
from lyra_sim.memory.twin import Twin
from lyra_sim.worldgen.lyra2.conditioning import Conditioning, Known, condition
from lyra_sim.worldgen.lyra2.frame_size import framed_camera, frames_at_once
from lyra_sim.worldgen.lyra2.framing import pixels_of
from lyra_sim.worldgen.lyra2.network import Lyra2Network, build_network, torch_dtype
from lyra_sim.worldgen.lyra2.past import Past
from lyra_sim.worldgen.lyra2.prompts import prompt_for
from lyra_sim.worldgen.lyra2.sampling import (
    Velocity,
    draw_renoise,
    guided,
    initial_noise,
    sample_distilled,
    sample_unipc,
)
from lyra_sim.worldgen.request import Drawn, Request


def open_network(config: Lyra2Config) -> Lyra2Network:
    """The loaded networks; a worker keeps them for its next world."""
    return _open_network(config.model_dump_json())


@functools.lru_cache(maxsize=1)
def _open_network(config: str) -> Lyra2Network:
    return build_network(Lyra2Config.model_validate_json(config))


@functools.lru_cache(maxsize=1)
def _open_depth(config: str, scene: Literal["indoor", "outdoor"]) -> DepthUpdate:
    whole = Lyra2Config.model_validate_json(config)
    chosen = whole.depth
    if isinstance(chosen, Da3Config) and whole.memory != "plain":
        chosen = chosen.model_copy(update={"rests": True})
    return DepthUpdate(build_depth(chosen, scene, setting="explore.generator.depth"))


class Lyra2:
    """See `worldgen.request.Generator`."""

    views = 0

    def __init__(self, config: Lyra2Config, network: Lyra2Network) -> None:
        self.config, self.network = config, network
        self.packing = Packing.parse(config.packing)
        self.frames: int | None = frames_at_once(config)
        self.licences = network.licences
        self.weights: Mapping[str, str] = network.manifest
        self.seconds: dict[str, float] = {}
        """Time spent on each part of the work so far."""
        self._geometry: Any = warp if config.geometry == "numpy" else Twin(config.device, torch.float32)

    def camera(self, start: Intrinsics, height_px: int) -> Intrinsics:
        """That of the start, cut to the size that the network was trained on; `height_px` is not asked."""
        return framed_camera(start, self.config.height_px, self.config.width_px)

    def begin(self, start: PosedFrames, captions: Mapping[int, str], progress: Callable[[str], None]) -> None:
        """See `Generator.begin`. Seeds the past with the last start frame; earlier ones are remembered views."""
        self._environment, self._captions, self._progress = start.environment, captions, progress
        scene = (
            start.environment if isinstance(self.config.depth, DepthAnythingConfig) else "indoor"
        )  # others do not ask
        self._depth, self._trusted_scale = _open_depth(self.config.model_dump_json(), scene), None
        self.licences = (*self.network.licences, *self._depth.network.licences)
        self.weights = {**self.network.manifest, **self._depth.network.hashes}
        with self._timed("text"):  # all at once, while nothing else needs the memory
            words = {0: "", **captions} if self.config.prompt is None else {0: ""}
            self.network.texts([prompt_for(k, self.config.prompt, captions, start.environment)[0] for k in words])
        with self._timed("encode"):
            camera = self.camera(start.frames.intrinsics, 0)
            self.past = Past(start.frames, camera, self.packing, self.network.vae)

    def remember(self, segment: Segment) -> None:
        """See `Generator.remember`."""
        with self._timed("encode"):
            self.past.add(segment)
        self._trusted_scale: float | None = segment.notes["depth"]["trusted_scale"]

    def generate(self, request: Request) -> Drawn:
        """See `Generator.generate`. Depth is known for every 8th frame and the last; elsewhere it is not valid."""
        begin, known = self.past.frames, self.past.known(request.cam_to_world)
        text, source = prompt_for(begin, self.config.prompt, self._captions, self._environment)
        with self._timed("condition"):
            given = condition(
                known, self.packing, self.network.vae.encode, self._geometry,
                way=self.config.way, views=self.config.retrieval_views,
            )  # fmt: skip
        with self._timed("sample"):
            latents_CTHW = self._sample(given, text, request.seed)
        with self._timed("decode"):
            images = self.past.decode(latents_CTHW)
        with self._timed("depth"):
            depth_m, valid, told = self._depth_of(images, known)
        notes = {
            "frames": [begin, begin + len(images) - 1],
            "retrieved": list(given.retrieved),
            "prompt": text,
            "prompt_source": source,
            "depth": told,
        }
        frames = Frames(
            images=images,
            depth_m=depth_m,
            valid=valid,
            origin=np.full(valid.shape, int(PixelOrigin.GENERATED), np.uint8),
            label=np.full(valid.shape, int(Label.UNKNOWN), np.uint8),
            cam_to_world=request.cam_to_world,
            intrinsics=request.intrinsics,
        )
        return Drawn(frames=frames, latents=latents_CTHW.cpu().numpy(), notes=notes)

    def _sample(self, given: Conditioning, text: str, seed: int) -> Tensor:
        """(16, new, h, w) float32."""
        device = torch.device(self.config.device)
        history = given.latents.to(device)
        shape = (1, history.shape[1], self.packing.new_latents, *history.shape[3:])
        noise = initial_noise(seed, shape).to(device)
        fixed = self._fixed(given)
        asked = self._velocity(fixed, self.network.texts([text])[0])
        if self.config.sampler == "distilled":
            renoise = draw_renoise(seed, (1, shape[1], len(self.packing.kinds), *shape[3:]))
            return sample_distilled(
                asked, history, noise, renoise, shift=self.config.shift, on_step=self._stepper()
            )[0]  # fmt: skip
        if self.config.guidance != 1:
            asked = guided(asked, self._velocity(fixed, self.network.negative), self.config.guidance)
        return sample_unipc(
            asked, history, noise, steps=self.config.steps, shift=self.config.shift, on_step=self._stepper()
        )[0]  # fmt: skip

    def _fixed(self, given: Conditioning) -> list[Tensor]:
        """Image tokens, condition and correspondences, on the device; both branches of the guidance share them."""
        last = pixels_of(self.past.image(self.past.frames - 1))
        parts = (self.network.images.encode(last)[None], given.y, given.buffer)
        return [x.to(self.config.device, torch_dtype(self.config)) for x in parts]

    def _velocity(self, fixed: list[Tensor], text_MC: Tensor) -> Velocity:
        dtype = torch_dtype(self.config)
        text_BMC = text_MC[None].to(self.config.device, dtype)

        def velocity(window_BCTHW: Tensor, timestep_B: Tensor) -> Tensor:
            return self.network.transformer(window_BCTHW.to(dtype), timestep_B, text_BMC, *fixed)

        return velocity

    def _depth_of(self, images: np.ndarray, known: Known) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Depth of the new frames, which pixels of it are geometry, and what is to be told of them.

        Later steps are conditioned on all of it (sky is far, edges are smeared), as the network was trained; only sharp
        pixels within range are valid.
        """
        begin, config = self.past.frames, self.config.depth
        chosen = self._depth.choose(begin, begin + len(images) - 1)
        shown = np.stack([images[i - begin] if i >= begin else self.past.image(i) for i in chosen])
        made = self._depth.estimate(
            chosen, shown, known.w2c[chosen], known.K[chosen], trusted_scale=self._trusted_scale
        )  # fmt: skip
        depth_m, valid = np.zeros(images.shape[:3], np.float32), np.zeros(images.shape[:3], bool)
        for k, i in enumerate(chosen):
            if i >= begin:
                sharp = clean_depth(made.depth_m[k], made.valid[k], config.edge_ratio)
                valid[i - begin] = sharp & (made.depth_m[k] <= config.max_range_m)
                depth_m[i - begin] = made.dense_m[k]
        return depth_m, valid, made.notes

    def _stepper(self) -> Callable[[int, int], None]:
        start = time.monotonic()

        def tell(step: int, steps: int) -> None:
            left = (time.monotonic() - start) / step * (steps - step)
            self._progress(f"step {step} of {steps}, {left:.0f} s left")

        return tell

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        if self.config.device.startswith("cuda"):
            torch.cuda.synchronize(self.config.device)
        self.seconds[part] = self.seconds.get(part, 0.0) + time.monotonic() - start
