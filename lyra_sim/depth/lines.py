"""Which way is down in one photo: line segments vote for the vertical and for one pair of horizontal directions.

Segments come from LSD (von Gioi et al. 2010, as in OpenCV). The vote is the usual Manhattan one (Coughlan and Yuille
1999; the joint form over tilt and yaw follows Straforini et al. and Lee and Yoon in spirit): every segment supports
the axis whose vanishing point it points to best, and a weak prior says how people hold cameras.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float
from numba import njit

from lyra_sim.core.records import Intrinsics

PITCH_PRIOR_DEG, PITCH_SIGMA_DEG, ROLL_SIGMA_DEG = 8.0, 18.0, 4.0
_ANGLE_SIGMA_DEG = 1.6
_VOTE_GAIN = 1.2
"""Weight of one saturated segment against the prior; neighbouring segments are not independent witnesses."""
_LOST_DEG, _LEAST_SIGMA_RAD = 4.0, math.radians(0.1)
"""Segments that miss every axis by more than the first tell nothing of it; no vote is surer than the last."""


@dataclass(frozen=True)
class GravityVote:
    """Down direction and yaw of the dominant horizontal axis, from the segments of one photo."""

    down_cam: np.ndarray
    """(3,) unit vector, camera axes."""
    pitch_rad: float
    """Positive when the camera looks down."""
    roll_rad: float
    yaw_rad: float
    """Direction of one horizontal axis against the heading, in [0, pi/2)."""
    sigma_rad: float
    pitch_sigma_rad: float
    """The part of it along the direction of view, which changes how far the floor is."""
    support: float
    """How many saturated segments agree with the vertical or the horizontal pair."""


def detect_segments(gray: np.ndarray, *, min_length_px: float) -> Float[np.ndarray, "N 4"]:
    """Line segments (x0, y0, x1, y1) in pixels with centres at (0.5, 0.5), longest first."""
    found = cv2.createLineSegmentDetector(cv2.LSD_REFINE_STD).detect(gray)[0]
    if found is None:
        return np.zeros((0, 4))
    segments = found.reshape(-1, 4).astype(np.float64) + 0.5
    length = np.hypot(segments[:, 2] - segments[:, 0], segments[:, 3] - segments[:, 1])
    keep = length >= min_length_px
    segments, length = segments[keep], length[keep]
    return segments[np.lexsort((segments[:, 1], segments[:, 0], -length))]


def camera_down(pitch: float, roll: float) -> Float[np.ndarray, "3"]:
    """Gravity in camera axes for a camera that looks down by `pitch` and is rolled by `roll` (radians)."""
    return np.array([math.sin(roll) * math.cos(pitch), math.cos(roll) * math.cos(pitch), math.sin(pitch)])


def heading_axes(down: np.ndarray) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Horizontal heading (the optical axis laid flat) and left, both in camera axes, for a unit `down`."""
    ahead = np.array([0.0, 0.0, 1.0]) - down * down[2]
    if np.linalg.norm(ahead) < 1e-6:  # looks straight down: the upper image edge is ahead
        ahead = np.array([0.0, -1.0, 0.0]) + down * down[1]
    ahead /= np.linalg.norm(ahead)
    return ahead, np.cross(ahead, down)


def camera_axes(pitch: float, roll: float, yaw: float) -> Float[np.ndarray, "3 3"]:
    """Rows: down and a pair of horizontal axes, the first turned from the heading by `yaw` to the left."""
    down = camera_down(pitch, roll)
    ahead, left = heading_axes(down)
    c, s = math.cos(yaw), math.sin(yaw)
    return np.stack([down, c * ahead + s * left, c * left - s * ahead])


@njit(cache=True)
def _angle_score(mid: np.ndarray, along: np.ndarray, axis: np.ndarray, inv_two_var: float) -> float:
    """How well a segment (midpoint ray, image direction, normalised coordinates) points to `axis`' vanishing point."""
    vx = axis[0] - mid[0] * axis[2]
    vy = axis[1] - mid[1] * axis[2]
    n2 = vx * vx + vy * vy
    if n2 < 1e-12:
        return 0.0
    cross = vx * along[1] - vy * along[0]
    return math.exp(-cross * cross / n2 * inv_two_var)


