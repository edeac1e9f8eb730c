"""Camera paths by hand: a JSON file with a camera at some frames, and what passes smoothly through them.

    {"keyframes": [{"frame": 0, "position": [0, 0, 1.5], "heading_deg": 0, "pitch_deg": 10},
                   {"frame": 40, "cam_to_world": [[...], [...], [...], [0, 0, 0, 1]]}]}

Metres, Z up, OpenCV axes; heading counterclockwise from x, pitch downward. Only motion relative to frame 0 counts where
the file drives an exploration.
"""

from pathlib import Path
from typing import Annotated, Self

import numpy as np
from jaxtyping import Float64
from pydantic import Field, ValidationError, model_validator
from scipy.interpolate import PchipInterpolator
from scipy.spatial.transform import Rotation, Slerp

from lyra_sim.config.model import Config
from lyra_sim.core.errors import InputError
from lyra_sim.trajectory.motion import level_camera
from lyra_sim.trajectory.rigid import rigid

_MAX_BYTES = 20_000_000
_MOST_FRAMES = 100_000
_HALF_TURN_RAD = np.deg2rad(179.9)
Triple = tuple[float, float, float]
Row = tuple[float, float, float, float]


class Keyframe(Config):
    """Where the camera is at one frame."""

    frame: Annotated[int, Field(ge=0, le=_MOST_FRAMES, strict=True)]
    """Its number; the first is 0."""
    cam_to_world: tuple[Row, Row, Row, Row] | None = None
    """Pose; instead of the following three."""
    position: Triple | None = None
    """Metres."""
    heading_deg: float | None = None
    """Counterclockwise from x; 0 where left out."""
    pitch_deg: Annotated[float, Field(ge=-90, le=90)] | None = None
    """Downward; 0 where left out."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        plain = self.position is not None or self.heading_deg is not None or self.pitch_deg is not None
        if plain == (self.cam_to_world is not None) or (plain and self.position is None):
            raise ValueError("either cam_to_world, or position with heading_deg and pitch_deg")
        return self

    @property
    def matrix(self) -> Float64[np.ndarray, "4 4"]:
        """Camera to world, as stated."""
        if self.cam_to_world is not None:
            return np.array(self.cam_to_world, np.float64)
        T = np.eye(4)
        T[:3, :3] = level_camera(np.deg2rad(self.heading_deg or 0.0), np.deg2rad(self.pitch_deg or 0.0))
        T[:3, 3] = self.position
        return T


class Keyframes(Config):
    """A path by hand."""

    keyframes: tuple[Keyframe, ...] = Field(min_length=2)
    """In the order of their frames; the first is frame 0."""


def load_keyframes(path: Path) -> Float64[np.ndarray, "N 4 4"]:
    """Camera to world of every frame from 0 to the last keyframe.

    Positions follow a monotone cubic in each coordinate (Fritsch and Carlson 1980), which never swings beyond its
    keyframes; rotations turn the short way at an even pace between two keyframes.

    Raises:
        InputError: not such a file.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(path, expected="a small JSON file", got=f"{path.stat().st_size} bytes", todo="Check it.")
        stated = Keyframes.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(
            path, expected="a readable JSON file", got=str(error), todo="Check explore.path.path."
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{path}: {at}" if at else path,
            expected='JSON {"keyframes": [...]}: ' + first["msg"].removeprefix("Value error, "),
            got=repr(first["input"])[:200],
            todo="Correct the file; lyra_sim/trajectory/keyframes.py shows one.",
        ) from error
    frames = np.array([k.frame for k in stated.keyframes])
    if frames[0] != 0 or (np.diff(frames) <= 0).any():
        raise InputError(
            path,
            expected="frame numbers that begin at 0 and increase",
            got=", ".join(map(str, frames[:20])),
            todo="Sort the keyframes and number them from 0: frame 0 is the start.",
        )
    return _between(frames, rigid(np.stack([k.matrix for k in stated.keyframes]), f"{path}: keyframes"), path)


def _between(frames: np.ndarray, poses: np.ndarray, path: Path) -> np.ndarray:
    turns = Rotation.from_matrix(poses[:, :3, :3])
    angles = (turns[:-1].inv() * turns[1:]).magnitude()
    if angles.max() > _HALF_TURN_RAD:
        k = int(angles.argmax())
        raise InputError(
            f"{path}: keyframes",
            expected="less than half a turn from one keyframe to the next",
            got=f"{np.rad2deg(angles[k]):.1f} degrees between frames {frames[k]} and {frames[k + 1]}",
            todo="Put a keyframe between them that says which way round.",
        )
    every = np.arange(frames[-1] + 1)
    out = np.tile(np.eye(4), (len(every), 1, 1))
    out[:, :3, 3] = PchipInterpolator(frames, poses[:, :3, 3])(every)
    out[:, :3, :3] = Slerp(frames, turns)(every).as_matrix()
    return out
