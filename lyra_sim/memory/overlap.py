"""Overlap: how much of a frame was shown by other views before.

A pixel of frame A at depth z is covered by view B where its place projects into B and has B's depth there within 5 %
(z-test at the nearest pixel). Overlap(A, B) is the covered share of A's valid pixels; with several views a pixel is
covered when at least one of them covers it. Paint (FILLED) of A has no depth: it counts as valid and never as covered,
for it stands where nothing was known. Sky counts as neither. Paint of B covers nothing.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32, Float64
from numba import njit

from lyra_sim.core.record import record
from lyra_sim.core.records import Frames, Intrinsics, Label, PixelOrigin
from lyra_sim.geometry.camera import invert

Z_SHARE = 0.05
"""Tolerance of the z-test, by depth."""
_NEAR_M = 0.05
"""Nearer to a camera nothing is looked for."""


@record
class DepthView:
    """The geometry that one frame shows."""

    depth_m: Float32[np.ndarray, "H W"]
    """0 where none is known."""
    cam_to_world: Float64[np.ndarray, "4 4"]
    intrinsics: Intrinsics


@record
class Coverage:
    """Which pixels of a frame N views cover."""

    valid: Bool[np.ndarray, "H W"]
    """Pixels that count."""
    by: Bool[np.ndarray, "N H W"]
    """Those each view covers."""

    @property
    def uncovered(self) -> Bool[np.ndarray, "H W"]:
        """Pixels that count and that no view covers."""
        return self.valid & ~self.by.any(0)

    @property
    def overlap(self) -> float | None:
        """With all views together; None where no pixel counts."""
        valid = int(self.valid.sum())
        return 1 - int(self.uncovered.sum()) / valid if valid else None

    @property
    def shares(self) -> list[float]:
        """Overlap with each view alone."""
        return [int(mask.sum()) / max(int(self.valid.sum()), 1) for mask in self.by]


def geometry_of(frames: Frames, t: int) -> DepthView:
    """Frame `t` without what was painted."""
    known = frames.valid[t] & (frames.origin[t] != PixelOrigin.FILLED) & (frames.depth_m[t] > 0)
    depth = np.where(known, frames.depth_m[t], np.float32(0))
    return DepthView(depth_m=depth, cam_to_world=frames.cam_to_world[t], intrinsics=frames.intrinsics)


def coverage(frames: Frames, t: int, views: Sequence[DepthView]) -> Coverage:
    """What `views` cover of frame `t`."""
    frame = geometry_of(frames, t)
    paint = (frames.origin[t] == PixelOrigin.FILLED) & (frames.label[t] != Label.SKY)
    by = np.zeros((len(views), *frame.depth_m.shape), np.bool_)
    for mask, view in zip(by, views, strict=True):
        T = invert(view.cam_to_world) @ frame.cam_to_world
        _cover(frame.depth_m, lens_of(frame.intrinsics), T, view.depth_m, lens_of(view.intrinsics), mask)
    return Coverage(valid=(frame.depth_m > 0) | paint, by=by)


def lens_of(camera: Intrinsics) -> Float64[np.ndarray, "4"]:
    """fx, fy, cx, cy."""
    return np.array([camera.fx, camera.fy, camera.cx, camera.cy])


@njit(cache=True)
def moved(u, v, d, lens, T, to):
    """Where the place at depth d in pixel (u, v) lies in another image, with pixel centres at whole numbers, and its
    depth there; far outside of any image where that is less than 5 cm."""
    a, b = (u + 0.5 - lens[2]) / lens[0], (v + 0.5 - lens[3]) / lens[1]
    z = (T[2, 0] * a + T[2, 1] * b + T[2, 2]) * d + T[2, 3]
    if z < _NEAR_M:
        return -1e9, -1e9, z
    x = ((T[0, 0] * a + T[0, 1] * b + T[0, 2]) * d + T[0, 3]) / z * to[0] + to[2] - 0.5
    y = ((T[1, 0] * a + T[1, 1] * b + T[1, 2]) * d + T[1, 3]) / z * to[1] + to[3] - 0.5
    return x, y, z


@njit(cache=True)
def same_depth(known, z):
    """The z-test."""
    return known > 0.0 and abs(z - known) <= Z_SHARE * known


@njit(cache=True)
def _cover(depth, lens, T, other, to, mask):
    for v in range(depth.shape[0]):
        for u in range(depth.shape[1]):
            if depth[v, u] > 0.0:
                x, y, z = moved(u, v, depth[v, u], lens, T, to)
                i, j = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
                if 0 <= i < other.shape[1] and 0 <= j < other.shape[0]:
                    mask[v, u] = same_depth(other[j, i], z)
