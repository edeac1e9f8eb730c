"""The first planner: look around, walk over known free floor at robot height toward what is unseen, come back.

It plans from scratch at every call: from what was seen so far and where the camera is, the whole rest of the walk that
still ends at home within the frames left. Between the start camera and the floor it flies along a line that was seen to
be empty. Where no floor is free it only looks around.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from lyra_sim.core.record import record
from lyra_sim.core.records import Frames
from lyra_sim.trajectory.freemap import FreeMap, Sight
from lyra_sim.trajectory.motion import WALK_PITCH_RAD, Leg, along, frames_for, heading_of, stand, steer, sweep
from lyra_sim.trajectory.route import best_goal, frontier_near, route, unseen_bearing, walk_costs

_LOOK_RAD = np.deg2rad(30.0)
_SWAY_RAD = np.deg2rad(22.0)
_LOOK_DOWN_RAD = np.deg2rad(15.0)
_WALK_FRAMES = 24
"""The first look around is kept short enough to leave, where possible, this many frames on the floor."""
_FACE_HOME_FRAMES = 120
"""A way back longer than this is walked facing forward; a shorter one is walked backward, swaying."""


@record
class Pace:
    """Limits of the planned motion."""

    robot_height_m: float
    clearance_m: float
    step_m: float
    turn_rad: float


@record
class Walk:
    """What the planner knows about the walk so far."""

    home: Float64[np.ndarray, "4 4"]
    """Pose the walk began at and ends at."""
    trail: Float64[np.ndarray, "N 4 4"]
    """Poses generated so far."""
    frames_left: int
    frames_wanted: int
    """Where there is nothing to gain the walk may be shorter than `frames_left`, but not than this."""


def plan(seen: Sequence[Frames], walk: Walk, pace: Pace) -> Float64[np.ndarray, "N 4 4"]:
    """Poses of the rest of the walk, at most `walk.frames_left`; none where nothing is left to do.

    Steps are at most `pace.step_m` and turns at most `pace.turn_rad` per frame, from the last pose on.

    Args:
        seen: everything seen and generated so far, start frames first.
    """
    return _Planner(seen, walk, pace).plan()


class _Planner:
    def __init__(self, seen: Sequence[Frames], walk: Walk, pace: Pace) -> None:
        self.walk, self.pace = walk, pace
        self.sight = Sight(seen, stride=1)
        self.map: FreeMap = self.sight.free_map(walk.home[:3, 3], pace.clearance_m, pace.robot_height_m)
        self.gain = frontier_near(self.map)
        self.pose = walk.trail[-1] if len(walk.trail) else walk.home
        self.at = self.pose[:3, 3]
        self.heading, self.pitch = heading_of(self.pose)
        self.left = walk.frames_left
        self.legs: list[Leg] = []
        low = self.walk.trail[np.abs(self.walk.trail[:, 2, 3] - pace.robot_height_m) < 0.05]
        self.been = [p[:2, 3] for p in low[::8]]

    def plan(self) -> np.ndarray:
        home_gate = self._gate(self.walk.home[:3, 3])
        if not len(self.walk.trail):
            flight = 0 if home_gate is None else frames_for(self._flight(home_gate), self.pace.step_m)
            spare = self.left - 2 * flight - _WALK_FRAMES
            self._look(int(np.clip(spare, self.left // 8, min(self.left // 4, self._whole_look()))))
        if home_gate is not None:
            self._explore(home_gate)
        self._return(home_gate)
        down = 0.0
        while (missing := self.walk.frames_wanted - (self.walk.frames_left - self.left)) > 0 and self.left > 0:
            self._look(min(self._whole_look(), self.left, missing), down)
            down = _LOOK_DOWN_RAD - down  # the floor at the camera's foot is what a level camera misses
        return steer(self.pose, self.legs, self.pace.turn_rad)[: self.walk.frames_left]

    def _whole_look(self) -> int:
        return int(np.ceil(4 * _LOOK_RAD / self.pace.turn_rad))

    def _look(self, frames: int, down_rad: float = 0.0) -> None:
        """Look left and right in `frames` frames, as far as they allow, this much lower than now."""
        if frames < 1:
            return
        reach = min(_LOOK_RAD, frames * self.pace.turn_rad / 4)
        headings = sweep(self.heading, reach, self.pace.turn_rad)[:frames]
        headings = np.concatenate([headings, np.full(frames - len(headings), self.heading)])
        self.legs.append(stand(self.at, headings, min(self.pitch + down_rad, 0.9)))
        self.left -= frames

    def _on_floor(self, point: np.ndarray) -> bool:
        return bool(abs(point[2] - self.pace.robot_height_m) < 0.02 and self.map.free[self.map.cell(point)])

    def _gate(self, point: np.ndarray) -> tuple[int, int] | None:
        """The nearest free cell to which `point` has a seen-to-be-empty straight line at robot height."""
        if self._on_floor(point):
            return self.map.cell(point)
        cells = np.argwhere(self.map.free)
        if not len(cells):
            return None
        centres = self.map.centre(cells)
        order = np.argsort(np.linalg.norm(centres - point[:2], axis=1), kind="stable")
        for k in [*order[:200:4], *order[200:4000:40]]:
            if self.sight.sees_through(point, self._lifted(centres[k])):
                return int(cells[k, 0]), int(cells[k, 1])
        return None

    def _lifted(self, points: np.ndarray) -> np.ndarray:
        """Floor points (.., 2) at the walking camera's height."""
        flat = np.asarray(points)
        return np.concatenate([flat, np.full((*flat.shape[:-1], 1), self.pace.robot_height_m)], -1)

    def _explore(self, home_gate: tuple[int, int]) -> None:
        """Fly down if the camera is not on the floor yet, then visit goals while the way home fits."""
        home_flight = self._flight(home_gate)
        home_cost, _ = walk_costs(self.map, home_gate)
        if not self._on_floor(self.at):
            gate = self._gate(self.at)
            if gate is None or (len(self.walk.trail) and self._goal(gate, home_cost, home_flight) is None):
                return
            if not self._descend(gate, home_gate, home_flight):
                return
        while True:
            goal = self._goal(self.map.cell(self.at), home_cost, home_flight)
            if goal is None:
                return
            _, parent = walk_costs(self.map, self.map.cell(self.at))
            way = self._lifted(route(self.map, parent, goal))
            way[0] = self.at
            self._go(way)
            self.been.append(self.at[:2].copy())
            spare = self.left - frames_for(home_flight, self.pace.step_m) - int(home_cost[goal] / self.pace.step_m) - 3
            self._look(min(max(spare, 0) // 3, self._whole_look()))

    def _goal(self, here: tuple[int, int], home_cost: np.ndarray, home_flight: np.ndarray) -> tuple[int, int] | None:
        """Where to go next from cell `here`, so that the way home still fits."""
        frames = self.left - frames_for(home_flight, self.pace.step_m) - 3
        if not self._on_floor(self.at):
            frames -= frames_for(np.stack([self.at, self._lifted(self.map.centre(np.array(here)))]), self.pace.step_m)
        cost, _ = walk_costs(self.map, here)
        been = np.array(self.been).reshape(-1, 2)
        return best_goal(self.map, self.gain, cost, home_cost, frames * self.pace.step_m, been)

    def _flight(self, gate: tuple[int, int]) -> np.ndarray:
        return np.stack([self._lifted(self.map.centre(np.array(gate))), self.walk.home[:3, 3]])

    def _descend(self, gate: tuple[int, int], home_gate: tuple[int, int], home_flight: np.ndarray) -> bool:
        """Fly to the floor, or as far as lets the camera come back; True if it got there."""
        way = np.stack([self.at, self._lifted(self.map.centre(np.array(gate)))])
        needed = frames_for(way, self.pace.step_m) + frames_for(home_flight, self.pace.step_m) + 3
        apart = np.linalg.norm(self.map.centre(np.array(gate)) - self.map.centre(np.array(home_gate)))
        needed += int(np.ceil(1.5 * apart / self.pace.step_m))
        if needed <= self.left:
            self._go(way)
            return True
        back = self.at - self.walk.home[:3, 3]
        reach = (self.left - 2) * self.pace.step_m - np.linalg.norm(back)
        if reach > 0.1 and len(self.walk.trail) == 0:
            span = np.linalg.norm(way[1] - way[0])
            self._go(np.stack([way[0], way[0] + (way[1] - way[0]) * min(0.5 * reach / span, 1.0)]))
        return False

    def _go(self, way: np.ndarray) -> None:
        """Walk along `way` (N, 3), looking ahead and a little toward the unseen side."""
        count = frames_for(way, self.pace.step_m)
        if count < 1:
            return
        position = along(way, count)
        ahead = np.concatenate([position[min(5, count - 1) :], np.repeat(position[-1:], min(5, count - 1), 0)])
        toward = ahead[:, :2] - np.concatenate([way[:1, :2], position[:-1, :2]])
        heading = np.full(count, self.heading)
        for k in range(count):
            heading[k] = np.arctan2(toward[k, 1], toward[k, 0]) if np.linalg.norm(toward[k]) > 1e-6 else heading[k - 1]
            side = unseen_bearing(self.map, position[k], heading[k])
            heading[k] += np.clip(side, -_SWAY_RAD, _SWAY_RAD)
        self._move(position, heading, np.full(count, WALK_PITCH_RAD))

    def _move(self, position: np.ndarray, heading: np.ndarray, pitch: np.ndarray) -> None:
        self.legs.append(Leg(position=position, heading=heading, pitch=pitch))
        self.at, self.heading, self.pitch = position[-1], float(heading[-1]), float(pitch[-1])
        self.left -= len(position)

    def _return(self, home_gate: tuple[int, int] | None) -> None:
        """Back to where the walk began, with the start camera's direction at the end."""
        way = self._way_home(home_gate)
        count = frames_for(way, self.pace.step_m)
        if count < 1:
            return
        position = along(way, count)
        share = np.linspace(0, 1, count + 1)[1:]
        home_heading, home_pitch = heading_of(self.walk.home)
        if count > _FACE_HOME_FRAMES:
            toward = np.diff(np.concatenate([way[:1], position])[:, :2], axis=0)
            heading = np.arctan2(toward[:, 1], toward[:, 0])
            heading[-_FACE_HOME_FRAMES // 2 :] = home_heading
        else:
            turn = np.angle(np.exp(1j * (home_heading - self.heading)))
            heading = self.heading + turn * share + _SWAY_RAD * np.sin(2 * np.pi * share)
        pitch = self.pitch + (home_pitch - self.pitch) * share
        self._move(position, heading, pitch)

    def _way_home(self, home_gate: tuple[int, int] | None) -> np.ndarray:
        """Over the floor where that is known, straight where the line is seen to be empty, else back along the trail,
        where the camera has been before."""
        home = self.walk.home[:3, 3]
        if home_gate is not None and self._on_floor(self.at):
            cost, parent = walk_costs(self.map, self.map.cell(self.at))
            if np.isfinite(cost[home_gate]):
                floor = self._lifted(route(self.map, parent, home_gate))
                floor[0] = self.at
                return floor if self._on_floor(home) else np.concatenate([floor, home[None]])
        if self.sight.sees_through(home, self.at):
            return np.stack([self.at, home])
        return np.concatenate([self.at[None], self.walk.trail[::-1, :3, 3], home[None]])
