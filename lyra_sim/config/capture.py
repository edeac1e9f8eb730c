"""Settings of the capture stage: how inputs are read."""

from typing import Literal

from pydantic import Field

from lyra_sim.config.model import Config


class DecodeLimits(Config):
    """What decoding one image may cost; files beyond it are refused before or while they are decoded."""

    max_pixels: int = Field(default=200_000_000, ge=1)
    """Most pixels of an image, judged by its header."""
    max_mb: int = Field(default=512, ge=1)
    """Largest file in megabytes."""
    memory_mb: int = Field(default=4096, ge=512)
    """Address space of the decoding process in megabytes."""
    seconds: float = Field(default=120.0, gt=1)
    """Longest time for one image."""


class CaptureConfig(Config):
    """How photos and RGB-D walks are read."""

    kind: Literal["auto", "photo", "rgbd"] = "auto"
    """Force the kind of every source, or detect it."""
    max_side_px: int = Field(default=960, ge=128, le=4096)
    """Photos are scaled down so that the longer side has at most this many pixels."""
    min_side_px: int = Field(default=64, ge=16)
    """Smaller images are refused."""
    max_aspect: float = Field(default=4.0, gt=1)
    """Photos longer than this many times their short side are refused: no pinhole camera takes them."""
    assumed_hfov_deg: float = Field(default=65.0, gt=10, lt=160)
    """Field of view across the longer side of a photo that states no focal length (an upright photo is the same camera
    turned)."""
    camera_height_m: float | None = Field(default=None, gt=0.05, lt=20)
    """Height of the camera of photos above the floor, where you know it; a walk's stands in its camera.json."""
    licence: str | None = None
    """Licence of the inputs; goes before anything stated in or beside them."""
    rgbd_max_side_px: int = Field(default=960, ge=128, le=4096)
    """RGB-D frames are scaled down so that the longer side has at most this many pixels; depth by nearest pixel."""
    rgbd_max_frames: int = Field(default=300, ge=1, le=5000)
    """Longer RGB-D walks are thinned evenly to at most this many frames."""
    min_depth_share: float = Field(default=0.05, gt=0, lt=1)
    """RGB-D captures with a smaller share of measured pixels are refused."""
    limits: DecodeLimits = DecodeLimits()
    """What decoding may cost."""
