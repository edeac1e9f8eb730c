"""Plans a walk piece by piece: down to the floor along a line that was seen to be empty, then from view to view.

Where no floor is free or nothing is left to see the camera can still look around where it is.
"""

import numpy as np
from jaxtyping import Bool, Float64

from lyra_sim.core.records import Intrinsics
from lyra_sim.trajectory.freemap import FreeMap
from lyra_sim.trajectory.gain import BIN_RAD, BINS, bin_of, known_share, over_pictures
from lyra_sim.trajectory.given import collisions, kept_clearance
from lyra_sim.trajectory.motion import (
    WALK_PITCH_RAD,
    Leg,
    Pace,
    along,
    frames_for,
    heading_of,
    smoothly,
    steer,
    sweep,
)
from lyra_sim.trajectory.nextview import NextView, nearest_free
from lyra_sim.trajectory.survey import Survey
from lyra_sim.trajectory.voxels import FREE
from lyra_sim.trajectory.ways import distances

_LOOK_RAD = np.deg2rad(30.0)
_LOOK_DOWN_RAD = np.deg2rad(15.0)
_LEAST_LOOK_RAD = np.deg2rad(5.0)
_KNOWN_LOOK = 0.74
"""Share of a picture that is known before the camera looks there, but for the least look to either side."""
_STEEPEST = 0.9
_AT_HEIGHT_M = 0.02
_OWN_M = 0.3
"""Air so near to the camera is taken for free."""


