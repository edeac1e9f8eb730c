"""What is read off one photo before any depth: lines, gravity, a small copy in Lab colours, sky."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from lyra_sim.core.errors import InputError
from lyra_sim.core.records import Capture, Intrinsics
from lyra_sim.depth.lines import GravityVote, detect_segments, vote_gravity
from lyra_sim.depth.photo_sky import find_sky
from lyra_sim.geometry.camera import pixel_rays, scaled

WORK_SIDE_PX = 320
"""Longer side at which floor and sky are decided; edges finer than this are noise of lenses and codecs."""


@dataclass(frozen=True)
class PhotoView:
    """One photo at working size (h, w)."""

    segments: Float[np.ndarray, "N 4"]
    """At the photo's own size, see `detect_segments`."""
    gravity: GravityVote
    camera: Intrinsics
    valid: Bool[np.ndarray, "h w"]
    lab: Float[np.ndarray, "h w 3"]
    rays: Float[np.ndarray, "h w 3"]
    elevation: Float[np.ndarray, "h w"]
    """Sine of the elevation of each pixel's ray."""
    sky: Bool[np.ndarray, "h w"]

    @property
    def outdoor(self) -> bool:
        """Enough sky for no room."""
        return bool(self.sky.mean() > 0.02)

    def full(self, mask: Bool[np.ndarray, "h w"], camera: Intrinsics) -> Bool[np.ndarray, "H W"]:
        """A mask at the size of another camera."""
        size = (camera.width, camera.height)
        return cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)


def insist_on_one(capture: Capture) -> None:
    """
    Raises:
        InputError: the capture is not one photo.
    """
    if len(capture.images) != 1:
        raise InputError(
            capture.name,
            expected="one photo",
            got=f"{len(capture.images)} frames",
            todo="Choose another backend for observe.photo.",
        )


def view_photo(
    image: UInt8[np.ndarray, "H W 3"], image_valid: Bool[np.ndarray, "H W"], camera: Intrinsics
) -> PhotoView:
    """Gravity from lines and sky from colours."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    segments = detect_segments(gray, min_length_px=0.025 * max(gray.shape))
    gravity = vote_gravity(segments, camera)
    factor = min(1.0, WORK_SIDE_PX / max(gray.shape))
    width, height = max(round(camera.width * factor), 16), max(round(camera.height * factor), 16)
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    valid = cv2.resize(image_valid.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)
    work = scaled(camera, width, height)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    rays = pixel_rays(work)
    elevation = -(rays @ gravity.down_cam) / np.linalg.norm(rays, axis=-1)
    sky = find_sky(small, lab, elevation, valid)
    return PhotoView(segments, gravity, work, valid, lab, rays, elevation, sky)
