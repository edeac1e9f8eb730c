"""Simple explorers, for comparison: they know the same map, and move within the same limits, as the planner."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from lyra_sim.trajectory.freemap import CELL_M, map_of
from lyra_sim.trajectory.motion import WALK_PITCH_RAD, Leg, Pace, along, frames_for, heading_of, stand, steer
from lyra_sim.trajectory.nextview import nearest_free, turned
from lyra_sim.trajectory.survey import Survey
from lyra_sim.trajectory.ways import distances, straightened, way_back


class Rival(ABC):
    """Plans legs one after another until a piece of the walk is full; what does not fit is planned anew."""

    def __init__(self, survey: Survey, pace: Pace, seed: int = 0) -> None:
        self.survey, self.pace, self.rng = survey, pace, np.random.default_rng([seed, 8])
        self.owed = 0.0
        """Of a look around that was begun, what is still to come; radians."""

    def plan(self, pose: np.ndarray, frames: int) -> np.ndarray:
        """Up to `frames` poses from `pose` on."""
        self.map = self.survey.free_map(self.pace.clearance_m)
        self.at, self.heading = pose[:3, 3], heading_of(pose)[0]
        legs, left = [], frames
        for leg in self.legs():
            legs.append(Leg(position=leg.position[:left], heading=leg.heading[:left], pitch=leg.pitch[:left]))
            self.at, self.heading = legs[-1].position[-1], float(legs[-1].heading[-1])
            left -= len(legs[-1].position)
            cut = len(leg.position) - len(legs[-1].position)
            self.owed = cut * self.pace.turn_rad if self.owed > 1e-6 else 0.0
            if left <= 0:
                break
        return steer(pose, legs, self.pace.turn_rad)

    @abstractmethod
    def legs(self) -> Iterator[Leg]:
        """The legs from here on."""

    def turn(self, angle: float) -> Leg:
        """Turn where it stands."""
        count = max(int(np.ceil(abs(angle) / self.pace.turn_rad - 1e-9)), 1)
        return stand(self.at, self.heading + angle * np.arange(1, count + 1) / count, WALK_PITCH_RAD)

    def walk(self, away: np.ndarray, goal: tuple[int, int]) -> Iterator[Leg]:
        """Walk, turning to each straight part of the way as fast as may be while going on."""
        cells = way_back(self.map.free, away, goal)
        centres = self.map.centre(cells)
        way = np.column_stack([centres, np.full(len(centres), self.survey.height_m)])
        way = straightened(self.map, np.concatenate([self.at[None], way]))
        for begin, end in itertools.pairwise(way):
            if not (count := frames_for(np.stack([begin, end]), self.pace.step_m)):
                continue
            course = float(np.arctan2(*(end - begin)[1::-1]))
            heading = self.heading + np.sign(turned(self.heading, course)) * np.minimum(
                np.arange(1, count + 1) * self.pace.turn_rad, abs(turned(self.heading, course))
            )
            pitch = np.full(count, WALK_PITCH_RAD)
            yield Leg(position=along(np.stack([begin, end]), count), heading=heading, pitch=pitch)


class Spin(Rival):
    """Turns in place."""

    def legs(self) -> Iterator[Leg]:
        while True:
            yield self.turn(2 * np.pi)


class RandomWalk(Rival):
    """Walks to free places drawn at random, and turns to a random side there."""

    def __init__(self, survey: Survey, pace: Pace, seed: int = 0) -> None:
        super().__init__(survey, pace, seed)
        self.goal: tuple[int, int] | None = None

    def legs(self) -> Iterator[Leg]:
        while True:
            here = nearest_free(self.map, self.at)
            away = distances(self.map.free, here) if here else np.full(self.map.free.shape, np.inf)
            cells = np.argwhere(np.isfinite(away) & (away > 0.3))
            if not len(cells):
                yield self.turn(float(self.rng.uniform(-np.pi, np.pi)))
                continue
            if self.goal is None or not np.isfinite(away[self.goal]):
                i, j = cells[int(self.rng.integers(len(cells)))]
                self.goal = (int(i), int(j))
            yield from self.walk(away, self.goal)
            self.goal = None
            yield self.turn(float(self.rng.uniform(-np.pi, np.pi)))


class Zoom(Rival):
    """Lyra's preset: straight ahead as far as the floor is free, and back, looking ahead all the time."""

    def __init__(self, survey: Survey, pace: Pace, seed: int = 0) -> None:
        super().__init__(survey, pace, seed)
        self.sense, self.begin = 1, None

    def legs(self) -> Iterator[Leg]:
        self.begin = self.at if self.begin is None else self.begin
        while True:
            ahead = np.array([np.cos(self.heading), np.sin(self.heading), 0.0])
            end = self.at + self.sense * ahead * self.pace.step_m
            far = self.sense < 0 and (end - self.begin) @ ahead < 0
            if far or not self.map.free[self.map.cell(end)]:
                self.sense, end = -self.sense, self.at
            yield Leg(position=end[None], heading=np.array([self.heading]), pitch=np.array([WALK_PITCH_RAD]))


class Frontier(Rival):
    """Goes to the nearest place from which seen floor goes on unseen (Yamauchi 1997), and looks all around there."""

    def __init__(self, survey: Survey, pace: Pace, seed: int = 0) -> None:
        super().__init__(survey, pace, seed)
        self.been: list[np.ndarray] = []
        self.owed = 2 * np.pi

    def legs(self) -> Iterator[Leg]:
        while True:
            if self.owed > 1e-6:
                yield self.turn(self.owed)
                continue
            goal, away = self.nearest()
            if goal is None:
                yield self.turn(2 * np.pi)
                continue
            yield from self.walk(away, goal)
            self.been.append(self.at[:2].copy())
            self.owed = 2 * np.pi

    def nearest(self) -> tuple[tuple[int, int] | None, np.ndarray]:
        """The goal, and the distances from here."""
        here = nearest_free(self.map, self.at)
        if here is None:
            return None, np.zeros(0)
        away = distances(self.map.free, here)
        reach = round((self.pace.clearance_m + 0.3) / CELL_M)
        spread = np.asarray(ndimage.distance_transform_edt(~self.frontier())) <= reach
        cells = np.argwhere(spread & np.isfinite(away))
        centres = self.map.centre(cells)
        for place in self.been:
            kept = np.linalg.norm(centres - place, axis=1) > 0.5
            cells, centres = cells[kept], centres[kept]
        if not len(cells):
            return None, away
        i, j = cells[int(np.argmin(away[tuple(cells.T)]))]
        return (int(i), int(j)), away

    def frontier(self) -> np.ndarray:
        """Cells not seen from near beside such that were; slots of a few cells (at the foot of walls) left out."""
        survey = self.survey
        known = map_of(survey.origin_m, survey.near | ~survey.unseen().astype(bool), survey.blocked, 0).known
        seen = known | survey.blocked
        closed = np.asarray(ndimage.binary_closing(seen, np.ones((3, 3)), iterations=2), bool)
        return np.asarray(ndimage.binary_dilation(known, np.ones((3, 3))), bool) & ~closed & ~seen


RIVALS = {"frontier": Frontier, "spin": Spin, "random": RandomWalk, "zoom": Zoom}
