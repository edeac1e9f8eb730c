"""Distance fields: from every place a robot's centre may be to each of the goals of its world.

They lie on the map's cells, four times fewer than those of the space, in which doors are as wide as they are (`domain`
says which take part). Distances of episodes are measured along tightened paths, not here.
"""

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from numba import njit
from scipy import ndimage

from lyra_sim.config.tasks import RobotConfig, TasksConfig
from lyra_sim.core.record import record
from robot_tasks import footprint
from robot_tasks.geodesic import goal_field, sample
from robot_tasks.islands import Space
from robot_tasks.navmap import NavMap, any_of_square

DRIVE_MARGIN_M = 0.03
"""Driven paths keep this much more than the map radius where there is room."""
_THINNER_M = 0.01
"""How much nearer obstacles may be passed on the hopeful map than their lower bound says: what reconstruction adds."""
_ROOMY_SHARE = 0.1


@record
class Fields:
    """Distance fields of the goals on the map's cells."""

    goals: Float64[np.ndarray, "G 2"]
    cells: Int64[np.ndarray, "G 2"]
    """The goals' cells."""
    distance_m: Float32[np.ndarray, "G X Y"]
    """inf where the robot's centre cannot be or not come from."""
    hopeful_m: Float32[np.ndarray, "G X Y"]
    """The same on the most hopeful map: never longer than the true distance, but for the grid's error."""
    spots_m: Float64[np.ndarray, "X Y 2"]
    """Of each cell the place of the main island with most room around it, or the next such place to its centre."""
    ends: Int64[np.ndarray, "N 2"]
    """Cells in whose spots starts and goals may lie."""
    longest_m: float
    """The longest geodesic found, 0 without goals."""


def make_fields(nav: NavMap, space: Space, robot: RobotConfig, config: TasksConfig, seed: int) -> Fields:
    """Goals spread over the main island (farthest-point choice from a seeded first one) and their fields."""
    split = round(nav.cell_m / space.cell_m)
    spots, room = _spots(nav, space, split)
    cells = _end_cells(nav, spots, room, robot)
    places = spots[tuple(cells.T)]
    chosen: list[int] = []
    if len(cells):
        chosen.append(int(np.random.default_rng(seed).integers(len(cells))))
        apart = np.hypot(*(places - places[chosen[0]]).T)
        while len(chosen) < config.goals and apart.max() >= max(2 * robot.radius_m, 0.25):
            chosen.append(int(np.argmax(apart)))
            apart = np.minimum(apart, np.hypot(*(places - places[chosen[-1]]).T))
    goals = cells[chosen].reshape(-1, 2)
    distance = _distances(domain(space, split), goals, nav.cell_m)
    return Fields(
        goals=places[chosen].reshape(-1, 2),
        cells=goals,
        distance_m=distance,
        hopeful_m=_distances(domain(_hopeful(nav, space, robot), split), goals, nav.cell_m),
        spots_m=spots,
        ends=cells,
        longest_m=float(np.max(distance, where=np.isfinite(distance), initial=0.0)),
    )


def _spots(nav: NavMap, space: Space, split: int) -> tuple[Float64[np.ndarray, "X Y 2"], Float32[np.ndarray, "X Y"]]:
    """Of each map cell the place of the main island with most room, and that room (-1 where the island has no part in
    the cell, then the place is that of the next cell)."""
    shape = np.array(space.island.shape) // split
    cells = np.argwhere(space.main)
    centres = space.centre(cells)
    room = np.full(space.island.shape, -1.0, np.float32)
    room[tuple(cells.T)] = sample(nav.clearance_m, nav.origin_m, nav.fine_m, centres)
    blocks = room.reshape(shape[0], split, shape[1], split).transpose(0, 2, 1, 3).reshape(*shape, split * split)
    best = blocks.argmax(-1)
    most = np.take_along_axis(blocks, best[..., None], -1)[..., 0]
    corner = np.indices(tuple(shape)).transpose(1, 2, 0) * split
    spots = space.centre(corner + np.stack([best // split, best % split], -1))
    if (most >= 0).any():
        next_ = ndimage.distance_transform_edt(most < 0, return_distances=False, return_indices=True)
        spots = spots[tuple(next_)]  # pyright: ignore[reportArgumentType, reportCallIssue]
    return spots, most


def _end_cells(
    nav: NavMap, spots: Float64[np.ndarray, "X Y 2"], room_m: Float32[np.ndarray, "X Y"], robot: RobotConfig
) -> Int64[np.ndarray, "N 2"]:
    """Map cells of the main island where starts and goals may lie: with room to turn on the spot, unless only a small
    part of the island has that. A cell more than the map radius is kept in any case. Both hold on the written map
    too."""
    on_map = sample(nav.map_clearance_m(), nav.origin_m, nav.fine_m, spots.reshape(-1, 2)).reshape(room_m.shape)
    inside = room_m >= 0
    kept = inside & (on_map >= robot.radius_m + nav.cell_m)
    reach = footprint.circumscribed_m(robot)
    turning = np.argwhere(kept & (on_map >= reach) & (room_m >= reach + DRIVE_MARGIN_M))
    return turning if len(turning) >= _ROOMY_SHARE * inside.sum() else np.argwhere(kept)


def domain(space: Space, split: int) -> Bool[np.ndarray, "X Y"]:
    """Map cells (squares of `split` cells of the space) that fields run over: those in which the main island has a
    part, and those next to one at a cell's distance, unless such a one would join what is apart.

    Fronts run through the centres of cells, so they go round corners by half a cell too far; with the second kind of
    cells they do so by no more than on cells half as large (measured on flats against tightened paths).
    """
    inside = space.coarse(split)
    if split == 1:
        return inside
    near = any_of_square(np.asarray(ndimage.binary_dilation(space.main)), split)
    grown = np.pad(inside, 1)
    _add_simple(grown, np.argwhere(near & ~inside) + 1)
    return grown[1:-1, 1:-1].copy()


@njit(cache=True)
def _add_simple(grown, cells):
    """Adds cells one by one, but for those whose free neighbours do not hang together among the eight around."""
    ring_i, ring_j = (-1, -1, 0, 1, 1, 1, 0, -1), (0, 1, 1, 1, 0, -1, -1, -1)
    for i, j in cells:
        sides, joined = 0, 0
        for k in range(0, 8, 2):
            a = grown[i + ring_i[k], j + ring_j[k]]
            corner = grown[i + ring_i[k + 1], j + ring_j[k + 1]]
            b = grown[i + ring_i[(k + 2) % 8], j + ring_j[(k + 2) % 8]]
            sides += a
            joined += a and corner and b
        if sides - joined == 1 or joined == 4:
            grown[i, j] = True


def _distances(free: Bool[np.ndarray, "X Y"], goals: np.ndarray, cell_m: float) -> Float32[np.ndarray, "G X Y"]:
    fields = np.empty((len(goals), *free.shape), np.float32)
    for k, (i, j) in enumerate(goals):
        fields[k] = goal_field(free, (int(i), int(j)), cell_m)
    return fields


def _hopeful(nav: NavMap, space: Space, robot: RobotConfig) -> Space:
    """The main island and all places where the robot's centre could be if all that is unknown were free."""
    cells = np.indices(space.island.shape).reshape(2, -1).T
    room = sample(nav.most_clearance_m(), nav.origin_m, nav.fine_m, space.centre(cells)).reshape(space.island.shape)
    island = space.main | (room >= robot.radius_m - _THINNER_M)
    return Space(origin_m=space.origin_m, cell_m=space.cell_m, island=island.astype(np.int32), areas_m2=())
