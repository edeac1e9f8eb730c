"""What is known of space: free, occupied or unknown in voxels of 10 cm, kept in blocks where something was seen.

Depth rays empty the voxels they pass and fill the one they end in (Moravec and Elfes 1985; counts instead of log odds).
For each voxel the nearest distance from which it was seen is kept, and the directions, in eighths of a circle.
"""

import numpy as np
from jaxtyping import Float, Float64, UInt8
from numba import njit

from lyra_sim.core.records import Frames, Label, PixelOrigin
from lyra_sim.geometry.camera import pixel_rays

VOXEL_M = 0.1
BLOCK = 16
_BLOCKS = (64, 64, 8)
"""Blocks along x, y and z: 102 x 102 x 12.8 m around the first camera."""
UNKNOWN, FREE, OCCUPIED = 0, 1, 2
_LEAST_HITS = 2
"""Depth pixels that make a voxel occupied, ..."""
_HIT_WEIGHT = 4
"""... each as much as so many rays that pass through: thin things fill part of a voxel only."""


class VoxelMap:
    """Grows with what it is shown; memory is proportional to the blocks of 1.6 m that were touched.

    Args:
        centre: (3,) about where exploration begins; floor (z = 0) lies in the middle of a layer of voxels.
        reach_m: rays are followed this far.
    """

    def __init__(self, centre: Float[np.ndarray, "3"], reach_m: float = 8.0) -> None:
        side = BLOCK * VOXEL_M
        low = np.floor(np.asarray(centre[:2]) / side) * side - side * np.array(_BLOCKS[:2]) / 2
        self.origin_m: Float64[np.ndarray, 3] = np.append(low, -side * 2 - VOXEL_M / 2)
        self.reach_m = reach_m
        self.index = np.full(_BLOCKS, -1, np.int32)
        """Block at each place, -1 where nothing was seen."""
        self.passed: UInt8[np.ndarray, "B 16 16 16"] = np.zeros((0, BLOCK, BLOCK, BLOCK), np.uint8)
        self.hits = self.passed.copy()
        self.nearest_dm = self.passed.copy()
        """Decimetres from the nearest camera that saw it; 255 where none did."""
        self.sides = self.passed.copy()
        """Bit k: seen from a camera that lies in the k-th eighth of a circle about it."""
        self.count = 0

    @property
    def bytes(self) -> int:
        """Memory held."""
        return self.index.nbytes + 4 * self.passed.nbytes

    def see(self, frames: Frames) -> None:
        """Take in the depth of all frames. Sky is free, FILLED pixels say nothing. Two rays meet each voxel at the
        reach."""
        camera = frames.intrinsics
        step = max(1, int(VOXEL_M / 2 / self.reach_m * camera.fx))
        rays = pixel_rays(camera)[step // 2 :: step, step // 2 :: step]
        for t in range(len(frames)):
            known = frames.valid[t] & (frames.origin[t] != PixelOrigin.FILLED)
            depth = np.where(known, frames.depth_m[t], 0)
            depth[~frames.valid[t] & (frames.label[t] == Label.SKY)] = 2 * self.reach_m
            depth = depth[step // 2 :: step, step // 2 :: step]
            T = frames.cam_to_world[t]
            ends = (rays * depth[..., None]).reshape(-1, 3)[depth.ravel() > 0] @ T[:3, :3].T + T[:3, 3]
            self._room_for(T[:3, 3], ends)
            counts = (self.passed, self.hits, self.nearest_dm, self.sides)
            _see(T[:3, 3], ends, self.origin_m, self.index, *counts, self.reach_m)

    def _room_for(self, eye: np.ndarray, ends: np.ndarray) -> None:
        """Blocks along all rays."""
        touched = np.zeros(_BLOCKS, np.bool_)
        _touch(eye, ends, self.origin_m, touched, self.reach_m)
        new = np.argwhere(touched & (self.index < 0))
        if not len(new):
            return
        self.index[tuple(new.T)] = np.arange(self.count, self.count + len(new))
        self.count += len(new)
        if self.count > len(self.passed):
            more = np.zeros(
                (max(self.count, 3 * len(self.passed) // 2) - len(self.passed), BLOCK, BLOCK, BLOCK), np.uint8
            )
            self.passed, self.hits = np.concatenate([self.passed, more]), np.concatenate([self.hits, more])
            self.sides = np.concatenate([self.sides, more])
            self.nearest_dm = np.concatenate([self.nearest_dm, more + np.uint8(255)])

    def states(self, points: Float[np.ndarray, "N 3"]) -> UInt8[np.ndarray, "N"]:
        """UNKNOWN, FREE or OCCUPIED at points."""
        return _states(np.asarray(points, np.float64), self.origin_m, self.index, self.passed, self.hits)


@njit(cache=True)
def state_at(x, y, z, origin, index, passed, hits):
    """State of the voxel at a point; UNKNOWN outside the map."""
    i, j, k = int((x - origin[0]) / VOXEL_M), int((y - origin[1]) / VOXEL_M), int((z - origin[2]) / VOXEL_M)
    if x < origin[0] or y < origin[1] or z < origin[2]:
        return UNKNOWN
    a, b, c = i // BLOCK, j // BLOCK, k // BLOCK
    if a >= index.shape[0] or b >= index.shape[1] or c >= index.shape[2]:
        return UNKNOWN
    at = index[a, b, c]
    if at < 0:
        return UNKNOWN
    i, j, k = i % BLOCK, j % BLOCK, k % BLOCK
    hit, through = hits[at, i, j, k], passed[at, i, j, k]
    if hit >= _LEAST_HITS and hit * _HIT_WEIGHT >= through:
        return OCCUPIED
    return FREE if through > 0 else UNKNOWN


@njit(cache=True)
def _states(points, origin, index, passed, hits):
    out = np.zeros(len(points), np.uint8)
    for n in range(len(points)):
        out[n] = state_at(points[n, 0], points[n, 1], points[n, 2], origin, index, passed, hits)
    return out


@njit(cache=True)
def _touch(eye, ends, origin, touched, reach):
    """Blocks that rays run through, found in steps of half a voxel block."""
    side = BLOCK * VOXEL_M
    for n in range(len(ends)):
        away = ends[n] - eye
        length = np.sqrt((away * away).sum())
        far = min(length, reach)
        steps = int(far / VOXEL_M) + 2
        for s in range(steps + 1):
            p = eye + away * (far * s / steps / length)
            a, b, c = int((p[0] - origin[0]) / side), int((p[1] - origin[1]) / side), int((p[2] - origin[2]) / side)
            if 0 <= a < touched.shape[0] and 0 <= b < touched.shape[1] and 0 <= c < touched.shape[2]:
                touched[a, b, c] = True


@njit(cache=True)
def _see(eye, ends, origin, index, passed, hits, nearest, sides, reach):
    """One frame: a voxel counts each ray that passes it or ends in it once."""
    for n in range(len(ends)):
        away = ends[n] - eye
        length = np.sqrt((away * away).sum())
        eighth = int((np.arctan2(-away[1], -away[0]) + np.pi) / (np.pi / 4)) % 8
        steps = int(min(length, reach) / (0.5 * VOXEL_M))
        at, i, j, k = _place(ends[n], origin, index)
        goal = ((at * BLOCK + i) * BLOCK + j) * BLOCK + k
        last = -1
        for s in range(steps + 1):
            p = eye + away * (s * 0.5 * VOXEL_M / length)
            last = _count(p, origin, index, passed, hits, last, goal)
        if length <= reach and at >= 0:
            hits[at, i, j, k] += 1
            _aged(passed, hits, at, i, j, k)
            nearest[at, i, j, k] = min(nearest[at, i, j, k], int(length * 10))
            sides[at, i, j, k] |= 1 << eighth


@njit(cache=True)
def _place(p, origin, index):
    i, j, k = int((p[0] - origin[0]) / VOXEL_M), int((p[1] - origin[1]) / VOXEL_M), int((p[2] - origin[2]) / VOXEL_M)
    a, b, c = i // BLOCK, j // BLOCK, k // BLOCK
    if not (0 <= a < index.shape[0] and 0 <= b < index.shape[1] and 0 <= c < index.shape[2]):
        return -1, 0, 0, 0
    return index[a, b, c], i % BLOCK, j % BLOCK, k % BLOCK


@njit(cache=True)
def _count(p, origin, index, passed, hits, last, goal):
    """One ray passes a voxel that it does not end in; returns the voxel's number, so that it counts once per ray."""
    at, i, j, k = _place(p, origin, index)
    if at < 0:
        return -1
    number = ((at * BLOCK + i) * BLOCK + j) * BLOCK + k
    if number != last and number != goal:
        passed[at, i, j, k] += 1
        _aged(passed, hits, at, i, j, k)
    return number


@njit(cache=True)
def _aged(passed, hits, at, i, j, k):
    """Both counts are halved before one overflows: their ratio counts."""
    if max(passed[at, i, j, k], hits[at, i, j, k]) >= 250:
        passed[at, i, j, k] //= 2
        hits[at, i, j, k] //= 2
