"""Poses of a walk, corrected until its depth images and colours agree: dense alignment of all frames at once.

Every frame is laid on the others that see the same places: its points against their planes (point-to-plane, Chen and
Medioni 1992) and its grey values against theirs (Steinbruecker et al. 2011), all poses in one sparse Gauss-Newton
system as in BundleFusion (Dai et al. 2017), reweighted after Cauchy. A weak pull to the given poses decides what the
images cannot tell. Points of every second row of the grid are laid on the others, those of the rows between judge: the
poses stay as given unless they agree better. That finds out a solution that went astray, not what all depth images have
wrong alike.
"""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, Int, UInt8
from numba import njit, prange
from scipy import sparse
from scipy.sparse.linalg import cg
from scipy.spatial.transform import Rotation

from lyra_sim.core.records import Intrinsics
from lyra_sim.depth.overlap import CoarseWalk
from lyra_sim.geometry.camera import invert, pixel_rays
from lyra_sim.geometry.slopes import pixel_normals

PARTNERS, LEAST_PARTNERS, MOST_PAIRS = 16, 4, 20_000
"""Each frame is laid on at most so many others beside its neighbours in time, on fewer where that makes more pairs."""
NEIGHBOURS = 2
ROUNDS = 15
DONE_M, DONE_RAD = 1e-4, 1e-4
"""Rounds end when no camera moves or turns by more."""
PULL = 0.001
"""Weight of the given poses, relative to what the images tell about the mean frame."""
LEAST_GAIN, ROUNDING = 0.05, 0.01
"""The rows that judge have to agree better by this share, depth and grey each no worse by that, or the poses stay."""
SLACK_M, SLACK_SHARE = 0.02, 0.02
"""Points farther from the other frame's plane than this, and this share of the distance, belong to something else."""
MOST_SAMPLES, LEAST_COLUMNS = 5_000_000, 8
"""Of all pairs of frames together; of longer walks, pairs are compared in fewer columns."""
LEAST_TOLD = 500
"""Frames with fewer samples move as their neighbours in time do."""
LEAST_KEPT = 0.98
"""Share of the samples that still have to see the same surface after the poses are changed."""
LEAST_COS = 0.8
"""Normals of one surface, seen by two frames, are less than 37 degrees apart."""
LEAST_M, LEAST_GREY, MOST_GREY = 1e-3, 0.1, 40.0
"""Residuals below and above are not told apart."""
_DIGITS = 6
"""Movements are rounded to micrometres and microradians: sums in another order differ beyond this."""
_TOLERANCE, _MOST_STEPS = 1e-8, 2000
"""Of the linear solver."""


@dataclass(frozen=True)
class Refined:
    """Poses and how well frames agree, before and after."""

    T_world_cam: Float64[np.ndarray, "T 4 4"]
    """As given where `accepted` is false."""
    accepted: bool
    before: "Residual"
    after: "Residual"
    moved_m: float
    """Mean over all cameras, of what was found, taken or not."""
    turned_rad: float

    def notes(self) -> dict[str, Any]:
        """For the report."""
        return {
            "accepted": self.accepted,
            "depth_residual_mm": [round(1000 * one.depth_m, 3) for one in (self.before, self.after)],
            "grey_residual": [round(one.grey, 3) for one in (self.before, self.after)],
            "moved_mm": round(1000 * self.moved_m, 2),
            "turned_deg": round(math.degrees(self.turned_rad), 3),
        }


@dataclass(frozen=True)
class Residual:
    """Mean absolute differences between frames where they see the same surface."""

    depth_m: float
    """Point to plane."""
    grey: float
    """Grey values (0..255) against their surroundings."""
    count: int
    """Samples that see the same surface."""


