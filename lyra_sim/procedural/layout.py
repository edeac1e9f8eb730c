"""Which parts of a room are taken by furniture, and whether a robot still gets from door to door."""

import numpy as np
from scipy import ndimage

from lyra_sim.procedural.level_changes import Rect
from lyra_sim.procedural.plan import Opening, Room

PASSAGE_M = 0.34
"""Furniture leaves a way for a disc of this radius from each door to every other."""


class Layout:
    """Which parts of a room are taken, and whether a robot still gets from door to door."""

    cell = 0.05

    def __init__(self, room: Room) -> None:
        self.room = room
        self.taken: list[Rect] = []
        self.doors = [_before(room, o, 0.5) for o in room.openings if o.door]
        self.keep = [_door_zone(room, o) for o in room.openings if o.door]
        nx, ny = int((room.x1 - room.x0) / self.cell), int((room.y1 - room.y0) / self.cell)
        self.x = room.x0 + (np.arange(nx) + 0.5) * self.cell
        self.y = room.y0 + (np.arange(ny) + 0.5) * self.cell

    def fits(self, rect: Rect, gap: float) -> bool:
        """Clear, and leaving all free floor in one walkable piece."""
        return self.clear(rect, gap) and self._walkable([*self.taken, rect])

    def clear(self, rect: Rect, gap: float) -> bool:
        """Inside the room, clear of doors and `gap` away from other pieces."""
        r = self.room
        inside = rect[0] >= r.x0 and rect[1] >= r.y0 and rect[2] <= r.x1 and rect[3] <= r.y1
        return inside and not (
            any(_overlap(rect, k, 0.0) for k in self.keep) or any(_overlap(rect, t, gap) for t in self.taken)
        )

    def _walkable(self, taken: list[Rect]) -> bool:
        m, r = PASSAGE_M, self.room
        free = ((self.x > r.x0 + m) & (self.x < r.x1 - m))[:, None] & ((self.y > r.y0 + m) & (self.y < r.y1 - m))
        for t in taken:
            inside = ((self.x > t[0] - m) & (self.x < t[2] + m))[:, None] & ((self.y > t[1] - m) & (self.y < t[3] + m))
            free &= ~inside
        groups = np.asarray(ndimage.label(free)[0])  # pyright: ignore[reportIndexIssue]
        if not groups.any():
            return False
        size = np.bincount(groups.ravel())[1:]
        at = [groups[int((x - r.x0) / self.cell), int((y - r.y0) / self.cell)] for x, y in self.doors]
        big = int(size.argmax()) + 1
        return all(g == big for g in at) and size.max() >= 0.93 * size.sum() and size.max() * self.cell**2 >= 1.2


def _overlap(a: tuple, b: tuple, gap: float) -> bool:
    return a[0] < b[2] + gap and b[0] < a[2] + gap and a[1] < b[3] + gap and b[1] < a[3] + gap


def _before(room: Room, o: Opening, d: float) -> tuple[float, float]:
    s = (o.s0 + o.s1) / 2
    return [(s, room.y0 + d), (room.x1 - d, s), (s, room.y1 - d), (room.x0 + d, s)][o.side]


def _door_zone(room: Room, o: Opening) -> tuple[float, float, float, float]:
    """Floor before a door that stays empty: its width and 0.9 m into the room."""
    a, c, d = o.s0 - 0.1, o.s1 + 0.1, 0.9
    return [
        (a, room.y0, c, room.y0 + d),
        (room.x1 - d, a, room.x1, c),
        (a, room.y1 - d, c, room.y1),
        (room.x0, a, room.x0 + d, c),
    ][o.side]
