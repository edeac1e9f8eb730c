"""Depth of generated frames, bent smoothly until the frames agree on where surfaces are.

Networks tell the depth of every frame a few percent too near here and too far there. Each generated frame gets a smooth
factor on its depth, exp of a quadratic B-spline with few knots as in "Robust Consistent Video Depth Estimation" (Kopf
et al. 2021), and all factors are found together: points of one frame must lie at the depth that others tell there.
Measured depth stays as it is and pulls the rest. Points of every second cell are laid on other frames, those between
judge: depth stays as it was unless frames agree better.
"""

import dataclasses
from collections.abc import Sequence
from itertools import chain
from typing import Any, overload

import cv2
import numpy as np
from jaxtyping import Float, Float32, Float64, Int
from scipy import sparse
from scipy.sparse.linalg import cg

from lyra_sim.core.records import Intrinsics, PixelOrigin, Segment, World
from lyra_sim.geometry.camera import invert
from lyra_sim.reconstruct.volume import evidence

GRID = 36, 48
"""Cells of a frame, down and across; each is asked at its middle."""
KNOTS = 7, 9
PARTNERS = 12
"""Each frame is laid on at most so many others, evenly spread over those that see the same places."""
MOST_PAIRS = 8000
ROUNDS = 3
LEAST_OFF = 0.006
"""Frames that agree within this share of the depth in the mean are left alone."""
LEAST_GAIN = 0.1
"""They have to agree better by this share, ..."""
LEAST_KEPT = 0.98
"""... and as many cells be compared: frames that were bent apart agree on little, and well."""
GATE = 0.25
"""Depths that differ by more than this share belong to different things."""
FLAT = 0.15
"""Four neighbours lie on one surface where 1 / z bends less across them, relative to itself."""
PULL, SMOOTH = 0.06, 0.01
"""Weights of no factor, and of no change between knots, relative to what other frames tell about the mean knot."""
MOST_MEASURED = 100
"""Frames of the input that take part."""
_PROBES, _LEAST_PROBES = 64, 6


