"""Returns: views that show again much of what one view of long ago showed, so that a generator can close loops.

What counts is the overlap of two views (see `memory.overlap`), not where they were taken: looking back down a road from
afar shows again what was passed.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64, UInt8
from numba import njit

from lyra_sim.core.records import Frames, Intrinsics, Label, PixelOrigin
from lyra_sim.geometry.camera import invert, pixel_rays
from lyra_sim.memory.overlap import Z_SHARE, DepthView, lens_of
from lyra_sim.trajectory.gain import BIN_RAD, BINS, ELEVATIONS, OPEN_M, arrays, over_pictures
from lyra_sim.trajectory.voxels import FREE, OCCUPIED, UNKNOWN, VOXEL_M, VoxelMap, expected_at, state_at

OLD_LOOKS = 21
"""A return is like one at least so many looks, more than 160 frames, before: two segments of a video network."""
LEAST_OVERLAP = 0.5
"""Of two views of which one returns to the other."""
SURE_OVERLAP = 0.62
"""A planned return is expected to have so much: what is expected is up to 0.1 too high."""
_COLUMNS = 200
"""Views are kept so wide at least."""
_FLOOR_M = 0.15
"""What lies lower is floor, which is the same from all sides."""
_SPREAD = 6
"""Of a new view every so many rows and columns are looked for in old ones."""


_AZIMUTH, _ELEVATION = (
    a.ravel() for a in np.meshgrid((np.arange(BINS) + 0.5) * BIN_RAD - np.pi, ELEVATIONS, indexing="ij")
)
_WAYS = np.stack([np.cos(_AZIMUTH) * np.cos(_ELEVATION), np.sin(_AZIMUTH) * np.cos(_ELEVATION), np.sin(_ELEVATION)], 1)
"""Rays of a walking camera's pictures at all headings, azimuth by azimuth."""


