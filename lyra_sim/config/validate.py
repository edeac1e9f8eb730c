"""Settings of the validate stage: how the gates are measured. Their limits are not settings; they lie in
`usd_export/validate/limits.py`."""

from pydantic import Field

from lyra_sim.config.model import Config


class ValidateConfig(Config):
    """How a written scene is judged."""

    range_m: float = Field(default=25.0, gt=1)
    """Pixels of a photo known to be further away do not count for coverage."""
    view_frames: int = Field(default=24, ge=1)
    """Most input frames that are rendered again for the reprojection gates, spread evenly over the walk."""
    view_pixels: int = Field(default=40_000, ge=1000)
    """About as many pixels of each of them are compared."""
    drop_balls: int = Field(default=64, ge=1)
    """Most balls dropped, spread evenly over the free points."""
    drop_deadline_s: float = Field(default=600.0, gt=10)
    """Longest time the physics engine may take, its first compilation included."""
