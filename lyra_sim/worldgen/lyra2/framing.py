"""Photos and depth at the size the network draws: scaled until they cover it, then cut around the middle."""

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from lyra_sim.core.records import Intrinsics
from lyra_sim.geometry.camera import scaled


def framed_camera(camera: Intrinsics, height: int, width: int) -> Intrinsics:
    """The camera of the framed picture."""
    big = scaled(camera, *_covering(camera.width, camera.height, height, width))
    left, top = (big.width - width) // 2, (big.height - height) // 2
    return Intrinsics(fx=big.fx, fy=big.fy, cx=big.cx - left, cy=big.cy - top, width=width, height=height)


def framed_image(image: UInt8[np.ndarray, "h w 3"], height: int, width: int) -> UInt8[np.ndarray, "H W 3"]:
    """The picture, smoothed where it shrinks."""
    size = _covering(image.shape[1], image.shape[0], height, width)
    smaller = size[0] < image.shape[1]
    big = cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return np.ascontiguousarray(_cut(big, height, width))


def framed_depth(
    depth_m: Float32[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"], height: int, width: int
) -> Float32[np.ndarray, "H W"]:
    """Depth of the nearest pixel, 0 where that is not valid."""
    size = _covering(depth_m.shape[1], depth_m.shape[0], height, width)
    known = np.where(valid, depth_m, np.float32(0))
    big = cv2.resize(known, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return np.ascontiguousarray(_cut(big, height, width))


def _covering(from_width: int, from_height: int, height: int, width: int) -> tuple[int, int]:
    """Width and height of the scaled picture."""
    factor = max(width / from_width, height / from_height)
    return max(width, round(from_width * factor)), max(height, round(from_height * factor))


def _cut(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return picture[top : top + height, left : left + width]