@dataclass(frozen=True)
class _Grid:
    """All frames at every `step`-th pixel."""

    point: Float32[np.ndarray, "T h w 3"]
    normal: Float32[np.ndarray, "T h w 3"]
    """Camera frame; zero where there is none."""
    grey: Float32[np.ndarray, "T h w 3"]
    """Value less the mean around, and its slopes along u and v."""
    lens: Float64[np.ndarray, "4"]
    """fx, fy, cx, cy; grid point (v, u) has its centre at integer coordinates."""
    pairs: Int[np.ndarray, "K 2"]

    @property
    def columns(self) -> int:
        """Every so manieth column of the grid is compared."""
        _, h, w, _ = self.point.shape
        return min(2 * max(1, -(-len(self.pairs) * h * w // (4 * MOST_SAMPLES))), max(2, w // LEAST_COLUMNS))

    def compare(
        self, poses: Float64[np.ndarray, "T 4 4"], first: int, spread_m: float = 1.0, spread_grey: float = 1.0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`_compare` over every second row from `first` on."""
        return _compare(
            self.point, self.normal, self.grey, self.lens, self.pairs, poses, invert(poses), first, self.columns,
            spread_m, spread_grey,
        )  # fmt: skip


def refine_poses(
    images: UInt8[np.ndarray, "T H W 3"], depth_m: Float32[np.ndarray, "T H W"], camera: Intrinsics, walk: CoarseWalk
) -> Refined:
    """Better poses of a walk, where there are.

    Args:
        images: in common colours.
        depth_m: z-depth in metres; 0 where there is none, or something that moves.
        walk: the same depth on its coarse grid, with the given poses.
    """
    given = walk.T_world_cam
    grid = _grid(images, depth_m, camera, walk)
    twist = np.zeros((len(given), 6))
    before = scale = _judge(grid, given)
    told = _told(grid, given)
    for _ in range(ROUNDS):
        step = _step(grid, _moved(given, twist), scale, twist)
        twist += step
        if np.abs(step[:, 3:]).max() < DONE_M and np.abs(step[:, :3]).max() < DONE_RAD:
            break
        scale = _judge(grid, _moved(given, twist))
    twist = np.round(_filled(twist, told), _DIGITS)
    found = _moved(given, twist)
    after = _judge(grid, found)
    accepted = _better(after, before)
    return Refined(
        T_world_cam=found if accepted else given, accepted=accepted, before=before, after=after,
        moved_m=float(np.linalg.norm(twist[:, 3:], axis=1).mean()),
        turned_rad=float(np.linalg.norm(twist[:, :3], axis=1).mean()),
    )  # fmt: skip


def _better(after: Residual, before: Residual) -> bool:
    """Their mean is better and neither is worse, of no fewer samples; what agreed before is as good as it can be."""
    if after.count < LEAST_KEPT * before.count:
        return False
    pairs = ((after.depth_m, before.depth_m, LEAST_M), (after.grey, before.grey, LEAST_GREY))
    shares = [(new + least) / (old + least) for new, old, least in pairs]
    return max(shares) <= 1.0 + ROUNDING and float(np.mean(shares)) <= 1.0 - LEAST_GAIN


def _grid(images: np.ndarray, depth_m: np.ndarray, camera: Intrinsics, walk: CoarseWalk) -> _Grid:
    step, (h, w) = walk.step, walk.depth_m.shape[1:]
    pick = np.s_[: h * step : step, : w * step : step]
    rays = pixel_rays(camera)[pick]
    point = np.zeros((len(images), h, w, 3), np.float32)
    normal, grey = np.zeros_like(point), np.zeros_like(point)
    for t, (image, depth) in enumerate(zip(images, depth_m, strict=True)):
        point[t] = rays * depth[pick][..., None]
        normal[t] = pixel_normals(depth, depth > 0, camera, stride=step)[pick]
        value = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), step / 2)[pick]
        value = value - cv2.GaussianBlur(value, (0, 0), min(h, w) / 12)
        slopes = [cv2.Sobel(value, cv2.CV_32F, u, 1 - u, ksize=3, scale=1 / 8) for u in (1, 0)]
        grey[t] = np.stack([value, *slopes], axis=-1)
    lens = np.array([camera.fx, camera.fy, camera.cx - 0.5, camera.cy - 0.5]) / step
    return _Grid(point, normal, grey, lens, _pairs(walk.partners))


def _told(grid: _Grid, poses: Float64[np.ndarray, "T 4 4"]) -> Bool[np.ndarray, "T"]:
    """Frames that share enough with others."""
    counts = grid.compare(poses, 0)[2][:, 0]
    return np.bincount(grid.pairs.ravel(), counts.repeat(2), len(poses)) >= LEAST_TOLD


def _filled(twist: Float64[np.ndarray, "T 6"], told: Bool[np.ndarray, "T"]) -> Float64[np.ndarray, "T 6"]:
    """Movements, of frames that were told nothing between those of the frames before and after."""
    if not told.any():
        return np.zeros_like(twist)
    time = np.arange(len(twist))
    return np.stack([np.interp(time, time[told], column[told]) for column in twist.T], axis=1)


def _pairs(partners: Int[np.ndarray, "T P"]) -> Int[np.ndarray, "K 2"]:
    count, out = len(partners), []
    most = min(PARTNERS, max(LEAST_PARTNERS, MOST_PAIRS // count))
    for t, row in enumerate(partners):
        others = row[row >= 0]
        far = others[np.linspace(0, len(others) - 1, min(len(others), most)).round().astype(int)]
        near = [o for o in range(t - NEIGHBOURS, t + NEIGHBOURS + 1) if o != t and 0 <= o < count]
        out += [(t, o) for o in sorted({*far.tolist(), *near})]
    return np.array(out, np.int64).reshape(-1, 2)


def _moved(given: Float64[np.ndarray, "T 4 4"], twist: Float64[np.ndarray, "T 6"]) -> Float64[np.ndarray, "T 4 4"]:
    """Cameras turned about their own centres by rotation vectors (world axes), then moved."""
    out = given.copy()
    out[:, :3, :3] = Rotation.from_rotvec(twist[:, :3]).as_matrix() @ given[:, :3, :3]
    out[:, :3, 3] += twist[:, 3:]
    return out


def _judge(grid: _Grid, poses: Float64[np.ndarray, "T 4 4"]) -> Residual:
    """Means over the rows that take no part in the alignment."""
    count, depth, grey = grid.compare(poses, 1)[2].sum(axis=0)
    return Residual(float(depth / max(count, 1)), float(grey / max(count, 1)), int(count))


def _step(
    grid: _Grid, poses: Float64[np.ndarray, "T 4 4"], scale: Residual, twist: Float64[np.ndarray, "T 6"]
) -> Float64[np.ndarray, "T 6"]:
    """One Gauss-Newton step of all cameras; residuals as large as the mean of the judging rows count half."""
    blocks, right, _ = grid.compare(poses, 0, max(scale.depth_m, LEAST_M), max(scale.grey, LEAST_GREY))
    index = 6 * grid.pairs[:, :, None] + np.arange(6)
    index = index.reshape(len(grid.pairs), 12)
    rows, columns = np.broadcast_arrays(index[:, :, None], index[:, None, :])
    size = twist.size
    matrix = sparse.coo_matrix((blocks.ravel(), (rows.ravel(), columns.ravel())), (size, size)).tocsc()
    told = matrix.diagonal().reshape(-1, 2, 3).mean(axis=(0, 2))
    pull = np.tile(np.repeat(PULL * np.maximum(told, 1e-9), 3), len(twist))
    gradient = np.bincount(index.ravel(), right.ravel(), size) + pull * twist.ravel()
    matrix += sparse.diags(pull, format="csc")
    own = matrix.tobsr((6, 6))
    diagonal = own.data[own.indices == np.repeat(np.arange(len(twist)), np.diff(own.indptr))]
    inverse = sparse.block_diag(list(np.linalg.inv(diagonal)), format="csr")
    found, _ = cg(matrix, gradient, rtol=_TOLERANCE, maxiter=_MOST_STEPS, M=inverse)
    return -np.asarray(found).reshape(-1, 6)


@njit(cache=True, parallel=True)
def _compare(point, normal, grey, lens, pairs, T_world_cam, T_cam_world, first, columns, spread_m, spread_grey):
    """Of each pair of frames, over every second row from `first` on and every `columns`-th column: normal matrix
    (12, 12) and gradient (12,) of the movements of both, and count, sum of depth and of grey residuals."""
    _, height, width, _ = point.shape
    blocks, right, sums = np.zeros((len(pairs), 12, 12)), np.zeros((len(pairs), 12)), np.zeros((len(pairs), 3))
    for k in prange(len(pairs)):
        t, o = pairs[k]
        P, Q, T = T_world_cam[t], T_world_cam[o], T_cam_world[o]
        x, q, row = np.empty(3), np.empty(3), np.empty(12)
        for v in range(first, height, 2):
            for u in range(columns // 2 - 1, width, columns):
                p = point[t, v, u]
                if p[2] == 0.0:
                    continue
                _apply(P, p, x)
                _apply(T, x, q)
                if q[2] < 0.05:
                    continue
                i, j = q[0] / q[2] * lens[0] + lens[2], q[1] / q[2] * lens[1] + lens[3]
                if i < 1.0 or j < 1.0 or i >= width - 2.0 or j >= height - 2.0:
                    continue
                a, b = int(i + 0.5), int(j + 0.5)
                n = normal[o, b, a]
                apart = n[0] * (q[0] - point[o, b, a, 0]) + n[1] * (q[1] - point[o, b, a, 1])
                apart += n[2] * (q[2] - point[o, b, a, 2])
                slack = SLACK_M + SLACK_SHARE * q[2]
                if point[o, b, a, 2] == 0.0 or abs(apart) > slack or abs(point[o, b, a, 2] - q[2]) > 3.0 * slack:
                    continue
                if _cosine(P, normal[t, v, u], Q, n) < LEAST_COS:
                    continue
                sums[k, 0] += 1.0
                sums[k, 1] += abs(apart)
                _row(P, Q, x, n[0], n[1], n[2], row)
                _add(row, apart, spread_m, blocks[k], right[k])
                value, du, dv = _between(grey[o], i, j)
                off = value - grey[t, v, u, 0]
                sums[k, 2] += min(abs(off), MOST_GREY)
                gu, gv = du * lens[0] / q[2], dv * lens[1] / q[2]
                _row(P, Q, x, gu, gv, -(gu * q[0] + gv * q[1]) / q[2], row)
                _add(row, off, spread_grey, blocks[k], right[k])
    return blocks, right, sums


@njit(cache=True)
def _apply(T, p, out):
    for k in range(3):
        out[k] = T[k, 0] * p[0] + T[k, 1] * p[1] + T[k, 2] * p[2] + T[k, 3]


@njit(cache=True)
def _cosine(P, m, Q, n):
    """Between normals of two cameras; 0 where one of them has none."""
    total = 0.0
    for k in range(3):
        total += (P[k, 0] * m[0] + P[k, 1] * m[1] + P[k, 2] * m[2]) * (Q[k, 0] * n[0] + Q[k, 1] * n[1] + Q[k, 2] * n[2])
    return total


@njit(cache=True)
def _row(P, Q, x, g0, g1, g2, row):
    """How a residual that grows along g (frame of camera Q) changes as camera P, which saw x, and camera Q move."""
    g = (
        Q[0, 0] * g0 + Q[0, 1] * g1 + Q[0, 2] * g2,
        Q[1, 0] * g0 + Q[1, 1] * g1 + Q[1, 2] * g2,
        Q[2, 0] * g0 + Q[2, 1] * g1 + Q[2, 2] * g2,
    )
    for which in range(2):
        T, sign, at = (P, 1.0, 0) if which == 0 else (Q, -1.0, 6)
        r0, r1, r2 = x[0] - T[0, 3], x[1] - T[1, 3], x[2] - T[2, 3]
        row[at] = sign * (r1 * g[2] - r2 * g[1])
        row[at + 1] = sign * (r2 * g[0] - r0 * g[2])
        row[at + 2] = sign * (r0 * g[1] - r1 * g[0])
        for k in range(3):
            row[at + 3 + k] = sign * g[k]


@njit(cache=True)
def _add(row, residual, spread, block, right):
    ratio = residual / spread
    weight = 1.0 / ((1.0 + ratio * ratio) * spread * spread)
    for a in range(12):
        scaled = weight * row[a]
        right[a] += scaled * residual
        for b in range(12):
            block[a, b] += scaled * row[b]


@njit(cache=True)
def _between(grey, i, j):
    """Value and slopes between four grid points."""
    a, b = int(i), int(j)
    fu, fv = i - a, j - b
    w00, w01, w10, w11 = (1 - fu) * (1 - fv), fu * (1 - fv), (1 - fu) * fv, fu * fv
    return (
        grey[b, a, 0] * w00 + grey[b, a + 1, 0] * w01 + grey[b + 1, a, 0] * w10 + grey[b + 1, a + 1, 0] * w11,
        grey[b, a, 1] * w00 + grey[b, a + 1, 1] * w01 + grey[b + 1, a, 1] * w10 + grey[b + 1, a + 1, 1] * w11,
        grey[b, a, 2] * w00 + grey[b, a + 1, 2] * w01 + grey[b + 1, a, 2] * w10 + grey[b + 1, a + 1, 2] * w11,
    )
