"""What the generator keeps of a walk: latents, cameras, every 8th frame with its depth, and where the VAE has got to.

Frames count from 0, the last start frame; start frames before it are remembered views with negative ids. Cameras are
relative to frame 0, as in the release. Memory grows by one latent per four frames and one picture with its depth per
eight.
"""

import numpy as np
import torch
from torch import Tensor

from lyra_sim.core.records import Frames, Intrinsics, Label, PixelOrigin, Segment
from lyra_sim.geometry.camera import invert
from lyra_sim.memory.packing import Packing
from lyra_sim.memory.spatial import STRIDE, SpatialMemory
from lyra_sim.worldgen.lyra2.conditioning import Known
from lyra_sim.worldgen.lyra2.framing import (
    framed_depth,
    framed_image,
    from_frame_0,
    matrix,
    pixels_of,
    u8,
    with_far_sky,
)
from lyra_sim.worldgen.lyra2.vae import VaeStream, WanVae

_ENCODED_TOGETHER = 8
"""Frames on the device at one time."""


class Past:
    """Everything so far of one walk.

    Args:
        camera: of all frames, at the size that the network draws.
    """

    def __init__(self, start: Frames, camera: Intrinsics, packing: Packing, vae: WanVae) -> None:
        self.camera = camera
        self.frames = 1
        self.memory = SpatialMemory()
        self.stream: VaeStream = vae.stream()
        self._decoded = 0
        self._images: dict[int, np.ndarray] = {}
        self._depths: dict[int, np.ndarray] = {}
        self._first_w2c = invert(start.cam_to_world[-1])
        cameras = self.relative(start.cam_to_world)
        self._w2c, self._before = cameras[-1:], cameras[:-1]
        self.last_depth = self._see_start(start)
        first = pixels_of(self._images[0])[None].expand(packing.repeats, -1, -1, -1)
        self.latents = self.stream.encode(first)
        self.stream.decode(self.latents)  # only for what it leaves in the decoder

    def known(self, cam_to_world: np.ndarray) -> Known:
        """What the next step may use, with the cameras of its targets (world frame)."""
        targets = self.relative(cam_to_world)
        w2c = np.concatenate([self._w2c, targets, self._before])  # views with negative ids count from the end
        return Known(
            frames=self.frames,
            pixels=lambda frame: pixels_of(self._images[frame]).numpy(),
            latents=self.latents,
            w2c=w2c,
            K=np.repeat(matrix(self.camera)[None], len(w2c), 0),
            last_depth=self.last_depth,
            memory=self.memory,
            depth=lambda frame: self._depths[frame],
        )

    def relative(self, cam_to_world: np.ndarray) -> np.ndarray:
        """World-to-camera matrices (N, 4, 4) relative to frame 0."""
        return from_frame_0(invert(cam_to_world), self._first_w2c)

    def kept(self, frame: int) -> bool:
        """Whether the picture of this frame is still there."""
        return frame in self._images

    def image(self, frame: int) -> np.ndarray:
        """A frame that is kept, (H, W, 3) uint8."""
        return self._images[frame]

    def decode(self, latents_CTHW: Tensor) -> np.ndarray:
        """New frames, (T, H, W, 3) uint8; the stream goes on from them."""
        self._decoded += 1
        frames = [u8(self.stream.decode(latent)) for latent in latents_CTHW.split(1, 1)]
        return np.concatenate(frames)

    def add(self, segment: Segment) -> None:
        """Take in a committed segment; its pixels are encoded, its latents decoded where that was not done yet."""
        made, begin = segment.frames, self.frames
        if segment.index >= self._decoded:
            assert segment.latents is not None, "drawn by this generator"
            self.decode(torch.from_numpy(segment.latents.copy()))
        pieces = [self.latents]
        for k in range(0, len(made), _ENCODED_TOGETHER):
            pieces.append(self.stream.encode(pixels_of(made.images[k : k + _ENCODED_TOGETHER])))
        self.latents = torch.cat(pieces, 1)
        self._w2c = np.concatenate([self._w2c, self.relative(made.cam_to_world)])
        self.frames += len(made)
        if (begin - 1) % STRIDE:
            del self._images[begin - 1]
        for t in range(len(made)):
            if (begin + t) % STRIDE == 0 or t == len(made) - 1:
                self.last_depth = made.depth_m[t].copy()  # a view would keep the whole segment
                self._see(begin + t, made.images[t].copy(), self.last_depth, self._w2c[begin + t])

    def _see_start(self, start: Frames) -> np.ndarray:
        """Remember every 8th start frame, counted back from the last; returns the last one's depth."""
        size = (self.camera.height, self.camera.width)
        depth = np.zeros(size, np.float32)
        solid = start.valid & (start.origin != PixelOrigin.FILLED)
        sky = ~start.valid & (start.label == Label.SKY)
        seen = with_far_sky(start.depth_m, solid, sky)
        for t in range((len(start) - 1) % STRIDE, len(start), STRIDE):
            frame = t - (len(start) - 1)
            depth = framed_depth(seen[t], solid[t] | sky[t], *size)
            self._see(frame, framed_image(start.images[t], *size), depth, self.relative(start.cam_to_world[t]))
        return depth

    def _see(self, frame: int, image: np.ndarray, depth: np.ndarray, w2c: np.ndarray) -> None:
        self._images[frame] = image
        if frame % STRIDE == 0 and (frame == 0 or depth.any()):
            self._depths[frame] = depth
            self.memory.add(frame, depth, w2c, matrix(self.camera))
