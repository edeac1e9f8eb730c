"""Views for a network that sees many at once: frames spread over the walk, at the network's size, in chunks."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from lyra_sim.core.records import Frames, Intrinsics, Label, PixelOrigin, World
from lyra_sim.geometry.camera import invert, scaled
from lyra_sim.reconstruct.volume import all_frames

PATCH_PX = 14


@dataclass(frozen=True)
class View:
    """One frame at the size that the network sees."""

    image: UInt8[np.ndarray, "H W 3"]
    depth_m: Float32[np.ndarray, "H W"]
    """Remembered z-depth; 0 where none is known."""
    shown: Bool[np.ndarray, "H W"]
    """Something was seen or generated here, and it is not the sky."""
    camera: Intrinsics
    T_world_cam: Float64[np.ndarray, "4 4"]


@dataclass(frozen=True)
class Chunk:
    """Views that are shown together."""

    views: Sequence[View]
    repeated: int
    """So many of the first were part of the chunk before."""

    @property
    def images(self) -> UInt8[np.ndarray, "V H W 3"]:
        """All images."""
        return np.stack([view.image for view in self.views])

    @property
    def w2c(self) -> Float64[np.ndarray, "V 4 4"]:
        """World to camera."""
        return invert(np.stack([view.T_world_cam for view in self.views]))

    @property
    def K(self) -> Float64[np.ndarray, "V 3 3"]:  # noqa: N802
        """Intrinsics, pixels of the images."""
        rows = [[[c.fx, 0, c.cx], [0, c.fy, c.cy], [0, 0, 1.0]] for c in (view.camera for view in self.views)]
        return np.array(rows)


def chunks(world: World, *, side_px: int, max_views: int, frames_per_view: int, overlap: int) -> Iterator[Chunk]:
    """The views of a world in order of time, in the shape that most frames have; frames are read one batch at a time,
    only their views are kept.

    Up to `max_views * frames_per_view` frames are one chunk of evenly spread views (the first and the last frame among
    them); longer walks keep that spacing and are cut into chunks of at most `max_views`, as even as they can be, with
    `overlap` views in common. Source: nv-tlabs/lyra (128 views of up to 500 frames, then chunks that share 10).
    """
    shapes: Counter[tuple[int, int]] = Counter()
    for camera, number in ((frames.intrinsics, len(frames)) for frames in all_frames(world)):
        shapes[camera.width, camera.height] += number
    total = shapes.total()
    count = min(total, max(max_views, -(-total // frames_per_view)))
    (width, height), _ = max(shapes.items(), key=lambda item: (item[1], item[0]))
    views = _views(
        world, {int(i) for i in np.linspace(0, total - 1, count).round()}, network_size(width, height, side_px)
    )
    pieces = 1 if count <= max_views else -(-(count - overlap) // (max_views - overlap))
    ends = overlap + np.linspace(0, count - overlap, pieces + 1).round().astype(int)[1:]
    kept: list[View] = []
    for new in np.diff(ends, prepend=0):
        repeated = len(kept)
        kept += itertools.islice(views, int(new))
        yield Chunk(tuple(kept), repeated)
        kept = kept[-overlap:] if overlap else []


def network_size(width: int, height: int, side_px: int) -> tuple[int, int]:
    """(W, H) with the longer side near `side_px`, both multiples of the patch."""
    factor = side_px / max(width, height) / PATCH_PX
    return max(1, round(width * factor)) * PATCH_PX, max(1, round(height * factor)) * PATCH_PX


def _views(world: World, chosen: set[int], size: tuple[int, int]) -> Iterator[View]:
    before = 0
    for frames in all_frames(world):
        for i in range(len(frames)):
            if before + i in chosen:
                yield view_of(frames, i, size)
        before += len(frames)


def view_of(frames: Frames, index: int, size: tuple[int, int]) -> View:
    """One frame at another size (W, H): the image is averaged, everything else is taken from the nearest pixel."""
    camera = frames.intrinsics
    u = ((np.arange(size[0]) + 0.5) * camera.width / size[0]).astype(int)
    v = ((np.arange(size[1]) + 0.5) * camera.height / size[1]).astype(int)
    pick = np.ix_(v, u)
    origin = frames.origin[index][pick]
    shown = (origin == PixelOrigin.MEASURED) | (origin == PixelOrigin.GENERATED)
    shown &= frames.label[index][pick] != Label.SKY
    known = shown & frames.valid[index][pick]
    smaller = size[0] <= camera.width
    return View(
        image=cv2.resize(frames.images[index], size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC),
        depth_m=np.where(known, frames.depth_m[index][pick], np.float32(0)),
        shown=shown,
        camera=scaled(camera, *size),
        T_world_cam=frames.cam_to_world[index],
    )
