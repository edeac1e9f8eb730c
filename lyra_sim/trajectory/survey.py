"""All that exploration knows of a place, kept up frame by frame: space in voxels, floor in cells."""

import numpy as np
from jaxtyping import Bool, Float, Float32

from lyra_sim.core.records import Frames
from lyra_sim.geometry.camera import invert
from lyra_sim.memory.overlap import DepthView
from lyra_sim.trajectory.freemap import (
    ALL_AIR,
    CELL_M,
    FreeMap,
    blocked,
    closed,
    map_of,
    see_air,
    see_floor,
    see_obstacles,
    views_of,
)
from lyra_sim.trajectory.gain import FAR_M, expect
from lyra_sim.trajectory.motion import heading_of
from lyra_sim.trajectory.returns import OLD_LOOKS, is_return, kept_view
from lyra_sim.trajectory.voxels import FREE, VoxelMap

REACH_M = 12.0
"""Floor is mapped this far from each camera."""
_GROWTH_M = 8.0
_SAME_M, _SAME_RAD = 0.3, 0.1
_LOOK = 0.5
"""What one look at a cell that shows no floor takes of the hope for it."""
_GRID = np.hypot(*np.mgrid[-24:25, -24:25]) * CELL_M
_DISC = _GRID < 1.2


class Survey:
    """Grows with what it is shown.

    Args:
        centre: (3,) where exploration begins.
        height_m: of the camera when it moves over the floor.
    """

    def __init__(self, centre: Float[np.ndarray, "3"], height_m: float) -> None:
        self.height_m, self.home = height_m, np.array(centre, np.float64)
        self.space = VoxelMap(centre)
        self.origin_m = np.round((np.asarray(centre)[:2] - REACH_M) / CELL_M) * CELL_M
        cells = round(2 * REACH_M / CELL_M)
        self.floor = np.zeros((cells, cells), np.bool_)
        """Cells in which floor was seen, ..."""
        self.near: Bool[np.ndarray, "X Y"] = self.floor.copy()
        """... from near enough to count."""
        self.things = np.zeros((cells, cells), np.uint8)
        """What else was seen in each cell, in bits; see `freemap.blocked`."""
        self.air = np.zeros((cells, cells), np.uint8)
        """One bit for each layer of air about the camera's height that was looked through."""
        self.granted: Bool[np.ndarray, "X Y"] = self.floor.copy()
        """Cells at the foot of the first camera, which it does not see."""
        self.hope = np.ones((cells, cells), np.float32)
        """How likely it still is that floor is there: less with every look at a cell that showed none."""
        self.looks: list[tuple[float, float, float, float]] = []
        """Place and heading of all views, ..."""
        self.views: list[DepthView] = []
        """... what they showed, ..."""
        self.returned = 0
        """... and the number of the last one that returned to one of long ago."""

    def see(self, frames: Frames) -> None:
        """Take in all frames."""
        self.space.see(frames)
        for pose in frames.cam_to_world:
            if np.linalg.norm(pose[:3, 3] - self.home) < 0.3 and abs(pose[2, 3] - self.height_m) < 0.05:
                self._stand(pose[:3, 3])
        for depth, kind, lens, pose in views_of(frames):
            origin, part = self._around(pose[:3, 3])
            inverse = invert(pose)
            see_floor(depth, kind, lens, pose, inverse, origin, np.inf, self.floor[part], self.things[part])
            see_floor(depth, kind, lens, pose, inverse, origin, FAR_M, self.near[part], self.things[part])
            grids = (self.things[part], self.floor[part], self.near[part])
            see_obstacles(depth, kind, lens, pose, origin, self.height_m + 0.35, FAR_M, *grids)
            see_air(depth, kind, lens, pose, origin, self.height_m, self.air[part])
        camera = frames.intrinsics
        hfov, half = 2 * np.arctan(camera.width / 2 / camera.fx), np.arctan(camera.height / 2 / camera.fy)
        for t, pose in enumerate(frames.cam_to_world):
            heading, pitch = heading_of(pose)
            if is_return(frames, t, self.views[: max(len(self.looks) + 1 - OLD_LOOKS, 0)]):
                self.returned = len(self.looks)
            self.views.append(kept_view(frames, t))
            self.looks.append((float(pose[0, 3]), float(pose[1, 3]), float(pose[2, 3]), heading))
            if pitch + half > 0.05:
                edges = {"steepest_rad": min(pitch + half, 1.5), "flattest_rad": pitch - half}
                origin, part = self._around(pose[:3, 3])
                where = {"origin_m": origin, "cell_m": CELL_M}
                expect(
                    self.space, pose[:3, 3], self.hope[part], heading=heading, hfov_rad=hfov, trust=_LOOK,
                    **edges, **where,
                )  # fmt: skip

    def _around(self, eye: Float[np.ndarray, "3"]) -> tuple[np.ndarray, tuple[slice, slice]]:
        """Corner and index of the part of all grids that lies around a camera. They grow where it reaches beyond."""
        low = np.floor((eye[:2] - REACH_M - self.origin_m) / CELL_M).astype(int)
        high = low + round(2 * REACH_M / CELL_M)
        more = round(_GROWTH_M / CELL_M)
        before = np.where(low < 0, more - low, 0)
        after = np.where(high > self.floor.shape, high - self.floor.shape + more, 0)
        if before.any() or after.any():
            pad = tuple(zip(before.tolist(), after.tolist(), strict=True))
            for name in ("floor", "near", "things", "air", "granted", "hope"):
                setattr(self, name, np.pad(getattr(self, name), pad, constant_values=1 if name == "hope" else 0))
            self.origin_m = self.origin_m - before * CELL_M
            low, high = low + before, high + before
        return self.origin_m + low * CELL_M, (slice(low[0], high[0]), slice(low[1], high[1]))

    def _stand(self, eye: Float[np.ndarray, "3"]) -> None:
        """Where the walk begins the camera sees neither what is at its foot nor the floor just ahead, below its
        picture. Floor is taken for granted within 40 cm, and within 1.2 m where the air at its height and a little
        below is free. Everywhere else floor has to be seen first."""
        middle = np.floor((eye[:2] - self.origin_m) / CELL_M).astype(int)
        at = np.argwhere(_DISC) + middle - len(_DISC) // 2
        at = at[((at >= 0) & (at < self.floor.shape)).all(1)]
        centre = self.origin_m + (at + 0.5) * CELL_M
        air = np.ones(len(at), np.bool_)
        for below in (-0.1, 0.0, 0.1, 0.2):
            points = np.column_stack([centre, np.full(len(at), eye[2] - below)])
            air &= self.space.states(points) == FREE
        foot = np.linalg.norm(centre - eye[:2], axis=1) < 0.4
        self.granted[tuple(at[foot].T)] = True
        self.floor[tuple(at[air | foot].T)] = True

    @property
    def blocked(self) -> Bool[np.ndarray, "X Y"]:
        """Cells over which something stands."""
        return blocked(self.things)

    def free_map(self, clearance_m: float) -> FreeMap:
        """Where a camera may go: over floor, through air about its height that was looked through. Floor alone can be
        seen below a thing whose other side was never seen."""
        air = closed(self.air == ALL_AIR, 1)
        return map_of(self.origin_m, self.floor, self.blocked | ~(air | self.granted), clearance_m)

    def looked(
        self, eye: Float[np.ndarray, "3"], headings: Float[np.ndarray, "K"], since: int = 0
    ) -> Bool[np.ndarray, "K"]:
        """Was there a view from about this place into about these directions, from number `since` on?"""
        looks = np.array(self.looks[since:]).reshape(-1, 4)
        looks = looks[np.linalg.norm(looks[:, :3] - eye, axis=1) < _SAME_M]
        turn = np.abs(np.angle(np.exp(1j * (looks[:, 3] - headings[:, None]))))
        return np.asarray((turn < _SAME_RAD).any(1), bool)

    def unseen(self) -> Float32[np.ndarray, "X Y"]:
        """How likely a cell holds floor that was not seen from near; cells in which something stands hold none, nor do
        slots of a few cells beside them."""
        return np.where(closed(self.near | self.blocked, 1), np.float32(0), self.hope)
