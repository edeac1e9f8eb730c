"""The floor plan of a flat: rooms on a rectangle, doors that connect them all, windows to the outside."""

from dataclasses import dataclass

import numpy as np

INNER_WALL_M = 0.10
OUTER_WALL_M = 0.25


@dataclass(frozen=True)
class Opening:
    """A hole in one side of a room. `side`: 0 south (y low), 1 east (x high), 2 north, 3 west. `s0`, `s1` run along
    x or y of the plan."""

    side: int
    s0: float
    s1: float
    z0: float
    z1: float
    door: bool


@dataclass(frozen=True)
class Room:
    """Interior rectangle of one room and the openings in its walls."""

    x0: float
    y0: float
    x1: float
    y1: float
    openings: tuple[Opening, ...]

    @property
    def area_m2(self) -> float:
        """Floor area."""
        return (self.x1 - self.x0) * (self.y1 - self.y0)


@dataclass(frozen=True)
class Plan:
    """All rooms, and the thresholds of the doors as (x0, y0, x1, y1) with their height."""

    rooms: tuple[Room, ...]
    thresholds: tuple[tuple[float, float, float, float], ...]
    door_height_m: tuple[float, ...]
    ceiling_m: float


def draw_plan(rng: np.random.Generator, rooms: int) -> Plan:
    """Split a rectangle into `rooms` rooms and connect them by doors 0.8 to 1.0 m wide."""
    area = rooms * rng.uniform(13.0, 18.0)
    ratio = rng.uniform(1.0, 1.5)
    width, depth = (area * ratio) ** 0.5, (area / ratio) ** 0.5
    leaves = [(0.0, 0.0, round(width, 2), round(depth, 2))]
    while len(leaves) < rooms:
        leaves.sort(key=lambda r: -(r[2] - r[0]) * (r[3] - r[1]))
        leaves = [*_split(rng, leaves[0]), *leaves[1:]]
    leaves.sort()
    ceiling = round(rng.uniform(2.4, 2.8), 2)
    openings: list[list[Opening]] = [[] for _ in leaves]
    thresholds, heights = [], []
    for i, j in _door_pairs(rng, leaves):
        height = round(rng.uniform(2.0, 2.1), 2)
        thresholds.append(_add_door(rng, leaves, i, j, height, openings))
        heights.append(height)
    outer = (0.0, 0.0, round(width, 2), round(depth, 2))
    _add_windows(rng, leaves, outer, ceiling, openings)
    done = tuple(Room(*_inset(r, outer), tuple(o)) for r, o in zip(leaves, openings, strict=True))
    return Plan(done, tuple(thresholds), tuple(heights), ceiling)


def _split(rng: np.random.Generator, r: tuple) -> list[tuple]:
    x0, y0, x1, y1 = r
    share = rng.uniform(0.4, 0.6)
    if x1 - x0 > y1 - y0:
        c = round(x0 + share * (x1 - x0), 2)
        return [(x0, y0, c, y1), (c, y0, x1, y1)]
    c = round(y0 + share * (y1 - y0), 2)
    return [(x0, y0, x1, c), (x0, c, x1, y1)]


def _shared(a: tuple, b: tuple) -> tuple[int, float, float, float] | None:
    """(side of a, place of the wall, s0, s1) of the common edge, or None."""
    for side, at_a, at_b, k in ((1, a[2], b[0], 1), (3, a[0], b[2], 1), (2, a[3], b[1], 0), (0, a[1], b[3], 0)):
        low, high = max(a[k], b[k]), min(a[k + 2], b[k + 2])
        if at_a == at_b and high - low > 1.5:
            return side, at_a, low, high
    return None


def _door_pairs(rng: np.random.Generator, leaves: list[tuple]) -> list[tuple[int, int]]:
    """A random spanning tree over neighbouring rooms, and one more door in some flats."""
    n = len(leaves)
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n) if _shared(leaves[i], leaves[j])]
    order = rng.permutation(len(pairs))
    group, chosen = list(range(n)), []
    for k in order:
        i, j = pairs[k]
        if group[i] != group[j]:
            old, new = group[j], group[i]
            group = [new if g == old else g for g in group]
            chosen.append((i, j))
    spare = [pairs[k] for k in order if pairs[k] not in chosen]
    if spare and rng.random() < 0.5:
        chosen.append(spare[0])
    return sorted(chosen)


def _add_door(
    rng: np.random.Generator, leaves: list[tuple], i: int, j: int, height: float, openings: list[list[Opening]]
) -> tuple[float, float, float, float]:
    found = _shared(leaves[i], leaves[j])
    assert found is not None
    side, wall, low, high = found
    width = round(rng.uniform(0.82, 1.0), 2)
    s0 = round(rng.uniform(low + 0.25, high - 0.25 - width), 2)
    s1 = round(s0 + width, 2)
    openings[i].append(Opening(side, s0, s1, 0.0, height, True))
    openings[j].append(Opening((side + 2) % 4, s0, s1, 0.0, height, True))
    half = INNER_WALL_M / 2
    return (wall - half, s0, wall + half, s1) if side in (1, 3) else (s0, wall - half, s1, wall + half)


def _add_windows(
    rng: np.random.Generator, leaves: list[tuple], outer: tuple, ceiling: float, openings: list[list[Opening]]
) -> None:
    for r, found in zip(leaves, openings, strict=True):
        outside = [s for s, k in ((0, 1), (1, 2), (2, 3), (3, 0)) if r[k] == outer[k]]
        for side in rng.permutation(outside)[: 1 + int(rng.random() < 0.5)].tolist():
            low, high = (r[0], r[2]) if side in (0, 2) else (r[1], r[3])
            width = round(min(rng.uniform(1.0, 2.2), high - low - 0.95), 2)
            s0 = round(rng.uniform(low + 0.45, high - 0.46 - width), 2)
            sill = round(float(rng.choice([0.45, 0.85, 0.9, 1.0])), 2)
            found.append(Opening(side, s0, round(s0 + width, 2), sill, round(ceiling - 0.28, 2), False))


def _inset(r: tuple, outer: tuple) -> tuple[float, float, float, float]:
    half = INNER_WALL_M / 2
    x0, y0 = (v if v == o else v + half for v, o in zip(r[:2], outer[:2], strict=True))
    x1, y1 = (v if v == o else v - half for v, o in zip(r[2:], outer[2:], strict=True))
    return x0, y0, x1, y1