class Planner:
    """Plans from what a survey knows.

    Args:
        camera: of the frames to come.
        whole, return_frames: see `NextView`.
    """

    def __init__(
        self, survey: Survey, pace: Pace, camera: Intrinsics, *, whole: bool = False, return_frames: int = 0
    ) -> None:
        self.survey, self.pace = survey, pace
        self.next_view = NextView(survey, pace, camera, whole=whole, return_frames=return_frames)

    def plan(self, pose: Float64[np.ndarray, "4 4"], frames: int) -> Float64[np.ndarray, "N 4 4"]:
        """Up to `frames` poses from `pose` on, none where nothing would be gained.

        Steps are at most `pace.step_m`, turns at most `pace.turn_rad` a frame.
        """
        free = self.survey.free_map(self.pace.clearance_m)
        if abs(pose[2, 3] - self.survey.height_m) < _AT_HEIGHT_M:
            return self.next_view.plan(pose, frames)
        landing = self._landing(free, pose[:3, 3])
        if landing is None:
            return np.zeros((0, 4, 4))
        down = self._descend(pose, landing)[:frames]
        if len(down) == frames:
            return down
        return np.concatenate([down, self.next_view.plan(down[-1], frames - len(down))])

    def reachable(self, pose: Float64[np.ndarray, "4 4"]) -> Bool[np.ndarray, "X Y"]:
        """Free cells of the survey that a walk from `pose` on can get to."""
        free = self.survey.free_map(self.pace.clearance_m)
        place = pose[:3, 3] if self._walks(free, pose) else self._landing(free, pose[:3, 3])
        cell = None if place is None else nearest_free(free, place)
        return np.zeros_like(free.free) if cell is None else np.isfinite(distances(free.free, cell))

    def look_around(
        self, pose: Float64[np.ndarray, "4 4"], frames: int, level_rad: float
    ) -> Float64[np.ndarray, "N 4 4"]:
        """`frames` poses at one place that look left, right and back, as far as they allow and as is known; lower than
        level where the last look was level, for the floor at the camera's foot is what a level camera misses.

        Args:
            level_rad: pitch of a level look.
        """
        heading, pitch = heading_of(pose)
        lower = min(level_rad + _LOOK_DOWN_RAD, max(_STEEPEST, level_rad))
        target = lower if pitch < level_rad + _LOOK_DOWN_RAD / 2 else level_rad
        wide = self._known_reach(pose[:3, 3], heading, target)
        if target != level_rad and wide < _LEAST_LOOK_RAD:
            target, wide = level_rad, self._known_reach(pose[:3, 3], heading, level_rad)
        begin = min(int(np.ceil(abs(target - pitch) / self.pace.turn_rad)), frames)
        reach = min(max(wide, _LEAST_LOOK_RAD), _LOOK_RAD, (frames - begin) * self.pace.turn_rad / 4)
        turns = sweep(heading, reach, self.pace.turn_rad)[: frames - begin] if frames > begin else np.zeros(0)
        rest = np.full(frames - begin - len(turns), heading)
        headings = np.concatenate([np.full(begin, heading), turns, rest])
        steps = np.minimum(np.arange(1, frames + 1) / max(begin, 1), 1.0)
        leg = Leg(
            position=np.repeat(pose[None, :3, 3], frames, 0), heading=headings, pitch=pitch + (target - pitch) * steps
        )
        return steer(pose, [leg], self.pace.turn_rad)

    def _known_reach(self, eye: np.ndarray, heading: float, pitch: float) -> float:
        """How far to either side the picture is known enough."""
        hfov = self.next_view.hfov
        rays = known_share(self.survey.space, eye, pitch - WALK_PITCH_RAD)
        known = over_pictures(rays, hfov) / over_pictures(np.ones(BINS), hfov)
        around = [min(known[bin_of(heading + side * k * BIN_RAD)] for side in (-1, 1)) for k in range(BINS // 2)]
        return (int(np.argmin(np.array([*around, 0.0]) >= _KNOWN_LOOK)) - 1) * BIN_RAD

    def _walks(self, free: FreeMap, pose: np.ndarray) -> bool:
        """Is the camera where it can walk, at the right height over free floor?"""
        return abs(pose[2, 3] - self.survey.height_m) < _AT_HEIGHT_M and nearest_free(free, pose[:3, 3]) is not None

    def _descend(self, pose: np.ndarray, landing: np.ndarray) -> np.ndarray:
        """Straight to the landing, looking there and at last as a walking camera does."""
        way = np.stack([pose[:3, 3], landing])
        count = max(frames_for(way, self.pace.step_m), 1)
        heading, pitch = heading_of(pose)
        toward = np.arctan2(*(landing - pose[:3, 3])[1::-1])
        turn, share = np.angle(np.exp(1j * (toward - heading))), np.linspace(0, 1, count + 1)[1:]
        leg = Leg(
            position=along(way, count),
            heading=heading + turn * smoothly(share),
            pitch=pitch + (WALK_PITCH_RAD - pitch) * smoothly(share),
        )
        return steer(pose, [leg], self.pace.turn_rad)

    def _landing(self, free: FreeMap, eye: np.ndarray) -> np.ndarray | None:
        """The nearest free place at robot height to which the straight line was seen to be empty."""
        cells = np.argwhere(free.free)
        if not len(cells):
            return None
        places = np.column_stack([free.centre(cells), np.full(len(cells), self.survey.height_m)])
        order = np.argsort(np.linalg.norm(places - eye, axis=1), kind="stable")
        for place in places[[*order[:200:4], *order[200:4000:40]]]:
            points = eye + np.linspace(0, 1, 200)[:, None] * (place - eye)
            seen = points[np.linalg.norm(points - eye, axis=1) > _OWN_M]
            if (self.survey.space.states(seen) == FREE).all() and self._keeps_away(points[::10]):
                return place
        return None

    def _keeps_away(self, points: np.ndarray) -> bool:
        """Nothing stands nearer to the points than the clearance, or than to the first one if that is less."""
        poses = np.tile(np.eye(4), (len(points), 1, 1))
        poses[:, :3, 3] = points
        kept = kept_clearance(poses[0], self.survey.space, self.pace.clearance_m)
        return not len(collisions(poses[1:], poses[0], self.survey.space, kept))
