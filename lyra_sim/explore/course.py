"""Where the camera goes next: along a given path, or where a plan made from all that was seen leads it."""

from typing import Any

import numpy as np

from lyra_sim.config.explore import ExploreConfig
from lyra_sim.explore.past import PLANNED, Past
from lyra_sim.memory.spatial import STRIDE
from lyra_sim.trajectory.freemap import CELL_M
from lyra_sim.trajectory.given import beyond_pace, collisions, given_path, kept_clearance, refuse_collisions
from lyra_sim.trajectory.motion import LAG, WALK_PITCH_RAD, Pace, heading_of, smoothed
from lyra_sim.trajectory.planner import Planner

STILL_M = 0.1


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
    """Follows a preset or a file to its end, or to where it would run into what has been generated.

    Raises:
        InputError: it runs into what the start shows.
    """

    def __init__(self, config: ExploreConfig, past: Past, *, refuse: bool = True) -> None:
        self.past = past
        self.path = given_path(config.path, past.home, pace_of(config))
        fast = beyond_pace(self.path, past.home, pace_of(config))
        self.remarks = [f"the path: {fast}"] if fast else []
        self.frames, self.end, self.notes = len(self.path), f"{len(self.path)} frames of a given path", {}
        self.kept_m = kept_clearance(past.home, past.survey.space, config.clearance_m)
        if refuse:
            refuse_collisions(self.path, past.home, past.survey.space, config.clearance_m)

    def poses(self, count: int) -> np.ndarray:
        """The next `count` frames at most."""
        done = self.past.generated
        before = self.path[done - 1] if done else self.past.home
        hit = collisions(self.path[done:], before, self.past.survey.space, self.kept_m)
        if len(hit) and hit[0] <= count:
            self.end = f"frame {done + hit[0]} of the given path would come too near to what was generated"
            count = int(hit[0]) - 1
        return self.path[done:][:count]

    def outline(self, _count: int) -> np.ndarray:
        """The whole path, whether it collides or not."""
        return self.path


class Planned:
    """Plans each piece from what was seen before, and follows the plan smoothly."""

    def __init__(self, config: ExploreConfig, past: Past, frames: int, exact: int | None) -> None:
        self.past, self.frames, self.remarks = past, frames, []
        self.least, self.enough_m2 = min(frames, config.least_frames), config.enough_floor_m2
        self.most = exact or config.segment_frames // STRIDE * STRIDE
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
            planned = self.planner.look_around(
                before[-1], min(count, self.least - self.past.generated), self._level(before[-1])
            )
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
            while len(planned) < min(self.least, count):
                last = planned[-1] if len(planned) else before[-1]
                piece = min(self.most, self.least - len(planned))
                planned = np.concatenate([planned, self.planner.look_around(last, piece, self._level(last))])
            self.end = f"nothing more to see after {len(planned)} frames"
        return smoothed(before, planned)

    def _level(self, pose: np.ndarray) -> float:
        """Pitch of a level look: the start's own where the camera never left it."""
        moved = np.linalg.norm(pose[:3, 3] - self.past.home[:3, 3]) > STILL_M
        return WALK_PITCH_RAD if moved else heading_of(self.past.home)[1]

    @property
    def notes(self) -> dict[str, Any]:
        """What the next segment has to know to go on smoothly."""
        return {PLANNED: self.tail.tolist()}
