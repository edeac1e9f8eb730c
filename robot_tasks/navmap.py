"""Occupancy maps from colliders: what blocks a robot of this height and step, where floor is, what is unknown.

The map a robot gets is coarse (`cell_m`); everything computed from it (clearance, planning, footprints) uses the same
raster made finer, so that a door is not narrowed by half a cell on either side.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8
from scipy import ndimage

from lyra_sim.config.tasks import RobotConfig
from lyra_sim.core.errors import SceneError
from lyra_sim.core.record import record
from lyra_sim.core.records import FloorGrid
from lyra_sim.geometry.rays import RayScene
from robot_tasks.colliders import Soup, rays_of, soup_of_scene
from robot_tasks.raster import rasterise

OCCUPIED, UNKNOWN, FREE = 0, 127, 255
"""Grey values of the map; 127 stays unknown under every ROS loader (205 reads as free above a threshold of 0.196)."""
_FLOOR_TOL_M = 0.02
"""A collider this near the recorded floor height is the floor."""
_PAD_M = 0.5
_SLOPE_BASE_M = 0.3
_FINE_CELLS_MAX = 12_000_000


@record
class Ground:
    """The recorded floor where colliders carry it, on the record's lattice, cropped to the floor plus a border."""

    origin_m: Float64[np.ndarray, "2"]
    cell_m: float
    present: Bool[np.ndarray, "X Y"]
    """The record says floor and the vertical line through the cell's centre meets a collider there."""
    height_m: Float32[np.ndarray, "X Y"]
    """Recorded height where present, else that of the nearest present cell. Not the collider's: bumps that a robot
    climbs must not lift the band in which the next bump counts."""


@record
class Slab:
    """What counts as an obstacle: collider between two heights over the floor, and floor edges."""

    low_m: float
    high_m: float
    step_m: float
    slope_deg: float


@record
class NavMap:
    """An occupancy map and the finer raster behind it. Cell (0, 0) has its lower left corner at `origin_m`."""

    origin_m: Float64[np.ndarray, "2"]
    cell_m: float
    state: UInt8[np.ndarray, "X Y"]
    """OCCUPIED, UNKNOWN or FREE."""
    fine_m: float
    blocked: Bool[np.ndarray, "U V"]
    """On cells of `fine_m` from the same origin: an obstacle, or no floor."""
    clearance_m: Float32[np.ndarray, "U V"]
    """At the centres of the fine cells: lower bound of the distance to what is blocked; 0 inside."""
    obstacle: Bool[np.ndarray, "U V"]
    """What is blocked by an obstacle; the rest of `blocked` is only unknown."""

    def map_clearance_m(self) -> Float32[np.ndarray, "U V"]:
        """At the centres of the fine cells: lower bound of the distance to the map's own cells that are not free, which
        count whole; what a reader of the written map finds."""
        split = round(self.cell_m / self.fine_m)
        taken = (self.state != FREE).repeat(split, 0).repeat(split, 1)
        return np.maximum(distance_to(taken, self.fine_m) - np.float32(self.fine_m * math.sqrt(0.5)), np.float32(0))

    def most_clearance_m(self) -> Float32[np.ndarray, "U V"]:
        """Upper bound of the distance to the next obstacle if all that is unknown were free; 0 inside."""
        inside = distance_to(self.obstacle, self.fine_m) + np.float32(self.fine_m * math.sqrt(0.5))
        inside[self.obstacle] = 0
        return inside


def measure_ground(rays: RayScene, floor: FloorGrid) -> Ground:
    """Where the recorded floor is really carried by a collider (within 2 cm of its height).

    Raises:
        SceneError: the record holds no floor.
    """
    found = np.argwhere(floor.state > 0)
    if len(found) == 0:
        raise SceneError("tasks", expected="some floor", got="none", todo="Use an input in which floor is visible.")
    pad = math.ceil(_PAD_M / floor.cell_m)
    first, last = found.min(0), found.max(0)
    known, height = (
        np.pad(grid[first[0] : last[0] + 1, first[1] : last[1] + 1], pad) for grid in (floor.state > 0, floor.height_m)
    )
    origin = floor.origin_m + (first - pad) * floor.cell_m
    cells = np.argwhere(known)
    tops = height[known].astype(np.float64) + _FLOOR_TOL_M
    # off the exact centre, where the diagonals of level rectangles run
    starts = np.column_stack([origin + (cells + 0.5) * floor.cell_m + np.array([1.1e-3, 0.7e-3]), tops])
    down = np.broadcast_to([0.0, 0.0, -1.0], starts.shape)
    depth, _, _ = rays.cast(starts, down)
    present = np.zeros(known.shape, bool)
    present[known] = depth <= 2 * _FLOOR_TOL_M
    if present.any():
        nearest = ndimage.distance_transform_edt(~present, return_distances=False, return_indices=True)
        height = height[tuple(nearest)]  # pyright: ignore[reportArgumentType, reportCallIssue]
    height = np.ascontiguousarray(height, np.float32)
    return Ground(origin_m=origin, cell_m=floor.cell_m, present=present, height_m=height)


