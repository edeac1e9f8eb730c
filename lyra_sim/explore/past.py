"""What is kept of all frames so far: every 8th one for retrieval, and what they show for planning."""

import numpy as np

from lyra_sim.core.records import Frames, Intrinsics, PixelOrigin, Segment
from lyra_sim.geometry.camera import invert
from lyra_sim.memory.spatial import STRIDE, SpatialMemory
from lyra_sim.memory.warp import integer_matrix
from lyra_sim.trajectory.motion import LAG
from lyra_sim.trajectory.survey import Survey
from lyra_sim.worldgen.request import Request, View, view_of

PLANNED = "planned"
"""Name of a segment's note on the poses that were planned last."""
_GROUP = 8
"""Target frames that share one retrieval."""


class Past:
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
