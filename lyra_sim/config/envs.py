"""Settings of the light simulation that navigation policies are trained in."""

from typing import Annotated, Literal

from pydantic import Field

from lyra_sim.config.model import Config

_Share = Annotated[float, Field(ge=0, lt=1)]
_Sigma = Annotated[float, Field(ge=0)]


class RewardConfig(Config):
    """What a step is worth."""

    progress: float = 1.0
    """Per metre that the geodesic distance to the goal shrinks."""
    success: float = 5.0
    """Once, at the goal."""
    contact: float = -0.05
    """Per control step with a contact."""
    time: float = -0.01
    """Per control step."""


class CurriculumConfig(Config):
    """Near goals first."""

    bins: int = Field(default=1, ge=1, le=32)
    """Classes of start distance with equally many episodes, nearest first; 1 offers all episodes from the start."""
    promote: float = Field(default=0.8, gt=0, lt=1)
    """The next class is opened when this share of the last episodes of the farthest open one succeeded."""
    window: int = Field(default=256, ge=8)
    """How many episodes those are."""


class RandomConfig(Config):
    """What is drawn anew for every episode (noise: for every step), so that a policy does not lean on it. Off by
    default. Turning the map is left out: nothing that a policy observes depends on it."""

    scale: bool = False
    """Stretch the world by exp(scale_sigma x normal, at most 2 of it): what its reconstruction is unsure of. Less where
    the robot would start in a wall or be shut in."""
    footprint: _Share = 0.0
    """Largest share by which the robot is made smaller or, where it has room, larger; 0.1 is usual."""
    speed: _Share = 0.0
    """The same for top speeds."""
    accel: _Share = 0.0
    """The same for accelerations."""
    latency_steps: int = Field(default=0, ge=0, le=8)
    """Most control steps that an action takes to arrive; 2 is usual."""
    goal_noise_m: _Sigma = 0.0
    """Error of the given goal, standard deviation on each axis."""
    drift_m: _Sigma = 0.0
    """Odometry: position error after a metre driven, growing with the root of the way."""
    drift_rad: _Sigma = 0.0
    """The same for heading."""
    lidar_noise_m: float = Field(default=0.0, ge=0, le=1)
    """Standard deviation of a range."""
    lidar_dropout: _Share = 0.0
    """Share of ranges that read as the farthest."""
    mirror: bool = False
    """Half of the episodes in a mirror: left is right."""


class EnvConfig(Config):
    """The light simulation."""

    decimation: int = Field(default=2, ge=1, le=20)
    """Physics steps of 0.1 s per control step; 2 is 5 Hz."""
    body: Literal["discs", "inscribed"] = "discs"
    """What touches walls: discs along the footprint, or only the inscribed one that the map was made for."""
    reset_to: Literal["same", "any"] = "same"
    """World of an environment's next episode: its own again, or any; any, too, where there are fewer environments than
    worlds."""
    success_m: float = Field(default=0.2, gt=0)
    """Geodesic distance at which the goal is reached."""
    stop_share: float = Field(default=1.0, gt=0, le=1)
    """Share of the top speeds below which the robot must be for it; 1: passing is enough."""
    time_factor: float = Field(default=4.0, gt=1)
    """An episode ends after this many times the time of its geodesic at top speed ..."""
    time_turns: float = Field(default=2.0, ge=0)
    """... plus that of this many full turns."""
    depth: bool = False
    """Add the picture of the depth camera as observation group `depth`; needs the worlds' folders."""
    reward: RewardConfig = RewardConfig()
    curriculum: CurriculumConfig = CurriculumConfig()
    random: RandomConfig = RandomConfig()
