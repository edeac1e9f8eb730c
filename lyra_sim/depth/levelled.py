"""A photo as a levelled panorama patch of fixed angular size: how things look no longer depends on the lens, the pitch
or the roll, only on the place and on where the camera stands."""

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from lyra_sim.core.records import Intrinsics
from lyra_sim.depth.lines import heading_axes
from lyra_sim.geometry.camera import scaled

STEP_DEG = 0.6
ROWS, COLUMNS = 128, 176
TOP_DEG = 22.2
"""Elevation of the first row; rows go down to 54 degrees below the horizon, columns 53 degrees to either side."""


def level_view(
    image: UInt8[np.ndarray, "H W 3"], valid: Bool[np.ndarray, "H W"], camera: Intrinsics, down_cam: np.ndarray
) -> tuple[UInt8[np.ndarray, "128 176 3"], Bool[np.ndarray, "128 176"]]:
    """(colours, pixels that the photo shows) on a grid of azimuth by elevation.

    Args:
        down_cam: unit vector along gravity, camera axes.
    """
    factor = min(1.0, 1.0 / (np.radians(STEP_DEG) * camera.fx))
    width, height = max(round(camera.width * factor), 8), max(round(camera.height * factor), 8)
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    shown = cv2.resize(valid.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    work = scaled(camera, width, height)
    ahead, left = heading_axes(down_cam)
    elevation = np.radians(TOP_DEG - STEP_DEG * np.arange(ROWS))[:, None, None]
    azimuth = np.radians(STEP_DEG * ((COLUMNS - 1) / 2 - np.arange(COLUMNS)))[None, :, None]
    ray = np.cos(azimuth) * ahead + np.sin(azimuth) * left - np.tan(elevation) * down_cam
    front = ray[..., 2] > 1e-3
    z = np.where(front, ray[..., 2], 1.0)
    u = np.where(front, ray[..., 0] / z * work.fx + work.cx - 0.5, -9.0).astype(np.float32)
    v = np.where(front, ray[..., 1] / z * work.fy + work.cy - 0.5, -9.0).astype(np.float32)
    colours = cv2.remap(small, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = front & (u > -0.5) & (u < width - 0.5) & (v > -0.5) & (v < height - 0.5)
    seen = inside & cv2.remap(shown, u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT).astype(bool)
    return np.where(seen[..., None], colours, np.uint8(0)), seen
