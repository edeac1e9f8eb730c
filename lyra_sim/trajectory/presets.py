"""Known motions of a camera: orbit, spiral, dolly, zoom, look-around and lawn-mower, from where the start camera is.

The first four are motions of Lyra 2.0 (`orbit_horizontal`, `spiral`, `horizontal`, `horizontal_zoom` in its
`camera_traj_utils.py`), in metres here instead of shares of the seen depth; lawn-mower is the survey pattern of aerial
mapping.
"""

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from lyra_sim.config.path import (
    DollyPath,
    LawnMowerPath,
    LookAroundPath,
    OrbitPath,
    PresetPath,
    SpiralPath,
    ZoomPath,
)
from lyra_sim.trajectory.motion import Leg, heading_of, level_camera
from lyra_sim.trajectory.timing import EASE_FRAMES, Curve, timed

_STEEPEST_RAD = np.deg2rad(89.0)


def preset_poses(
    config: PresetPath, home: Float64[np.ndarray, "4 4"], step_m: float, turn_rad: float
) -> Float64[np.ndarray, "N 4 4"]:
    """Camera to world of every frame after `home`: the roll of `home` is let go on the spot, then the motion runs.

    From frame to frame, `home` included, the camera moves at most `step_m` and turns at most `turn_rad`. It starts and
    stops smoothly.

    Raises:
        ConfigError: the motion takes more frames than any walk has.
    """
    heading, pitch = heading_of(home)
    leg = timed(_curve(config, home[:3, 3], heading, pitch), step_m, turn_rad)
    poses = np.tile(np.eye(4), (len(leg.heading), 1, 1))
    poses[:, :3, :3] = [level_camera(h, p) for h, p in zip(leg.heading, leg.pitch, strict=True)]
    poses[:, :3, 3] = leg.position
    return np.concatenate([_levelled(home, level_camera(heading, pitch), turn_rad), poses])


def _levelled(home: np.ndarray, level: np.ndarray, turn_rad: float) -> np.ndarray:
    """Poses (N, 4, 4) that turn `home` into the rotation `level`; the angle follows 3 s^2 - 2 s^3, whose slope is at
    most 3 / 2 and whose bend at most 6."""
    start = Rotation.from_matrix(home[:3, :3])
    turn = (start.inv() * Rotation.from_matrix(level)).as_rotvec()
    turns = np.linalg.norm(turn) / turn_rad
    count = int(np.ceil(max(1.5 * turns, np.sqrt(6 * turns * EASE_FRAMES)))) if turns > 1e-6 else 0
    s = np.arange(1, count + 1)[:, None] / max(count, 1)
    poses = np.tile(home, (count, 1, 1))
    if count:
        poses[:, :3, :3] = (start * Rotation.from_rotvec((3 - 2 * s) * s**2 * turn)).as_matrix()
    return poses


def _curve(config: PresetPath, eye: np.ndarray, heading: float, pitch: float) -> Curve:
    ahead = _ahead(np.array([heading]), np.array([pitch]))[0]
    match config:
        case OrbitPath(radius_m=radius):
            return _around(eye, heading, (pitch, pitch), (radius, radius), np.deg2rad(config.angle_deg))
        case SpiralPath(radius_m=radius, end_radius_m=end):
            last = float(np.clip(pitch + np.deg2rad(config.rise_deg), -_STEEPEST_RAD, _STEEPEST_RAD))
            return _around(eye, heading, (pitch, last), (radius, end), np.deg2rad(config.angle_deg))
        case DollyPath(forward_m=forward, right_m=right, up_m=up):
            c, s = np.cos(heading), np.sin(heading)
            return _straight(eye, np.array([forward * c + right * s, forward * s - right * c, up]), heading, pitch)
        case ZoomPath(distance_m=distance):
            return _straight(eye, distance * ahead, heading, pitch)
        case LookAroundPath():
            angle = np.deg2rad(config.angle_deg)
            return Curve(
                at=lambda s: Leg(position=_still(eye, s), heading=heading + angle * s, pitch=np.full(len(s), pitch)),
                length_m=0.0,
                turned_rad=float(abs(angle)),
            )
        case LawnMowerPath():
            return _strips(config, eye, heading, pitch)


