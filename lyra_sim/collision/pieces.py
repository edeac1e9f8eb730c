"""Convex pieces of a surface: regions thickened away from free space, cut while they block it, then merged while they
do not (bottom-up, after Mamou and Ghorbel's hierarchical decomposition 2009, with free space as the measure)."""

import heapq
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numba import njit
from scipy.spatial import HalfspaceIntersection, cKDTree

from lyra_sim.collision.freespace import FreeSpace
from lyra_sim.core.records import Label
from lyra_sim.geometry.hulls import convex_hull

THICKNESSES_M = (0.1, 0.06, 0.04, 0.025)
"""Tried in this order; PhysX likes 5 cm and more, and thickens what is flat by itself."""
INTRUSION_M = 0.002
"""Most free space inside a piece, cubic metres per square metre of its surface."""
HARMLESS_M = 0.001
"""Pieces are merged whatever their number while this adds no more harm, cubic metres per square metre, ..."""
MOST_HARM_M = 0.04
"""... and never where the merged piece would do more than this, or takes in open space."""
SMALL_M = 0.08
"""Pieces no longer than this are not cut further."""
LONGEST = 95.0
"""Largest extent by the radius of the inscribed ball; PhysX on a GPU allows 100."""
LEAST_WIDTH_M = 0.0201
"""Two centimetres, and room for the rounding of corners."""
TRIM_M = 0.03
TOUCH_M = 0.04
SURE = 0.7
"""Share of the harm of two pieces' hull that it is sure to do with a third: samples are thinned when pieces merge."""
SAMPLE_M = 0.03
SAMPLES = 100


@dataclass(frozen=True, eq=False)
class Piece:
    """A convex body that stands for part of a surface."""

    label: int
    corners: Float[np.ndarray, "K 3"]
    """Its hull's vertices."""
    samples: Float[np.ndarray, "S 3"]
    """Points on the surface it stands for."""
    area_m2: float
    planes: Float[np.ndarray, "F 4"]
    volume_m3: float
    free_m3: float
    """Free space inside."""
    takes_open: bool
    """Whether some of that is open space."""

    @cached_property
    def harm_m3(self) -> float:
        """What stands in the way and should not: free space inside, and what lies before the surface it stands for."""
        return self.free_m3 + self.area_m2 * float(np.maximum(self.depth(self.samples), 0.0).mean())

    @property
    def width_m(self) -> float:
        """Smallest width over the normals of its faces."""
        return _width(self.planes, self.corners)

    @property
    def fit(self) -> bool:
        """Whether it has a shape that engines take as it is. The ball around the middle of its corners that just fits
        inside is no larger than the largest."""
        if self.width_m < LEAST_WIDTH_M:
            return False
        ball = float(self.depth(self.corners.mean(axis=0)[None])[0])
        longest = float(np.linalg.norm(np.ptp(self.corners, axis=0)))
        return longest <= LONGEST * ball

    def depth(self, points: Float[np.ndarray, "S 3"]) -> Float[np.ndarray, "S"]:
        """How deep points lie below its nearest face."""
        return _depth(self.planes, points)


@njit(cache=True)
def _depth(planes, points):  # pragma: no cover - compiled
    out = np.empty(len(points))
    for n in range(len(points)):
        most = -np.inf
        for k in range(len(planes)):
            p = planes[k, 0] * points[n, 0] + planes[k, 1] * points[n, 1] + planes[k, 2] * points[n, 2] + planes[k, 3]
            most = max(most, p)
        out[n] = -most
    return out


@njit(cache=True)
def _width(planes, corners):  # pragma: no cover - compiled
    least = np.inf
    for k in range(len(planes)):
        far = np.inf
        for n in range(len(corners)):
            c = corners[n]
            far = min(far, planes[k, 0] * c[0] + planes[k, 1] * c[1] + planes[k, 2] * c[2] + planes[k, 3])
        least = min(least, -far)
    return least


def make_piece(label: int, points: np.ndarray, samples: np.ndarray, area_m2: float, space: FreeSpace) -> Piece:
    """The hull of points that span a volume."""
    hull = convex_hull(points)
    corners = points[np.flatnonzero(np.bincount(hull.simplices.ravel()))]
    planes = _distinct(hull.equations)
    return Piece(label, corners, samples, area_m2, planes, float(hull.volume), *space.inside(planes, corners))


@njit(cache=True)
def _distinct(planes):  # pragma: no cover - compiled
    """Without repeats: a flat face of many corners is made of many triangles."""
    count = 0
    out = np.empty_like(planes)
    for n in range(len(planes)):
        new = True
        for k in range(count):
            if (
                out[k, 0] == planes[n, 0]
                and out[k, 1] == planes[n, 1]
                and out[k, 2] == planes[n, 2]
                and out[k, 3] == planes[n, 3]
            ):
                new = False
                break
        if new:
            out[count] = planes[n]
            count += 1
    return out[:count].copy()


