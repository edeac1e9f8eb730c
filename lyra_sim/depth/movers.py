"""Pixels of a walk that show things which moved: other frames look through the place where they stood.

A surface in one frame is tested against the rays of the others, not against the fused surface, of which it would be a
part: a ray that ends well behind it found its place empty, one that ends at it supports it. What moved stands where
more rays pass than end, or where nearer frames measured nothing, as before the sky, and no other frame saw it. The idea
is that of visibility conflicts (Pomerleau et al. 2014, "Long-term 3D map maintenance in dynamic environments"; Kim and
Kim 2020, "Remove, then Revert"). Thin static things are missed by rays that are a pixel off; so only bodies count.
"""

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numba import njit, prange
from scipy import ndimage
from skimage import measure

from lyra_sim.depth.overlap import CoarseWalk
from lyra_sim.geometry.camera import pixel_rays

SLACK_M, SLACK_SHARE = 0.05, 0.02
"""Depths that differ by less, and by less than this share of themselves, agree."""
LEAST_RADIUS_M = 0.04
"""Inscribed radius of what counts as a body in the image: half a forearm."""
BLANK_FRAMES = 2
"""So many frames that measured nothing in the place of a thing nor beside it, from at most and at least half the
distance of the frame that saw it, show that it moved, where no other frame saw it."""
ROUNDS = 2
"""The second takes no support from what the first found."""
_MARGIN_CELLS = 2


def find_movers(walk: CoarseWalk, shape: tuple[int, int, int]) -> Bool[np.ndarray, "T H W"]:
    """Pixels of moving things in every frame, with a margin of two cells for their soft edges and shadows of depth.

    Args:
        shape: (T, H, W) of the frames.
    """
    rays = pixel_rays(walk.camera)
    moving = np.zeros(walk.depth_m.shape, bool)
    for _ in range(ROUNDS):
        free, support = _witness(
            walk.depth_m, walk.near_m, walk.far_m, moving, walk.T_world_cam, walk.T_cam_world, walk.partners, rays,
            walk.lens,
        )  # fmt: skip
        for t, depth in enumerate(walk.depth_m):
            moving[t] = _bodies(depth, free[t], support[t], walk.camera.fx)
    out = np.zeros(shape, bool)
    ring = ndimage.generate_binary_structure(2, 2)
    for t, found in enumerate(moving):
        if found.any():
            wide = ndimage.binary_dilation(found, ring, iterations=_MARGIN_CELLS)
            full = wide.repeat(walk.step, 0).repeat(walk.step, 1)
            out[t, : full.shape[0], : full.shape[1]] = full
    return out


def _bodies(
    depth_m: Float32[np.ndarray, "h w"], free: UInt8[np.ndarray, "h w"], support: UInt8[np.ndarray, "h w"], fx: float
) -> Bool[np.ndarray, "h w"]:
    """Cells that more others look through than see, in patches as wide as a body, and what hangs together with them and
    is not seen by more."""
    through = free > support
    if not through.any():
        return through
    groups = np.asarray(measure.label(through, connectivity=1), np.int64)
    radius_m = np.asarray(ndimage.distance_transform_edt(np.pad(through, 1)))[1:-1, 1:-1] * depth_m / fx
    widest = np.zeros(groups.max() + 1)
    np.maximum.at(widest, groups, radius_m)
    out = through & (widest >= LEAST_RADIUS_M)[groups]
    _grow(out, depth_m, free >= support)
    return out


@njit(cache=True, parallel=True)
def _witness(depth, near, far, moving, T_world_cam, T_cam_world, partners, rays, lens):
    """For each cell how many other frames look through its place, and how many see a surface there. A cell that none of
    them sees counts as looked through once where enough of them measured nothing (`BLANK_FRAMES`)."""
    frames, height, width = depth.shape
    free = np.zeros(depth.shape, np.uint8)
    support = np.zeros(depth.shape, np.uint8)
    for row in prange(frames * height):
        t, v = row // height, row % height
        pose = T_world_cam[t]
        for u in range(width):
            d = depth[t, v, u]
            if d == 0.0:
                continue
            x, y = rays[v, u, 0] * d, rays[v, u, 1] * d
            px = pose[0, 0] * x + pose[0, 1] * y + pose[0, 2] * d + pose[0, 3]
            py = pose[1, 0] * x + pose[1, 1] * y + pose[1, 2] * d + pose[1, 3]
            pz = pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * d + pose[2, 3]
            blank = 0
            for o in partners[t]:
                if o < 0:
                    break
                T = T_cam_world[o]
                z = T[2, 0] * px + T[2, 1] * py + T[2, 2] * pz + T[2, 3]
                if z < 0.05:
                    continue
                i = (T[0, 0] * px + T[0, 1] * py + T[0, 2] * pz + T[0, 3]) / z * lens[0] + lens[2]
                j = (T[1, 0] * px + T[1, 1] * py + T[1, 2] * pz + T[1, 3]) / z * lens[1] + lens[3]
                if i < 0 or j < 0 or i >= width or j >= height:
                    continue
                if near[o, int(j), int(i)] == 0.0:
                    blank += 0.5 * d < z < d and far[o, int(j), int(i)] == 0.0
                    continue
                slack = SLACK_M + SLACK_SHARE * z
                if near[o, int(j), int(i)] > z + slack:
                    free[t, v, u] += 1
                elif far[o, int(j), int(i)] > z - slack and not moving[o, int(j), int(i)]:
                    support[t, v, u] += 1
            if blank >= BLANK_FRAMES and free[t, v, u] == 0 and support[t, v, u] == 0:
                free[t, v, u] = 1
    return free, support


@njit(cache=True)
def _grow(found, depth, may):
    """Spread to neighbours of nearly the same depth where it may; in place."""
    height, width = found.shape
    stack = [(v, u) for v in range(height) for u in range(width) if found[v, u]]
    while len(stack):
        v, u = stack.pop()
        for dv, du in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            j, i = v + dv, u + du
            if j < 0 or i < 0 or j >= height or i >= width or found[j, i] or not may[j, i] or depth[j, i] == 0.0:
                continue
            if abs(depth[j, i] - depth[v, u]) < SLACK_M:
                found[j, i] = True
                stack.append((j, i))
