"""Episodes of a robot as arrays, for tasks in Isaac Lab or any other vectorised environment.

    nav/<robot>/isaac.npz    and the grids beside it, nav/<robot>/fields.npz

Frame: that of scene.usda (Z up, metres, yaw 0 along +x). Grids are indexed [x, y]; cell (i, j) covers
origin_m + [i, j] * cell_m and one cell on. N episodes, G goals. isaac.npz:

    version           ()         int64     2; raised when anything here changes its meaning (1 held the grids too)
    start_m           (N, 3)     float64   at the height it stands at, centre of the robot
    start_yaw_rad     (N,)       float64   in (-pi, pi]
    goal_m            (N, 3)     float64   on the floor
    goal_radius_m     (N,)       float64   arrived when nearer than this
    geodesic_m        (N,)       float64   shortest way from start to goal
    goal_index        (N,)       int32     which of the fields belongs to an episode's goal
    state             (X, Y)     uint8     0 occupied, 127 unknown, 255 free

fields.npz, which the Isaac Lab package and the light simulation read too:

    goals             (G, 2)     float64
    distance_m        (G, X, Y)  float16   way to the goal, inf where it cannot be reached
    clearance_m       (X, Y)     float16   to the nearest thing that blocks
    island            (X, Y)     int16     0 not navigable, 1 the largest island
    origin_m          (2,)       float64
    cell_m            ()         float64
"""

import numpy as np

from lyra_sim.config.tasks import RobotConfig
from lyra_sim.core.errors import InputError
from robot_tasks.export.written import WrittenNav
from robot_tasks.mapfiles import save_arrays

VERSION = 2
_SAME_M = 1e-3
"""Positions in episodes are rounded to 0.1 mm, those of fields are not."""


def write(nav: WrittenNav, robot: RobotConfig) -> None:
    """`isaac.npz`.

    Raises:
        InputError: an episode's goal has no field.
    """
    rows, fields = nav.episodes, nav.fields
    start = np.array([row["start_position"] for row in rows], np.float64).reshape(-1, 3)
    goal = np.array([row["goals"][0]["position"] for row in rows], np.float64).reshape(-1, 3)
    apart = np.linalg.norm(goal[:, None, :2] - fields["goals"][None], axis=2)
    worst = apart.min(1, initial=np.inf).max(initial=0.0)
    if worst > _SAME_M:
        raise InputError(
            nav.folder / "episodes.json.gz",
            expected="goals that have a field in fields.npz",
            got=f"one that is {worst:.3f} m from the next",
            todo="Make the world again with --fresh.",
        )
    turn = np.array([row["start_rotation"] for row in rows], np.float64).reshape(-1, 4)
    yaw = 2 * np.arctan2(turn[:, 3], turn[:, 0])
    arrays = {
        "version": np.int64(VERSION),
        "start_m": start,
        "start_yaw_rad": np.pi - np.mod(np.pi - yaw, 2 * np.pi),
        "goal_m": goal,
        "goal_radius_m": np.array([row["goals"][0]["radius"] for row in rows], np.float64),
        "geodesic_m": np.array([row["info"]["geodesic_distance"] for row in rows], np.float64),
        "goal_index": (apart.argmin(1) if len(rows) else np.zeros(0)).astype(np.int32),
        "state": nav.map.state,
    }
    save_arrays(nav.folder / "isaac.npz", arrays)
