"""The dense block of voxels that a world is fused into: where it lies, how fine it is, what each voxel learnt."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from lyra_sim.config.geometry3d import FusionConfig
from lyra_sim.core.errors import SceneError
from lyra_sim.core.records import Frames, Label, PixelOrigin, World
from lyra_sim.geometry.camera import pixel_rays, transform

TRUNCATION_VOXELS = 3.0
_POINTS_PER_FRAME = 3000
_OUTLIER_PERCENT = 0.02


@dataclass
class Volume:
    """Voxel (i, j, k) is sampled at `origin + (i + 0.5, j + 0.5, k + 0.5) * voxel`.

    `distance` is the weighted mean of the signed distance to the surface in units of the truncation, -1..1, positive
    on the free side; `weight` the evidence for a surface near by; `free` the evidence that rays passed in front of it.
    """

    origin: np.ndarray
    voxel_m: float
    distance: np.ndarray
    weight: np.ndarray
    free: np.ndarray

    @property
    def truncation_m(self) -> float:
        return TRUNCATION_VOXELS * self.voxel_m

    def cells(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Indices of the voxels that hold these points, clipped to the volume."""
        index = np.floor((points - self.origin) / self.voxel_m).astype(np.int64)
        i, j, k = np.clip(index, 0, np.array(self.distance.shape) - 1).T
        return i, j, k


def all_frames(world: World) -> Iterator[Frames]:
    """The start and every segment that shows something new, one in memory at a time."""
    yield world.start.frames
    for segment in world.segments:
        if not segment.warped:
            yield segment.frames


def evidence(frames: Frames, index: int, origin: PixelOrigin, max_depth_m: float) -> np.ndarray:
    """What each pixel of one frame tells, (H, W) uint8: 0 nothing, 1 a surface and the free ray to it, 2 a free ray
    only (its surface lies beyond the near field).

    Sky and pixels of another origin tell nothing; filled pixels are never asked for.
    """
    assert origin != PixelOrigin.FILLED
    known = frames.valid[index] & (frames.origin[index] == origin) & (frames.label[index] != Label.SKY)
    known &= frames.depth_m[index] > 0
    return np.where(known, np.where(frames.depth_m[index] <= max_depth_m, 1, 2), 0).astype(np.uint8)


def allocate(batches: Iterable[Frames], config: FusionConfig) -> Volume:
    """An empty volume round all surface points and cameras; voxels grow where it would exceed `max_voxels`.

    Raises:
        SceneError: no pixel has depth that may be fused.
    """
    points, cameras = _extent(batches, config.max_depth_m)
    if len(points) < 100:
        raise SceneError(
            "reconstruct",
            expected=f"pixels with measured or generated depth up to {config.max_depth_m} m",
            got=f"{len(points)} of them in a sample of all frames",
            todo="Check the depth of this input, or raise reconstruct.max_depth_m.",
        )
    low, high = np.percentile(points, [_OUTLIER_PERCENT, 100 - _OUTLIER_PERCENT], axis=0)
    low, high = np.minimum(low, cameras.min(0)), np.maximum(high, cameras.max(0))
    voxel = config.voxel_m
    while True:
        margin = (TRUNCATION_VOXELS + 1) * voxel
        first = np.floor((low - margin) / voxel).astype(np.int64)
        shape = np.ceil((high + margin) / voxel).astype(np.int64) - first
        excess = float(np.prod(shape.astype(np.float64))) / config.max_voxels
        if excess <= 1.0:
            break
        voxel *= 1.002 * excess ** (1 / 3)
    x, y, z = (int(n) for n in shape)
    zeros = (np.zeros((x, y, z), np.float32) for _ in range(3))
    distance, weight, free = zeros
    return Volume(origin=first * voxel, voxel_m=voxel, distance=distance, weight=weight, free=free)


def _extent(batches: Iterable[Frames], max_depth_m: float) -> tuple[np.ndarray, np.ndarray]:
    """A sample of the surface points, and the cameras that saw them."""
    points, cameras = [], []
    for frames in batches:
        stride = max(1, int(np.sqrt(frames.intrinsics.width * frames.intrinsics.height / _POINTS_PER_FRAME)))
        rays = pixel_rays(frames.intrinsics)[::stride, ::stride]
        for i, T_world_cam in enumerate(frames.cam_to_world):
            told = [evidence(frames, i, o, max_depth_m) for o in (PixelOrigin.MEASURED, PixelOrigin.GENERATED)]
            chosen = ((told[0] == 1) | (told[1] == 1))[::stride, ::stride]
            if chosen.any():
                depth = frames.depth_m[i, ::stride, ::stride][chosen].astype(np.float64)
                points.append(transform(T_world_cam, rays[chosen] * depth[:, None]))
                cameras.append(T_world_cam[:3, 3])
    if not points:
        return np.zeros((0, 3)), np.zeros((0, 3))
    return np.concatenate(points), np.stack(cameras)
