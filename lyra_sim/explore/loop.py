"""The exploration of one world: plan a piece of walk, retrieve what remembers it best, generate, remember, commit.

A walk of N new frames is cut into equal segments of at most `segment_frames` (81 frames become 4), or into segments of
as many frames as the generator always draws. Each is planned from all that came before. Everything is rebuilt from the
start record and the committed segments at the beginning, so a killed run continues with the same bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lyra_sim.config.explore import ExploreConfig
from lyra_sim.core.licence import Licence
from lyra_sim.core.records import Frames, Intrinsics, PixelOrigin, PosedFrames, Segment
from lyra_sim.geometry.camera import invert
from lyra_sim.memory.spatial import STRIDE, SpatialMemory
from lyra_sim.memory.warp import integer_matrix
from lyra_sim.trajectory.freemap import CELL_M
from lyra_sim.trajectory.given import beyond_pace, given_path, refuse_collisions
from lyra_sim.trajectory.motion import LAG, Pace, smoothed
from lyra_sim.trajectory.planner import Planner
from lyra_sim.trajectory.survey import Survey
from lyra_sim.worldgen import build
from lyra_sim.worldgen.request import Request, View, view_of

_GROUP = 8
"""Target frames that share one retrieval."""
PLANNED = "planned"
"""Name of the note on the poses that were planned last."""


@dataclass(frozen=True)
class Explored:
    """What became of an exploration."""

    licences: tuple[Licence, ...]
    """Rights in the generator's weights."""
    weights: dict[str, str]
    """Which these are: file -> sha256."""
    end: str
    """Why it ended there."""


