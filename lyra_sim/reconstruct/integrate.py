"""Adds one depth image to the volume: distances near its surface, free space in front of it.

Weighted averages of truncated signed distances after Curless and Levoy 1996, "A volumetric method for building complex
models from range images", with distances to the plane at each pixel instead of along the ray (Bylow et al. 2013,
"Real-time camera tracking and 3D reconstruction using signed distance functions"): exact for planes at any slant.
"""

import math

import numpy as np
from numba import njit, prange

from lyra_sim.core.records import Intrinsics
from lyra_sim.geometry.camera import invert
from lyra_sim.geometry.slopes import pixel_normals
from lyra_sim.reconstruct.volume import BLOCK, TRUNCATION_VOXELS, Volume

MIN_COS = 0.15
"""Beyond 81 degrees of slant a surface counts as seen at that slant: bounds how far its band reaches along the ray."""
_MAX_BRIDGE = 0.03
"""Two pixels on either side of a gap lie on one surface when their depths differ by less than this share."""
BEHIND = 2.0 / TRUNCATION_VOXELS
"""How far behind a surface (in truncations) it is told of: the corners of the cubes that it crosses lie up to sqrt(3)
voxels behind it. That a thing is thicker, no ray has seen: deeper, jambs and legs grow fins into the shadow they cast,
as wide as the band and along the ray that grazes them, wherever other views see the shadow no better."""
_CERTAIN = 0.5 / TRUNCATION_VOXELS
"""Up to this far behind, evidence counts as much as in front, so that noise moves no surface; from there it fades, and
what other views saw in front of a surface of theirs overrules it."""


def add_frame(
    volume: Volume,
    depth_m: np.ndarray,
    told: np.ndarray,
    camera: Intrinsics,
    T_world_cam: np.ndarray,
    *,
    max_depth_m: float,
    closed: np.ndarray | None = None,
) -> None:
    """Integrate one frame in place.

    Args:
        depth_m: (H, W) float32 z-depth.
        told: (H, W) uint8 of `volume.evidence`.
        closed: bool like `volume.weight`; voxels that this frame must leave alone, because better evidence is there.
    """
    depth_m, told, normal = oriented(depth_m, told, camera)
    T = invert(T_world_cam)
    start = T[:3, :3] @ (volume.origin + 0.5 * volume.voxel_m) + T[:3, 3]
    nothing = np.zeros((0, BLOCK, BLOCK, BLOCK), np.bool_)
    _integrate(
        volume.slot,
        volume.seen,
        volume.distance,
        volume.weight,
        volume.free,
        nothing if closed is None else closed,
        start,
        T[:3, :3] * volume.voxel_m,
        np.array([camera.fx, camera.fy, camera.cx, camera.cy]),
        depth_m,
        normal,
        told,
        max_depth_m,
        volume.truncation_m,
    )


