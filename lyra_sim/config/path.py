"""Settings of how the camera moves while it explores: planned from what was seen, a known motion, or a file.

Known motions begin at the start camera. Angles turn to the left (counterclockwise from above) where they are positive.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from lyra_sim.config.model import Config


def _not_zero(value: float) -> float:
    if value == 0:
        raise ValueError("Input other than 0: the camera would not move")
    return value


Angle = Annotated[float, Field(ge=-3600, le=3600), AfterValidator(_not_zero)]
Offset = Annotated[float, Field(ge=-100, le=100)]


class PlannedPath(Config):
    """Toward what is unseen, through space that is known to be free."""

    kind: Literal["planned"] = "planned"


class OrbitPath(Config):
    """On a circle at the start's height around the point that the start looks at, looking at it."""

    kind: Literal["orbit"] = "orbit"
    radius_m: float = Field(default=2.0, ge=0.2, le=100)
    """Distance of that point from the camera."""
    angle_deg: Angle = 360.0
    """How far round it goes; 360 comes back to the start."""


class SpiralPath(Config):
    """Around the point that the start looks at, looking at it, while the distance and the height change."""

    kind: Literal["spiral"] = "spiral"
    radius_m: float = Field(default=2.0, ge=0.2, le=100)
    """Distance of that point from the start."""
    end_radius_m: float = Field(default=1.5, ge=0.2, le=100)
    """Its distance at the end."""
    rise_deg: float = Field(default=15.0, ge=-89, le=89)
    """How much steeper it looks down on the point at the end; it stops short of the vertical."""
    angle_deg: Angle = 360.0
    """How far round it goes."""


class DollyPath(Config):
    """Straight along the axes of the start camera, held level, while it looks where the start looked."""

    kind: Literal["dolly"] = "dolly"
    forward_m: Offset = 0.0
    """Along the floor, in the direction of the start's heading."""
    right_m: Offset = 1.0
    """To the right; negative to the left."""
    up_m: Offset = 0.0
    """Upward."""

    @model_validator(mode="after")
    def _moves(self) -> Self:
        _not_zero(abs(self.forward_m) + abs(self.right_m) + abs(self.up_m))
        return self


class ZoomPath(Config):
    """Straight along the looking direction of the start without turning."""

    kind: Literal["zoom"] = "zoom"
    distance_m: Annotated[Offset, AfterValidator(_not_zero)] = 1.0
    """How far in; negative goes backward, out."""


class LookAroundPath(Config):
    """Turns on the spot, as steeply as the start looks."""

    kind: Literal["look_around"] = "look_around"
    angle_deg: Angle = 360.0
    """How far it turns."""


class LawnMowerPath(Config):
    """Strips to and fro over a rectangle ahead of the start at the start's height, looking where it goes, as over a
    street.

    The first strip begins at the start, in a corner of the rectangle; the turns between strips lie inside it."""

    kind: Literal["lawn_mower"] = "lawn_mower"
    length_m: float = Field(default=8.0, gt=0, le=100)
    """Of the rectangle, along the start's heading."""
    width_m: float = Field(default=4.0, gt=0, le=100)
    """Of the rectangle, across it."""
    spacing_m: float = Field(default=2.0, ge=0.2, le=20)
    """Most that neighbouring strips are apart; no spot of the rectangle is farther from the path than 0.64 of it."""
    side: Literal["left", "right"] = "left"
    """Where the rectangle lies from the first strip."""

    @model_validator(mode="after")
    def _turns_inside(self) -> Self:
        if self.length_m < 1.2 * min(self.spacing_m, self.width_m):
            raise ValueError("length_m of at least 1.2 spacing_m: the camera turns round inside the rectangle")
        return self


class FilePath(Config):
    """As a file says, from where the start is: Lyra 2.0's npz, the trajectory.npz of a world, or JSON keyframes."""

    kind: Literal["file"] = "file"
    path: Path
    """The file; its first camera is laid on the start. Metres."""


PresetPath = OrbitPath | SpiralPath | DollyPath | ZoomPath | LookAroundPath | LawnMowerPath
PathConfig = Annotated[PlannedPath | PresetPath | FilePath, Field(discriminator="kind")]