def robot_slab(robot: RobotConfig) -> Slab:
    """Everything above the robot's step and below its top is an obstacle: what lies between step and slab stops its
    wheels though its body would pass over it."""
    return Slab(
        low_m=min(robot.step_m, robot.slab_m[0]),
        high_m=robot.slab_m[1],
        step_m=robot.step_m,
        slope_deg=robot.slope_deg,
    )


def build_map(soup: Soup, ground: Ground, slab: Slab, cell_m: float) -> NavMap:
    """The occupancy map for one height band, as `build_maps`."""
    return build_maps(soup, ground, [slab], cell_m)[0]


def build_maps(soup: Soup, ground: Ground, slabs: Sequence[Slab], cell_m: float) -> tuple[NavMap, ...]:
    """The occupancy maps for some height bands.

    Occupied: any collider meets the cell's column inside the band, or the floor steps or slopes there by more than
    the robot climbs. Free: not occupied and floor under the whole cell. Unknown: the rest.
    """
    extent = np.array(ground.present.shape) * ground.cell_m
    shape = np.ceil(extent / cell_m - 1e-9).astype(int)
    split = next(k for k in (4, 2) if k == 2 or shape.prod() * k * k <= _FINE_CELLS_MAX)
    fine = cell_m / split
    rows, columns = (((np.arange(n * split) + 0.5) * fine / ground.cell_m).astype(int) for n in shape)
    outside = (rows >= ground.present.shape[0])[:, None] | (columns >= ground.present.shape[1])[None]
    rows, columns = (np.minimum(k, n - 1) for k, n in zip((rows, columns), ground.present.shape, strict=True))
    spot = np.ix_(rows, columns)
    base = [_band_base(ground, slab) for slab in slabs]
    low = np.stack([b + np.float32(slab.low_m + 1e-4) for b, slab in zip(base, slabs, strict=True)])
    high = np.stack([b + np.float32(slab.high_m) for b, slab in zip(base, slabs, strict=True)])
    solids = rasterise(soup.triangles, soup.hull, ground.origin_m, fine, low, high, rows=rows, columns=columns)
    missing = ~ground.present[spot] | outside
    climbs = [(slab.step_m, slab.slope_deg) for slab in slabs]
    edges = {climb: _edges(ground, *climb)[spot] & ~outside for climb in set(climbs)}
    return tuple(_nav_map(ground, s | edges[c], missing, cell_m, split) for s, c in zip(solids, climbs, strict=True))