def kept_view(frames: Frames, t: int) -> DepthView:
    """The depth that frame `t` shows, thinned to between 200 and 400 columns."""
    step = max(1, frames.intrinsics.width // _COLUMNS)
    known = frames.valid[t] & (frames.origin[t] != PixelOrigin.FILLED) & (frames.depth_m[t] > 0)
    depth = np.where(known, frames.depth_m[t], np.float32(0))[step // 2 :: step, step // 2 :: step]
    camera, shift = frames.intrinsics, 0.5 - (step // 2 + 0.5) / step
    thin = Intrinsics(
        fx=camera.fx / step, fy=camera.fy / step, cx=camera.cx / step + shift, cy=camera.cy / step + shift,
        width=depth.shape[1], height=depth.shape[0],
    )  # fmt: skip
    return DepthView(depth_m=np.ascontiguousarray(depth), cam_to_world=frames.cam_to_world[t], intrinsics=thin)


def is_return(frames: Frames, t: int, old: Sequence[DepthView]) -> bool:
    """Does one of the old views cover half of what frame `t` shows? Paint counts as not covered, sky not at all."""
    part = (slice(_SPREAD // 2, None, _SPREAD),) * 2
    known = (frames.valid[t] & (frames.origin[t] != PixelOrigin.FILLED) & (frames.depth_m[t] > 0))[part]
    paint = ((frames.origin[t] == PixelOrigin.FILLED) & (frames.label[t] != Label.SKY))[part]
    rays, pose = pixel_rays(frames.intrinsics)[part][known], frames.cam_to_world[t]
    points = (rays * frames.depth_m[t][part][known][:, None]) @ pose[:3, :3].T + pose[:3, 3]
    valid = int(known.sum() + paint.sum())
    return bool(valid and covered(points, old, 0.0).sum(1).max(initial=0) >= LEAST_OVERLAP * valid)


def covered(points: Float[np.ndarray, "P 3"], views: Sequence[DepthView], slack_m: float) -> Bool[np.ndarray, "V P"]:
    """Which points each view shows: the z-test of `memory.overlap` with some metres more."""
    out = np.zeros((len(views), len(points)), np.bool_)
    for mask, view in zip(out, views, strict=True):
        _cover(np.asarray(points), invert(view.cam_to_world), view.depth_m, lens_of(view.intrinsics), slack_m, mask)
    return out


def shown(
    ends: Float[np.ndarray, "P 3"], eye: Float[np.ndarray, "3"], views: Sequence[DepthView]
) -> Bool[np.ndarray, "V P"]:
    """Which places of `first_surface`, seen from `eye`, each view shows from the same side: both sides of a wall can
    lie in one voxel."""
    out = covered(ends, views, VOXEL_M)
    low = ends[:, 2] < _FLOOR_M
    for mask, view in zip(out, views, strict=True):
        mask &= low | (((ends - eye) * (ends - view.cam_to_world[:3, 3]))[:, :2].sum(1) > 0)
    return out


def expected_overlap(
    space: VoxelMap, eye: Float[np.ndarray, "3"], old: Sequence[DepthView], hfov_rad: float
) -> Float64[np.ndarray, "120"]:
    """The largest overlap with one of the old views that a walking camera at `eye` would have, by heading. Rays that
    meet the unknown near by count as not covered, those that leave through known air not at all."""
    ends, kind = first_surface(space, eye, _WAYS)
    ends, kind = ends.reshape(BINS, -1, 3), kind.reshape(BINS, -1)
    known = kind == OCCUPIED
    valid = over_pictures((kind != FREE).sum(1).astype(np.float64), hfov_rad)
    by = np.zeros((len(old), *kind.shape))
    by[:, known] = shown(ends[known], eye, old)
    most = np.zeros(BINS)
    for view in by.sum(2):
        if view.any():
            most = np.maximum(most, over_pictures(view, hfov_rad))
    return np.where(valid > 0, most / np.maximum(valid, 1.0), 0.0)


def remembered_share(
    space: VoxelMap, eye: Float[np.ndarray, "3"], heading: float, views: Sequence[DepthView], hfov_rad: float
) -> float:
    """How much of what a walking camera at `eye` will show, one of the views showed. Rays that meet the unknown near by
    count as not shown, those that leave through known air, or where pixels without depth looked, not at all."""
    turn = np.abs(np.angle(np.exp(1j * (_AZIMUTH - heading))))
    ends, kind = first_surface(space, eye, _WAYS[turn <= hfov_rad / 2], through_blind=True)
    valid = int((kind != FREE).sum())
    return float(shown(ends[kind == OCCUPIED], eye, views).any(0).sum() / valid) if valid else 1.0


def first_surface(
    space: VoxelMap, eye: Float[np.ndarray, "3"], ways: Float[np.ndarray, "N 3"], *, through_blind: bool = False
) -> tuple[Float64[np.ndarray, "N 3"], UInt8[np.ndarray, "N"]]:
    """Where rays in the directions `ways` (unit vectors) end and in what: OCCUPIED, UNKNOWN near by, or FREE where they
    go on through known air, with `through_blind` also where pixels without depth looked."""
    ends, kind = np.zeros((len(ways), 3)), np.full(len(ways), FREE, np.uint8)
    eye, ways = np.asarray(eye, np.float64), np.asarray(ways, np.float64)
    _ends(eye, *arrays(space), ways, space.reach_m, through_blind, ends, kind)
    return ends, kind


@njit(cache=True)
def _cover(points, T, depth, lens, slack, mask):
    for n in range(len(points)):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        d = T[2, 0] * x + T[2, 1] * y + T[2, 2] * z + T[2, 3]
        if d > VOXEL_M:
            u = int(np.floor((T[0, 0] * x + T[0, 1] * y + T[0, 2] * z + T[0, 3]) / d * lens[0] + lens[2]))
            v = int(np.floor((T[1, 0] * x + T[1, 1] * y + T[1, 2] * z + T[1, 3]) / d * lens[1] + lens[3]))
            if 0 <= u < depth.shape[1] and 0 <= v < depth.shape[0]:
                known = depth[v, u]
                mask[n] = known > 0.0 and abs(d - known) <= Z_SHARE * known + slack


@njit(cache=True)
def _ends(eye, origin, index, passed, hits, blind, ways, reach, through_blind, ends, kind):
    for r in range(len(ways)):
        for n in range(2, int(reach / VOXEL_M)):
            x, y, z = eye + ways[r] * (n * VOXEL_M)
            if through_blind:
                state = expected_at(x, y, z, origin, index, passed, hits, blind)
            else:
                state = state_at(x, y, z, origin, index, passed, hits)
            if state == OCCUPIED or (state == UNKNOWN and n > 3):
                ends[r] = x, y, z
                if state == OCCUPIED or n * VOXEL_M <= OPEN_M:
                    kind[r] = state
                break
