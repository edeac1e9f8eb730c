"""Drives every episode before it is published: a unicycle that follows the stored path at the robot's limits.

Its success rate and SPL (Anderson et al. 2018) say whether map, path and footprint agree.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from numba import njit

from lyra_sim.config.tasks import RobotConfig
from lyra_sim.core.record import record
from robot_tasks.episodes import Episode
from robot_tasks.footprint import rectangle_blocked
from robot_tasks.navmap import NavMap

DT_S = 0.1
_SUBSTEPS = 4
_STOP_M = 0.03
_AIM_RAD = 0.03
"""With a larger heading error it turns on the spot: half a metre of robot swings out 1 cm at this angle."""
SUCCESS_M = 0.2
_SLACK_M = 0.01


@record
class Drive:
    """How one episode went."""

    success: bool
    collided: bool
    driven_m: float
    seconds: float
    track: Float64[np.ndarray, "N 3"]
    """Pose (x, y, yaw) after every step."""


@njit(cache=True)
def _drive(path, yaw, goal, speed, turn, dt, substeps, steps, blocked, clearance, ox, oy, cell, half_l, half_w, radius):
    track = np.empty((steps + 1, 3))
    x, y = path[0]
    track[0, 0], track[0, 1], track[0, 2] = x, y, yaw
    driven, k = 0.0, 1
    for n in range(1, steps + 1):
        while k < len(path) - 1:
            ahead = (path[k, 0] - x) * (path[k, 0] - path[k - 1, 0]) + (path[k, 1] - y) * (path[k, 1] - path[k - 1, 1])
            if np.hypot(path[k, 0] - x, path[k, 1] - y) > 0.005 and ahead > 0:
                break
            k += 1
        gap = np.hypot(path[k, 0] - x, path[k, 1] - y)
        off = (np.arctan2(path[k, 1] - y, path[k, 0] - x) - yaw + np.pi) % (2 * np.pi) - np.pi
        w = min(max(off / dt, -turn), turn)
        v = 0.0 if abs(off) > _AIM_RAD else min(speed, gap / dt) * (1 - abs(off) / _AIM_RAD)
        for _ in range(substeps):
            h = dt / substeps
            mid = yaw + 0.5 * w * h
            x, y, yaw = x + v * h * np.cos(mid), y + v * h * np.sin(mid), yaw + w * h
            if rectangle_blocked(blocked, clearance, ox, oy, cell, x, y, yaw, half_l, half_w, radius):
                track[n, 0], track[n, 1], track[n, 2] = x, y, yaw
                return track[: n + 1], driven, True
        driven += v * dt
        track[n, 0], track[n, 1], track[n, 2] = x, y, yaw
        if np.hypot(goal[0] - x, goal[1] - y) < _STOP_M:
            return track[: n + 1], driven, False
    return track, driven, False


def drive(episode: Episode, nav: NavMap, robot: RobotConfig) -> Drive:
    """Follow an episode's path from its start pose at the robot's speed and turn rate, steps of 0.1 s.

    Success: at rest within 0.2 m of the goal, without the outline having touched anything blocked, in four times the
    time the straight-line motion and the turns need.
    """
    path = np.ascontiguousarray(episode.path, np.float64)
    step = np.diff(path, axis=0)
    yaws = np.unwrap(np.concatenate([[episode.start_yaw], np.arctan2(step[:, 1], step[:, 0])]))
    turning = (np.abs(np.diff(yaws)).sum() + 2 * np.pi) / robot.turn_rad_s
    ideal = episode.path_m / robot.speed_m_s + turning + len(path) * DT_S
    track, driven, hit = _drive(
        path, episode.start_yaw, episode.goal, robot.speed_m_s, robot.turn_rad_s, DT_S, _SUBSTEPS,
        int(4 * ideal / DT_S) + 1, nav.blocked, nav.clearance_m, nav.origin_m[0], nav.origin_m[1], nav.fine_m,
        robot.footprint_m[0] / 2, robot.footprint_m[1] / 2, robot.radius_m - _SLACK_M,
    )  # fmt: skip
    near = float(np.hypot(*(track[-1, :2] - episode.goal))) <= SUCCESS_M
    return Drive(
        success=bool(near and not hit),
        collided=bool(hit),
        driven_m=float(driven),
        seconds=(len(track) - 1) * DT_S,
        track=track.copy(),
    )


def success_and_spl(drives: Sequence[Drive], episodes: Sequence[Episode]) -> tuple[float, float]:
    """Share of successes and mean of success x geodesic / max(driven, geodesic); zeros without episodes."""
    if not drives:
        return 0.0, 0.0
    weight = [d.success * e.geodesic_m / max(d.driven_m, e.geodesic_m) for d, e in zip(drives, episodes, strict=True)]
    return float(np.mean([d.success for d in drives])), float(np.mean(weight))