def _nav_map(
    ground: Ground, solid: Bool[np.ndarray, "U V"], missing: Bool[np.ndarray, "U V"], cell_m: float, split: int
) -> NavMap:
    """A map of its fine raster, whose cells are `split` times smaller."""
    state = np.full((solid.shape[0] // split, solid.shape[1] // split), FREE, np.uint8)
    state[any_of_square(missing, split)] = UNKNOWN
    state[any_of_square(solid, split)] = OCCUPIED
    blocked, fine = solid | missing, cell_m / split
    # the whole blocked cell counts
    clearance = np.maximum(distance_to(blocked, fine) - np.float32(fine * math.sqrt(0.5)), np.float32(0))
    return NavMap(
        origin_m=ground.origin_m, cell_m=cell_m, state=state, fine_m=fine, blocked=blocked, clearance_m=clearance,
        obstacle=solid,
    )  # fmt: skip


def any_of_square(grid: Bool[np.ndarray, "U V"], side: int) -> Bool[np.ndarray, "X Y"]:
    """Which squares of `side` x `side` cells hold a true one."""
    # one axis at a time is four times as fast
    rows = np.logical_or.reduce(grid.reshape(grid.shape[0] // side, side, grid.shape[1]), axis=1)
    return np.logical_or.reduce(rows.reshape(grid.shape[0] // side, -1, side), axis=2)


def distance_to(solid: Bool[np.ndarray, "U V"], cell_m: float) -> Float32[np.ndarray, "U V"]:
    """Metres from each cell's centre to the nearest one of `solid`; far beyond the grid where there is none."""
    if not solid.any():
        return np.full(solid.shape, np.hypot(*solid.shape) * cell_m, np.float32)
    free = (~solid).astype(np.uint8)
    return cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) * np.float32(cell_m)


def _band_base(ground: Ground, slab: Slab) -> Float32[np.ndarray, "X Y"]:
    """Height above which obstacles are looked for: that of the floor, beside a step that the robot climbs that of the
    higher floor, whose side is no obstacle."""
    known = np.where(ground.present, ground.height_m, -np.inf)
    higher = np.asarray(ndimage.maximum_filter(known, 3, mode="nearest"))
    climbed = higher - ground.height_m <= _most_step(ground, slab.step_m, slab.slope_deg, 1)
    return np.where(climbed, np.maximum(higher, ground.height_m), ground.height_m).astype(np.float32)


def _most_step(ground: Ground, step_m: float, slope_deg: float, lag: int) -> float:
    """Largest difference of the floor over `lag` cells that the robot drives."""
    return step_m + lag * math.tan(math.radians(slope_deg)) * ground.cell_m + 1e-4


def _edges(ground: Ground, step_m: float, slope_deg: float) -> Bool[np.ndarray, "X Y"]:
    """Floor cells beside a kerb higher than the step, or on a slope steeper than the robot drives."""
    edges = np.zeros(ground.present.shape, bool)
    far = max(round(_SLOPE_BASE_M / ground.cell_m), 1)
    for lag in (1, far):
        limit = _most_step(ground, step_m, slope_deg, lag)
        for axis in (0, 1):
            here, there = _sides(ground.present, lag, axis), _sides(ground.height_m, lag, axis)
            steep = here[0] & here[1] & (np.abs(there[0] - there[1]) > limit)
            steep &= _unbroken(ground, _most_step(ground, step_m, slope_deg, 1), lag, axis)
            for side in _sides(edges, lag, axis):
                side |= steep
    return edges


def _unbroken(ground: Ground, most_m: float, lag: int, axis: int) -> Bool[np.ndarray, "X Y"]:
    """Whether no step higher than the robot climbs lies between cells `lag` apart: a kerb blocks where it is, and
    makes no slope of the level floor around it."""
    height = np.moveaxis(ground.height_m, axis, 0)
    breaks = np.cumsum(np.abs(np.diff(height, axis=0)) > most_m, axis=0)
    breaks = np.concatenate([np.zeros_like(breaks[:1]), breaks])
    return np.moveaxis((breaks[lag:] == breaks[:-lag]) | (lag == 1), 0, axis)


def _sides(grid: np.ndarray, lag: int, axis: int) -> tuple[np.ndarray, np.ndarray]:
    moved = np.moveaxis(grid, axis, 0)
    return np.moveaxis(moved[:-lag], 0, axis), np.moveaxis(moved[lag:], 0, axis)


def map_of_soup(soup: Soup, robot: RobotConfig, floor: FloorGrid, cell_m: float = 0.05) -> NavMap:
    """A robot's map from colliders in memory."""
    return build_map(soup, measure_ground(rays_of(soup), floor), robot_slab(robot), cell_m)


def map_from_scene(scene: Path, robot: RobotConfig, floor: FloorGrid, cell_m: float = 0.05) -> NavMap:
    """A robot's map from a written USD scene."""
    return map_of_soup(soup_of_scene(scene), robot, floor, cell_m)


def reraster_iou(a: NavMap, b: NavMap) -> float:
    """How far two maps of one world agree; 0 for maps on different lattices."""
    if a.cell_m != b.cell_m or not np.array_equal(a.origin_m, b.origin_m):
        return 0.0
    return state_iou(a.state, b.state)


def state_iou(a: UInt8[np.ndarray, "X Y"], b: UInt8[np.ndarray, "U V"]) -> float:
    """Intersection over union of the free cells and of the occupied cells, the smaller of both; 0 where the shapes
    differ."""
    if a.shape != b.shape:
        return 0.0
    shares = []
    for value in (FREE, OCCUPIED):
        either = ((a == value) | (b == value)).sum()
        shares.append(float(((a == value) & (b == value)).sum() / either) if either else 1.0)
    return min(shares)