@dataclass(frozen=True)
class Patch:
    """Faces that look about one way: their corners (M, 3, 3), areas (M,) and mean normal."""

    label: int
    corner: Float[np.ndarray, "M 3 3"]
    area: Float[np.ndarray, "M"]
    normal: Float[np.ndarray, "3"]


def cut(patch: Patch, space: FreeSpace) -> list[Piece]:
    """Slabs behind a patch that block next to no free space: the thickest possible, of halves of the patch where none
    is possible, and what is left in the end as boxes."""
    points = patch.corner.reshape(-1, 3)
    across = np.linalg.svd(patch.normal[None])[2][1:]
    flat = (points - points[0]) @ across.T
    _, vectors = np.linalg.eigh(np.cov(flat.T) + 1e-12 * np.eye(2))
    along = flat @ vectors[:, 1]
    samples = points[_one_per_cell(points)]
    area, front = float(patch.area.sum()), _outline(points, flat)
    if (np.ptp(flat @ vectors, axis=0) >= LEAST_WIDTH_M).all():
        for thick in THICKNESSES_M:
            corners = np.concatenate([front, front - thick * patch.normal])
            piece = make_piece(patch.label, corners, samples, area, space)
            if piece.free_m3 <= INTRUSION_M * area and piece.fit:
                return [piece]
    middle = along.reshape(-1, 3).mean(axis=1)
    first = middle <= 0.5 * (along.min() + along.max())
    if np.ptp(along) <= SMALL_M or first.all() or not first.any():
        axes = np.concatenate([vectors.T @ across, patch.normal[None]])
        return [make_piece(patch.label, box_of(points, axes), samples, area, space)]
    halves = (Patch(patch.label, patch.corner[part], patch.area[part], patch.normal) for part in (first, ~first))
    return [one for half in halves for one in cut(half, space)]


def _one_per_cell(points: Float[np.ndarray, "N 3"]) -> Int[np.ndarray, "S"]:
    """Index of the first point in each cube of SAMPLE_M. One number per cube: rows are dear to sort."""
    cell = np.floor(points / SAMPLE_M).astype(np.int64)
    cell -= cell.min(axis=0)
    return np.unique(np.ravel_multi_index(tuple(cell.T), tuple(cell.max(axis=0) + 1)), return_index=True)[1]


def _outline(points: Float[np.ndarray, "N 3"], flat: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "K 3"]:
    """The points that matter for the hull of a nearly plane set: those on its outline, or all where it is no area."""
    if len(points) < 12 or np.linalg.matrix_rank(flat - flat.mean(axis=0), tol=1e-4) < 2:
        return points
    return points[convex_hull(flat).vertices]


def box_of(points: Float[np.ndarray, "N 3"], axes: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "8 3"]:
    """Corners of the box along orthonormal axes (rows; the last points to free space) around points, at least
    LEAST_WIDTH_M wide, grown away from free space."""
    local = points @ axes.T
    low, high = local.min(axis=0), local.max(axis=0)
    missing = np.maximum(LEAST_WIDTH_M - (high - low), 0.0)
    low -= missing * [0.5, 0.5, 1.0]
    high += missing * [0.5, 0.5, 0.0]
    grid = np.stack(np.meshgrid(*np.stack([low, high], axis=1), indexing="ij"), axis=-1).reshape(8, 3)
    return grid @ axes


def merge_all(pieces: list[Piece], space: FreeSpace, most: int) -> list[Piece]:
    """Neighbours of one label merged; where that leaves more than `most` pieces, neighbours of different labels too
    (what stands on the floor, not the floor itself): the merged piece has the label of the larger one."""
    pieces = merge(pieces, touching_pairs(pieces), space, most, mixed=False)
    if len(pieces) > most:
        pieces = merge(pieces, touching_pairs(pieces), space, most, mixed=True)
    return pieces


def merge(
    pieces: list[Piece], touching: Int[np.ndarray, "E 2"], space: FreeSpace, most: int, *, mixed: bool
) -> list[Piece]:
    """Neighbours merged, always the pair that adds least harm: while that is next to none and their labels agree, and
    on while there are more than `most` pieces, then with `mixed` whatever their labels."""
    return _Merging(pieces, touching, space, mixed).run(most)


class _Least(NamedTuple):
    """What the hull of two pieces does at least: hulls only grow, and so does the free space in them. The harm, a mean
    over samples, can lessen a little (SURE)."""

    harm_m3: float = 0.0
    volume_m3: float = 0.0


