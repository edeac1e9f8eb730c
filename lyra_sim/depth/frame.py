"""Places the world frame: z = 0 on the floor, the origin on free floor near the start camera's foot, x its heading."""

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from lyra_sim.core.errors import SceneError
from lyra_sim.geometry.camera import transform

_REACH_M = 15.0
"""Floor further from the camera's foot is not searched; bounds the grid."""


def place_origin(
    points_source: Float[np.ndarray, "N 3"],
    up_source: Float[np.ndarray, "3"],
    floor_height_m: float,
    T_source_cam: Float[np.ndarray, "4 4"],
    *,
    robot_radius_m: float = 0.12,
    cell_m: float = 0.05,
    floor_tolerance_m: float = 0.04,
    slab_m: tuple[float, float] = (0.06, 0.6),
) -> Float[np.ndarray, "4 4"]:
    """T_world_source of the world frame described in `core.conventions`.

    The origin is the centre of the seen floor cell nearest to the foot of the start camera round which no point lies
    in the slab above the floor within the robot's radius, and at least half of whose disc is seen floor.

    Args:
        points_source: seen surface points in the source's frame; about one per cell on the floor is enough.
        up_source: unit vector against gravity, in the source's frame.
        floor_height_m: `up_source @ p` of the floor's points p.
        T_source_cam: start camera (OpenCV axes) in the source's frame.
        robot_radius_m: radius of the smallest robot.
        floor_tolerance_m: points within this height of the floor are floor.
        slab_m: heights above the floor in which a point is an obstacle.

    Raises:
        SceneError: no seen floor cell is free for that robot.
    """
    T = _levelled(up_source, floor_height_m, T_source_cam)
    points = transform(T, points_source)
    points = points[(np.abs(points[:, :2]) < _REACH_M).all(1)]
    height = points[:, 2]
    cells = np.floor((points[:, :2] + _REACH_M) / cell_m).astype(np.int64)
    side = int(np.ceil(2 * _REACH_M / cell_m)) + 1
    floor = np.zeros((side, side), bool)
    blocked = np.zeros((side, side), bool)
    for grid, chosen in (
        (floor, np.abs(height) < floor_tolerance_m),
        (blocked, (height > slab_m[0]) & (height < slab_m[1])),
    ):
        grid[cells[chosen, 0], cells[chosen, 1]] = True
    clearance = (
        cell_m * np.asarray(ndimage.distance_transform_edt(~blocked)) if blocked.any() else np.full(floor.shape, np.inf)
    )
    reach = int(np.ceil(robot_radius_m / cell_m))
    span = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1])
    disc = (span * cell_m <= robot_radius_m).astype(np.float32)
    seen = ndimage.convolve(floor.astype(np.float32), disc / disc.sum(), mode="constant")
    free = np.argwhere(floor & (clearance > robot_radius_m + cell_m / 2) & (seen >= 0.5))
    if len(free) == 0:
        raise SceneError(
            "observe",
            expected=f"seen floor that is free for a robot of radius {robot_radius_m} m",
            got=f"{floor.sum() * cell_m**2:.2f} m2 of seen floor, no part of it free",
            todo="Show more of the floor in the images.",
        )
    centres = (free + 0.5) * cell_m - _REACH_M
    T[:2, 3] -= centres[np.argmin(np.hypot(centres[:, 0], centres[:, 1]))]
    return T


def _levelled(up: np.ndarray, floor_height_m: float, T_source_cam: np.ndarray) -> np.ndarray:
    """World frame with its origin at the camera's foot. A camera that looks straight down heads where its image's top
    points."""
    axes = T_source_cam[:3, :3]
    x = axes[:, 2] - (axes[:, 2] @ up) * up
    if np.linalg.norm(x) < 0.1:
        x = -axes[:, 1] + (axes[:, 1] @ up) * up
    x /= np.linalg.norm(x)
    T = np.eye(4)
    T[:3, :3] = np.stack([x, np.cross(up, x), up])
    T[:3, 3] = -T[:3, :3] @ T_source_cam[:3, 3]
    T[2, 3] = -floor_height_m
    return T
