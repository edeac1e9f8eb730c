"""Flats of plain boxes, made in memory without sensors, reconstruction or USD: the worlds that finished ones must beat.

Four rooms on 10 x 10 m behind three or four doors 1 m wide, 8 to 20 boxes in them; all floor is known.
"""

import numpy as np

from lyra_sim.config.tasks import RobotConfig, TasksConfig
from lyra_sim.core.records import FloorGrid
from robot_tasks.colliders import Soup, rays_of
from robot_tasks.fields import make_fields
from robot_tasks.islands import find_space
from robot_tasks.lidar import cut
from robot_tasks.navmap import build_map, measure_ground, robot_slab
from robot_tasks.worlds import NavWorld, world_in_memory

_SIDE_M, _WALL_M, _DOOR_M, _HEIGHT_M = 10.0, 0.1, 1.0, 2.0
_CELL_M, _MAP_M = 0.025, 0.05
_GOALS = 16
_QUADS = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))

Rect = tuple[float, float, float, float]
"""x0, y0, x1, y1, metres."""


def box_flat(seed: int) -> tuple[Soup, FloorGrid]:
    """Collider triangles and floor of one flat; the same seed gives the same flat."""
    solids = _solids(np.random.default_rng([seed, 8]))
    triangles = [_box((-_WALL_M, -_WALL_M, _SIDE_M + _WALL_M, _SIDE_M + _WALL_M), -0.1, 0.0)]
    triangles += [_box(rect, -0.05, _HEIGHT_M) for rect in solids]
    count = round(_SIDE_M / _CELL_M)
    at = (np.arange(count) + 0.5) * _CELL_M
    state = np.ones((count, count), np.uint8)
    for x0, y0, x1, y1 in solids:
        state[np.ix_((at > x0) & (at < x1), (at > y0) & (at < y1))] = 0
    soup = np.concatenate(triangles)
    return (
        Soup(triangles=soup, hull=np.full(len(soup), -1, np.int32)),
        FloorGrid(origin_m=np.zeros(2), cell_m=_CELL_M, state=state, height_m=np.zeros((count, count), np.float32)),
    )


def box_worlds(count: int, robot: RobotConfig, seed: int = 0) -> tuple[NavWorld, ...]:
    """`count` such flats with maps and distance fields of one robot, made as those of finished worlds are, without
    episodes (`starts.with_starts` draws some). Takes half a second a world."""
    made = []
    for number in range(seed * 1_000_003, seed * 1_000_003 + count):
        soup, floor = box_flat(number)
        ground = measure_ground(rays_of(soup), floor)
        nav = build_map(soup, ground, robot_slab(robot), _MAP_M)
        space = find_space(nav, robot.radius_m, nav.cell_m)
        fields = make_fields(nav, space, robot, TasksConfig(goals=_GOALS), number)
        lines = cut(soup, ground, robot.lidar.height_m)
        made.append(world_in_memory(f"boxes-{number}", robot, nav, space, fields, lines, ()))
    return tuple(made)


def _solids(rng: np.random.Generator) -> list[Rect]:
    """Walls and boxes as rectangles."""
    s, w, half = _SIDE_M, _WALL_M, _WALL_M / 2
    solids: list[Rect] = [(-w, -w, 0.0, s + w), (s, -w, s + w, s + w), (-w, -w, s + w, 0.0), (-w, s, s + w, s + w)]
    cx, cy = rng.uniform(4.0, 6.0, 2)
    doors: list[Rect] = []
    shut = int(rng.integers(8))  # half of the flats have all four doors
    for k, (low, high) in enumerate(((0.0, cy), (cy, s), (0.0, cx), (cx, s))):
        upright, wall = k < 2, cx if k < 2 else cy
        at = rng.uniform(low + 0.5, high - 0.5 - _DOOR_M)
        gaps = [(low, high)] if k == shut else [(low, at), (at + _DOOR_M, high)]
        for a, b in gaps:
            solids.append((wall - half, a, wall + half, b) if upright else (a, wall - half, b, wall + half))
        if k != shut:
            door = (wall - 1.0, at - 0.2, wall + 1.0, at + _DOOR_M + 0.2)
            doors.append(door if upright else (door[1], door[0], door[3], door[2]))
    for _ in range(int(rng.integers(8, 21))):
        (x, y), (a, b) = rng.uniform(0.0, s, 2), rng.uniform(0.3, 1.4, 2)
        rect = (max(x - a / 2, 0.0), max(y - b / 2, 0.0), min(x + a / 2, s), min(y + b / 2, s))
        if not any(_meet(rect, door) for door in doors):
            solids.append(rect)
    return [(float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in solids]


def _meet(a: Rect, b: Rect) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _box(rect: Rect, low: float, high: float) -> np.ndarray:
    """(12, 3, 3) triangles of an upright box, outward winding."""
    x, y, z = (rect[0], rect[2]), (rect[1], rect[3]), (low, high)
    corner = np.array([[x[i], y[j], z[k]] for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)
    return np.array([corner[list(face)] for a, b, c, d in _QUADS for face in ((a, b, c), (a, c, d))])
