"""What is known of space: free, occupied or unknown in voxels of 10 cm, kept in blocks where something was seen.

Depth rays empty the voxels they pass and fill the one they end in (Moravec and Elfes 1985; counts instead of log odds).
For each voxel the nearest distance from which it was seen is kept, and the directions, in eighths of a circle, and
whether pixels without depth looked that way: what lies there stays unknown, yet a picture of it is no surprise.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int32, UInt8, UInt64
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
_FULL = 250
"""Counts are halved before they overflow: their ratio is what matters."""
FLOOR_LAYER = 2 * BLOCK
"""Floor (z = 0) lies in the middle of this layer of voxels."""


class Columns(NamedTuple):
    """The voxels above the floor, 64 bits a column, bit 0 the floor's layer; in blocks of 16 x 16 columns."""

    index: Int32[np.ndarray, "64 64"]
    """-1 where nothing was seen."""
    occupied: UInt64[np.ndarray, "B 16 16"]
    unknown: UInt64[np.ndarray, "B 16 16"]


class VoxelMap:
    """Grows with what it is shown; memory is proportional to the blocks of 1.6 m that were touched.

    Args:
        centre: (3,) about where exploration begins; floor (z = 0) lies in the middle of a layer of voxels.
        reach_m: rays are followed this far.
    """

    def __init__(self, centre: Float[np.ndarray, "3"], reach_m: float = 8.0) -> None:
        side = BLOCK * VOXEL_M
        low = np.floor(np.asarray(centre[:2]) / side) * side - side * np.array(_BLOCKS[:2]) / 2
        self.origin_m: Float64[np.ndarray, 3] = np.append(low, -FLOOR_LAYER * VOXEL_M - VOXEL_M / 2)
        self.reach_m = reach_m
        self.index = np.full(_BLOCKS, -1, np.int32)
        """Block at each place, -1 where nothing was seen."""
        self.passed: UInt8[np.ndarray, "B 16 16 16"] = np.zeros((0, BLOCK, BLOCK, BLOCK), np.uint8)
        self.hits = self.passed.copy()
        self.nearest_dm = self.passed.copy()
        """Decimetres from the nearest camera that saw it; 255 where none did."""
        self.sides = self.passed.copy()
        """Bit k: seen from a camera that lies in the k-th eighth of a circle about it."""
        self.blind = self.passed.copy()
        """1 where a pixel without depth looked, up to the first known surface: what is there is too far or too dark for
        the sensor, or hidden by it."""
        self.count = 0
        self._columns: Columns | None = None

    @property
    def bytes(self) -> int:
        """Memory held."""
        return self.index.nbytes + 5 * self.passed.nbytes

    def see(self, frames: Frames) -> None:
        """Take in the depth of all frames. Sky is free, FILLED pixels say nothing. Two rays meet each voxel at the
        reach; nearer than half of it every other row and column of pixels does, and nearer than a quarter every
        fourth."""
        self._columns = None
        camera = frames.intrinsics
        step = max(1, int(VOXEL_M / 2 / self.reach_m * camera.fx))
        rays = pixel_rays(camera)[step // 2 :: step, step // 2 :: step]
        row, column = np.ogrid[: rays.shape[0], : rays.shape[1]]
        near = (row | column) & 3
        begin = self.reach_m * np.choose(near, (0.0, 0.5, 0.25, 0.5))
        for t in range(len(frames)):
            known = frames.valid[t] & (frames.origin[t] != PixelOrigin.FILLED)
            depth = np.where(known, frames.depth_m[t], 0)
            depth[~frames.valid[t] & (frames.label[t] == Label.SKY)] = 2 * self.reach_m
            blind = (depth == 0) & np.isin(frames.origin[t], (PixelOrigin.MEASURED, PixelOrigin.GENERATED))
            depth[blind] = 2 * self.reach_m
            depth, blind = (one[step // 2 :: step, step // 2 :: step] for one in (depth, blind))
            T = frames.cam_to_world[t]
            ends = (rays * depth[..., None]) @ T[:3, :3].T + T[:3, 3]
            self._room_for(T[:3, 3], ends[depth > 0], begin[depth > 0])
            plain, where = (depth > 0) & ~blind, (self.origin_m, self.index, self.passed, self.hits)
            _see(T[:3, 3], ends[plain], begin[plain], *where, self.nearest_dm, self.sides, self.reach_m)
            _look(T[:3, 3], ends[blind], begin[blind], *where, self.blind, self.reach_m)

    def columns(self) -> Columns:
        """Of all that was seen so far."""
        if self._columns is None:
            places = np.argwhere((self.index >= 0).any(2))
            index = np.full(_BLOCKS[:2], -1, np.int32)
            index[tuple(places.T)] = np.arange(len(places))
            occupied, unknown = np.zeros((2, len(places), BLOCK, BLOCK), np.uint64)
            _stack(places, self.index, self.passed, self.hits, occupied, unknown)
            self._columns = Columns(index, occupied, unknown)
        return self._columns

    def _room_for(self, eye: np.ndarray, ends: np.ndarray, first: np.ndarray) -> None:
        """Blocks along all rays."""
        touched = np.zeros(_BLOCKS, np.bool_)
        _touch(eye, ends, first, self.origin_m, touched, self.reach_m)
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
            self.sides, self.blind = np.concatenate([self.sides, more]), np.concatenate([self.blind, more])
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
    return _state(hits[at, i % BLOCK, j % BLOCK, k % BLOCK], passed[at, i % BLOCK, j % BLOCK, k % BLOCK])


@njit(cache=True)
def expected_at(x, y, z, origin, index, passed, hits, blind):
    """State of the voxel at a point, FREE where it is unknown but pixels without depth looked there."""
    state = state_at(x, y, z, origin, index, passed, hits)
    if state == UNKNOWN:
        at, i, j, k = _place((x, y, z), origin, index)
        if at >= 0 and blind[at, i, j, k]:
            return FREE
    return state


@njit(cache=True)
def _state(hit, through):
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
def _stack(places, index, passed, hits, occupied, unknown):
    """Bits of all columns."""
    for n in range(len(places)):
        for layer in range(FLOOR_LAYER, min(FLOOR_LAYER + 64, index.shape[2] * BLOCK)):
            at = index[places[n, 0], places[n, 1], layer // BLOCK]
            bit = np.uint64(1) << np.uint64(layer - FLOOR_LAYER)
            for i in range(BLOCK):
                for j in range(BLOCK):
                    k = layer % BLOCK
                    state = _state(hits[at, i, j, k], passed[at, i, j, k]) if at >= 0 else UNKNOWN
                    if state == OCCUPIED:
                        occupied[n, i, j] |= bit
                    elif state == UNKNOWN:
                        unknown[n, i, j] |= bit


@njit(cache=True)
def _touch(eye, ends, first, origin, touched, reach):
    """Blocks that rays run through from their first metre on, found in steps of a voxel."""
    side = BLOCK * VOXEL_M
    for n in range(len(ends)):
        away = ends[n] - eye
        length = np.sqrt((away * away).sum())
        far = min(length, reach)
        begin = min(first[n], far)
        steps = int((far - begin) / VOXEL_M) + 2
        for s in range(steps + 1):
            p = eye + away * ((begin + (far - begin) * s / steps) / length)
            a, b, c = int((p[0] - origin[0]) / side), int((p[1] - origin[1]) / side), int((p[2] - origin[2]) / side)
            if 0 <= a < touched.shape[0] and 0 <= b < touched.shape[1] and 0 <= c < touched.shape[2]:
                touched[a, b, c] = True


@njit(cache=True)
def _see(eye, ends, first, origin, index, passed, hits, nearest, sides, reach):
    """One frame: a voxel counts each ray that ends in it or passes it once; those that pass where only every fourth or
    sixteenth ray is followed count for all."""
    step = 0.5 * VOXEL_M
    for n in range(len(ends)):
        away = ends[n] - eye
        length = np.sqrt((away * away).sum())
        eighth = int((np.arctan2(-away[1], -away[0]) + np.pi) / (np.pi / 4)) % 8
        at, i, j, k = _place(ends[n], origin, index)
        goal = ((at * BLOCK + i) * BLOCK + j) * BLOCK + k
        last = -1
        for s in range(int(first[n] / step), int(min(length, reach) / step) + 1):
            p = eye + away * (s * step / length)
            weight = 16 if 4 * s * step < reach else 4 if 2 * s * step < reach else 1
            last = _pass(p, weight, origin, index, passed, hits, last, goal)
        if length <= reach and at >= 0:
            _count(passed, hits, at, i, j, k, 0, 1)
            nearest[at, i, j, k] = min(nearest[at, i, j, k], int(length * 10))
            sides[at, i, j, k] |= 1 << eighth


@njit(cache=True)
def _look(eye, ends, first, origin, index, passed, hits, blind, reach):
    """Rays of one frame's pixels without depth, up to the first known surface."""
    step = 0.5 * VOXEL_M
    for n in range(len(ends)):
        away = ends[n] - eye
        length = np.sqrt((away * away).sum())
        for s in range(int(first[n] / step), int(reach / step) + 1):
            at, i, j, k = _place(eye + away * (s * step / length), origin, index)
            if at >= 0:
                if _state(hits[at, i, j, k], passed[at, i, j, k]) == OCCUPIED:
                    break
                blind[at, i, j, k] = 1


@njit(cache=True)
def _place(p, origin, index):
    i, j, k = int((p[0] - origin[0]) / VOXEL_M), int((p[1] - origin[1]) / VOXEL_M), int((p[2] - origin[2]) / VOXEL_M)
    a, b, c = i // BLOCK, j // BLOCK, k // BLOCK
    if not (0 <= a < index.shape[0] and 0 <= b < index.shape[1] and 0 <= c < index.shape[2]):
        return -1, 0, 0, 0
    return index[a, b, c], i % BLOCK, j % BLOCK, k % BLOCK


@njit(cache=True)
def _pass(p, weight, origin, index, passed, hits, last, goal):
    """A ray passes a voxel that it does not end in; returns the voxel's number, so that it counts once per ray."""
    at, i, j, k = _place(p, origin, index)
    if at < 0:
        return -1
    number = ((at * BLOCK + i) * BLOCK + j) * BLOCK + k
    if number != last and number != goal:
        _count(passed, hits, at, i, j, k, weight, 0)
    return number


@njit(cache=True)
def _count(passed, hits, at, i, j, k, through, hit):
    through, hit = through + passed[at, i, j, k], hit + hits[at, i, j, k]
    if max(through, hit) >= _FULL:
        through, hit = through // 2, hit // 2
    passed[at, i, j, k], hits[at, i, j, k] = through, hit
