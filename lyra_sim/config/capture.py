"""Settings of the capture stage: how inputs are read."""

from typing import Literal

from pydantic import Field

from lyra_sim.config.model import Config


class CaptureConfig(Config):
    """How photos and RGB-D walks are read."""

    kind: Literal["auto", "photo", "rgbd"] = "auto"
    """Force the kind of every source, or detect it."""
    max_side_px: int = Field(960, ge=128, le=4096)
    """Photos are scaled down so that the longer side has at most this many pixels."""
    min_side_px: int = Field(64, ge=16)
    """Smaller images are refused."""
    assumed_hfov_deg: float = Field(65.0, gt=10, lt=160)
    """Horizontal field of view of a photo that states no focal length."""
    camera_height_m: float | None = Field(None, gt=0.05, lt=20)
    """Height of the camera above the floor, where you know it; makes photos metric."""
    licence: str | None = None
    """Licence of the inputs, where it is not stated in them."""
