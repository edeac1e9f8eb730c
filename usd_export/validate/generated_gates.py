"""Gates about frames that a generator drew: do they show what the input showed, where both see the same place?

The start is carried into generated cameras by its own depth (`memory.warp`), so nothing of the generator is used to
judge it but what it drew. Surfaces of the start that turn their back to a generated camera are not what it sees: a wall
that one frame shows from one side hides what another shows from the other.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from scipy import ndimage

from lyra_sim.core.records import Frames, Intrinsics, PixelOrigin, World
from lyra_sim.geometry.camera import invert, pixel_rays
from lyra_sim.geometry.slopes import pixel_normals
from lyra_sim.memory.warp import forward_warp, integer_matrix

_BLOCK_PX = 8
"""Colours are compared as means of squares so wide: a warp is a pixel off, and no generator repeats a texture."""
_BLOCK_SHARE = 0.5
"""Share of a square that has to be known."""
_SOURCES, _TARGETS, _LEAST_BLOCKS = 4, 48, 50
"""Start frames and generated frames that are compared, spread evenly; fewer squares in common say nothing."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Agreement:
    """How far generated frames agree with the start; None where they have too little in common."""

    likeness: float | None
    """Correlation of brightness within frames, 1 where both show the same, 0 where they have nothing in common."""
    depth_off_median: float | None
    """Median of |generated depth - depth of the start| / depth of the start."""


def has_generated(world: World) -> bool:
    """Whether any segment was drawn and not only warped from the start."""
    return any(
        not segment.warped and (segment.frames.origin == PixelOrigin.GENERATED).any() for segment in world.segments
    )


def compare_generated(world: World) -> Agreement:
    """Compare generated frames with what the start's measured and estimated pixels show from their cameras."""
    start = world.start.frames
    sources = np.unique(np.linspace(0, len(start) - 1, min(len(start), _SOURCES)).round().astype(int))
    each = max(1, _TARGETS // max(1, sum(not segment.warped for segment in world.segments)))
    carried = [_Source.of(start, s) for s in sources]
    products, off = np.zeros(3), [np.zeros(0)]
    blocks = 0
    for segment in world.segments:  # read one by one: a long walk is larger than memory
        if segment.warped:
            continue
        known = np.flatnonzero(segment.frames.valid.any((1, 2)))
        for t in known[np.unique(np.linspace(0, len(known) - 1, min(len(known), each)).round().astype(int))]:
            for source in carried:
                color, depth = source.seen_from(segment.frames, t)
                a, b = _means(color, segment.frames.images[t].astype(np.float32) @ _LUMA, depth > 0)
                blocks += len(a)
                a, b = a - a.mean() if len(a) else a, b - b.mean() if len(b) else b
                products += [a @ b, a @ a, b @ b]
                both = (depth > 0) & segment.frames.valid[t]
                off.append(np.abs(segment.frames.depth_m[t][both] - depth[both]) / depth[both])
    gaps = np.concatenate(off)
    scale = float(np.sqrt(products[1] * products[2]))
    return Agreement(
        likeness=float(products[0] / scale) if blocks >= _LEAST_BLOCKS and scale > 0 else None,
        depth_off_median=float(np.median(gaps)) if len(gaps) >= _LEAST_BLOCKS * _BLOCK_PX**2 else None,
    )


@dataclass(frozen=True)
class _Source:
    """A start frame, to be carried into other cameras."""

    brightness: Float32[np.ndarray, "H W"]
    """0..255."""
    depth_m: Float32[np.ndarray, "H W"]
    """0 where nothing was measured."""
    points: Float64[np.ndarray, "H W 3"]
    normals: Float64[np.ndarray, "H W 3"]
    """Towards the start's camera; zero where none is known. Both along the axes of the world."""
    T_world_cam: Float64[np.ndarray, "4 4"]
    camera: Intrinsics

    @classmethod
    def of(cls, start: Frames, s: int) -> "_Source":
        shown = start.valid[s] & (start.origin[s] == PixelOrigin.MEASURED)
        depth, T = np.where(shown, start.depth_m[s], np.float32(0)), np.asarray(start.cam_to_world[s], np.float64)
        normals = pixel_normals(depth, depth > 0, start.intrinsics) @ T[:3, :3].T
        points = (pixel_rays(start.intrinsics) * depth[..., None]) @ T[:3, :3].T + T[:3, 3]
        return cls(start.images[s].astype(np.float32) @ _LUMA, depth, points, normals, T, start.intrinsics)

    def seen_from(self, frames: Frames, t: int) -> tuple[np.ndarray, np.ndarray]:
        """Brightness (H, W), 0..255, and z-depth (H, W), 0 where nothing is known or the back is seen, in camera t."""
        T_world_cam = np.asarray(frames.cam_to_world[t], np.float64)
        front = ((T_world_cam[:3, 3] - self.points) * self.normals).sum(2) >= 0
        warped = forward_warp(
            np.stack([self.brightness / 127.5 - 1, np.where(front, 1.0, -1.0)])[None].astype(np.float32),
            self.depth_m[None],
            invert(self.T_world_cam)[None],
            integer_matrix(self.camera)[None],
            invert(T_world_cam)[None],
            integer_matrix(frames.intrinsics)[None],
            size=frames.images.shape[1:3],
        )
        known = warped.mask[0] & (warped.images[0, 1] > 0.5)
        return (warped.images[0, 0] + 1) * 127.5, np.where(known, warped.depth[0], np.float32(0))


def _means(one: np.ndarray, other: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over squares of `_BLOCK_PX` of both pictures, of the known pixels of each square that has enough."""
    rows, columns = (np.arange(n) // _BLOCK_PX for n in known.shape)
    square = rows[:, None] * (columns[-1] + 1) + columns
    count = np.bincount(square[known], minlength=square[-1, -1] + 1)
    kept = np.flatnonzero(count >= _BLOCK_SHARE * _BLOCK_PX**2)
    if not len(kept):
        return np.zeros(0), np.zeros(0)
    one, other = (ndimage.sum_labels(x * known, square, kept) / count[kept] for x in (one, other))
    return one, other