class _Merging:
    """Pieces, their neighbours, and a queue of offers to merge two of them. The hull of an offer from a merged piece is
    made when it comes first by what it does at least: most never do, since one of their pieces is merged with another
    before."""

    def __init__(self, pieces: list[Piece], touching: Int[np.ndarray, "E 2"], space: FreeSpace, mixed: bool) -> None:
        self._space, self._mixed = space, mixed
        self._left: dict[int, Piece] = dict(enumerate(pieces))
        self._near: dict[int, dict[int, _Least]] = {n: {} for n in self._left}
        self._queue: list[tuple[float, float, int, int, Piece | None]] = []
        for a, b in touching.tolist():
            self._near[a][b] = self._near[b][a] = _Least()
            self._ask(a, b)

    def run(self, most: int) -> list[Piece]:
        left, near, queue = self._left, self._near, self._queue
        fresh = len(left)
        while queue:
            harm, _, a, b, piece = heapq.heappop(queue)
            if harm > 0.0 and len(left) <= most:
                break
            if a not in left or b not in left:
                continue
            if piece is None:
                self._ask(a, b)
                continue
            around = self._least(a, b)
            for n in (a, b):
                del left[n], near[n]
            left[fresh], near[fresh] = piece, around
            for c, least in around.items():
                for n in (a, b):
                    near[c].pop(n, None)
                near[c][fresh] = least
                self._offer(c, fresh, _Least(SURE * least.harm_m3, least.volume_m3), None)
            fresh += 1
        return list(left.values())

    def _least(self, a: int, b: int) -> dict[int, _Least]:
        """Neighbours of two pieces, and what their hull with both does at least: what it does with one of them, and
        what lies before the surface of the other."""
        out: dict[int, _Least] = {}
        for one, other in ((a, b), (b, a)):
            before = self._left[other].harm_m3 - self._left[other].free_m3
            for c, least in self._near[one].items():
                known = out.get(c, _Least())
                harm = max(known.harm_m3, least.harm_m3 + before)
                out[c] = _Least(harm, max(known.volume_m3, least.volume_m3))
        return {c: out[c] for c in sorted(out.keys() - {a, b})}

    def _ask(self, a: int, b: int) -> None:
        """Make the hull of two pieces, and offer it unless it is out of the question."""
        one, other = self._left[a], self._left[b]
        if one.label != other.label and (not self._mixed or Label.FLOOR in (one.label, other.label)):
            return
        piece = _merged(one, other, self._space)
        least = _Least(np.inf if piece.takes_open else piece.harm_m3, piece.volume_m3)
        self._near[a][b] = self._near[b][a] = least
        if piece.fit:
            self._offer(a, b, least, piece)

    def _offer(self, a: int, b: int, least: _Least, piece: Piece | None) -> None:
        one, other = self._left[a], self._left[b]
        area = one.area_m2 + other.area_m2
        if least.harm_m3 > MOST_HARM_M * area:
            return
        harm = least.harm_m3 - one.harm_m3 - other.harm_m3
        harmless = one.label == other.label and harm <= HARMLESS_M * area
        growth = least.volume_m3 - one.volume_m3 - other.volume_m3
        heapq.heappush(self._queue, (0.0 if harmless else max(harm, 1e-12), growth, a, b, piece))


def _merged(a: Piece, b: Piece, space: FreeSpace) -> Piece:
    """The hull of two pieces, with the label of the larger."""
    label = a.label if a.area_m2 >= b.area_m2 else b.label
    samples = np.concatenate([a.samples, b.samples])
    samples = samples[:: len(samples) // SAMPLES + 1]
    return make_piece(label, np.concatenate([a.corners, b.corners]), samples, a.area_m2 + b.area_m2, space)


def touching_pairs(pieces: list[Piece]) -> Int[np.ndarray, "E 2"]:
    """Pairs of pieces whose surfaces come within TOUCH_M of each other, in order."""
    owner = np.repeat(np.arange(len(pieces)), [len(piece.samples) for piece in pieces])
    tree = cKDTree(np.concatenate([piece.samples for piece in pieces]))
    pairs = owner[tree.query_pairs(TOUCH_M, output_type="ndarray")]
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    return np.unique(pairs, axis=0)


def trimmed(piece: Piece, space: FreeSpace) -> Piece:
    """The piece with each face moved in to the median of the surface it stands for: a hull goes through the points
    that noise put furthest out. As it was where it would become too thin."""
    planes = np.unique(np.round(piece.planes, 7), axis=0)
    depth = -(piece.samples @ planes[:, :3].T + planes[:, 3])
    face, at = depth.argmin(axis=1), depth.min(axis=1)
    near = (at >= 0.0) & (at <= TRIM_M)
    moved = planes.copy()
    for k in np.unique(face[near]):
        moved[k, 3] += np.median(at[near & (face == k)])
    middle = piece.corners.mean(axis=0)
    if (moved[:, :3] @ middle + moved[:, 3]).max() > -0.25 * LEAST_WIDTH_M:
        return piece
    corners = HalfspaceIntersection(moved, middle, qhull_options="Q12").intersections
    new = make_piece(piece.label, corners, piece.samples, piece.area_m2, space)
    return new if new.fit else piece
