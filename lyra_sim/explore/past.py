"""What is kept of all frames so far: every 8th one for retrieval, and what they show for planning."""

from typing import Any

import numpy as np

from lyra_sim.core.records import Frames, Intrinsics, Segment
from lyra_sim.geometry.camera import invert, scaled
from lyra_sim.memory.overlap import DepthView, coverage, geometry_of
from lyra_sim.memory.spatial import STRIDE, SpatialMemory
from lyra_sim.memory.warp import integer_matrix
from lyra_sim.trajectory.motion import LAG
from lyra_sim.trajectory.returns import covered, first_surface
from lyra_sim.trajectory.survey import Survey
from lyra_sim.trajectory.voxels import OCCUPIED, VOXEL_M
from lyra_sim.worldgen.request import Drawn, Request, View, view_of

PLANNED = "planned"
"""Name of a segment's note on the poses that were planned last."""
_GROUP = 4
"""Target frames that share one retrieval."""
_COARSE = 3
"""Targets of retrieval are so many times coarser than the frames, and those of the memory some times more."""
_UNASKED = 3
"""Views retrieved per group, only to be judged, for generators that are shown none."""


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
        self._geometry: dict[int, DepthView] = {}
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
        few = _subset(frames, kept)  # a copy: views of `frames` would keep all of them in memory
        for k, frame_id in enumerate(first + t for t in kept):
            self._geometry[frame_id] = geometry = geometry_of(few, k)
            w2c, K = invert(few.cam_to_world[k]), integer_matrix(few.intrinsics)
            self._memory.add(frame_id, geometry.depth_m, w2c, K)
            self._views[frame_id] = view_of(few, k, frame_id)
        self.survey.see(_subset(frames, sorted({*kept, len(frames) - 1})))

    def request(self, poses: np.ndarray, views: int, seed: int) -> Request:
        """Cameras with the remembered views that cover each group of them best; frame 0 where nothing does."""
        chosen = self._chosen(poses, views) if views else ((),) * len(poses)
        return Request(
            cam_to_world=poses,
            intrinsics=self.camera,
            views=tuple(self._views[frame_id] for frame_id in _used(chosen)),
            chosen=chosen,
            seed=seed,
        )

    def _chosen(self, poses: np.ndarray, views: int) -> tuple[tuple[int, ...], ...]:
        """For each target frame ids, best first."""
        coarse = scaled(self.camera, self.camera.width // _COARSE, self.camera.height // _COARSE)
        K, size = integer_matrix(coarse), (coarse.height, coarse.width)
        chosen: list[tuple[int, ...]] = []
        for begin in range(0, len(poses), _GROUP):
            group = poses[begin : begin + _GROUP]
            targets = self._memory.cameras(invert(group[[0, -1]]), np.stack([K, K]), size)
            seen = [self._seen(*target) for target in targets]
            # The last frame is not shown to the generator by itself, so it competes like any other.
            found = self._memory.cover(np.concatenate(seen, 1), count=views, exclude_recent=False)
            chosen += [tuple(frame_id for _, frame_id in reversed(found)) or (0,)] * len(group)
        return tuple(chosen)

    def _seen(self, w2c: np.ndarray, K: np.ndarray, height: int, width: int) -> np.ndarray:
        """(entries, pixels): which remembered frame shows what a target will show. Remembered points are sparse, and
        what they should hide would count as seen between them; so where the survey knows of a surface it is asked for
        that one."""
        seen = self._memory.visible(w2c, K, height, width)
        v, u = np.mgrid[:height, :width]
        ways = np.stack([u.ravel(), v.ravel(), np.ones(u.size)], 1) @ np.linalg.inv(K).T @ w2c[:3, :3]
        eye = -w2c[:3, :3].T @ w2c[:3, 3]
        ends, kind = first_surface(self.survey.space, eye, ways / np.linalg.norm(ways, axis=1, keepdims=True))
        views = [self._geometry[frame_id] for _, frame_id in self._memory.ids]
        seen[:, kind == OCCUPIED] = covered(ends[kind == OCCUPIED], views, VOXEL_M)
        return seen

    def retrieval_notes(self, request: Request, drawn: Drawn) -> dict[str, Any]:
        """Which remembered frames a piece was drawn from and how much of it they cover, before it is taken in.

        Generators that retrieve by themselves name the frames in a note `retrieved`; the last remembered frame counts
        too, for they are shown it anyway and do not retrieve it. For generators that are shown nothing it is what would
        have been retrieved (`shown` is false).

        Returns:
            `retrieved` where frames were, and `overlap`: ids of the views, numbers of the frames that were judged
            (every 8th and the last, of those with depth) with the share of each that the views cover, the lowest with
            its frame, and the median.
        """
        if (own := drawn.notes.get("retrieved")) is not None:
            views = sorted({*own, max(self._views)})
        else:
            views = _used(request.chosen) or _used(self._chosen(request.cam_to_world, _UNASKED))
        shown = own is not None or bool(request.views)
        geometry, count = [self._geometry[frame_id] for frame_id in views], len(drawn.frames)
        judged = [t for t in range(count) if (self._count + t) % STRIDE == 0 or t == count - 1]
        found = {self._count + t: coverage(drawn.frames, t, geometry).overlap for t in judged}
        shares = {number: round(share, 4) for number, share in found.items() if share is not None}
        overlap: dict[str, Any] = {"views": views, "shown": shown, "frames": [*shares], "shares": [*shares.values()]}
        if shares:
            worst = min(shares, key=lambda number: shares[number])
            overlap |= {
                "lowest": shares[worst],
                "lowest_frame": worst,
                "median": round(float(np.median([*shares.values()])), 4),
            }
        return {**({"retrieved": views} if request.views else {}), "overlap": overlap}


def _used(chosen: tuple[tuple[int, ...], ...]) -> list[int]:
    return sorted({frame_id for ids in chosen for frame_id in ids})


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
