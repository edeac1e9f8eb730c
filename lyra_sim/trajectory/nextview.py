"""The next-best-view planner: walks known free floor so that every frame shows as much new floor as it can.

Greedy in what a view is expected to newly show per frame that it takes to get there (Bircher et al. 2016 weigh gain by
cost likewise), with the expectation lowered by every view that was chosen before. A view whose picture is mostly
unknown gives a generator nothing to hold on to, so such views are left for later, when more is known around them.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64
from scipy import ndimage

from lyra_sim.core.records import Intrinsics
from lyra_sim.trajectory.freemap import CELL_M, FreeMap, depth_in, map_of
from lyra_sim.trajectory.gain import BIN_RAD, BINS, FAR_M, bin_of, expect, known_share, new_floor, over_pictures
from lyra_sim.trajectory.motion import WALK_PITCH_RAD, Leg, Pace, heading_of, paced, slowed, steer
from lyra_sim.trajectory.returns import OLD_LOOKS, SURE_OVERLAP, expected_overlap, remembered_share
from lyra_sim.trajectory.survey import Survey
from lyra_sim.trajectory.ways import distances, straightened, way_back

LEAST_KNOWN = 0.62
"""Share of a picture that must be known before it is taken."""
LEAST_M2 = 0.15
"""A view that shows less new floor is not worth going to."""
WORTH = 0.5
"""A view whose picture is not known enough yet is approached where the best other one brings less than this share."""
_TRIES = 20
DOWN_RAD = 0.55
"""Pitch of a look down, at floor that is too near for a level camera and hidden from afar; ..."""
_POOR = 0.05
"""... where no other view brings as much, square metres a frame."""
LEAST_FRAMES = 8
"""Of a piece that ends early; where fewer show enough that is known the camera takes that long for them."""
_KEPT_KNOWN = 0.78
"""A piece that ends early ends before a picture of which less is known when it begins."""
_SLOW_KNOWN = 0.66
"""It slows down where less than that would be known after its first frames."""
_LEAST_SHOWN = 0.63
"""Both where an earlier view showed less of a picture."""
_CHECK = 4
"""Of every so many frames of a piece it is asked how much is known."""
LOOK_FRAMES = 8
"""Frames between two looks of a survey."""
_RETURNS = 80
"""Places from which a return is tried, the nearest first."""
_USUAL_M2 = 0.4
"""Newly seen floor that is worth a frame, weighted as all floor here: cells in openings count for more."""
_ABOUT_M = 0.3
"""An old view that is gone to was taken from no more above or below the walk."""
KEY = 3.0
"""Floor that has to be seen before the camera can go on counts for so much more."""
_URGENT = 4.0
"""... and for so many times more again where little else is to be seen."""
_HOPE = 0.3
_BEYOND_M2 = 0.25
_LATTICE = 8
"""Views are tried in one cell of every 40 x 40 cm, ..."""
_FAR_OFF_M = 6.0
"""... and of every 1.2 x 1.2 m where the way there is longer than this."""
_SET_OFF = 12.0
"""Frames added to the cost of every view, so that near ones with next to no gain do not win."""
_GLANCE = 8
"""Frames between two choices of where to look on the way."""

_MIDDLE = (np.arange(BINS) + 0.5) * BIN_RAD - np.pi
"""Heading in the middle of each bin."""


@dataclass(frozen=True)
class View:
    """A place to stand and a bin of azimuth to look at."""

    cell: tuple[int, int]
    bin: int
    rate: float
    """Square metres per frame."""
    pitch: float = WALK_PITCH_RAD
    last: bool = False
    """What it shows has to be remembered before it is known what comes next."""


class NextView:
    """Plans one piece of the walk at a time.

    Args:
        camera: of the frames to come.
        whole: pieces are as long as asked for. Else one ends where what it has shown has to be remembered first.
        return_frames: after so many without a return the camera goes back to an old view; 0: never.
    """

    def __init__(
        self, survey: Survey, pace: Pace, camera: Intrinsics, *, whole: bool = False, return_frames: int = 0
    ) -> None:
        self.survey, self.pace, self.whole, self.return_frames = survey, pace, whole, return_frames
        self.hfov = 2 * float(np.arctan(camera.width / 2 / camera.fx))
        self.half = float(np.arctan(camera.height / 2 / camera.fy))

    def plan(self, pose: Float64[np.ndarray, "4 4"], frames: int) -> Float64[np.ndarray, "N 4 4"]:
        """Up to `frames` poses from `pose`, which is at the survey's height, on; none where no view would show enough
        that is new and enough that is known."""
        self.map = self.survey.free_map(self.pace.clearance_m)
        self.unseen = self.survey.unseen()
        self.opening = opening(self.map, self.unseen, self.survey.blocked, self.pace.clearance_m)
        self.unseen[self.opening] *= 1 + KEY
        self.known: dict[tuple[tuple[int, int], float], np.ndarray] = {}
        self.at, (self.heading, self.pitch) = pose[:3, 3], heading_of(pose)
        self.approached: set[tuple[tuple[int, int], int]] = set()
        legs: list[Leg] = []
        left = frames
        while left > 0:
            view = self._best()
            if view is None:
                break
            old = None if legs else self._old_view()
            leg = self._go(old or view, left)
            if old and len(leg.position):
                view = old
            elif old:
                leg = self._go(view, left)
            if not len(leg.position):
                continue
            left -= len(leg.position)
            legs.append(leg)
            self.at, self.heading, self.pitch = leg.position[-1], float(leg.heading[-1]), float(leg.pitch[-1])
            if view.last and not self.whole and frames - left >= LEAST_FRAMES:
                break
        poses = steer(pose, legs, self.pace.turn_rad)
        if self.whole or not len(poses):
            return poses
        kept = self._known_until(poses)
        return poses[:kept] if kept >= LEAST_FRAMES else slowed(pose, poses[:kept], min(LEAST_FRAMES, len(poses)))

    def _known_until(self, poses: Float64[np.ndarray, "N 4 4"]) -> int:
        """How many of the poses, one at least, keep enough of what is known now in their picture; what comes after is
        planned again when more is known."""
        for n in range(_CHECK - 1, len(poses), _CHECK):
            if not self._enough(poses[n], _SLOW_KNOWN if n < LEAST_FRAMES else _KEPT_KNOWN):
                kept = n + 1 - _CHECK
                while not kept and n:
                    n //= 2
                    kept = n + 1 if not n or self._enough(poses[n], _SLOW_KNOWN) else 0
                return kept
        return len(poses)

    def _enough(self, pose: Float64[np.ndarray, "4 4"], least: float) -> bool:
        """Is so much of a picture known, and was enough of it shown before? Looks down are not asked."""
        heading, pitch = heading_of(pose)
        if pitch >= 2 * WALK_PITCH_RAD:
            return True
        if self._known(self.map.cell(pose[:3, 3]))[bin_of(heading)] < least:
            return False
        shown = remembered_share(self.survey.space, pose[:3, 3], heading, self.survey.views, self.hfov)
        return shown >= _LEAST_SHOWN

    def _old_view(self) -> View | None:
        """Where a return is due, the view that returns to one of long ago for the fewest frames, those it is worth for
        what it newly shows taken off; the old view that is reached soonest where none is sure to return."""
        old = self.survey.views[: max(len(self.survey.views) + 1 - OLD_LOOKS, 0)]
        due = (len(self.survey.looks) - 1 - self.survey.returned) * LOOK_FRAMES >= self.return_frames
        if not self.return_frames or not old or not due:
            return None
        since = self.survey.returned + 1  # what was seen since then was no return
        best, best_cost, first = None, np.inf, None
        looks = [nearest_free(self.map, np.array(look[:2])) for look in self.survey.looks[: len(old)]]
        cells = {cell for cell in (*self._places(), *looks) if cell and np.isfinite(self.away[cell])}
        for cell in sorted(cells, key=lambda cell: (float(self.away[cell]), cell))[:_RETURNS]:
            cost = self._cost(cell, WALK_PITCH_RAD)
            if cost.min() / 2 >= best_cost:
                break
            gain = over_pictures(self._new(self._eye(cell)), self.hfov)
            cost = cost - np.minimum(gain / _USUAL_M2, cost / 2)
            overlap = expected_overlap(self.survey.space, self._eye(cell), old, self.hfov)
            overlap[self.survey.looked(self._eye(cell), _MIDDLE, since)] = 0
            k = int(np.argmin(np.where(overlap >= SURE_OVERLAP, cost, np.inf)))
            if overlap[k] >= SURE_OVERLAP and cost[k] < best_cost:
                best, best_cost = View(cell, k, 1 / float(cost[k])), float(cost[k])
        for cell, look in zip(looks if best is None else (), self.survey.looks, strict=False):
            if cell and np.isfinite(self.away[cell]) and abs(look[2] - self.survey.height_m) < _ABOUT_M:
                k = bin_of(look[3])
                view = View(cell, k, 1 / float(self._cost(cell, WALK_PITCH_RAD)[k]))
                again = self.survey.looked(self._eye(cell), _MIDDLE, since)[k]
                first = view if not again and (first is None or view.rate > first.rate) else first
        return best or first

    def _best(self) -> View | None:
        """The view with the most new floor per frame, or one on the way to such a view."""
        here = nearest_free(self.map, self.at)
        if here is None:
            return None
        self.away = distances(self.map.free, here)
        strange: list[View] = []
        places = [here, *self._places()]
        best = self._search(self._by_promise(places), WALK_PITCH_RAD, None, strange)
        if best is None or best.rate < _POOR:
            self.unseen[self.opening] *= _URGENT
            self.opening[:] = False
            cells = self._by_promise(places)
            strange.clear()
            for pitch in (WALK_PITCH_RAD, DOWN_RAD):
                best = self._search(cells, pitch, best, strange)
        return self._approach(strange, best)

    def _search(
        self, cells: list[tuple[float, tuple[int, int]]], pitch: float, best: View | None, strange: list[View]
    ) -> View | None:
        """The better of `best` and the best view of this pitch; views that show mostly unknown go to `strange`."""
        for most, cell in cells:
            if most <= (best.rate if best else 0.0):
                break
            gain = over_pictures(self._new(self._eye(cell), pitch), self.hfov)
            rate = np.where(gain < LEAST_M2, 0.0, gain / self._cost(cell, pitch))
            if rate.max() <= (best.rate if best else 0.0):
                continue
            known = self._known(cell, pitch) >= LEAST_KNOWN
            k = int(np.argmax(np.where(known, 0.0, rate)))
            if rate[k] > 0 and not known[k]:
                strange.append(View(cell, k, float(rate[k]), pitch))
            k = int(np.argmax(np.where(known, rate, 0.0)))
            if known[k] and rate[k] > (best.rate if best else 0.0):
                best = View(cell, k, float(rate[k]), pitch)
        return best

    def _by_promise(self, cells: list[tuple[int, int]]) -> list[tuple[float, tuple[int, int]]]:
        """Cells with a bound for the rate of any view from there, highest first."""
        side = 2 * int(np.ceil(FAR_M / CELL_M)) + 1
        around = ndimage.uniform_filter(self.unseen.astype(np.float64), side, mode="constant") * (side * CELL_M) ** 2
        most = [(float(around[cell] / self._cost(cell, WALK_PITCH_RAD).min()) + 1e-9, cell) for cell in cells]
        return sorted(most, key=lambda entry: -entry[0])

    def _cost(self, cell: tuple[int, int], pitch: float) -> Float[np.ndarray, "120"]:
        """Frames until a view from a cell is reached, by heading, and some more."""
        turn = np.abs(np.angle(np.exp(1j * (_MIDDLE - self.heading)))) / self.pace.turn_rad
        down = 2 * (pitch - WALK_PITCH_RAD) / self.pace.turn_rad
        return np.maximum(float(self.away[cell]) / self.pace.step_m, turn) + down + _SET_OFF

    def _approach(self, strange: list[View], best: View | None) -> View | None:
        """Where views that show mostly unknown would bring much more than `best`, the known view from the same place
        that comes nearest to one of them: with what it shows, the strange one becomes known."""
        least = best.rate / WORTH if best else 0.0
        for view in sorted(strange, key=lambda view: -view.rate)[:_TRIES]:
            if view.rate <= least:
                break
            turn = np.abs(np.angle(np.exp(1j * (_MIDDLE - _MIDDLE[view.bin]))))
            known = self._known(view.cell, view.pitch)
            k = int(np.argmin(np.where(known >= LEAST_KNOWN, turn, np.inf)))
            been = (view.cell, k) in self.approached or self.survey.looked(self._eye(view.cell), _MIDDLE)[k]
            if known[k] >= LEAST_KNOWN and not been:
                self.approached.add((view.cell, k))
                return View(view.cell, k, view.rate, view.pitch, last=True)
        return best

    def _places(self) -> list[tuple[int, int]]:
        """Of every 8 x 8 cells, farther away of every 24 x 24, the reachable one that has most room around it."""
        cells = np.argwhere(np.isfinite(self.away))
        side = np.where(self.away[tuple(cells.T)] < _FAR_OFF_M, _LATTICE, 3 * _LATTICE)
        block = (cells // side[:, None]) @ np.array([self.away.shape[1], 1]) * 64 + side
        order = np.lexsort((-self.map.distance_m[tuple(cells.T)], block))
        first = order[np.concatenate([[True], np.diff(block[order]) > 0])]
        return [(int(a), int(b)) for a, b in cells[first]]

    def _eye(self, cell: tuple[int, int]) -> np.ndarray:
        return np.append(self.map.centre(np.array(cell)), self.survey.height_m)

    def _edges(self, pitch: float) -> tuple[float, float]:
        """Lower and upper edge of the picture below the horizon, radians."""
        return min(pitch + self.half, 1.5), pitch - self.half

    def _new(self, eye: np.ndarray, pitch: float = WALK_PITCH_RAD) -> Float[np.ndarray, "120"]:
        edges = self._edges(pitch)
        return new_floor(self.survey.space, eye, self.unseen, self.map.origin_m, CELL_M, *edges)

    def _known(self, cell: tuple[int, int], pitch: float = WALK_PITCH_RAD) -> Float[np.ndarray, "120"]:
        """How much of the picture is known, by heading."""
        if (cell, pitch) not in self.known:
            share = known_share(self.survey.space, self._eye(cell), pitch - WALK_PITCH_RAD)
            self.known[cell, pitch] = over_pictures(share, self.hfov) / over_pictures(np.ones(BINS), self.hfov)
        return self.known[cell, pitch]

    def _go(self, view: View, most: int) -> Leg:
        """Walk to a view within `most` frames, looking on the way at what is new there, and turn to it in time."""
        cells = way_back(self.map.free, self.away, view.cell)
        way = np.concatenate([self.at[None], np.stack([self._eye((int(a), int(b))) for a, b in cells])])
        way = straightened(self.map, way)
        position, goal = paced(way, self.pace.step_m), float(_MIDDLE[view.bin])
        heading = self._headings(position, goal)
        end = position[-1] if len(position) else self.at
        up = self._pitches(self.pitch, WALK_PITCH_RAD) if len(heading) else np.zeros(0)
        down = self._pitches(WALK_PITCH_RAD if len(heading) else self.pitch, view.pitch)
        heading = np.concatenate([np.full(len(up), self.heading), heading, np.full(len(down), goal)])
        position = np.concatenate([np.repeat(self.at[None], len(up), 0), position])
        pitch = np.full(len(heading), WALK_PITCH_RAD)
        pitch[: len(up)], pitch[len(heading) - len(down) :] = up, down
        position = np.concatenate([position, np.repeat(end[None], len(heading) - len(position), 0)])
        if len(heading) <= most:
            self._expect(end, goal, view.pitch)
        return Leg(position=position[:most], heading=heading[:most], pitch=pitch[:most])

    def _pitches(self, now: float, target: float) -> Float[np.ndarray, "N"]:
        """Raise or lower the camera."""
        return (
            now
            + (target - now) * np.linspace(0, 1, int(np.ceil(abs(target - now) / self.pace.turn_rad - 1e-6)) + 1)[1:]
        )

    def _headings(self, position: Float[np.ndarray, "N 3"], goal: float) -> Float[np.ndarray, "M"]:
        """Where to look at each place, and the rest of the turn to the goal at the last one."""
        heading: list[float] = []
        now, target = self.heading, goal
        while len(heading) < len(position) or abs(turned(now, goal)) > 1e-6:
            left = len(position) - len(heading)
            if left <= 0:
                target = goal
            elif len(heading) % _GLANCE == 0:
                place = position[min(len(heading) + _GLANCE, len(position)) - 1]
                target = self._glance(place, now, goal, left)
                self._expect(place, target)
            now += float(np.clip(turned(now, target), -self.pace.turn_rad, self.pace.turn_rad))
            heading.append(now)
        return np.array(heading)

    def _glance(self, place: np.ndarray, now: float, goal: float, left: int) -> float:
        """Where to look at `place`, so that the turn to the goal still fits in the frames that are left."""
        reach = _GLANCE * self.pace.turn_rad
        able = np.abs(np.angle(np.exp(1j * (_MIDDLE - now)))) <= reach
        later = max(left - _GLANCE, 0) * self.pace.turn_rad
        able &= np.abs(np.angle(np.exp(1j * (_MIDDLE - goal)))) <= max(later, abs(turned(now, goal)) - reach) + BIN_RAD
        cell = nearest_free(self.map, place)
        known = self._known(cell) if cell else np.ones(BINS)
        value = over_pictures(self._new(place), self.hfov) - 10.0 * np.maximum(LEAST_KNOWN - known, 0.0)
        value -= 1e-3 * np.abs(np.angle(np.exp(1j * (_MIDDLE - now))))
        if not able.any():
            return goal
        return float(_MIDDLE[int(np.argmax(np.where(able, value, -np.inf)))])

    def _expect(self, place: np.ndarray, heading: float, pitch: float = WALK_PITCH_RAD) -> None:
        steepest, flattest = self._edges(pitch)
        where = (self.map.origin_m, CELL_M, steepest, heading, self.hfov)
        expect(self.survey.space, place, self.unseen, *where, flattest_rad=flattest)


def opening(
    free_map: FreeMap, unseen: Float32[np.ndarray, "X Y"], blocked: Bool[np.ndarray, "X Y"], clearance_m: float
) -> Bool[np.ndarray, "X Y"]:
    """Unseen cells that keep a camera from free places, were there floor wherever it may be: a few cells in a narrow
    passage can hide whole rooms."""
    hoped = map_of(free_map.origin_m, free_map.known | (unseen > _HOPE), blocked, clearance_m)
    beyond = np.asarray(ndimage.label(hoped.free & ~free_map.free)[0]).astype(np.int64)  # pyright: ignore[reportIndexIssue]
    large = np.bincount(beyond.ravel()) * CELL_M**2 >= _BEYOND_M2
    large[0] = False
    near = depth_in(~large[beyond]) < clearance_m
    return near & (depth_in(~free_map.free) < 2 * clearance_m)


def turned(now: float, target: float) -> float:
    """Smallest turn from one heading to another, radians."""
    return float(np.angle(np.exp(1j * (target - now))))


def nearest_free(free_map: FreeMap, point: np.ndarray, reach_m: float = 0.3) -> tuple[int, int] | None:
    """The free cell nearest to a point, None where none is in reach."""
    i, j = free_map.cell(point)
    if free_map.free[i, j]:
        return i, j
    n = int(reach_m / CELL_M) + 1
    low = np.maximum([i - n, j - n], 0)
    cells = np.argwhere(free_map.free[low[0] : i + n + 1, low[1] : j + n + 1]) + low
    if not len(cells):
        return None
    away = np.linalg.norm(free_map.centre(cells) - point[:2], axis=1)
    k = int(np.argmin(away))
    return None if away[k] > reach_m else (int(cells[k, 0]), int(cells[k, 1]))