def _ahead(heading: np.ndarray, pitch: np.ndarray) -> Float64[np.ndarray, "N 3"]:
    """Looking directions; the z axis of `level_camera`."""
    return np.stack([np.cos(heading) * np.cos(pitch), np.sin(heading) * np.cos(pitch), -np.sin(pitch)], 1)


def _still(eye: np.ndarray, s: np.ndarray) -> Float64[np.ndarray, "N 3"]:
    return np.repeat(np.asarray(eye, np.float64)[None], len(s), 0)


def _straight(eye: np.ndarray, offset: np.ndarray, heading: float, pitch: float) -> Curve:
    """To `eye + offset`, looking the same way throughout."""
    return Curve(
        at=lambda s: Leg(
            position=_still(eye, s) + s[:, None] * offset,
            heading=np.full(len(s), heading),
            pitch=np.full(len(s), pitch),
        ),
        length_m=float(np.linalg.norm(offset)),
        turned_rad=0.0,
    )


def _around(
    eye: np.ndarray, heading: float, pitch: tuple[float, float], radius_m: tuple[float, float], angle: float
) -> Curve:
    """On a sphere of changing radius around what `eye` looks at; pitch and radius change evenly from first to last."""
    centre = eye + radius_m[0] * _ahead(np.array([heading]), np.array([pitch[0]]))[0]

    def at(s: np.ndarray) -> Leg:
        headings, pitches = heading + angle * s, pitch[0] + (pitch[1] - pitch[0]) * s
        radius = radius_m[0] + (radius_m[1] - radius_m[0]) * s
        return Leg(position=centre - radius[:, None] * _ahead(headings, pitches), heading=headings, pitch=pitches)

    turned = abs(angle) + abs(pitch[1] - pitch[0])
    return Curve(at=at, length_m=max(radius_m) * turned + abs(radius_m[1] - radius_m[0]), turned_rad=turned)


def _strips(config: LawnMowerPath, eye: np.ndarray, heading: float, pitch: float) -> Curve:
    """Strips along the heading, joined by turns that touch the ends of the rectangle from inside."""
    strips = int(np.ceil(config.width_m / config.spacing_m - 1e-9)) + 1
    apart = config.width_m / (strips - 1)
    turn, arc = _turn_round(apart)
    points, bearings = [np.zeros((1, 2))], [np.zeros(1)]
    for k in range(strips):
        forward, last = k % 2 == 0, k == strips - 1
        far, way = (config.length_m, 1) if forward else (0.0, -1)
        end = far if last else far - way * arc[:, 0].max()
        keep = 1 if last else len(arc)  # the last strip ends straight, at the rim
        points.append(np.stack([end + way * arc[:keep, 0], apart * k + arc[:keep, 1]], 1))
        bearings.append(turn[:keep] if forward else np.pi - turn[:keep])
    local, bearing = np.concatenate(points), np.concatenate(bearings)
    if config.side == "right":
        local, bearing = local * [1, -1], -bearing
    c, s = np.cos(heading), np.sin(heading)
    path = eye[:2] + local @ np.array([[c, s], [-s, c]])
    length = np.append(0, np.cumsum(np.linalg.norm(np.diff(local, axis=0), axis=1)))

    def at(share: np.ndarray) -> Leg:
        x, y, turned = (np.interp(share * length[-1], length, v) for v in (*path.T, bearing))
        position = np.stack([x, y, np.full(len(share), eye[2])], 1)
        return Leg(position=position, heading=heading + turned, pitch=np.full(len(share), pitch))

    return Curve(at=at, length_m=float(length[-1]), turned_rad=np.pi * (strips - 1))


def _turn_round(apart_m: float) -> tuple[Float64[np.ndarray, "N"], Float64[np.ndarray, "N 2"]]:
    """Headings and points of a half turn to the left onto a parallel line; curvature grows from 0 and falls to 0, so
    that the camera does not begin to turn with a jerk."""
    u = np.linspace(0, 1, 181)
    turn = np.pi * (3 - 2 * u) * u**2
    middle = (turn[1:] + turn[:-1]) / 2
    arc = np.concatenate([np.zeros((1, 2)), np.cumsum(np.stack([np.cos(middle), np.sin(middle)], 1), 0)])
    return turn, arc * apart_m / arc[-1, 1]
