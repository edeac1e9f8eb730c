"""Contact shadows: how much of the space around a point is filled by near things, so that a table stands on its floor.

Ambient occlusion after Zhukov, Iones and Kronin ("An ambient light illumination model", 1998), cast at a quarter of the
resolution with an interleaved pattern of directions and smoothed over pixels of one surface.
"""

import numpy as np

from lyra_sim.geometry.rays import RayScene

REACH_M = 0.9
_STEP = 4
_RAYS = 8


def contact_shadow(
    rays: RayScene, origin: np.ndarray, direction: np.ndarray, depth_m: np.ndarray, normal: np.ndarray
) -> np.ndarray:
    """Factor 0.25..1 per pixel (H, W) for its light; 1 in the sky.

    Args:
        origin: (3,) camera centre. direction: (H*W, 3) world rays with z = 1 in the camera.
        depth_m: (H, W), 0 where nothing was met. normal: (H, W, 3) world normals towards free space.
    """
    h, w = depth_m.shape
    rows, cols = np.arange(_STEP // 2, h, _STEP), np.arange(_STEP // 2, w, _STEP)
    z = depth_m[np.ix_(rows, cols)]
    n = normal[np.ix_(rows, cols)].astype(np.float64)
    d = direction.reshape(h, w, 3)[np.ix_(rows, cols)]
    met = z > 0
    closed = np.zeros(z.shape)
    start = (origin + d * z[..., None] + 3e-3 * n)[met]
    local = _hemisphere()
    turn = _interleaved(len(rows), len(cols))[met]
    side, across = _tangents(n[met])
    blocked = np.zeros(len(start))
    for x, y, height in local:
        c, s = np.cos(turn), np.sin(turn)
        way = side * (c * x - s * y)[:, None] + across * (s * x + c * y)[:, None] + n[met] * height
        t, _, _ = rays.cast(start, way)
        blocked += np.clip(1 - t / REACH_M, 0, 1)
    closed[met] = blocked / len(local)
    return _spread(1 - closed, z, n, depth_m, normal)


def _hemisphere() -> np.ndarray:
    """(K, 3) cosine-weighted directions about +z, stratified by a golden spiral."""
    k = np.arange(_RAYS) + 0.5
    radius = np.sqrt(k / _RAYS)
    angle = k * np.pi * (3 - np.sqrt(5))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.sqrt(1 - radius**2)], 1)


def _interleaved(rows: int, cols: int) -> np.ndarray:
    """One turn angle per pixel out of 16, in a 4 by 4 order that differs from neighbour to neighbour."""
    order = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])
    return np.tile(order, (rows // 4 + 1, cols // 4 + 1))[:rows, :cols] * (2 * np.pi / 16)


def _tangents(n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    other = np.where(np.abs(n[:, 2:]) < 0.9, [[0.0, 0, 1]], [[1.0, 0, 0]])
    side = np.cross(other, n)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    return side, np.cross(n, side)


def _spread(
    open_share: np.ndarray, z: np.ndarray, n: np.ndarray, depth_m: np.ndarray, normal: np.ndarray
) -> np.ndarray:
    """Average over 5 by 5 coarse pixels of the same surface, then bring to full size the same way."""
    total, weight = np.zeros(z.shape), np.full(z.shape, 1e-9)
    pad = ((2, 2), (2, 2))
    open_p, z_p, n_p = np.pad(open_share, pad), np.pad(z, pad), np.pad(n, (*pad, (0, 0)))
    for i in range(5):
        for j in range(5):
            cut = (slice(i, i + z.shape[0]), slice(j, j + z.shape[1]))
            near = np.abs(z_p[cut] - z) < 0.05 * z + 0.02
            same = near & ((n_p[cut] * n).sum(2) > 0.8) & (z_p[cut] > 0)
            total += open_p[cut] * same
            weight += same
    smooth = np.where(z > 0, total / weight, 1.0)
    return _upsample(smooth, z, n, depth_m, normal)


def _upsample(coarse: np.ndarray, z: np.ndarray, n: np.ndarray, depth_m: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Bilinear over the four coarse neighbours, each counted as far as it lies on the same surface."""
    h, w = depth_m.shape
    v = np.clip((np.arange(h) - _STEP // 2) / _STEP, 0, z.shape[0] - 1)
    u = np.clip((np.arange(w) - _STEP // 2) / _STEP, 0, z.shape[1] - 1)
    v0, u0 = np.minimum(v.astype(int), z.shape[0] - 2), np.minimum(u.astype(int), z.shape[1] - 2)
    fv, fu = (v - v0).astype(np.float32)[:, None], (u - u0).astype(np.float32)[None, :]
    total, weight = np.zeros((h, w), np.float32), np.zeros((h, w), np.float32)
    coarse32, z32, n32 = coarse.astype(np.float32), z.astype(np.float32), n.astype(np.float32)
    for dv, du in ((0, 0), (0, 1), (1, 0), (1, 1)):
        pick = np.ix_(v0 + dv, u0 + du)
        bilinear = np.abs(1 - dv - fv) * np.abs(1 - du - fu) + 1e-3
        agree = np.einsum("ijk,ijk->ij", n32[pick], normal) > 0.8
        near = np.abs(z32[pick] - depth_m) < 0.1 * depth_m + 0.05
        share = bilinear * np.where(agree & near, 1.0, 1e-4).astype(np.float32)
        total += share * coarse32[pick]
        weight += share
    open_share = np.where(depth_m > 0, total / weight, 1.0)
    return (0.25 + 0.75 * open_share).astype(np.float32)
