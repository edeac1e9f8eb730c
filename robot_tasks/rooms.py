"""Rooms and the doors between them, found in the colliders: where the walls leave a narrow way between two wide places.

A watershed of the distance to walls (Meyer 1991), flooded from the widest places down: two basins that meet become
one room, unless both are much wider than the pass between them and as large as a room; then the pass is a door.
Walls are what stands at head height, so that beds and tables divide nothing; under furniture the floor goes on.
"""

import math

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32
from numba import njit

from lyra_sim.core.record import record
from robot_tasks.navmap import NavMap, Slab, distance_to

WALL_SLAB = Slab(low_m=1.5, high_m=1.9, step_m=0.1, slope_deg=30.0)
"""Doors are 2 m high and more, most furniture is lower than 1.5 m."""
DOOR_M = 1.4
"""Wider openings divide no room."""
LEAST_DOOR_M = 0.3
"""Narrower gaps let nothing through."""
ROOM_M2 = 2.0
_PROMINENCE_M = 0.2
"""How much more half-width than the pass both places must have."""
_NEAR_M = 0.8
"""Passes between the same rooms that are nearer to each other are one door."""
_UNDER_M = 1.2
"""Floor that is missing under furniture goes on this far."""


@record
class Door:
    """A narrow way between two rooms."""

    rooms: tuple[int, int]
    centre: Float64[np.ndarray, "2"]
    width_m: float
    """Between the walls."""


@record
class Rooms:
    """The rooms of a world, the same for all robots."""

    origin_m: Float64[np.ndarray, "2"]
    cell_m: float
    label: Int32[np.ndarray, "X Y"]
    """0 outside, else the room's number; room 1 is the largest."""
    areas_m2: tuple[float, ...]
    doors: tuple[Door, ...]

    def at(self, points: Float64[np.ndarray, "N 2"]) -> Int32[np.ndarray, "N"]:
        """The rooms that points lie in, 0 for none."""
        cell = np.floor((points - self.origin_m) / self.cell_m).astype(np.int64)
        inside = ((cell >= 0) & (cell < self.label.shape)).all(1)
        cell = np.clip(cell, 0, np.array(self.label.shape) - 1)
        return np.where(inside, self.label[cell[:, 0], cell[:, 1]], 0).astype(np.int32)


@njit(cache=True)
def _root(parent, k):
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k


@njit(cache=True)
def _flood(order, width, limit, prominence, least_cells):
    """Label of every cell, and the passes that were not merged over as rows (a, b, cell)."""
    nx, ny = width.shape
    label = np.zeros(nx * ny, np.int32)
    parent, peak, size = np.zeros(len(order) + 1, np.int32), np.zeros(len(order) + 1), np.zeros(len(order) + 1)
    passes, count, made = np.empty((8 * len(order), 3), np.int64), 0, 0
    flat = width.ravel()
    for at in order:
        i, j = at // ny, at % ny
        own, here, widest = 0, flat[at], -1.0
        for di in (-1, 0, 1):
            for dj in (-1, 0, 1):
                a, b = i + di, j + dj
                if (di == 0 and dj == 0) or not (0 <= a < nx and 0 <= b < ny) or label[a * ny + b] == 0:
                    continue
                other, beside = _root(parent, label[a * ny + b]), flat[a * ny + b]
                if own == 0 or other == own:
                    own, widest = other, max(widest, beside)
                    continue
                low = own if peak[own] < peak[other] else other
                high = other if low == own else own
                if here > limit or peak[low] < here + prominence or size[low] < least_cells:
                    parent[low], size[high], own = high, size[high] + size[low], high
                else:
                    passes[count, 0], passes[count, 1], passes[count, 2] = own, other, at
                    count += 1
                    own = other if beside > widest else own
                widest = max(widest, beside)
        if own == 0:
            made += 1
            own = made
            parent[own], peak[own] = own, here
        label[at], size[own] = own, size[own] + 1
    for at in order:
        label[at] = _root(parent, label[at])
    for k in range(count):
        passes[k, 0], passes[k, 1] = _root(parent, passes[k, 0]), _root(parent, passes[k, 1])
    return label.reshape(nx, ny), passes[:count]


