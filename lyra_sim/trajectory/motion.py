"""Turns places and looking directions into a smooth camera path: limited step and limited turn per frame."""

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation, Slerp

from lyra_sim.core.record import record

WALK_PITCH_RAD = 0.12
"""A walking camera looks this much downward."""
_SHARP_RAD = np.deg2rad(25.0)
_SLOW, _SLOW_STEPS = 0.4, 1.5
"""Share of the full speed about corners sharper than that, and how near to them, in full steps."""


@record
class Pace:
    """Limits of the planned motion."""

    robot_height_m: float
    """Of the camera above the floor."""
    clearance_m: float
    step_m: float
    """Per frame, as the next one."""
    turn_rad: float


@record
class Leg:
    """Targets of consecutive frames."""

    position: Float64[np.ndarray, "N 3"]
    heading: Float64[np.ndarray, "N"]
    """Angle of the looking direction about Z, from x; radians."""
    pitch: Float64[np.ndarray, "N"]
    """Downward, radians."""


def heading_of(cam_to_world: np.ndarray) -> tuple[float, float]:
    """Heading and downward pitch of a camera. One that looks straight up or down heads where its image's top or bottom
    points."""
    z = cam_to_world[:3, 2]
    flat = z[:2] if np.hypot(*z[:2]) > 0.1 else np.sign(z[2]) * cam_to_world[:2, 1]
    return float(np.arctan2(flat[1], flat[0])), float(-np.arcsin(np.clip(z[2], -1, 1)))


def level_camera(heading: float, pitch: float) -> Float64[np.ndarray, "3 3"]:
    """Rotation camera to world without roll, OpenCV axes."""
    ch, sh, cp, sp = np.cos(heading), np.sin(heading), np.cos(pitch), np.sin(pitch)
    return np.array([[sh, -sp * ch, cp * ch], [-ch, -sp * sh, cp * sh], [0.0, -cp, -sp]])


def stand(position: np.ndarray, headings: np.ndarray, pitch: float) -> Leg:
    """Stay at one place and look along `headings`."""
    n = len(headings)
    return Leg(
        position=np.repeat(np.asarray(position, np.float64)[None], n, 0),
        heading=np.asarray(headings, np.float64),
        pitch=np.full(n, float(pitch)),
    )


def sweep(heading: float, reach_rad: float, turn_rad: float) -> Float64[np.ndarray, "N"]:
    """Headings that look left, right and back to the middle at an even pace of at most `turn_rad` per frame."""
    n = int(np.ceil(4 * reach_rad / turn_rad))
    return heading + np.interp(np.arange(1, n + 1), [0, n / 4, 3 * n / 4, n], [0, reach_rad, -reach_rad, 0])


def frames_for(points: np.ndarray, step_m: float) -> int:
    """Frames needed to go along a polyline."""
    length = np.linalg.norm(np.diff(points, axis=0), axis=1).sum()
    return int(np.ceil(length / step_m - 1e-9))


def along(points: np.ndarray, count: int) -> Float64[np.ndarray, "{count} 3"]:
    """`count` evenly spaced positions on a polyline (N, 3), its first point left out and its last one kept."""
    spans = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.linspace(0, spans[-1], count + 1)[1:]
    return np.stack([np.interp(at, spans, points[:, axis]) for axis in range(3)], 1)


