"""The voxels that a world is fused into: where they lie, how fine they are, what each of them learnt."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lyra_sim.core.records import Frames, Label, PixelOrigin, World

TRUNCATION_VOXELS = 3.0
BLOCK = 8
"""Voxels along the edge of a block."""


@dataclass
class Volume:
    """Voxel (i, j, k) is sampled at `origin + (i + 0.5, j + 0.5, k + 0.5) * voxel`.

    Evidence is kept in cubic blocks near surfaces only ("voxel hashing", Niessner et al. 2013, with a table in place
    of the hash), one more than there are: the last one stays empty, and index -1 of `slot` means it. `distance` is the
    weighted mean of the signed distance to the surface in units of the truncation, -1..1, positive on the free side;
    `weight` the evidence for a surface near by; `free` the evidence that rays passed in front of it.
    """

    origin: np.ndarray
    voxel_m: float
    seen: np.ndarray
    """(X, Y, Z) uint8, each a multiple of the block: 1 where a ray passed through a voxel that has no block."""
    slot: np.ndarray
    """(X, Y, Z) / block, int32: which block of evidence is there."""
    distance: np.ndarray
    """(N + 1, block, block, block) float32, as `weight` and `free`."""
    weight: np.ndarray
    free: np.ndarray

    @classmethod
    def empty(cls, origin: np.ndarray, voxel_m: float, blocks: np.ndarray) -> "Volume":
        """Without any block of evidence. `blocks`: how many fit into each edge, (3,)."""
        x, y, z = (int(n) for n in blocks)
        evidence = (np.zeros((1, BLOCK, BLOCK, BLOCK), np.float32) for _ in range(3))
        distance, weight, free = evidence
        seen = np.zeros((x * BLOCK, y * BLOCK, z * BLOCK), np.uint8)
        return cls(origin, voxel_m, seen, np.full((x, y, z), -1, np.int32), distance, weight, free)

    @property
    def truncation_m(self) -> float:
        return TRUNCATION_VOXELS * self.voxel_m

    def reserve(self, wanted: np.ndarray) -> None:
        """Have blocks of evidence wherever `wanted`, bool like `slot`. What rays have seen there is kept as free."""
        new = wanted & (self.slot < 0)
        count = int(new.sum())
        self.slot[new] = len(self.weight) - 1 + np.arange(count, dtype=np.int32)
        rays = self._by_block(self.seen)[new].astype(np.float32)
        self.distance, self.weight, self.free = (
            np.concatenate([old[:-1], more, old[-1:]])
            for old, more in (
                (self.distance, np.zeros_like(rays)),
                (self.weight, np.zeros_like(rays)),
                (self.free, rays),
            )
        )

    def cells(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Indices of the voxels that hold these points, clipped to the volume."""
        index = np.floor((points - self.origin) / self.voxel_m).astype(np.int64)
        i, j, k = np.clip(index, 0, np.array(self.seen.shape) - 1).T
        return i, j, k

    def at(self, values: np.ndarray, points: np.ndarray) -> np.ndarray:
        """What `values` (N + 1, block, block, block) hold at points (P, 3)."""
        i, j, k = self.cells(points)
        block = self.slot[i // BLOCK, j // BLOCK, k // BLOCK]
        return values[block, i % BLOCK, j % BLOCK, k % BLOCK]

    def dense(self, values: np.ndarray, first: int, last: int) -> np.ndarray:
        """`values` (N + 1, block, block, block) in the layers of blocks first <= i < last, as one dense array."""
        blocks = values[self.slot[first:last]].transpose(0, 3, 1, 4, 2, 5)
        return blocks.reshape(-1, *self.seen.shape[1:])

    def spread(self, values: np.ndarray, into: np.ndarray) -> None:
        """Write `values` (N + 1, block, block, block) into a dense array (X, Y, Z), where there are blocks."""
        there = self.slot >= 0
        self._by_block(into)[there] = values[self.slot[there]]

    def _by_block(self, dense: np.ndarray) -> np.ndarray:
        x, y, z = self.slot.shape
        return dense.reshape(x, BLOCK, y, BLOCK, z, BLOCK).transpose(0, 2, 4, 1, 3, 5)


def all_frames(world: World) -> Iterator[Frames]:
    """The start and every segment that shows something new, one in memory at a time."""
    yield world.start.frames
    for segment in world.segments:
        if not segment.warped:
            yield segment.frames


def evidence(frames: Frames, index: int, origin: PixelOrigin, max_depth_m: float) -> np.ndarray:
    """What each pixel of one frame tells, (H, W) uint8: 0 nothing, 1 a surface and the free ray to it, 2 a free ray
    only (its surface lies beyond the near field).

    Sky and pixels of another origin tell nothing; filled pixels are never asked for.
    """
    assert origin != PixelOrigin.FILLED
    known = frames.valid[index] & (frames.origin[index] == origin) & (frames.label[index] != Label.SKY)
    known &= frames.depth_m[index] > 0
    return np.where(known, np.where(frames.depth_m[index] <= max_depth_m, 1, 2), 0).astype(np.uint8)