@dataclasses.dataclass(frozen=True)
class _Walk:
    """What takes part, on the grid of cells."""

    depth_m: Float64[np.ndarray, "T N"]
    """z-depth at the middle of each cell; 0 where there is none."""
    way: Float64[np.ndarray, "T N 3"]
    """Points at depth 1 relative to the camera, along the axes of the world."""
    T_world_cam: Float64[np.ndarray, "T 4 4"]
    T_cam_world: Float64[np.ndarray, "T 4 4"]
    lens: Float64[np.ndarray, "T 4"]
    """fx, fy, cx, cy in cells."""
    bends: Int[np.ndarray, "T"]
    """Number among the frames that are bent; -1 where depth was measured."""
    lengths: tuple[int, ...]
    """Frames of each segment that are bent."""

    def points(self, t: int, cells: np.ndarray, factor: np.ndarray) -> np.ndarray:
        return self.T_world_cam[t, :3, 3] + self.way[t, cells] * (self.depth_m[t] * factor)[cells, None]

    def project(self, o: int | slice, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Depth in frame o (or in several), place across and down in cells, and which points lie in its view."""
        T, lens = self.T_cam_world[o], self.lens[o]
        seen = points @ T[..., :3, :3].swapaxes(-1, -2) + T[..., None, :3, 3]
        z = np.maximum(seen[..., 2], 1e-6)
        at = seen[..., :2] / z[..., None] * lens[..., None, :2] + lens[..., None, 2:]
        inside = (seen[..., 2] > 0.05) & (at >= 0).all(-1) & (at[..., 0] < GRID[1]) & (at[..., 1] < GRID[0])
        return seen[..., 2], np.where(inside[..., None], at, 0.0), inside


def consistent(world: World, max_depth_m: float) -> tuple[World, dict[str, Any]]:
    """The world with the depth of its generated frames bent where that makes them agree, and notes for the report:
    mean difference between frames as a share of the depth, before and after, how many cells were compared after, as a
    share of those before, and whether it was taken.

    Args:
        max_depth_m: farther depth takes no part, but is bent too.
    """
    walk = _walk(world, max_depth_m)
    pairs = _pairs(walk)
    if not len(pairs):
        return world, {}
    before, cells = _judged(walk, pairs, _factors(walk, None))
    notes = {"frames": int((walk.bends >= 0).sum()), "off_before": round(before, 5)}
    if before <= LEAST_OFF:
        return world, {**notes, "off_after": round(before, 5), "bent": False}
    knots, spread, kept = np.zeros((notes["frames"], KNOTS[0] * KNOTS[1])), before, cells
    for _ in range(ROUNDS):
        if kept:
            knots = _solved(walk, pairs, knots, spread)
            spread, kept = _judged(walk, pairs, _factors(walk, knots))
    knots = knots.round(6)
    bent = spread <= (1 - LEAST_GAIN) * before and kept >= LEAST_KEPT * cells
    notes |= {"off_after": round(spread, 5), "compared": round(kept / max(cells, 1), 4), "bent": bent}
    notes["median_factor"] = round(float(np.exp(np.median(knots))), 4)
    if not bent:
        return world, notes
    parts = np.split(knots.astype(np.float32), np.cumsum(walk.lengths)[:-1])
    return dataclasses.replace(world, segments=_Bent(world.segments, parts)), notes


class _Bent(Sequence[Segment]):
    """Segments whose depth is bent when they are asked for, by knots for each of them (none for warped ones)."""

    def __init__(self, segments: Sequence[Segment], knots: Sequence[Float32[np.ndarray, "T K"]]) -> None:
        self._segments, self._knots = segments, knots

    def __len__(self) -> int:
        return len(self._segments)

    @overload
    def __getitem__(self, index: int) -> Segment: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Segment]: ...
    def __getitem__(self, index: int | slice) -> Segment | Sequence[Segment]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        segment, index = self._segments[index], range(len(self))[index]
        if segment.warped:
            return segment
        frames = segment.frames
        depth = frames.depth_m.copy()
        for t, knots in enumerate(self._knots[index]):
            made = frames.origin[t] == PixelOrigin.GENERATED
            depth[t][made] *= field(knots, depth.shape[1:])[made]
        return dataclasses.replace(segment, frames=dataclasses.replace(frames, depth_m=depth))


def field(knots: Float[np.ndarray, "K"], size: tuple[int, int]) -> Float32[np.ndarray, "H W"]:
    """The factor at each pixel of a picture."""
    down, across = (_basis(count, knot) for count, knot in zip(size, KNOTS, strict=True))
    return np.exp(down @ knots.reshape(KNOTS) @ across.T).astype(np.float32)


def _basis(count: int, knots: int) -> Float64[np.ndarray, "N K"]:
    """Uniform quadratic B-splines at the middles of `count` steps; rows sum to 1."""
    apart = np.abs((np.arange(count) + 0.5)[:, None] / count * (knots - 2) - (np.arange(knots) - 0.5))
    return np.where(apart < 0.5, 0.75 - apart**2, np.where(apart < 1.5, 0.5 * (1.5 - apart) ** 2, 0.0))


_CELLS = GRID[0] * GRID[1]
_WEIGHTS = np.einsum("vk,ul->vukl", *(_basis(n, k) for n, k in zip(GRID, KNOTS, strict=True))).reshape(_CELLS, -1)
"""What each knot counts in each cell."""
_V, _U = (at.ravel() for at in np.mgrid[: GRID[0], : GRID[1]])


def _walk(world: World, max_depth_m: float) -> _Walk:
    depth, poses, lens, bends, lengths = [], [], [], [], []
    for number, part in enumerate(chain([world.start], world.segments)):
        frames, generated = part.frames, number > 0
        if generated:
            lengths.append(0 if part.warped else len(frames))
        origin = PixelOrigin.GENERATED if generated else PixelOrigin.MEASURED
        for t in range(lengths[-1]) if generated else range(0, len(frames), -(-len(frames) // MOST_MEASURED)):
            told = evidence(frames, t, origin, max_depth_m) == 1
            depth.append(_sampled(np.where(told, frames.depth_m[t], np.float32(0))))
            poses.append(frames.cam_to_world[t])
            lens.append(_lens(frames.intrinsics))
            bends.append(generated)
    lens, poses = np.array(lens, np.float64), np.array(poses, np.float64)
    x = (_U + 0.5 - lens[:, 2, None]) / lens[:, 0, None]
    y = (_V + 0.5 - lens[:, 3, None]) / lens[:, 1, None]
    way = np.einsum("tij,tnj->tni", poses[:, :3, :3], np.stack([x, y, np.ones_like(x)], 2))
    number = np.where(bends, np.cumsum(bends) - 1, -1)
    return _Walk(np.array(depth, np.float64), way, poses, invert(poses), lens, number, tuple(lengths))


def _sampled(depth: Float32[np.ndarray, "H W"]) -> Float64[np.ndarray, "N"]:
    """At the middle of each cell, between pixels; 0 where one of them has none."""
    across, down = (
        (np.arange(n) + 0.5) / n * size - 0.5 for n, size in zip(GRID[::-1], depth.shape[::-1], strict=True)
    )
    u, v = (one.astype(np.float32) for one in np.meshgrid(across, down))
    inverse = np.divide(1, depth, out=np.full_like(depth, np.nan), where=depth > 0)
    found = cv2.remap(inverse, u, v, cv2.INTER_LINEAR).ravel().astype(np.float64)
    return np.where(np.isfinite(found), 1.0 / np.where(found > 0, found, 1.0), 0.0)


def _lens(camera: Intrinsics) -> tuple[float, float, float, float]:
    across, down = GRID[1] / camera.width, GRID[0] / camera.height
    return camera.fx * across, camera.fy * down, camera.cx * across, camera.cy * down


def _pairs(walk: _Walk) -> Int[np.ndarray, "P 2"]:
    """Generated frames with others in whose view their points lie, hidden or not."""
    generated = np.flatnonzero(walk.bends >= 0)
    most = max(2, min(PARTNERS, MOST_PAIRS // max(len(generated), 1)))
    out = [np.zeros((0, 2), np.int64)]
    for t in generated.tolist():
        known = np.flatnonzero(walk.depth_m[t])
        if not len(known):
            continue
        probes = known[np.linspace(0, len(known) - 1, min(len(known), _PROBES)).astype(int)]
        points = walk.points(t, probes, np.ones(_CELLS))
        found = np.flatnonzero(walk.project(slice(None), points)[2].sum(1) >= _LEAST_PROBES)
        found = found[found != t]
        found = found[np.linspace(0, len(found) - 1, min(len(found), most)).round().astype(int)]
        out.append(np.stack([np.full(len(found), t), found], 1))
    return np.concatenate(out)


def _factors(walk: _Walk, knots: np.ndarray | None) -> Float64[np.ndarray, "T N"]:
    """On each cell of each frame."""
    out = np.ones_like(walk.depth_m)
    if knots is not None:
        out[walk.bends >= 0] = np.exp(knots @ _WEIGHTS.T)
    return out


def _compared(
    walk: _Walk, t: int, o: int, factor: np.ndarray, odd: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Cells of frame t (every second one, like a chess board) and of frame o that show the same surface, by how much
    the first lies behind the second (logarithm of depths), and how that grows with the first's factor."""
    cells = np.flatnonzero(walk.depth_m[t])
    cells = cells[(_V[cells] + _U[cells]) % 2 == odd]
    points = walk.points(t, cells, factor[t])
    z, at, inside = walk.project(o, points)
    told, there = _interpolated(walk.depth_m[o] * factor[o], at)
    off = np.log(np.maximum(z, 1e-6) / np.where(told > 0, told, 1.0))
    same = inside & (told > 0) & (np.abs(off) < GATE)
    growth = (points[same] - walk.T_world_cam[t, :3, 3]) @ walk.T_world_cam[o, :3, 2]
    return cells[same], there[same], off[same], growth / z[same]


def _interpolated(depth: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth between four cells that lie on one plane (there 1 / z is linear in the picture), 0 at edges and gaps; and
    the nearest cell.

    Args:
        at: (N, 2) across and down, in cells.
    """
    u, v = np.clip(at.T - 0.5, 0, np.array([GRID[1] - 1, GRID[0] - 1])[:, None] - 1e-6)
    left, top = u.astype(np.int64), v.astype(np.int64)
    first = top * GRID[1] + left
    a, b, c, d = (1.0 / np.maximum(depth[first + step], 1e-9) for step in (0, 1, GRID[1], GRID[1] + 1))
    u, v = u - left, v - top
    inverse = (a * (1 - u) + b * u) * (1 - v) + (c * (1 - u) + d * u) * v
    plane = np.abs(a - b - c + d) < FLAT * inverse
    return np.where(plane, 1.0 / inverse, 0.0), first + (u > 0.5) + GRID[1] * (v > 0.5)


def _judged(walk: _Walk, pairs: np.ndarray, factor: np.ndarray) -> tuple[float, int]:
    """Mean difference of the cells that take no part, as a share of the depth, and how many were compared."""
    off = np.concatenate([np.abs(_compared(walk, t, o, factor, 1)[2]) for t, o in pairs])
    return (max(float(off.mean()), 1e-9) if len(off) else 0.0), len(off)


def _solved(walk: _Walk, pairs: np.ndarray, knots: np.ndarray, spread: float) -> np.ndarray:
    """Knots after one Gauss-Newton step; differences as large as `spread` count half (Cauchy)."""
    count, size = knots.shape
    factor, own, right = _factors(walk, knots), np.zeros((count, size, size)), np.zeros((count, size))
    rows, columns, blocks = [], [], []
    for t, o in pairs:
        cells, there, off, growth = _compared(walk, t, o, factor, 0)
        weight = 1.0 / (1.0 + (off / spread) ** 2)
        first, a, b = _WEIGHTS[cells] * growth[:, None], walk.bends[t], walk.bends[o]
        own[a] += (first * weight[:, None]).T @ first
        right[a] -= first.T @ (weight * off)
        if b >= 0:
            second = -_WEIGHTS[there]
            own[b] += (second * weight[:, None]).T @ second
            right[b] -= second.T @ (weight * off)
            cross = (first * weight[:, None]).T @ second
            rows += [a, b]
            columns += [b, a]
            blocks += [cross, cross.T]
    told = max(float(own.diagonal(axis1=1, axis2=2).mean()), 1e-9)
    prior = told * (PULL * np.eye(size) + SMOOTH * _roughness())
    own += prior
    right -= knots @ prior
    at = np.array([[*rows, *range(count)], [*columns, *range(count)]])
    order = np.lexsort((at[1], at[0]))
    start = np.searchsorted(at[0, order], np.arange(count + 1))
    data = np.stack([*blocks, *own])[order]
    matrix = sparse.bsr_matrix((data, at[1, order], start), shape=(count * size, count * size))
    inverse = sparse.block_diag(list(np.linalg.inv(own)), format="csr")
    step, _ = cg(matrix, right.ravel(), rtol=1e-8, maxiter=1000, M=inverse)
    return knots + np.asarray(step).reshape(count, size)


def _roughness() -> Float64[np.ndarray, "K K"]:
    """Sum of squared differences between neighbouring knots, as a quadratic form."""
    down, across = (2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1) for n in KNOTS)
    for form in (down, across):
        form[0, 0] = form[-1, -1] = 1
    return np.kron(down, np.eye(KNOTS[1])) + np.kron(np.eye(KNOTS[0]), across)
