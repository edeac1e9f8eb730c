"""Where evidence will be kept: the extent of a world, the blocks of voxels near its surfaces, what fits into memory."""

import math
from collections.abc import Callable, Iterable

import numpy as np
from numba import njit, prange

from lyra_sim.config.geometry3d import FusionConfig
from lyra_sim.core.errors import SceneError
from lyra_sim.core.records import Frames, PixelOrigin
from lyra_sim.geometry.camera import invert, pixel_rays, transform
from lyra_sim.reconstruct.integrate import BEHIND, MIN_COS, oriented
from lyra_sim.reconstruct.volume import BLOCK, TRUNCATION_VOXELS, Volume, evidence

_POINTS_PER_FRAME = 3000
_OUTLIER_PERCENT = 0.02
_BLOCK_BYTES = 36 * BLOCK**3
"""Of a block near a surface, with what is worked out from its evidence."""
_VOXEL_BYTES = 2
"""Of each voxel of the extent: what was seen, and a copy."""
_ORIGINS = (PixelOrigin.MEASURED, PixelOrigin.GENERATED)


def allocate(batches: Callable[[], Iterable[Frames]], config: FusionConfig) -> Volume:
    """A volume round all surface points and cameras, with blocks for evidence near every surface that frames tell of.
    Voxels grow where it would exceed `max_memory_gib`.

    Args:
        batches: gives all frames, a batch at a time; asked for once more than voxel sizes are tried.

    Raises:
        SceneError: no pixel has depth that may be fused.
    """
    points, cameras = _extent(batches(), config.max_depth_m)
    if len(points) < 100:
        raise SceneError(
            "reconstruct",
            expected=f"pixels with measured or generated depth up to {config.max_depth_m} m",
            got=f"{len(points)} of them in a sample of all frames",
            todo="Check the depth of this input, or raise reconstruct.max_depth_m.",
        )
    low, high = np.percentile(points, [_OUTLIER_PERCENT, 100 - _OUTLIER_PERCENT], axis=0)
    low, high = np.minimum(low, cameras.min(0)), np.maximum(high, cameras.max(0))
    voxel, most = config.voxel_m, config.max_memory_gib * 2**30
    while True:
        margin = (TRUNCATION_VOXELS + 1) * voxel
        first = np.floor((low - margin) / voxel).astype(np.int64)
        blocks = -(-(np.ceil((high + margin) / voxel).astype(np.int64) - first) // BLOCK)
        need = float(np.prod(blocks.astype(np.float64))) * BLOCK**3 * _VOXEL_BYTES
        if need <= most:
            volume = Volume.empty(first * voxel, voxel, blocks)
            wanted = np.zeros(volume.slot.shape, np.bool_)
            for frames in batches():
                for i in range(len(frames)):
                    for origin in _ORIGINS:
                        mark_frame(wanted, volume, frames, i, evidence(frames, i, origin, config.max_depth_m))
            need += float(wanted.sum()) * _BLOCK_BYTES
            if need <= most:
                volume.reserve(wanted)
                return volume
        voxel *= 1.002 * (need / most) ** (1 / 3)


def mark_frame(wanted: np.ndarray, volume: Volume, frames: Frames, index: int, told: np.ndarray) -> None:
    """Mark all blocks, bool like `volume.slot`, in which `add_frame` with the same arguments finds a surface."""
    if not (told == 1).any():
        return
    camera, T_world_cam = frames.intrinsics, frames.cam_to_world[index]
    depth, told, normal = oriented(frames.depth_m[index], told, camera)
    T = invert(T_world_cam)
    rotation = T[:3, :3].T / volume.voxel_m
    start = (T_world_cam[:3, 3] - volume.origin) / volume.voxel_m - 0.5
    lens = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    _mark(wanted, depth, told, normal, lens, rotation, start, volume.voxel_m, volume.truncation_m)


@njit(cache=True)
def _interval(d, u, v, lens, normal, truncation):
    """Depths between which a voxel that falls into this pixel may be told of the surface there. A voxel falls up to
    half a pixel beside the ray of the pixel's centre."""
    rx, ry = (u + 0.5 - lens[2]) / lens[0], (v + 0.5 - lens[3]) / lens[1]
    nx, ny, nz = normal[v, u, 0], normal[v, u, 1], normal[v, u, 2]
    reach = truncation / MIN_COS
    if nx == 0.0 and ny == 0.0 and nz == 0.0:
        front = truncation / math.sqrt(rx * rx + ry * ry + 1.0)
        return d - front, d + BEHIND * front
    slope = -(nx * rx + ny * ry + nz)
    beside = (d + reach) * 0.5 * (abs(nx) / lens[0] + abs(ny) / lens[1])
    slope = max(slope, 1e-6)
    front, back = (truncation + beside) / slope, (BEHIND * truncation + beside) / slope
    return d - min(front, reach), d + min(back, reach)


@njit(cache=True, parallel=True)
def _mark(wanted, depth, told, normal, lens, rotation, start, voxel, truncation):
    height, width = depth.shape
    most = np.array(wanted.shape)
    for v in prange(height):
        low, high = np.empty(3), np.empty(3)
        for u in range(width):
            if told[v, u] != 1:
                continue
            near, far = _interval(depth[v, u], u, v, lens, normal, truncation)
            near = max(near, 0.0)
            parts = max(math.ceil((far - near) / (BLOCK * voxel)), 1)
            for part in range(parts):
                low[:], high[:] = np.inf, -np.inf
                for corner in range(8):
                    z = near + (far - near) * (part + (corner & 1)) / parts
                    x = z * (u + ((corner >> 1) & 1) - lens[2]) / lens[0]
                    y = z * (v + (corner >> 2) - lens[3]) / lens[1]
                    for axis in range(3):
                        at = start[axis] + rotation[axis, 0] * x + rotation[axis, 1] * y + rotation[axis, 2] * z
                        low[axis], high[axis] = min(low[axis], at), max(high[axis], at)
                first = np.maximum(np.ceil(low - 1e-3), 0.0) // BLOCK
                last = np.minimum((high + 1e-3) // BLOCK, most - 1.0)
                for i in range(int(first[0]), int(last[0]) + 1):
                    for j in range(int(first[1]), int(last[1]) + 1):
                        for k in range(int(first[2]), int(last[2]) + 1):
                            wanted[i, j, k] = True


def _extent(batches: Iterable[Frames], max_depth_m: float) -> tuple[np.ndarray, np.ndarray]:
    """A sample of the surface points, and the cameras that saw them."""
    points, cameras = [], []
    for frames in batches:
        stride = max(1, int(np.sqrt(frames.intrinsics.width * frames.intrinsics.height / _POINTS_PER_FRAME)))
        rays = pixel_rays(frames.intrinsics)[::stride, ::stride]
        for i, T_world_cam in enumerate(frames.cam_to_world):
            told = [evidence(frames, i, o, max_depth_m) for o in _ORIGINS]
            chosen = ((told[0] == 1) | (told[1] == 1))[::stride, ::stride]
            if chosen.any():
                depth = frames.depth_m[i, ::stride, ::stride][chosen].astype(np.float64)
                points.append(transform(T_world_cam, rays[chosen] * depth[:, None]))
                cameras.append(T_world_cam[:3, 3])
    if not points:
        return np.zeros((0, 3)), np.zeros((0, 3))
    return np.concatenate(points), np.stack(cameras)
