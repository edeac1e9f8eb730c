"""Spatial memory: which remembered frames see best what a new camera will see.

Method: the public description of Lyra 2.0's per-frame cache with greedy coverage retrieval. Nothing is fused and
nothing is evicted. Training samples instead of choosing the best, so that the generator sees imperfect retrievals.
Like the warp it uses integer pixel centres: give it matrices from `warp.integer_matrix` (the Lyra generator gives its
own, see `worldgen.lyra2.framing.matrix`).
"""

from collections.abc import Collection, Iterator

import numpy as np
from jaxtyping import Bool, Float, Float32
from numba import njit

STRIDE = 8
"""Every 8th frame is remembered."""
DOWNSAMPLE = 4
OCCLUSION_M = 0.1
"""A point this much behind the nearest one in its pixel still counts as seen. Scene units."""
FLOOR = 0.02
"""Share of the best score that every candidate has more in training, so that any can be drawn."""
DROP_RATE = 0.1
MARGIN = 16
"""Frames this near to the targets are no candidates in training."""


def excluded_in_training(begin: int, end: int) -> set[int]:
    """Frames that training may not retrieve for targets `begin` to `end` - 1: those near them, the last frame of the
    history among these, and frame 0."""
    return {0, *range(begin - MARGIN, end + MARGIN)}


