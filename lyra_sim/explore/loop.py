"""The exploration of one world: plan a piece of walk, retrieve what remembers it best, generate, remember, commit.

A walk of N new frames is cut into equal segments of at most `segment_frames` (81 frames become 41 + 40), or into
segments of as many frames as the generator always draws. Everything is
rebuilt from the start record and the committed segments at the beginning of each segment, so a killed run continues
with the same bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from lyra_sim.config.explore import ExploreConfig
from lyra_sim.core.licence import Licence
from lyra_sim.core.records import Frames, Intrinsics, PixelOrigin, PosedFrames, Segment
from lyra_sim.geometry.camera import invert
from lyra_sim.memory.spatial import STRIDE, SpatialMemory
from lyra_sim.memory.warp import integer_matrix
from lyra_sim.trajectory.planner import Pace, Walk, plan
from lyra_sim.worldgen import build
from lyra_sim.worldgen.request import Request, View, view_of

_GROUP = 8
"""Target frames that share one retrieval."""


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
) -> tuple[tuple[Licence, ...], dict[str, str]]:
    """Explore further from `start` until the frame count is reached or nothing is left to gain.

    Returns:
        Rights in the generator's weights, and which weights these are (file -> sha256).

    Args:
        seed: segment i is generated with seed + i.
        source_dir: the input itself (folder of a walk, file of a photo); only the `truth` generator reads it.
        captions: what the world shows, for generators that read; see `worldgen.request.Generator.begin`.
        done: segments an earlier run committed, in order.
        commit: called once for every new segment, in order.
        progress: called with one sentence before each segment.

    Raises:
        ConfigError: the generator cannot work on this input.
    """
    frames = config.rgbd_frames if start.frame.measured else config.photo_frames
    if frames == 0:
        return (), {}
    generator = build(config.generator, source=source_dir, T_world_source=start.frame.T_world_source)
    past = _Past(start.frames, generator.camera(start.frames.intrinsics, config.height_px))
    where = "the start"
    generator.begin(start, captions, lambda line: progress(f"{where}, {line}"))
    for index, segment in enumerate(done):
        assert segment.index == index, "segments are committed in order"
        generator.remember(segment)
        past.add(segment.frames)
    index = len(done)
    while past.generated < frames:
        poses = _plan(past, config, frames)
        if not len(poses):
            break
        count, pieces = _share(len(poses), config.segment_frames, generator.frames)
        where = f"segment {index + 1} of {index + pieces}"
        progress(where)
        drawn = generator.generate(past.request(_held(poses[:count], count), generator.views, seed + index))
        segment = Segment(
            index=index, frames=drawn.frames, warped=drawn.warped, latents=drawn.latents, notes=drawn.notes
        )
        commit(segment)
        generator.remember(segment)
        past.add(segment.frames)
        index += 1
    return generator.licences, dict(generator.weights)


def _share(planned: int, most: int, exact: int | None) -> tuple[int, int]:
    """(frames of the next segment, segments to come): equal shares of at most `most`, or exactly `exact` each."""
    pieces = -(-planned // (exact or most))
    return exact or -(-planned // pieces), pieces


def _held(poses: np.ndarray, count: int) -> np.ndarray:
    """`count` poses; the camera stands still at the last one where fewer were planned."""
    return np.concatenate([poses, np.repeat(poses[-1:], count - len(poses), 0)])


def _plan(past: "_Past", config: ExploreConfig, frames: int) -> np.ndarray:
    walk = Walk(
        home=past.home,
        trail=np.concatenate([np.zeros((0, 4, 4)), *past.trail]),
        frames_left=frames - past.generated,
        frames_wanted=max(0, min(frames, config.least_frames) - past.generated),
    )
    pace = Pace(
        robot_height_m=config.robot_height_m,
        clearance_m=config.clearance_m,
        step_m=config.step_m,
        turn_rad=float(np.deg2rad(config.turn_deg)),
    )
    return plan(past.pieces, walk, pace)


class _Past:
    """What is kept of all frames so far: every 8th one, for retrieval and planning, and all poses."""

    def __init__(self, start: Frames, camera: Intrinsics) -> None:
        self.camera = camera
        self.home = start.cam_to_world[-1]
        self.trail: list[np.ndarray] = []
        self.pieces: list[Frames] = []
        self.generated = 0
        self._count = 1 - len(start)
        """Id of the next frame: the start's last one is 0, where the walk begins."""
        self._memory = SpatialMemory()
        self._views: dict[int, View] = {}
        self._remember(start)

    def add(self, frames: Frames) -> None:
        """Take in a generated segment."""
        self.trail.append(frames.cam_to_world)
        self.generated += len(frames)
        self._remember(frames)

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
        if kept:
            self.pieces.append(_subset(frames, kept))

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
