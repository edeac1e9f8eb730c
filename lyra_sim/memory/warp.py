"""Forward warping of remembered views into new cameras, and the ray and coordinate images that go with it.

Method: the public description of Lyra 2.0's conditioning (soft z-test splatting as in GEN3C, Ren et al. 2025). It mixes
two pixel conventions and this file keeps that mixture: warps use INTEGER pixel centres (the top-left pixel is (0, 0)),
ray maps use half-integer ones. The rest of the project has centres at (0.5, 0.5); `integer_matrix` converts at the
border. Geometry and accumulation are float64, so the result does not depend on vector width or thread count.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64
from numba import njit
from scipy.ndimage import correlate1d, maximum_filter, minimum_filter

from lyra_sim.core.record import record
from lyra_sim.core.records import Intrinsics

CHUNK = 16
"""Frames warped together: the z-test is scaled by the largest depth of a chunk, so results depend on it."""
_FAR = 1e4


@record
class Warped:
    """Result of a forward warp of N images into N targets."""

    images: Float32[np.ndarray, "N C H W"]
    """Clamped to [-1, 1]; -1 in holes."""
    mask: Bool[np.ndarray, "N H W"]
    """True where any source pixel landed."""
    depth: Float32[np.ndarray, "N H W"]
    """z-depth in the target camera, 0 in holes."""


def integer_matrix(camera: Intrinsics) -> Float64[np.ndarray, "3 3"]:
    """Pinhole matrix of `camera` for integer pixel centres (cx and cy lower by one half)."""
    return np.array([[camera.fx, 0.0, camera.cx - 0.5], [0.0, camera.fy, camera.cy - 0.5], [0.0, 0.0, 1.0]])


def continuity_mask(
    depth: Float[np.ndarray, "N H W"], window: int = 5, ratio: float = 0.05
) -> Bool[np.ndarray, "N H W"]:
    """Pixels whose window holds one continuous surface: (max - min) / (mean + 1e-6) < `ratio`.

    Beyond the image border the maximum and minimum see nothing, but the mean counts zeros, so border pixels pass less
    easily: that is how the released network was conditioned.
    """
    size = (1, window, window)
    depth = np.asarray(depth, np.float64)
    top = maximum_filter(depth, size, mode="constant", cval=-np.inf)
    low = minimum_filter(depth, size, mode="constant", cval=np.inf)
    box = np.full(window, 1.0 / window)
    mean = correlate1d(correlate1d(depth, box, axis=1, mode="constant"), box, axis=2, mode="constant")
    return (top - low) / (mean + 1e-6) < ratio


def forward_warp(
    images: Float[np.ndarray, "S C H W"],
    depth: Float[np.ndarray, "S H W"],
    source_w2c: Float[np.ndarray, "S 4 4"],
    source_K: Float[np.ndarray, "S 3 3"],
    target_w2c: Float[np.ndarray, "N 4 4"],
    target_K: Float[np.ndarray, "N 3 3"],
    *,
    size: tuple[int, int] | None = None,
    source_mask: Bool[np.ndarray, "S H W"] | None = None,
    chunk: int = CHUNK,
) -> Warped:
    """Splat source pixels into target cameras, nearer ones winning softly.

    Args:
        images: values in [-1, 1], any number of channels. S is N, or 1 for one source warped into every target.
        depth: z-depth, metres; NaN counts as very far, 0 and less as unknown.
        source_w2c, target_w2c: world to camera.
        source_K, target_K: pinhole matrices for integer pixel centres.
        size: height and width of the targets; those of the sources where not given.
        source_mask: pixels allowed to move; the 5x5 continuity mask where not given. Masked pixels are put at the
            world origin with weight zero: they take part in the depth range of their chunk only.
        chunk: targets per chunk.
    """
    depth = np.clip(np.nan_to_num(np.asarray(depth, np.float64), nan=_FAR, posinf=_FAR, neginf=0.0), 0.0, _FAR)
    keep = (depth > 0) & (continuity_mask(depth) if source_mask is None else source_mask)
    n, sources = len(target_w2c), len(images)
    assert sources in (1, n), "one source per target, or one for all"
    height, width = size or (images.shape[2], images.shape[3])
    out = np.full((n, images.shape[1], height, width), -1.0, np.float32)
    out_mask = np.zeros((n, height, width), np.bool_)
    out_depth = np.zeros((n, height, width), np.float32)
    values = np.ascontiguousarray(np.moveaxis(np.asarray(images, np.float32), 1, -1))
    for begin in range(0, n, chunk):
        landed, top = [], 0.0
        for i in range(begin, min(begin + chunk, n)):
            s = i if sources == n else 0
            matrix, shift = _source_to_target(source_w2c[s], source_K[s], target_w2c[i], target_K[i])
            origin = np.asarray(target_w2c[i], np.float64)[:3, 3]
            points, far = _project(depth[s], keep[s], matrix, shift, origin[2])
            landed.append((i, s, points))
            top = max(top, far)
        for i, s, points in landed:
            _splat(values[s], keep[s], points, top + 1e-7, out[i], out_mask[i], out_depth[i])
    return Warped(images=out, mask=out_mask, depth=out_depth)


def _source_to_target(
    source_w2c: np.ndarray, source_K: np.ndarray, target_w2c: np.ndarray, target_K: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """3x3 and 3-vector that take (u, v, 1) * depth to homogeneous target pixels (u' z', v' z', z')."""
    relative = np.asarray(target_w2c, np.float64) @ np.linalg.inv(np.asarray(source_w2c, np.float64))
    K = np.asarray(target_K, np.float64)
    return K @ relative[:3, :3] @ np.linalg.inv(np.asarray(source_K, np.float64)), K @ relative[:3, 3]


@njit(cache=True)
def _project(depth, keep, matrix, shift, origin_z):
    """Target pixel x, y and depth of every source pixel, and the largest log1p(depth) of all of them."""
    height, width = depth.shape
    points = np.empty((height, width, 3))
    far = 0.0
    for v in range(height):
        for u in range(width):
            if keep[v, u]:
                d = depth[v, u]
                z = (matrix[2, 0] * u + matrix[2, 1] * v + matrix[2, 2]) * d + shift[2]
                x = (matrix[0, 0] * u + matrix[0, 1] * v + matrix[0, 2]) * d + shift[0]
                y = (matrix[1, 0] * u + matrix[1, 1] * v + matrix[1, 2]) * d + shift[1]
                points[v, u, 0] = x / (z + 1e-7)
                points[v, u, 1] = y / (z + 1e-7)
                points[v, u, 2] = z
            else:
                z = origin_z
            far = max(far, np.log1p(max(z, 0.0)))
    return points, far


@njit(cache=True)
def _splat(values, keep, points, far, out, out_mask, out_depth):
    """Bilinear splat with soft z-test. On an exact pixel centre floor and ceil agree and that axis counts twice."""
    channels, height, width = out.shape
    total = np.zeros((height, width, channels + 1))
    weight = np.zeros((height, width))
    for v in range(keep.shape[0]):
        for u in range(keep.shape[1]):
            if not keep[v, u]:
                continue
            x, y, z = points[v, u]
            if not (z > 0.0 and -1.0 < x < width and -1.0 < y < height):
                continue
            near = 1.0 / (np.exp(min(50.0 * np.log1p(z) / far, 80.0)) + 1e-7)
            x0, x1, y0, y1 = np.floor(x), np.ceil(x), np.floor(y), np.ceil(y)
            for yy, wy in ((y0, 1.0 - (y - y0)), (y1, 1.0 - (y1 - y))):
                for xx, wx in ((x0, 1.0 - (x - x0)), (x1, 1.0 - (x1 - x))):
                    if 0 <= xx < width and 0 <= yy < height:
                        w = wx * wy * near
                        j, i = int(yy), int(xx)
                        weight[j, i] += w
                        for c in range(channels):
                            total[j, i, c] += w * values[v, u, c]
                        total[j, i, channels] += w * z
    for j in range(height):
        for i in range(width):
            if weight[j, i] > 0.0:
                out_mask[j, i] = True
                out_depth[j, i] = total[j, i, channels] / weight[j, i]
                for c in range(channels):
                    out[c, j, i] = min(max(total[j, i, c] / weight[j, i], -1.0), 1.0)


def canonical_coords(height: int, width: int, slots: int) -> Float32[np.ndarray, "S 3 H W"]:
    """Coordinate images of memory slots: x and y from -1 to 1 with both ends on pixel centres, z the slot (best = 1;
    0 where there is one slot)."""
    out = np.empty((slots, 3, height, width), np.float32)
    out[:, 0] = np.linspace(-1.0, 1.0, width)[None, None, :]
    out[:, 1] = np.linspace(-1.0, 1.0, height)[None, :, None]
    depths = np.linspace(-1.0, 1.0, slots) if slots > 1 else np.zeros(slots)
    out[:, 2] = depths[:, None, None]
    return out


def ray_maps(
    relative_c2w: Float[np.ndarray, "N 4 4"], K: Float[np.ndarray, "M 3 3"], height: int, width: int
) -> Float32[np.ndarray, "N H W 6"]:
    """Origin (3) and unit direction (3) of the ray through every pixel centre (u + 0.5, v + 0.5), in the frame that
    `relative_c2w` maps to. Translations stay in scene units."""
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    pixels = np.stack([u, v, np.ones_like(u)], -1)
    pose = np.asarray(relative_c2w, np.float64)
    inverse = np.linalg.inv(np.asarray(K, np.float64))
    out = np.empty((len(pose), height, width, 6), np.float32)
    for i in range(len(pose)):
        rays = np.einsum("hwk,ik->hwi", pixels, inverse[i if len(inverse) > 1 else 0])
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        out[i, ..., :3] = pose[i, :3, 3]
        out[i, ..., 3:] = np.einsum("hwk,ik->hwi", rays, pose[i, :3, :3])
    return out