class SpatialMemory:
    """Frames as sparse points, each under its frame id.

    Args:
        downsample: every n-th row and column of a depth image is kept, targets are n times coarser.
        stride: only frames whose id is a multiple are kept (id 0 always is).
    """

    def __init__(self, *, downsample: int = DOWNSAMPLE, stride: int = STRIDE) -> None:
        self.downsample, self.stride = downsample, stride
        self.ids: list[tuple[int, int]] = []
        self.points: list[Float32[np.ndarray, "P 3"]] = []
        """World points of each entry."""

    def __len__(self) -> int:
        return len(self.ids)

    def add(
        self,
        frame_id: int,
        depth: Float[np.ndarray, "H W"],
        w2c: Float[np.ndarray, "4 4"],
        K: Float[np.ndarray, "3 3"],
        *,
        latent_index: int | None = None,
    ) -> bool:
        """Remember a frame; False where its id is not on the stride or is already there.

        Unknown depth (0 and less) becomes a point at the world origin that takes part in retrieval, as in the original.
        """
        if frame_id % self.stride or any(known == frame_id for _, known in self.ids):
            return False
        step = self.downsample
        z = np.asarray(depth, np.float64)[::step, ::step]
        scaled = np.asarray(K, np.float64).copy()
        scaled[:2] /= step
        v, u = np.mgrid[: z.shape[0], : z.shape[1]]
        pixels = np.stack([u, v, np.ones_like(u)], -1).astype(np.float64)
        T_world_cam = np.linalg.inv(np.asarray(w2c, np.float64))
        # einsum, not @: a BLAS may round differently with another number of threads
        rays = np.einsum("hwk,ik->hwi", pixels, T_world_cam[:3, :3] @ np.linalg.inv(scaled))
        points = rays * z[..., None] + T_world_cam[:3, 3]
        points[~(z > 0)] = 0.0
        self.points.append(points.reshape(-1, 3).astype(np.float32))
        self.ids.append((frame_id if latent_index is None else latent_index, frame_id))
        return True

    def retrieve(
        self,
        target_w2c: Float[np.ndarray, "V 4 4"],
        target_K: Float[np.ndarray, "V 3 3"],
        size: tuple[int, int],
        *,
        count: int = 5,
        exclude_recent: bool = True,
    ) -> list[tuple[int, int]]:
        """Up to `count` remembered frames that together cover the target views, as (latent index, frame id), best last.

        Greedy: each pick sees most pixels that no earlier pick sees (the earlier entry on ties); a candidate that adds
        nothing ends it. Several views are covered jointly.

        Args:
            size: height and width of the target views, pixels.
            exclude_recent: leave out the frame with the largest id, if that is above 0, and count what it sees as
                covered: the generator is shown that frame anyway.
        """
        if not self.ids:
            return []
        seen = [self.visible(*camera) for camera in self.cameras(target_w2c, target_K, size)]
        return self.cover(np.concatenate(seen, 1), count=count, exclude_recent=exclude_recent)

    def cover(
        self, seen: Bool[np.ndarray, "entries pixels"], *, count: int, exclude_recent: bool
    ) -> list[tuple[int, int]]:
        """The choice of `retrieve`, from what every entry sees."""
        recent = max(range(len(self.ids)), key=lambda i: self.ids[i][1])
        covered = np.zeros(seen.shape[1], np.bool_)
        if exclude_recent and self.ids[recent][1] > 0:
            covered |= seen[recent]
        return [self.ids[i] for i in reversed(_cover(seen, covered, count))]

    def sample(
        self,
        target_w2c: Float[np.ndarray, "V 4 4"],
        target_K: Float[np.ndarray, "V 3 3"],
        size: tuple[int, int],
        rng: np.random.Generator,
        *,
        count: int = 5,
        exclude: Collection[int] = (),
        drop_rate: float = DROP_RATE,
    ) -> list[tuple[int, int]]:
        """Up to `count` remembered frames drawn at random for training, as (latent index, frame id), best last.

        A candidate's score is the number of target pixels whose nearest point is its own (the earlier entry on ties).
        Drawn without replacement with weights score + 2 % of the best score; then, with probability `drop_rate`, one
        to all of them are dropped. What is left is ordered by score, as `retrieve` orders.

        Args:
            exclude: frame ids that are no candidates and hide nothing (`excluded_in_training`).
        """
        candidates = [i for i, (_, frame_id) in enumerate(self.ids) if frame_id not in exclude]
        scores = np.zeros(len(candidates), np.int64)
        for camera in self.cameras(target_w2c, target_K, size):
            scores += self._owned(candidates, *camera)
        if not scores.any():
            return []
        weights = scores + FLOOR * scores.max()
        picked = rng.choice(
            len(candidates), min(count, len(candidates)), replace=False, p=weights / weights.sum(), shuffle=False
        )
        if rng.random() < drop_rate:
            picked = rng.permutation(picked)[rng.integers(1, len(picked) + 1) :]
        order = sorted(picked, key=lambda i: (scores[i], -i))
        return [self.ids[candidates[i]] for i in order]

    def cameras(
        self, target_w2c: Float[np.ndarray, "V 4 4"], target_K: Float[np.ndarray, "V 3 3"], size: tuple[int, int]
    ) -> Iterator[tuple[np.ndarray, np.ndarray, int, int]]:
        """Every target as (world to camera, pinhole matrix, rows, columns), `downsample` times coarser."""
        height, width = (-(-side // self.downsample) for side in size)
        for w2c, K in zip(target_w2c, target_K, strict=True):
            coarse = np.array(K, np.float64)
            coarse[:2] /= self.downsample
            yield np.asarray(w2c, np.float64), coarse, height, width

    def visible(
        self, w2c: Float[np.ndarray, "4 4"], K: Float[np.ndarray, "3 3"], height: int, width: int
    ) -> Bool[np.ndarray, "entries pixels"]:
        """Does this entry see this pixel's foremost surface? `cameras` gives the arguments."""
        nearest = np.full(height * width, np.inf)
        landed = []
        P = K @ w2c[:3]
        for points in self.points:
            where, z = _land(points, P, w2c[2], height, width)
            _lower(nearest, where, z)
            landed.append((where, z))
        seen = np.zeros((len(landed), height * width), np.bool_)
        for i, (where, z) in enumerate(landed):
            _mark(seen[i], nearest, where, z, OCCLUSION_M)
        return seen

    def _owned(self, entries: list[int], w2c: np.ndarray, K: np.ndarray, height: int, width: int) -> np.ndarray:
        """(entries,): of how many pixels the nearest point is this entry's."""
        nearest = np.full(height * width, np.inf)
        owner = np.full(height * width, -1)
        P = K @ w2c[:3]
        for i, entry in enumerate(entries):
            before = nearest.copy()
            _lower(nearest, *_land(self.points[entry], P, w2c[2], height, width))
            owner[nearest < before] = i
        return np.bincount(owner[owner >= 0], minlength=len(entries))


@njit(cache=True)
def _land(points, P, forward, height, width):
    """Pixel index and depth of the points that fall into the image (rounded half to even)."""
    where = np.empty(len(points), np.int32)
    depth = np.empty(len(points))
    n = 0
    for i in range(len(points)):
        x, y, w = points[i]
        z = forward[0] * x + forward[1] * y + forward[2] * w + forward[3]
        if z <= 0.0:
            continue
        u = np.rint((P[0, 0] * x + P[0, 1] * y + P[0, 2] * w + P[0, 3]) / (z + 1e-7))
        v = np.rint((P[1, 0] * x + P[1, 1] * y + P[1, 2] * w + P[1, 3]) / (z + 1e-7))
        if 0 <= u < width and 0 <= v < height:
            where[n] = int(v) * width + int(u)
            depth[n] = z
            n += 1
    return where[:n].copy(), depth[:n].copy()


@njit(cache=True)
def _lower(nearest, where, depth):
    for i in range(len(where)):
        nearest[where[i]] = min(nearest[where[i]], depth[i])


@njit(cache=True)
def _mark(seen, nearest, where, depth, tolerance):
    for i in range(len(where)):
        if depth[i] <= nearest[where[i]] + tolerance:
            seen[where[i]] = True


@njit(cache=True)
def _cover(seen, covered, count):
    """Greedy maximum coverage, best first. Entries that `covered` already holds whole can add nothing."""
    picked = [0 for _ in range(0)]
    for _ in range(count):
        best, gain = -1, 0
        for i in range(len(seen)):
            new = 0
            for p in range(len(covered)):
                new += seen[i, p] and not covered[p]
            if new > gain:
                best, gain = i, new
        if best < 0:
            break
        picked.append(best)
        covered |= seen[best]
    return picked
