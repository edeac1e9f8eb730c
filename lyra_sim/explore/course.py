"""Where the camera goes next: along a given path, or where a plan made from all that was seen leads it."""

from typing import Any

import numpy as np

from lyra_sim.config.explore import ExploreConfig
from lyra_sim.explore.past import PLANNED, Past
from lyra_sim.memory.spatial import STRIDE
from lyra_sim.trajectory.freemap import CELL_M
from lyra_sim.trajectory.given import beyond_pace, given_path, refuse_collisions
from lyra_sim.trajectory.motion import LAG, Pace, smoothed
from lyra_sim.trajectory.planner import Planner


def pace_of(config: ExploreConfig) -> Pace:
    """The limits of motion that a configuration sets."""
    return Pace(
        robot_height_m=config.robot_height_m,
        clearance_m=config.clearance_m,
        step_m=config.step_m,
        turn_rad=float(np.deg2rad(config.turn_deg)),
    )


def on_stride(poses: np.ndarray, count: int) -> np.ndarray:
    """A piece that ends on a frame that is remembered, so that the next one can be drawn from its end: cut to whole
    strides, or held until there is one, never longer than `count`."""
    if not STRIDE <= len(poses) < count:
        return held(poses, min(STRIDE, count)) if 0 < len(poses) < STRIDE else poses
    return poses[: len(poses) // STRIDE * STRIDE]


def held(poses: np.ndarray, count: int) -> np.ndarray:
    """`count` poses; the camera stands still at the last one where fewer were planned."""
    return np.concatenate([poses, np.repeat(poses[-1:], count - len(poses), 0)])


class Given:
    """Follows a preset or a file to its end, as long as it does not run into what has been seen."""

    def __init__(self, config: ExploreConfig, past: Past) -> None:
        self.past, self.clearance_m = past, config.clearance_m
        self.path = given_path(config.path, past.home, pace_of(config))
        fast = beyond_pace(self.path, past.home, pace_of(config))
        self.remarks = [f"the path: {fast}"] if fast else []
        self.frames, self.end, self.notes = len(self.path), f"{len(self.path)} frames of a given path", {}

    def poses(self, count: int) -> np.ndarray:
        """The next `count` frames at most."""
        refuse_collisions(self.path, self.past.home, self.past.survey.space, self.clearance_m)
        return self.path[self.past.generated :][:count]

    def outline(self, _count: int) -> np.ndarray:
        """The whole path, whether it collides or not."""
        return self.path


class Planned:
    """Plans each piece from what was seen before, and follows the plan smoothly."""

    def __init__(self, config: ExploreConfig, past: Past, frames: int, exact: int | None) -> None:
        self.past, self.frames, self.remarks = past, frames, []
        self.least, self.enough_m2 = min(frames, config.least_frames), config.enough_floor_m2
        pace = pace_of(config)
        again = config.return_frames
        self.planner = Planner(past.survey, pace, past.camera, whole=exact is not None, return_frames=again)
        self.end = f"{frames} frames"

    def poses(self, count: int) -> np.ndarray:
        """Up to `count` frames; none where it ends."""
        seen_m2 = float(self.past.survey.near.sum()) * CELL_M**2
        if self.enough_m2 is not None and seen_m2 >= self.enough_m2:
            self.end = f"{seen_m2:.1f} m2 of floor seen after {self.past.generated} frames"
            return np.zeros((0, 4, 4))
        before = self.past.planned
        planned = self.planner.plan(before[-1], count)
        if not len(planned) and self.past.generated < self.least:
            planned = self.planner.look_around(before[-1], min(count, self.least - self.past.generated))
        if not len(planned):
            self.end = f"nothing more to see after {self.past.generated} frames"
        planned = on_stride(planned, count)
        self.tail = np.concatenate([before, planned])[-LAG:]
        return smoothed(before, planned)

    def outline(self, count: int) -> np.ndarray:
        """All of up to `count` frames at once, as far as what was seen so far leads; a walk that is really made plans
        again whenever it has seen more."""
        before = self.past.planned
        planned = self.planner.plan(before[-1], count)
        if len(planned) < count:
            last = planned[-1] if len(planned) else before[-1]
            around = self.planner.look_around(last, max(self.least - len(planned), 0))
            planned = np.concatenate([planned, around])
            self.end = f"nothing more to see after {len(planned)} frames"
        return smoothed(before, planned)

    @property
    def notes(self) -> dict[str, Any]:
        """What the next segment has to know to go on smoothly."""
        return {PLANNED: self.tail.tolist()}
