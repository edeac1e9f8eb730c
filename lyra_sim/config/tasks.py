"""Settings of the tasks stage: robots, maps, episodes."""

from typing import Annotated

from pydantic import Field, model_validator

from lyra_sim.config.model import Config

_Length = Annotated[float, Field(gt=0)]


class RobotConfig(Config):
    """One robot embodiment, read from configs/robots/<name>.yaml."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")
    """Folder name under nav/: small letters, digits, _ and -."""
    radius_m: float = Field(gt=0)
    """Inscribed radius used for the map."""
    footprint_m: tuple[_Length, _Length]
    """Length and width of the rectangular footprint, for the swept checks of spawns and doors."""
    slab_m: tuple[float, float]
    """Heights above the floor between which obstacles count."""
    step_m: float = Field(ge=0)
    """Highest step it climbs."""
    slope_deg: float = Field(gt=0, lt=90)
    """Steepest slope it drives."""
    speed_m_s: float = Field(gt=0)
    """Top speed of the follower."""
    turn_rad_s: float = Field(gt=0)
    """Top turn rate of the follower."""
    asset: str
    """Isaac Sim asset path of the robot."""

    @model_validator(mode="after")
    def _consistent(self) -> "RobotConfig":
        if not 0 <= self.slab_m[0] < self.slab_m[1]:
            raise ValueError(f"slab_m must be two rising heights, got {self.slab_m}")
        if self.step_m >= self.slab_m[1]:
            raise ValueError(f"step_m {self.step_m} must be below the top of the slab {self.slab_m[1]}")
        if self.radius_m < min(self.footprint_m) / 2 - 1e-9:
            raise ValueError(f"radius_m {self.radius_m} is less than half the footprint's width {self.footprint_m}")
        return self


class TasksConfig(Config):
    """Maps and episodes."""

    robots: tuple[str, ...] = ("jetbot", "nova_carter")
    """Names of robot profiles in configs/robots."""
    cell_m: float = Field(default=0.05, ge=0.01, le=0.2)
    """Cell of the occupancy maps."""
    episodes: int = Field(default=200, ge=0)
    """Most episodes per robot."""
    min_episodes: int = Field(default=20, ge=1)
    """Below this many a robot is listed as not trainable."""
    goals: int = Field(default=32, ge=1, le=256)
    """Most goals per robot; each has a stored distance field."""
    min_geodesic_m: float = Field(default=1.0, ge=0.5)
    """Shortest episode; in small worlds half of the longest geodesic there, never below 0.5 m."""
    max_geodesic_m: float = Field(default=30.0, gt=1)
    """Longest episode."""
