"""Pictures, depth and cameras as the network is given them, the same for generation and for training.

Scaled until they cover the size that the network draws, then cut around the middle; values from -1 to 1; cameras
relative to frame 0.
"""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, UInt8
from torch import Tensor

from lyra_sim.core.records import Intrinsics
from lyra_sim.geometry.camera import invert
from lyra_sim.worldgen.lyra2.frame_size import covering


def matrix(camera: Intrinsics) -> Float64[np.ndarray, "3 3"]:
    """The pinhole matrix that warps, rays, retrieval and the depth network are given: for pixel centres at (0.5, 0.5).

    Warps and retrieval put their pixels at whole numbers all the same. That is the mixture of the release: one matrix
    per frame, with the principal point of an uncut image at half its sides (its reference geometry has it so), serves
    rays through (u + 0.5, v + 0.5) and warps of (u, v). Its network learned from such warps, which are off by half a
    pixel times the change of scale. `memory.warp.integer_matrix` would mend them and shift every ray: not for it.
    """
    return np.array([[camera.fx, 0.0, camera.cx], [0.0, camera.fy, camera.cy], [0.0, 0.0, 1.0]])


def from_frame_0(
    w2c: Float64[np.ndarray, "*N 4 4"], w2c_of_0: Float64[np.ndarray, "4 4"]
) -> Float64[np.ndarray, "*N 4 4"]:
    """World-to-camera matrices where the camera of frame 0 is the world. Not only for the eye: pixels without depth
    sit at the world's origin, where they take part in retrieval and in the depth range of warps."""
    return w2c @ invert(w2c_of_0)


def pixels_of(images: UInt8[np.ndarray, "*T H W 3"]) -> Tensor:
    """(*T, 3, H, W) float32 in -1..1."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, -3), np.float32)) / 127.5 - 1


def u8(frames_TCHW: Tensor) -> UInt8[np.ndarray, "T H W 3"]:
    """Inverse of `pixels_of`; what is outside of -1..1 is clamped."""
    return ((frames_TCHW.float() + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()


def with_far_sky(
    depth_m: Float32[np.ndarray, "*T H W"], solid: Bool[np.ndarray, "*T H W"], sky: Bool[np.ndarray, "*T H W"]
) -> Float32[np.ndarray, "*T H W"]:
    """Depth, 0 where not known; sky where Depth Anything 3 puts it, at the 99th percentile of depth: else it would be
    a hole in every condition."""
    far = np.float32(np.percentile(depth_m[solid], 99)) if solid.any() else np.float32(0)
    return np.where(sky, far, np.where(solid, depth_m, np.float32(0)))


def framed_image(image: UInt8[np.ndarray, "h w 3"], height: int, width: int) -> UInt8[np.ndarray, "H W 3"]:
    """The picture, smoothed where it shrinks."""
    size = covering(image.shape[1], image.shape[0], height, width)
    smaller = size[0] < image.shape[1]
    big = cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return np.ascontiguousarray(_cut(big, height, width))


def framed_depth(
    depth_m: Float32[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"], height: int, width: int
) -> Float32[np.ndarray, "H W"]:
    """Depth of the nearest pixel, 0 where that is not valid."""
    size = covering(depth_m.shape[1], depth_m.shape[0], height, width)
    known = np.where(valid, depth_m, np.float32(0))
    big = cv2.resize(known, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return np.ascontiguousarray(_cut(big, height, width))


def _cut(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return picture[top : top + height, left : left + width]