def explore(
    start: PosedFrames,
    config: ExploreConfig,
    *,
    seed: int,
    source_dir: Path | None,
    captions: Mapping[int, str],
    done: Sequence[Segment],
    commit: Callable[[Segment], None],
    progress: Callable[[str], None],
) -> Explored:
    """Explore further from `start` until the frame count is reached or nothing is left to gain.

    Returns:
        What became of it.

    Args:
        seed: segment i is generated with seed + i.
        source_dir: the input itself (folder of a walk, file of a photo); only the `truth` generator reads it.
        captions: what the world shows, for generators that read; see `worldgen.request.Generator.begin`.
        done: segments an earlier run committed, in order.
        commit: called once for every new segment, in order.
        progress: called with one sentence before each segment.

    Raises:
        ConfigError: the generator cannot work on this input.
        InputError: a given path would collide with what was seen.
    """
    frames = config.rgbd_frames if start.frame.measured else config.photo_frames
    if frames == 0:
        return Explored((), {}, "no new frames were asked for")
    generator = build(config.generator, source=source_dir, T_world_source=start.frame.T_world_source)
    past = _Past(start.frames, generator.camera(start.frames.intrinsics, config.height_px), config.robot_height_m)
    where = "the start"
    generator.begin(start, captions, lambda line: progress(f"{where}, {line}"))
    for index, segment in enumerate(done):
        assert segment.index == index, "segments are committed in order"
        generator.remember(segment)
        past.add(segment)
    course = _Given(config, past) if config.path.kind != "planned" else _Planned(config, past, frames, generator.frames)
    for line in course.remarks:
        progress(line)
    index = len(done)
    while past.generated < course.frames:
        most = generator.frames or config.segment_frames
        pieces = -(-(course.frames - past.generated) // most)
        count = generator.frames or -(-(course.frames - past.generated) // pieces)
        where = f"segment {index + 1} of at most {index + pieces}"
        progress(where)
        poses = course.poses(count)
        if not len(poses):
            break
        poses = _held(poses, generator.frames or len(poses))
        drawn = generator.generate(past.request(poses, generator.views, seed + index))
        notes = {**drawn.notes, **course.notes}
        segment = Segment(index=index, frames=drawn.frames, warped=drawn.warped, latents=drawn.latents, notes=notes)
        commit(segment)
        generator.remember(segment)
        past.add(segment)
        index += 1
    return Explored(generator.licences, dict(generator.weights), course.end)


def _held(poses: np.ndarray, count: int) -> np.ndarray:
    """`count` poses; the camera stands still at the last one where fewer were planned."""
    return np.concatenate([poses, np.repeat(poses[-1:], count - len(poses), 0)])


def _pace(config: ExploreConfig) -> Pace:
    return Pace(
        robot_height_m=config.robot_height_m,
        clearance_m=config.clearance_m,
        step_m=config.step_m,
        turn_rad=float(np.deg2rad(config.turn_deg)),
    )


class _Given:
    """Follows a preset or a file to its end, as long as it does not run into what has been seen."""

    def __init__(self, config: ExploreConfig, past: "_Past") -> None:
        self.past, self.clearance_m = past, config.clearance_m
        self.path = given_path(config.path, past.home, _pace(config))
        fast = beyond_pace(self.path, past.home, _pace(config))
        self.remarks = [f"the path: {fast}"] if fast else []
        self.frames, self.end, self.notes = len(self.path), f"{len(self.path)} frames of a given path", {}

    def poses(self, count: int) -> np.ndarray:
        """The next `count` frames at most."""
        refuse_collisions(self.path, self.past.home, self.past.survey.space, self.clearance_m)
        return self.path[self.past.generated :][:count]


class _Planned:
    """Plans each piece from what was seen before, and follows the plan smoothly."""

    def __init__(self, config: ExploreConfig, past: "_Past", frames: int, exact: int | None) -> None:
        self.past, self.frames, self.remarks = past, frames, []
        self.least, self.enough_m2 = min(frames, config.least_frames), config.enough_floor_m2
        pace = _pace(config)
        self.planner = Planner(past.survey, pace, past.camera, whole=exact is not None)
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
        self.tail = np.concatenate([before, planned])[-LAG:]
        return smoothed(before, planned)

    @property
    def notes(self) -> dict[str, Any]:
        """What the next segment has to know to go on smoothly."""
        return {PLANNED: self.tail.tolist()}


class _Past:
    """What is kept of all frames so far: every 8th one for retrieval, and what they show for planning."""

    def __init__(self, start: Frames, camera: Intrinsics, robot_height_m: float) -> None:
        self.camera = camera
        self.home = start.cam_to_world[-1]
        self.planned = np.repeat(self.home[None], LAG, 0)
        """Poses that were planned last; the camera follows them late."""
        self.survey = Survey(self.home[:3, 3], robot_height_m)
        self.generated = 0
        self._count = 1 - len(start)
        """Id of the next frame: the start's last one is 0, where the walk begins."""
        self._memory = SpatialMemory()
        self._views: dict[int, View] = {}
        self._remember(start)

    def add(self, segment: Segment) -> None:
        """Take in a generated segment."""
        self.planned = np.array(segment.notes.get(PLANNED, self.planned), np.float64)
        self.generated += len(segment.frames)
        self._remember(segment.frames)

    def _remember(self, frames: Frames) -> None:
        first = self._count
        self._count += len(frames)
        kept = [t for t in range(len(frames)) if (first + t) % STRIDE == 0]
        for t in kept:
            frame_id = first + t
            depth = np.where(frames.valid[t] & (frames.origin[t] != PixelOrigin.FILLED), frames.depth_m[t], 0)
            w2c, K = invert(frames.cam_to_world[t]), integer_matrix(frames.intrinsics)
            self._memory.add(frame_id, depth, w2c, K)
            self._views[frame_id] = view_of(frames, t, frame_id)
        self.survey.see(_subset(frames, sorted({*kept, len(frames) - 1})))

    def request(self, poses: np.ndarray, views: int, seed: int) -> Request:
        """Cameras with the remembered views that cover each group of them best; frame 0 where nothing does."""
        K, size = integer_matrix(self.camera), (self.camera.height, self.camera.width)
        chosen: list[tuple[int, ...]] = []
        for begin in range(0, len(poses) if views else 0, _GROUP):
            group = poses[begin : begin + _GROUP]
            targets = invert(group[[0, -1]])
            # The last frame is not shown to the generator by itself, so it competes like any other.
            found = self._memory.retrieve(targets, np.stack([K, K]), size, count=views, exclude_recent=False)
            ids = tuple(frame_id for _, frame_id in reversed(found)) or (0,)
            chosen += [ids] * len(group)
        used = sorted({frame_id for ids in chosen for frame_id in ids})
        chosen += [()] * (len(poses) - len(chosen))
        return Request(
            cam_to_world=poses,
            intrinsics=self.camera,
            views=tuple(self._views[frame_id] for frame_id in used),
            chosen=tuple(chosen),
            seed=seed,
        )


def _subset(frames: Frames, kept: list[int]) -> Frames:
    return Frames(
        images=frames.images[kept],
        depth_m=frames.depth_m[kept],
        valid=frames.valid[kept],
        origin=frames.origin[kept],
        label=frames.label[kept],
        cam_to_world=frames.cam_to_world[kept],
        intrinsics=frames.intrinsics,
    )
