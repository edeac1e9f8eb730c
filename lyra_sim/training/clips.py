"""Posed clips that the video generator is trained on: frames, depth and cameras of one place.

A dataset is anything that follows `Clips`. Here: RGB-D walks in this project's folder format, and walks through
procedural places.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from lyra_sim.config.capture import CaptureConfig
from lyra_sim.core.errors import InputError
from lyra_sim.core.record import record
from lyra_sim.core.records import Capture, Label
from lyra_sim.geometry.camera import invert
from lyra_sim.procedural.cameras import pinhole, walk_cameras
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.render import render
from lyra_sim.procedural.street import make_street
from lyra_sim.sources.captions import read_captions
from lyra_sim.sources.discover import Source, discover
from lyra_sim.sources.names import printable
from lyra_sim.sources.walk import read_walk
from lyra_sim.worldgen.lyra2.frame_size import framed_camera
from lyra_sim.worldgen.lyra2.framing import framed_depth, framed_image, matrix, with_far_sky

CAPTIONS = "walk_captions.json"
"""Beside a walk's poses, see `sources.captions.read_captions`; the frames are those of the walk."""
_KEPT = 2


@record
class Clip:
    """Consecutive frames of one place.

    Pinhole matrices are those of `framing.matrix`, as when generating.
    """

    name: str
    frames: UInt8[np.ndarray, "T H W 3"]
    depth_m: Float32[np.ndarray, "T H W"]
    """z-depth; 0 where it is not known."""
    w2c: Float64[np.ndarray, "T 4 4"]
    """World to camera, in any world."""
    K: Float64[np.ndarray, "T 3 3"]
    captions: Mapping[int, str]
    """What is seen from a frame on until the next entry; without any, the empty text."""

    def caption(self, frame: int) -> str:
        """The text for new frames that begin with `frame`: that of the largest key not above it."""
        below = [first for first in self.captions if first <= frame]
        return self.captions[max(below)] if below else ""

    def taken(self, index: np.ndarray) -> "Clip":
        """The frames of the given indices as a clip of their own."""
        texts = [self.caption(frame) for frame in index.tolist()]
        captions = {i: text for i, text in enumerate(texts) if i == 0 or text != texts[i - 1]}
        arrays = {name: getattr(self, name)[index] for name in ("frames", "depth_m", "w2c", "K")}
        return replace(self, **arrays, captions=captions)


class Clips(Protocol):
    """A dataset of posed clips, all of the same size."""

    @property
    def frames(self) -> int:
        """Of every clip."""
        ...

    def __len__(self) -> int:
        """How many places there are."""
        ...

    def clip(self, index: int, rng: np.random.Generator) -> Clip:
        """A clip of place `index`, drawn from `rng`."""
        ...


def window(length: int, frames: int, stride: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of `frames` of `length` frames, `stride` apart, from a random start; too short a clip is played to its
    end, then backwards, and so on."""
    span = (frames - 1) * stride + 1
    start = int(rng.integers(max(length - span, 0) + 1))
    index = start + stride * np.arange(frames)
    if length == 1:
        return np.zeros_like(index)
    turn = 2 * (length - 1)
    index %= turn
    return np.where(index < length, index, turn - index)


def fitted(capture: Capture, size: tuple[int, int]) -> Clip:
    """A posed RGB-D capture at `size` (height, width): scaled until it covers that, and cut to its middle.

    As the generator frames the start of a walk (`worldgen.lyra2.framing`).
    """
    assert capture.depth_m is not None and capture.depth_valid is not None and capture.cam_to_world is not None
    camera = framed_camera(capture.intrinsics, *size)
    depths = zip(capture.depth_m, capture.depth_valid, strict=True)
    return Clip(
        name=capture.name,
        frames=np.stack([framed_image(image, *size) for image in capture.images]),
        depth_m=np.stack([framed_depth(depth, valid, *size) for depth, valid in depths]),
        w2c=invert(capture.cam_to_world),
        K=np.repeat(matrix(camera)[None], len(capture.images), 0),
        captions={},
    )


class WalkClips:
    """RGB-D walks (README, "Inputs") as training clips. The last few walks stay in memory, scaled.

    Args:
        folders: walks, or folders of walks.
        frames: of a clip.
        size: height and width, pixels, multiples of 16.
        stride: every n-th frame of a walk is used.

    Raises:
        InputError: no walk is there; one cannot be read, when its clip is asked for.
    """

    def __init__(self, folders: Sequence[Path], *, frames: int, size: tuple[int, int], stride: int = 1) -> None:
        self.sources = discover(folders, "rgbd").sources
        if not self.sources:
            where = ", ".join(printable(folder) for folder in folders)
            raise InputError(where, expected="RGB-D walks", got="none", todo="See the README's section on inputs.")
        self.frames, self.size, self.stride = frames, size, stride
        self._whole = functools.lru_cache(_KEPT)(self._read)

    def __len__(self) -> int:
        return len(self.sources)

    def clip(self, index: int, rng: np.random.Generator) -> Clip:
        """See `Clips.clip`."""
        whole = self._whole(self.sources[index])
        return whole.taken(window(len(whole.frames), self.frames, self.stride, rng))

    def texts(self) -> list[str]:
        """All captions, each once."""
        return sorted({text for source in self.sources for text in _captions(source.path / CAPTIONS).values()})

    def _read(self, source: Source) -> Clip:
        capture = read_walk(source, CaptureConfig(rgbd_max_frames=5000, rgbd_max_side_px=max(128, *self.size)))
        return replace(fitted(capture, self.size), captions=_captions(source.path / CAPTIONS))


def _captions(path: Path) -> dict[int, str]:
    return read_captions(path) if path.is_file() else {}


class ProceduralClips:
    """Walks through procedural flats and streets with exact depth (sky far away); rendered when asked for."""

    def __init__(self, places: int, *, frames: int, size: tuple[int, int], seed: int = 0, hfov_deg: float = 78) -> None:
        self.places, self.frames, self.size, self.seed, self.hfov_deg = places, frames, size, seed, hfov_deg

    def __len__(self) -> int:
        return self.places

    def clip(self, index: int, rng: np.random.Generator) -> Clip:
        """See `Clips.clip`. The walk is drawn from `rng`, the place from the seed and the index."""
        scene = (make_street if index % 2 else make_flat)(self.seed + index)
        camera = pinhole(self.size[1], self.size[0], self.hfov_deg)
        cameras = walk_cameras(scene, int(rng.integers(2**31)), self.frames)
        views = [render(scene, pose, camera, antialias=False) for pose in cameras]
        names = ("depth_m", "valid", "label")
        depth, solid, label = (np.stack([getattr(view, name) for view in views]) for name in names)
        return Clip(
            name=f"{scene.kind}-{scene.seed}",
            frames=np.stack([view.image for view in views]),
            depth_m=with_far_sky(depth, solid, ~solid & (label == Label.SKY)),
            w2c=invert(cameras),
            K=np.repeat(matrix(camera)[None], self.frames, 0),
            captions={0: f"a walk through a {scene.kind}"},
        )
