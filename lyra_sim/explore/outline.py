"""What an exploration would do, told before anything is generated: its path, and the floor it can be expected to show.

All of it rests on what the start shows. Of floor that was never in view nobody knows whether it is there; a run plans
again after every segment, from what that showed, and will go elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int

from lyra_sim.config.explore import ExploreConfig
from lyra_sim.core.errors import InputError
from lyra_sim.core.records import Intrinsics, PosedFrames
from lyra_sim.explore.course import Given, Planned, pace_of
from lyra_sim.explore.past import Past
from lyra_sim.memory.spatial import STRIDE
from lyra_sim.trajectory.freemap import CELL_M, FreeMap
from lyra_sim.trajectory.gain import expect
from lyra_sim.trajectory.given import collisions, kept_clearance, refuse_collisions
from lyra_sim.trajectory.motion import heading_of
from lyra_sim.trajectory.planner import Planner
from lyra_sim.trajectory.survey import Survey
from lyra_sim.worldgen.build import frame_size

_LEAST_HEIGHT_M = 0.1
"""A camera lower than this is not asked what it shows of the floor."""


@dataclass(frozen=True)
class Outline:
    """An exploration as it is planned from its start."""

    home: Float64[np.ndarray, "4 4"]
    """Camera to world of the frame where it begins."""
    poses: Float64[np.ndarray, "N 4 4"]
    """Of the frames after it; a generator of a fixed number of frames stands still at the last one until that is
    full."""
    segments: tuple[int, ...]
    """Frames of each, were all as long as allowed: a run ends one earlier where it has to look at what it got."""
    end: str
    """Why it ends there."""
    remarks: tuple[str, ...]
    refused: str
    """Why this path would be refused; empty where it is not."""
    collisions: Int[np.ndarray, "M"]
    """Numbers of the frames that collide with what the start shows; the first frame after the start is 1."""
    curve_frames: Int[np.ndarray, "K"]
    """Numbers of the frames at which `curve_m2` is known, from 0 on."""
    curve_m2: Float64[np.ndarray, "K"]
    """Floor that these frames and those before are expected to newly show from near, square metres."""
    expected: Float32[np.ndarray, "X Y"]
    """How much of that lies in each cell of `free`, 0 to 1."""
    seen_m2: float
    """Floor that the start itself shows from near."""
    survey: Survey
    """What the start shows, ..."""
    free: FreeMap
    """... where that lets a camera go, ..."""
    reachable: Bool[np.ndarray, "X Y"]
    """... and which part of it a planned walk can get to."""

    @property
    def length_m(self) -> float:
        """Of the path."""
        places = np.concatenate([self.home[None], self.poses])[:, :3, 3]
        return float(np.linalg.norm(np.diff(places, axis=0), axis=1).sum())


def outline(start: PosedFrames, config: ExploreConfig, *, source_dir: Path | None) -> Outline:
    """What `explore` would do from `start`, as far as can be told before; nothing is drawn, no network is opened.

    Args:
        source_dir: see `explore`.

    Raises:
        ConfigError: the generator cannot work on this input, or a preset takes more frames than any walk has.
        InputError: the file of a given path is no path.
    """
    camera, exact = frame_size(
        config.generator,
        start.frames.intrinsics,
        config.height_px,
        source=source_dir,
        T_world_source=start.frame.T_world_source,
    )
    past = Past(start.frames, camera, config.robot_height_m)
    frames = config.rgbd_frames if start.frame.measured else config.photo_frames
    if frames == 0 and config.path.kind == "planned":
        return _outlined(past, config, np.zeros((0, 4, 4)), (), "no new frames were asked for", [])
    if config.path.kind != "planned":
        course = Given(config, past, refuse=False)
        poses, enough = course.outline(course.frames), None
    else:
        course = Planned(config, past, frames, exact=frames)
        poses, enough = course.outline(_in_full(frames, exact)), config.enough_floor_m2
    poses, segments, end = _until_enough(past, poses, _segments(len(poses), exact, config.segment_frames), enough)
    return _outlined(past, config, poses, segments, end or course.end, course.remarks)


def expected_floor(
    survey: Survey, poses: Float64[np.ndarray, "N 4 4"], camera: Intrinsics, segments: Sequence[int]
) -> tuple[Int[np.ndarray, "K"], Float64[np.ndarray, "K"], Float32[np.ndarray, "X Y"]]:
    """Floor that cameras are expected to newly show from near: an expectation from what `survey` knows, in which floor
    that was never in view counts by how likely it is there and visible. Views are taken as the loop remembers them:
    every 8th, and the last of a segment.

    Returns:
        Numbers of the frames, 0 first; square metres up to each; how much of it lies in each cell of the survey.
    """
    before = survey.unseen()
    unseen = before.copy()
    ends = np.cumsum(np.array(segments, int))
    taken = sorted(
        {*range(STRIDE, len(poses) + 1, STRIDE), *(int(n) for n in ends if n < len(poses)), len(poses)} - {0}
    )
    hfov, half = 2 * np.arctan(camera.width / 2 / camera.fx), np.arctan(camera.height / 2 / camera.fy)
    gained = [0.0]
    for number in taken:
        pose = poses[number - 1]
        heading, pitch = heading_of(pose)
        if pitch + half > 0.05 and pose[2, 3] > _LEAST_HEIGHT_M:
            steepest = min(pitch + half, 1.5)
            expect(
                survey.space, pose[:3, 3], unseen, survey.origin_m, CELL_M, steepest, heading, hfov,
                flattest_rad=pitch - half,
            )  # fmt: skip
        gained.append(float((before - unseen).sum(dtype=np.float64)) * CELL_M**2)
    return np.array([0, *taken]), np.array(gained), before - unseen


def _outlined(
    past: Past, config: ExploreConfig, poses: np.ndarray, segments: tuple[int, ...], end: str, remarks: list[str]
) -> Outline:
    survey, refused, hit = past.survey, "", np.zeros(0, int)
    if config.path.kind != "planned" and len(poses):
        hit = collisions(poses, past.home, survey.space, kept_clearance(past.home, survey.space, config.clearance_m))
        try:
            refuse_collisions(poses, past.home, survey.space, config.clearance_m)
        except InputError as error:
            refused = str(error)
    numbers, gained, expected = expected_floor(survey, poses, past.camera, segments)
    free = survey.free_map(config.clearance_m)
    return Outline(
        home=past.home,
        poses=poses,
        segments=segments,
        end=end,
        remarks=tuple(remarks),
        refused=refused,
        collisions=hit,
        curve_frames=numbers,
        curve_m2=gained,
        expected=expected,
        seen_m2=_seen_m2(survey),
        survey=survey,
        free=free,
        reachable=Planner(survey, pace_of(config), past.camera).reachable(past.home),
    )


def _until_enough(
    past: Past, poses: np.ndarray, segments: tuple[int, ...], enough_m2: float | None
) -> tuple[np.ndarray, tuple[int, ...], str]:
    """The path up to the end of the segment with which enough floor is seen, and why it ends there if it does."""
    if enough_m2 is None:
        return poses, segments, ""
    seen_m2 = _seen_m2(past.survey)
    numbers, gained, _ = expected_floor(past.survey, poses, past.camera, segments)
    for k, done in enumerate([0, *np.cumsum(segments[:-1])]):
        have = seen_m2 + float(np.interp(done, numbers, gained))
        if have >= enough_m2:
            return poses[:done], segments[:k], f"{have:.1f} m2 of floor seen after {done} frames"
    return poses, segments, ""


def _seen_m2(survey: Survey) -> float:
    return float(survey.near.sum()) * CELL_M**2


def _in_full(frames: int, exact: int | None) -> int:
    """Frames that are drawn where so many were asked for."""
    return frames if exact is None else -(-frames // exact) * exact


def _segments(frames: int, exact: int | None, most: int) -> tuple[int, ...]:
    """Frames of each segment where none ends early."""
    size = exact or most // STRIDE * STRIDE
    whole, rest = divmod(frames, size)
    return (size,) * whole + ((exact or rest,) if rest else ())