def oriented(depth_m: np.ndarray, told: np.ndarray, camera: Intrinsics) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth and evidence of a frame with narrow gaps closed, and the normal at each pixel of a surface, (H, W, 3)."""
    depth_m, told = depth_m.copy(), told.copy()
    _bridge(depth_m, told)
    return depth_m, told, pixel_normals(depth_m, told == 1, camera)


@njit(cache=True)
def _bridge(depth, told):
    """Close gaps one pixel wide within a surface: sensors that resample their depth to the colour image leave lines
    of them, and a voxel that falls into such a line in its only frame would leave a hole."""
    height, width = depth.shape
    bridged = np.zeros(depth.shape, depth.dtype)
    for v in range(1, height - 1):
        for u in range(1, width - 1):
            if told[v, u] != 0:
                continue
            best = _MAX_BRIDGE
            for dv, du in ((0, 1), (1, 0), (1, 1), (1, -1)):
                if told[v + dv, u + du] != 1 or told[v - dv, u - du] != 1:
                    continue
                a, b = depth[v + dv, u + du], depth[v - dv, u - du]
                if abs(a - b) < best * min(a, b):
                    best = abs(a - b) / min(a, b)
                    bridged[v, u] = 2.0 / (1.0 / a + 1.0 / b)
    for v in range(height):
        for u in range(width):
            if bridged[v, u] > 0:
                depth[v, u] = bridged[v, u]
                told[v, u] = 1


@njit(cache=True)
def _clip(low, high, c0, c1):
    """The part of low <= k <= high with c0 + c1 k >= 0."""
    if c1 > 1e-12:
        return max(low, -c0 / c1), high
    if c1 < -1e-12:
        return low, min(high, -c0 / c1)
    if c0 < 0:
        return low, low - 1.0
    return low, high


@njit(cache=True)
def _in_view(x, y, z, sx, sy, sz, count, lens, width, height, max_depth):
    """First and one past the last step k of a column (x, y, z) + k (sx, sy, sz) that lies in the view."""
    fx, fy, cx, cy = lens[0], lens[1], lens[2], lens[3]
    low, high = 0.0, count - 1.0
    low, high = _clip(low, high, z - 0.05, sz)
    low, high = _clip(low, high, max_depth - z, -sz)
    low, high = _clip(low, high, fx * x + cx * z, fx * sx + cx * sz)
    low, high = _clip(low, high, (width - cx) * z - fx * x, (width - cx) * sz - fx * sx)
    low, high = _clip(low, high, fy * y + cy * z, fy * sy + cy * sz)
    low, high = _clip(low, high, (height - cy) * z - fy * y, (height - cy) * sz - fy * sy)
    if high < low:
        return 0, 0
    return math.ceil(low), math.floor(high) + 1


@njit(cache=True)
def _signed(x, y, z, d, u, v, lens, normal):
    """Distance of a point in front of (+) or behind (-) the plane at a pixel, and the cosine of the slant. A pixel
    without a plane is taken along the ray."""
    rx, ry = (u + 0.5 - lens[2]) / lens[0], (v + 0.5 - lens[3]) / lens[1]
    nx, ny, nz = normal[v, u, 0], normal[v, u, 1], normal[v, u, 2]
    length = math.sqrt(rx * rx + ry * ry + 1.0)
    if nx == 0.0 and ny == 0.0 and nz == 0.0:
        return (d - z) * length, 0.5
    s = nx * (x - d * rx) + ny * (y - d * ry) + nz * (z - d)
    return s, -(nx * rx + ny * ry + nz) / length


@njit(cache=True, parallel=True)
def _integrate(
    slot,
    seen,
    distance,
    weight,
    free,
    closed,
    start,
    step,
    lens,
    depth,
    normal,
    told,
    max_depth,
    truncation,
):
    height, width = depth.shape
    nx, ny, nz = seen.shape
    reach = truncation / MIN_COS
    for i in prange(nx):
        for j in range(ny):
            x0 = start[0] + step[0, 0] * i + step[0, 1] * j
            y0 = start[1] + step[1, 0] * i + step[1, 1] * j
            z0 = start[2] + step[2, 0] * i + step[2, 1] * j
            first, last = _in_view(
                x0, y0, z0, step[0, 2], step[1, 2], step[2, 2], nz, lens, width, height, max_depth + reach
            )
            for k in range(first, last):
                x, y, z = x0 + step[0, 2] * k, y0 + step[1, 2] * k, z0 + step[2, 2] * k
                u, v = int(lens[0] * x / z + lens[2]), int(lens[1] * y / z + lens[3])
                if u < 0 or v < 0 or u >= width or v >= height or told[v, u] == 0:
                    continue
                d = depth[v, u]
                if z > d + reach:
                    continue
                b = slot[i // BLOCK, j // BLOCK, k // BLOCK]
                at = (b, i % BLOCK, j % BLOCK, k % BLOCK)
                if len(closed) > 0 and closed[at]:
                    continue
                near = 1.0 / max(z * z, 0.25)
                s, cosine = 2.0 * truncation, 1.0
                if z >= d - reach:
                    if told[v, u] == 2:
                        continue
                    s, cosine = _signed(x, y, z, d, u, v, lens, normal)
                if s > truncation:
                    if z > max_depth or z >= d:
                        continue
                    if b < 0:
                        seen[i, j, k] = 1
                    else:
                        free[at] += near
                elif b >= 0 and s > -BEHIND * truncation:
                    s /= truncation
                    w = near * max(cosine, 0.1) * (1.0 - 0.9 * abs(s))
                    if s < -_CERTAIN:
                        w *= max((s + BEHIND) / (BEHIND - _CERTAIN), 0.02) ** 2
                    total = weight[at] + w
                    distance[at] += (s - distance[at]) * w / total
                    weight[at] = total