def paced(points: Float64[np.ndarray, "K 3"], step_m: float) -> Float64[np.ndarray, "N 3"]:
    """Positions on a polyline, its first point left out and its last one kept, at most `step_m` apart and slower about
    sharp corners: there `smoothed` cuts the less the slower it goes, no more than 4 cm at steps of 10 cm."""
    legs = np.diff(points, axis=0)
    legs = legs[np.linalg.norm(legs, axis=1) > 1e-9]
    if not len(legs):
        return np.zeros((0, 3))
    spans = np.concatenate([[0.0], np.cumsum(np.linalg.norm(legs, axis=1))])
    way = legs / np.linalg.norm(legs, axis=1, keepdims=True)
    corners = spans[1:-1][(way[1:] * way[:-1]).sum(1) < np.cos(_SHARP_RAD)]
    places, at = [], 0.0
    while spans[-1] - at > 1e-9:
        near = bool((np.abs(corners - at) < _SLOW_STEPS * step_m).any())
        at = min(at + step_m * (_SLOW if near else 1.0), spans[-1])
        places.append(at)
    corner = np.concatenate([points[:1], points[:1] + np.cumsum(legs, 0)])
    return np.stack([np.interp(places, spans, corner[:, axis]) for axis in range(3)], 1)


def smoothly(share: Float64[np.ndarray, "N"]) -> Float64[np.ndarray, "N"]:
    """From 0 to 1 with no speed at either end (Hermite's cubic)."""
    return share * share * (3 - 2 * share)


def steer(start: np.ndarray, legs: list[Leg], turn_rad: float) -> Float64[np.ndarray, "N 4 4"]:
    """Camera poses of all legs in order, each turned toward its target by at most `turn_rad` from the one before.

    Args:
        start: pose (4, 4) before the first frame; its roll is let go at the same pace.
    """
    poses, last = [], Rotation.from_matrix(start[:3, :3])
    for leg in legs:
        for position, heading, pitch in zip(leg.position, leg.heading, leg.pitch, strict=True):
            target = Rotation.from_matrix(level_camera(heading, pitch))
            turn = (last.inv() * target).as_rotvec()
            angle = np.linalg.norm(turn)
            last = target if angle <= turn_rad else last * Rotation.from_rotvec(turn * (0.999 * turn_rad / angle))
            pose = np.eye(4)
            pose[:3, :3] = last.as_matrix()
            pose[:3, 3] = position
            poses.append(pose)
    return np.stack(poses) if poses else np.zeros((0, 4, 4))


def slowed(
    start: Float64[np.ndarray, "4 4"], poses: Float64[np.ndarray, "N 4 4"], count: int
) -> Float64[np.ndarray, "{count} 4 4"]:
    """The same way as `poses` from `start` on, in more frames."""
    every = np.concatenate([start[None], poses])
    at = np.linspace(0, len(poses), count + 1)[1:]
    out = np.tile(np.eye(4), (count, 1, 1))
    for axis in range(3):
        out[:, axis, 3] = np.interp(at, np.arange(len(every)), every[:, axis, 3])
    out[:, :3, :3] = Slerp(np.arange(len(every)), Rotation.from_matrix(every[:, :3, :3]))(at).as_matrix()
    return out


_KERNEL = np.array([1.0, 2.0, 3.0, 2.0, 1.0]) / 9
LAG = len(_KERNEL) - 1
"""Planned poses before the next one on which its smooth pose depends."""


def smoothed(
    before: Float64[np.ndarray, "4 4 4"], planned: Float64[np.ndarray, "N 4 4"]
) -> Float64[np.ndarray, "N 4 4"]:
    """Poses that follow the planned ones two frames late, so that speed and turn rate change gradually.

    Each is a mean of five planned poses (weights 1, 2, 3, 2, 1), hence within the same limits of step and turn; a
    corner is cut by at most 7 cm at steps of 10 cm.

    Args:
        before: the planned poses before the first one.
    """
    every = np.concatenate([before, planned])
    out = np.tile(np.eye(4), (len(planned), 1, 1))
    for n in range(len(planned)):
        window = every[n : n + LAG + 1]
        out[n, :3, 3] = _KERNEL @ window[:, :3, 3]
        out[n, :3, :3] = Rotation.from_matrix(window[:, :3, :3]).mean(_KERNEL).as_matrix()
        if np.abs(window[:, 2, 0]).max() < 1e-9:  # the mean of level cameras is level but for the second order
            out[n, :3, :3] = level_camera(*heading_of(out[n]))
    return out