def find_rooms(walls: NavMap) -> Rooms:
    """Rooms and doors of a world; one room without doors where nothing divides it.

    Args:
        walls: the map of `WALL_SLAB`.
    """
    inside = _inside(walls)
    width = np.where(inside, distance_to(~inside, walls.fine_m), 0).astype(np.float32)
    cells = np.flatnonzero(width > 0)
    order = cells[np.argsort(-width.ravel()[cells], kind="stable")]
    least = ROOM_M2 / walls.fine_m**2
    label, passes = _flood(order, width, DOOR_M / 2, _PROMINENCE_M, least)
    number, areas = _numbered(label, least, walls.fine_m)
    split = round(walls.cell_m / walls.fine_m)
    return Rooms(
        origin_m=walls.origin_m,
        cell_m=walls.cell_m,
        label=number[label][split // 2 :: split, split // 2 :: split].copy(),
        areas_m2=areas,
        doors=_doors(passes, number, width, walls),
    )


def _inside(walls: NavMap) -> Bool[np.ndarray, "U V"]:
    """Floor between walls, that under furniture too."""
    pad = math.ceil(_UNDER_M / walls.fine_m) + 1  # what lies beyond the grid is outside
    floor, solid = (np.pad(grid, pad) for grid in (~(walls.blocked & ~walls.obstacle), walls.obstacle))
    floor &= ~solid
    floor[:pad], floor[-pad:], floor[:, :pad], floor[:, -pad:] = False, False, False, False
    near = distance_to(floor, walls.fine_m) <= _UNDER_M
    closed = distance_to(~near, walls.fine_m) > _UNDER_M
    return ((floor | closed) & ~solid)[pad:-pad, pad:-pad]


def _numbered(label: np.ndarray, least: float, cell_m: float) -> tuple[Int32[np.ndarray, "L"], tuple[float, ...]]:
    """Number of each label by falling size, 0 for what is too small to be a room; and the areas."""
    sizes = np.bincount(label.ravel())
    sizes[0] = 0
    rooms = [int(k) for k in np.argsort(-sizes, kind="stable") if sizes[k] >= least]
    number = np.zeros(len(sizes), np.int32)
    number[rooms] = np.arange(1, len(rooms) + 1)
    return number, tuple(float(sizes[k]) * cell_m**2 for k in rooms)


def _doors(
    passes: np.ndarray, number: np.ndarray, width: Float32[np.ndarray, "U V"], walls: NavMap
) -> tuple[Door, ...]:
    """The widest pass of each door, in the order of the rooms. The floor must be known as wide as the narrowest door:
    gaps in walls that nobody saw lie behind furniture."""
    found: list[Door] = []
    for a, b, at in passes:
        first, second = sorted((int(number[a]), int(number[b])))
        if first == 0 or first == second:
            continue
        cell = np.array(divmod(int(at), width.shape[1]))
        if 2 * walls.clearance_m[tuple(cell)] < LEAST_DOOR_M:
            continue
        centre = walls.origin_m + (cell + 0.5) * walls.fine_m
        same = [d for d in found if d.rooms == (first, second) and math.dist(d.centre, centre) < _NEAR_M]
        if not same:
            found.append(Door(rooms=(first, second), centre=centre, width_m=2 * float(width[tuple(cell)])))
    return tuple(sorted(found, key=lambda door: (door.rooms, door.centre[0], door.centre[1])))


def crossed(rooms: Rooms, path: Float64[np.ndarray, "N 2"]) -> tuple[int, ...]:
    """Numbers (of `rooms.doors`) of the doors that a path leads through, in order."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    spots = np.linspace(0, along[-1], math.ceil(along[-1] / rooms.cell_m) + 1)
    points = np.column_stack([np.interp(spots, along, path[:, k]) for k in (0, 1)])
    label = rooms.at(points)
    points, label = points[label > 0], label[label > 0]
    found: list[int] = []
    for k in np.flatnonzero(np.diff(label)):
        pair, where = sorted((int(label[k]), int(label[k + 1]))), (points[k] + points[k + 1]) / 2
        away = [math.dist(d.centre, where) if list(d.rooms) == pair else np.inf for d in rooms.doors]
        if away and min(away) < np.inf:
            found.append(int(np.argmin(away)))
    return tuple(found)


def room_in(nav: NavMap, door: Door, radius_m: float) -> float:
    """Width of a door for one robot, metres: twice the most clearance that its map has there."""
    reach = math.ceil((door.width_m / 2 + radius_m) / nav.fine_m)
    i, j = np.floor((door.centre - nav.origin_m) / nav.fine_m).astype(int)
    window = nav.clearance_m[max(i - 2, 0) : i + 3, max(j - reach, 0) : j + reach + 1]
    other = nav.clearance_m[max(i - reach, 0) : i + reach + 1, max(j - 2, 0) : j + 3]
    return 2 * float(min(window.max(initial=0), other.max(initial=0)))


def unreached(rooms: Rooms, main: Bool[np.ndarray, "X Y"], cell_m: float, least_m2: float) -> list[int]:
    """Rooms of which less than `least_m2` belongs to a robot's main island."""
    cells = np.argwhere(main)
    label = rooms.at(rooms.origin_m + (cells + 0.5) * cell_m)
    area = np.bincount(label, minlength=len(rooms.areas_m2) + 1) * cell_m**2
    return [k for k in range(1, len(rooms.areas_m2) + 1) if area[k] < least_m2]