@njit(cache=True)
def _vote(
    mid: np.ndarray, along: np.ndarray, weight: np.ndarray, inv_two_var: np.ndarray, pitches: np.ndarray,
    rolls: np.ndarray, yaws: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    n = len(weight)
    vertical = np.empty(n)
    for i in range(len(pitches)):
        for j in range(len(rolls)):
            p, r = pitches[i], rolls[j]
            down = np.array([math.sin(r) * math.cos(p), math.cos(r) * math.cos(p), math.sin(p)])
            ahead = np.array([-down[0] * down[2], -down[1] * down[2], 1.0 - down[2] * down[2]])
            ahead /= math.sqrt(ahead[0] ** 2 + ahead[1] ** 2 + ahead[2] ** 2 + 1e-18)
            left = np.array(
                [
                    ahead[1] * down[2] - ahead[2] * down[1],
                    ahead[2] * down[0] - ahead[0] * down[2],
                    ahead[0] * down[1] - ahead[1] * down[0],
                ]
            )
            for s in range(n):
                vertical[s] = _angle_score(mid[s], along[s], down, inv_two_var[s])
            for k in range(len(yaws)):
                c, w = math.cos(yaws[k]), math.sin(yaws[k])
                a = c * ahead + w * left
                b = -w * ahead + c * left
                total = 0.0
                for s in range(n):
                    best = vertical[s]
                    if best < 0.9:
                        best = max(best, 0.9 * _angle_score(mid[s], along[s], a, inv_two_var[s]))
                        best = max(best, 0.9 * _angle_score(mid[s], along[s], b, inv_two_var[s]))
                    total += weight[s] * best
                out[i, j, k] = total


def normalised(segments: np.ndarray, camera: Intrinsics) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Midpoints and unit directions of segments in normalised image coordinates, and lengths in focal lengths."""
    scale, shift = np.array([camera.fx, camera.fy]), np.array([camera.cx, camera.cy])
    a, b = (segments[:, :2] - shift) / scale, (segments[:, 2:] - shift) / scale
    length = np.maximum(np.linalg.norm(b - a, axis=1), 1e-9)
    return (a + b) / 2, (b - a) / length[:, None], length


def vote_gravity(segments: np.ndarray, camera: Intrinsics, *, most: int = 350) -> GravityVote:
    """Joint vote over pitch, roll and Manhattan yaw; the prior alone decides where there are no segments.

    Args:
        segments: (N, 4) as from `detect_segments`, longest first.
        most: at most this many segments vote.
    """
    mid, along, length = normalised(segments[:most], camera)
    px = length * camera.fx
    noise = np.deg2rad(_ANGLE_SIGMA_DEG) + 0.7 / np.maximum(px, 1.0)
    inv_two_var = 0.5 / noise**2
    weight = np.minimum(px / (0.08 * max(camera.width, camera.height)), 3.0) * _VOTE_GAIN
    pitches = np.deg2rad(np.arange(-30, 71, 2.0))
    rolls = np.deg2rad(np.arange(-15, 15.1, 1.5))
    yaws = np.deg2rad(np.arange(0, 90, 3.0))
    score = _posterior(mid, along, weight, inv_two_var, pitches, rolls, yaws)
    first = score.max(2)
    i, j, k = np.unravel_index(int(np.argmax(score)), score.shape)
    pitch, roll, yaw = pitches[i], rolls[j], yaws[k]
    sharp = first
    grid = (pitches, rolls)
    for fine in (0.5, 0.15):
        grid = (pitch + np.deg2rad(np.arange(-5, 6) * fine), roll + np.deg2rad(np.arange(-5, 6) * fine))
        local_yaws = yaw + np.deg2rad(np.arange(-4, 5) * fine * 1.2)
        score = _posterior(mid, along, weight, inv_two_var, grid[0], grid[1], local_yaws)
        i, j, k = np.unravel_index(int(np.argmax(score)), score.shape)
        pitch, roll, yaw = grid[0][i], grid[1][j], local_yaws[k]
    askew = _askew(mid, along, px, camera_axes(pitch, roll, yaw))
    pitch_sigma, roll_sigma = (math.hypot(askew, far) for far in _spread(sharp, pitches, rolls, pitch, roll))
    support = float(score.max() / _VOTE_GAIN) if len(weight) else 0.0
    return GravityVote(
        down_cam=camera_down(pitch, roll),
        pitch_rad=float(pitch),
        roll_rad=float(roll),
        yaw_rad=float(yaw % (math.pi / 2)),
        sigma_rad=math.hypot(pitch_sigma, roll_sigma),
        pitch_sigma_rad=pitch_sigma,
        support=max(support, 0.0),
    )


def _posterior(mid, along, weight, inv_two_var, pitches, rolls, yaws) -> np.ndarray:
    out = np.zeros((len(pitches), len(rolls), len(yaws)))
    _vote(mid, along, weight, inv_two_var, pitches, rolls, yaws, out)
    p = (np.rad2deg(pitches) - PITCH_PRIOR_DEG) / PITCH_SIGMA_DEG
    r = np.rad2deg(rolls) / ROLL_SIGMA_DEG
    return out - 0.5 * (p[:, None] ** 2 + r[None, :] ** 2)[:, :, None]


def _askew(mid: np.ndarray, along: np.ndarray, px: np.ndarray, axes: np.ndarray) -> float:
    """One sigma (radians) by which the segments miss the axes they point to: 1.48 times the median, by length.

    It is taken as it is for the sigma of the tilt, however many segments agree: what keeps them from being exact (a
    house out of plumb, what is left of a lens's distortion, the detector's bias) is common to many.
    """
    miss = np.full(len(mid), np.inf)
    for axis in axes:
        toward = axis[:2] - mid * axis[2]
        cross = toward[:, 0] * along[:, 1] - toward[:, 1] * along[:, 0]
        miss = np.minimum(miss, np.abs(cross) / np.maximum(np.linalg.norm(toward, axis=1), 1e-9))
    order = np.argsort(miss)
    miss, weight = miss[order], np.cumsum(px[order])
    count = int(np.searchsorted(miss, np.deg2rad(_LOST_DEG)))
    if count == 0:
        return np.deg2rad(_ANGLE_SIGMA_DEG)
    return max(1.48 * float(miss[np.searchsorted(weight[:count], weight[count - 1] / 2)]), _LEAST_SIGMA_RAD)


def _spread(score: np.ndarray, pitches, rolls, pitch: float, roll: float) -> tuple[float, float]:
    """Root mean square distance in pitch and in roll of the vote's mass that is not next to its peak: other peaks, and
    what few segments leave open. What lies next to it is the grid's coarseness and the vote's tolerance."""
    mass = np.exp(score - score.max())
    mass /= mass.sum()
    away, aside = np.abs(pitches[:, None] - pitch), np.abs(rolls[None, :] - roll)
    mass *= (away > 1.5 * (pitches[1] - pitches[0])) | (aside > 1.5 * (rolls[1] - rolls[0]))
    return math.sqrt(float((mass * away**2).sum())), math.sqrt(float((mass * aside**2).sum()))
