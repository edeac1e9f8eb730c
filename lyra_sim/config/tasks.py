"""Settings of the tasks stage: robots, maps, episodes."""

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from lyra_sim.config.model import Config

_Length = Annotated[float, Field(gt=0)]


class LidarConfig(Config):
    """A level ring of rays around the robot."""

    beams: int = Field(ge=8, le=2048)
    """Rays of a full turn, the first straight ahead, then to the left."""
    range_m: float = Field(gt=0)
    """Longer returns read as this."""
    height_m: float = Field(gt=0)
    """Above the floor."""


class CameraConfig(Config):
    """A forward depth camera."""

    width: int = Field(ge=4, le=1024)
    height: int = Field(ge=4, le=1024)
    """Size of the picture, pixels."""
    hfov_deg: float = Field(gt=1, lt=170)
    """Horizontal field of view."""
    range_m: float = Field(gt=0)
    """Longer depth reads as this."""
    forward_m: float
    """Of the camera before the robot's centre."""
    height_m: float = Field(gt=0)
    """Above the floor."""


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
    drive: Literal["unicycle", "omni"] = "unicycle"
    """Whether it also moves sideways."""
    side_m_s: float = Field(default=0.0, ge=0)
    """Top speed sideways; omni only."""
    accel_m_s2: float = Field(default=1.0, gt=0)
    """Most change of speed."""
    turn_accel_rad_s2: float = Field(default=3.0, gt=0)
    """Most change of turn rate."""
    lidar: LidarConfig
    """Scanner of the navigation policy."""
    camera: CameraConfig
    """Depth camera of the navigation policy."""
    asset: str
    """Isaac Sim asset path of the robot."""
    sources: dict[str, str]
    """Where each number comes from, by field."""

    @model_validator(mode="after")
    def _consistent(self) -> "RobotConfig":
        if not 0 <= self.slab_m[0] < self.slab_m[1]:
            raise ValueError(f"slab_m must be two rising heights, got {self.slab_m}")
        if self.step_m >= self.slab_m[1]:
            raise ValueError(f"step_m {self.step_m} must be below the top of the slab {self.slab_m[1]}")
        if self.radius_m < min(self.footprint_m) / 2 - 1e-9:
            raise ValueError(f"radius_m {self.radius_m} is less than half the footprint's width {self.footprint_m}")
        if (self.drive == "omni") != (self.side_m_s > 0):
            raise ValueError(f"side_m_s {self.side_m_s} does not go with drive {self.drive!r}")
        if unsaid := sorted(NUMBERS - self.sources.keys()):
            raise ValueError(f"sources must say where {', '.join(unsaid)} come from")
        return self


NUMBERS = frozenset(
    "radius_m footprint_m slab_m step_m slope_deg speed_m_s turn_rad_s accel_m_s2 lidar camera asset".split()
)
"""Fields of a robot whose source its profile must name."""


MAPPED = ("radius_m", "footprint_m", "slab_m", "step_m", "slope_deg", "speed_m_s", "turn_rad_s")
"""Fields of a robot that its maps, its episodes and their verdict are made from."""


ExportFormat = Literal["habitat", "compass", "mobility_gen", "isaac", "igibson"]
"""Formats of other programs, beside the ROS maps that are always written (`robot_tasks/export`)."""


class TasksConfig(Config):
    """Maps and episodes."""

    robots: tuple[str, ...] = ("jetbot", "nova_carter")
    """Names of robot profiles in configs/robots."""
    cell_m: float = Field(default=0.05, ge=0.01, le=0.2)
    """Cell of the occupancy maps."""
    episodes: int = Field(default=200, ge=0)
    """Most episodes per robot; 0: none are wanted."""
    min_episodes: int = Field(default=20, ge=1)
    """Below this many a robot is listed as not trainable."""
    goals: int = Field(default=32, ge=1, le=256)
    """Most goals per robot; each has a stored distance field."""
    min_geodesic_m: float = Field(default=1.0, ge=0.5)
    """Shortest episode; in small worlds half of the longest geodesic there, never below 0.5 m."""
    max_geodesic_m: float = Field(default=30.0, gt=1)
    """Longest episode."""
    formats: tuple[ExportFormat, ...] = get_args(ExportFormat)
    """In which formats of other programs maps and episodes are written too."""

    @model_validator(mode="after")
    def _consistent(self) -> "TasksConfig":
        if 0 < self.episodes < self.min_episodes:
            raise ValueError(
                f"episodes of 0 or at least min_episodes ({self.min_episodes}): with {self.episodes} no robot could be "
                "trainable"
            )
        return self
