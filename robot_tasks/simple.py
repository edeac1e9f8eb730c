"""How far simple policies get: a drive straight at the goal, and a random one. What they reach is no task.

Both slide along what they touch, and count as there as soon as they are within the success radius, so they do at least
as well as such policies can in a simulator that asks for a stop.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit

from lyra_sim.config.tasks import RobotConfig
from robot_tasks.episodes import Episode
from robot_tasks.follower import DT_S, SUCCESS_M
from robot_tasks.geodesic import sample_at
from robot_tasks.navmap import NavMap

_PATIENCE = 4.0
"""Times the time of a drive along the path that they get."""
_HELD = 10
"""Steps that a random action is held."""


@njit(cache=True)
def _go(start, yaw, goal, speed, turn, steps, actions, clearance, ox, oy, cell, radius):
    """True when a drive comes within the success radius; without actions it is always turned to the goal."""
    x, y = start
    for n in range(steps):
        if len(actions):
            v, w = actions[n // _HELD, 0] * speed, actions[n // _HELD, 1] * turn
        else:
            off = (np.arctan2(goal[1] - y, goal[0] - x) - yaw + np.pi) % (2 * np.pi) - np.pi
            w = min(max(off / DT_S, -turn), turn)
            v = speed * max(np.cos(off), 0.0)
        yaw += w * DT_S
        nx, ny = x + v * DT_S * np.cos(yaw), y + v * DT_S * np.sin(yaw)
        if sample_at(clearance, ox, oy, cell, nx, ny) < radius:
            if sample_at(clearance, ox, oy, cell, nx, y) >= radius:
                ny = y
            elif sample_at(clearance, ox, oy, cell, x, ny) >= radius:
                nx = x
            else:
                nx, ny = x, y
        x, y = nx, ny
        if np.hypot(goal[0] - x, goal[1] - y) <= SUCCESS_M:
            return True
    return False


def simple_success(episodes: Sequence[Episode], nav: NavMap, robot: RobotConfig, seed: int) -> tuple[float, float]:
    """Shares of the episodes that a random drive and a drive straight at the goal finish; zeros without episodes."""
    rng = np.random.default_rng([seed, 3])
    reached = np.zeros((2, len(episodes)), bool)
    for k, episode in enumerate(episodes):
        steps = int(_PATIENCE * (episode.path_m / robot.speed_m_s + 2 * np.pi / robot.turn_rad_s) / DT_S)
        random = np.column_stack([rng.random(steps // _HELD + 1), rng.uniform(-1, 1, steps // _HELD + 1)])
        for which, actions in enumerate((random, np.zeros((0, 2)))):
            reached[which, k] = _go(
                episode.start, episode.start_yaw, episode.goal, robot.speed_m_s, robot.turn_rad_s, steps, actions,
                nav.clearance_m, nav.origin_m[0], nav.origin_m[1], nav.fine_m, robot.radius_m - 0.01,
            )  # fmt: skip
    chance, straight = (float(r.mean()) if len(episodes) else 0.0 for r in reached)
    return chance, straight
