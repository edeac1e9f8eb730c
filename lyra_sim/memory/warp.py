"""Forward warping of remembered views into new cameras, and the ray and coordinate images that go with it.

Method: the public description of Lyra 2.0's conditioning (soft z-test splatting as in GEN3C, Ren et al. 2025). It mixes
two pixel conventions and this file keeps that mixture: warps use INTEGER pixel centres (the top-left pixel is (0, 0)),
ray maps use half-integer ones. The rest of the project has centres at (0.5, 0.5); `integer_matrix` converts at the
border (the Lyra generator does not: see `worldgen.lyra2.framing.matrix`). Geometry and accumulation are float64, so the
result does not depend on vector width or thread count.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int
from numba import njit, prange
from scipy.ndimage import correlate1d, maximum_filter, minimum_filter

from lyra_sim.core.record import record
from lyra_sim.core.records import Intrinsics

CHUNK = 16
"""Frames warped together: the z-test is scaled by the largest depth of a chunk, so results depend on it."""
FAR_M = 1e4
"""Depth of what is very far. Scene units."""


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
    together: bool = False,
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
        together: all sources, any number, go into every target as one cloud.
        chunk: targets per chunk.
    """
    depth = known_depth(depth)
    keep = (depth > 0) & (continuity_mask(depth) if source_mask is None else source_mask)
    n, height, width = len(target_w2c), *(size or images.shape[2:])
    out = np.full((n, images.shape[1], height, width), -1.0, np.float32)
    out_mask = np.zeros((n, height, width), np.bool_)
    out_depth = np.zeros((n, height, width), np.float32)
    values = np.ascontiguousarray(np.moveaxis(np.asarray(images, np.float32), 1, -1))
    sources = sources_of(len(images), n, together)
    paths = source_to_target(source_w2c, source_K, target_w2c, target_K, sources)
    origin_z = np.array(target_w2c, np.float64)[:, 2, 3]
    for begin in range(0, n, chunk):
        part = slice(begin, begin + chunk)
        given = (depth, keep, sources[part], paths[part])
        far = np.log1p(_farthest(*given, origin_z[part]).max()) + 1e-7
        _splat(values, *given, far, out[part], out_mask[part], out_depth[part])
    return Warped(images=out, mask=out_mask, depth=out_depth)


def known_depth(depth: Float[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
    """Depth from 0 (unknown) to 1e4; NaN and infinity count as very far."""
    depth = np.nan_to_num(np.asarray(depth, np.float64), nan=FAR_M, posinf=FAR_M, neginf=0.0)
    return np.clip(depth, 0.0, FAR_M)


def sources_of(sources: int, targets: int, together: bool) -> Int[np.ndarray, "N k"]:
    """Which sources go into each target."""
    if together:
        return np.tile(np.arange(sources), (targets, 1))
    assert sources in (1, targets), "one source per target, or one for all"
    return np.arange(targets)[:, None] if sources == targets else np.zeros((targets, 1), int)


def source_to_target(
    source_w2c: Float[np.ndarray, "S 4 4"],
    source_K: Float[np.ndarray, "S 3 3"],
    target_w2c: Float[np.ndarray, "N 4 4"],
    target_K: Float[np.ndarray, "N 3 3"],
    sources: Int[np.ndarray, "N k"],
) -> Float64[np.ndarray, "N k 3 4"]:
    """For each target and each of its sources [R | t]: R takes (u, v, 1) * depth, plus t, to (u' z', v' z', z')."""
    out = np.empty((*sources.shape, 3, 4))
    for i, k in np.ndindex(*sources.shape):
        s = sources[i, k]
        relative = np.asarray(target_w2c[i], np.float64) @ np.linalg.inv(np.asarray(source_w2c[s], np.float64))
        K = np.asarray(target_K[i], np.float64)
        out[i, k, :, :3] = K @ relative[:3, :3] @ np.linalg.inv(np.asarray(source_K[s], np.float64))
        out[i, k, :, 3] = K @ relative[:3, 3]
    return out


@njit(cache=True, parallel=True)
def _farthest(depth, keep, sources, paths, origin_z):
    """Largest depth in each target, 0 where everything is behind it."""
    out = np.zeros(len(sources))
    for i in prange(len(sources)):
        top = 0.0
        for k in range(sources.shape[1]):
            s, P = sources[i, k], paths[i, k]
            for v in range(depth.shape[1]):
                for u in range(depth.shape[2]):
                    z = origin_z[i]
                    if keep[s, v, u]:
                        z = (P[2, 0] * u + P[2, 1] * v + P[2, 2]) * depth[s, v, u] + P[2, 3]
                    top = max(top, z)
        out[i] = top
    return out


@njit(cache=True, parallel=True)
def _splat(values, depth, keep, sources, paths, far, out, out_mask, out_depth):
    """Each target by one thread, so that sums do not depend on how many there are."""
    for i in prange(len(sources)):
        channels, height, width = out.shape[1:]
        total = np.zeros((height, width, channels + 2))
        for k in range(sources.shape[1]):
            s = sources[i, k]
            _scatter(values[s], depth[s], keep[s], paths[i, k], far, total)
        for y in range(height):
            for x in range(width):
                weight = total[y, x, channels + 1]
                if weight > 0.0:
                    out_mask[i, y, x] = True
                    out_depth[i, y, x] = total[y, x, channels] / weight
                    for c in range(channels):
                        out[i, c, y, x] = min(max(total[y, x, c] / weight, -1.0), 1.0)


@njit(cache=True)
def _scatter(values, depth, keep, P, far, total):
    """Bilinear splat with soft z-test, adding to [values, depth, weight] of every target pixel. On an exact pixel
    centre floor and ceil agree and that axis counts twice."""
    height, width, channels = total.shape[0], total.shape[1], values.shape[2]
    for v in range(keep.shape[0]):
        for u in range(keep.shape[1]):
            if not keep[v, u]:
                continue
            d = depth[v, u]
            z = (P[2, 0] * u + P[2, 1] * v + P[2, 2]) * d + P[2, 3]
            if z <= 0.0:
                continue
            x = ((P[0, 0] * u + P[0, 1] * v + P[0, 2]) * d + P[0, 3]) / (z + 1e-7)
            y = ((P[1, 0] * u + P[1, 1] * v + P[1, 2]) * d + P[1, 3]) / (z + 1e-7)
            if not (-1.0 < x < width and -1.0 < y < height):
                continue
            near = 1.0 / (np.exp(min(50.0 * np.log1p(z) / far, 80.0)) + 1e-7)
            x0, x1, y0, y1 = np.floor(x), np.ceil(x), np.floor(y), np.ceil(y)
            for yy, wy in ((y0, 1.0 - (y - y0)), (y1, 1.0 - (y1 - y))):
                for xx, wx in ((x0, 1.0 - (x - x0)), (x1, 1.0 - (x1 - x))):
                    if 0 <= xx < width and 0 <= yy < height:
                        w = wx * wy * near
                        j, i = int(yy), int(xx)
                        for c in range(channels):
                            total[j, i, c] += w * values[v, u, c]
                        total[j, i, channels] += w * z
                        total[j, i, channels + 1] += w


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
