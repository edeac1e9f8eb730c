"""Settings of the explore stage: path, memory and generator."""

from typing import Annotated, Literal

from pydantic import Field

from lyra_sim.config.lyra2 import Lyra2Config
from lyra_sim.config.model import Config
from lyra_sim.config.path import PathConfig, PlannedPath


class ReprojectConfig(Config):
    """Forward warp of the best remembered views, holes filled."""

    backend: Literal["reproject"] = "reproject"
    views: int = Field(default=3, ge=1, le=8)
    """How many remembered views are warped into each new one."""


class CorruptionConfig(Config):
    """Faults like those of a video generator."""

    depth_waves: float = Field(default=0.0, ge=0, le=0.5)
    """One sigma of ln(depth) of errors that vary slowly over picture and time."""
    depth_noise: float = Field(default=0.0, ge=0, le=0.5)
    """One sigma of ln(depth) of errors of single pixels."""
    gain_drift: float = Field(default=0.0, ge=0, le=0.5)
    """Share by which colours get brighter or darker in 80 frames."""
    jitter_m: float = Field(default=0.0, ge=0, le=0.5)
    """Root mean square of the distance from the stated to the real camera."""
    jitter_deg: float = Field(default=0.0, ge=0, le=10)
    """Root mean square of the angle between them."""
    blur_px: float = Field(default=0.0, ge=0, le=10)
    """Sigma of a Gaussian blur."""
    ghost_share: float = Field(default=0.0, ge=0, le=0.5)
    """Share of the pixels that show things that are not there."""


class TruthConfig(Config):
    """Renders a procedural world where a network would dream; the source must be a procedural example."""

    backend: Literal["truth"] = "truth"
    max_range_m: float = Field(default=25.0, gt=0.5)
    """Depth beyond this is not geometry."""
    corruption: CorruptionConfig = CorruptionConfig()
    """What is put on the exact frames; nothing by default."""


GeneratorConfig = Annotated[ReprojectConfig | TruthConfig | Lyra2Config, Field(discriminator="backend")]


class ExploreConfig(Config):
    """How a capture is explored further."""

    photo_frames: int = Field(default=121, ge=0, le=2000)
    """New frames of a planned path for a photo; fewer, but at least `least_frames`, where nothing is left to see."""
    rgbd_frames: int = Field(default=0, ge=0, le=2000)
    """New frames of a planned path for an RGB-D walk, beyond its own."""
    least_frames: int = Field(default=81, ge=1, le=2000)
    """A walk has this many new frames even where nothing can be gained, unless fewer were asked for."""
    path: PathConfig = PlannedPath()
    """How the camera moves."""
    segment_frames: int = Field(default=24, ge=8, le=80)
    """Most frames of one committed segment; the way is planned anew after each. Lyra 2.0 always draws 80."""
    return_frames: int = Field(default=128, ge=0)
    """After so many frames without a return to what was seen more than 160 frames before, the camera goes back to see
    it again, so that the generator closes loops; 0: never."""
    enough_floor_m2: float | None = Field(default=None, gt=0)
    """Planning ends once so much floor was seen from near; by default it goes on while anything is left to see."""
    height_px: int = Field(default=240, ge=64)
    """Height of generated frames; the width follows the source."""
    step_m: float = Field(default=0.1, gt=0.005, le=0.5)
    """Farthest the camera moves between two frames."""
    turn_deg: float = Field(default=3.0, gt=0.1, le=30)
    """Farthest it turns between two frames."""
    robot_height_m: float = Field(default=0.6, gt=0.1)
    """Height of the camera on the planned walk."""
    clearance_m: float = Field(default=0.35, gt=0)
    """Distance the planned path keeps from anything not known to be free."""
    generator: GeneratorConfig = ReprojectConfig()
    """What draws the unseen."""
