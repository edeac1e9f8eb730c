"""Vertical lines and small balls against many triangles, numpy only: what judging a stranger's scene needs of ray
casting, without the packages for it."""

import numpy as np
from jaxtyping import Bool, Float, Int

_PAIRS = 2_000_000
"""Longest list of candidate pairs held at once."""


class Columns:
    """Triangles asked at a few spots.

    Args:
        vertices: (N, 3) metres.
        faces: (M, 3) indices; M may be 0.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        self._corners = np.asarray(vertices, np.float64)[faces].reshape(-1, 3, 3)
        self._low, self._high = self._corners.min(1)[:, :2], self._corners.max(1)[:, :2]

    def below(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N"]:
        """Distance straight down to the first triangle, metres; inf where none."""
        return self._along(points, -1.0)

    def above(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N"]:
        """Distance straight up to the first triangle, metres; inf where none."""
        return self._along(points, 1.0)

    def touched(self, points: Float[np.ndarray, "N 3"], radius: float) -> Bool[np.ndarray, "N"]:
        """Whether a triangle comes closer to a point than `radius` metres."""
        found = np.zeros(len(points), bool)
        for point, face in self._pairs(points, radius):
            corners = self._corners[face]
            z = points[point, 2]
            keep = (corners[:, :, 2].min(1) <= z + radius) & (corners[:, :, 2].max(1) >= z - radius)
            point, corners = point[keep], corners[keep]
            found[point[_distance(points[point], corners) < radius]] = True
        return found

    def _along(self, points: np.ndarray, sign: float) -> np.ndarray:
        found = np.full(len(points), np.inf)
        for point, face in self._pairs(points, 0.0):
            a, b, c = np.moveaxis(self._corners[face], 1, 0)
            p = points[point]
            ab, ac, ap = (b - a)[:, :2], (c - a)[:, :2], (p - a)[:, :2]
            area = _cross(ab, ac)
            with np.errstate(divide="ignore", invalid="ignore"):
                u, v = _cross(ap, ac) / area, _cross(ab, ap) / area
                height = a[:, 2] + u * (b - a)[:, 2] + v * (c - a)[:, 2]
            ahead = sign * (height - p[:, 2])
            hit = (area != 0) & (u >= 0) & (v >= 0) & (u + v <= 1) & (ahead >= 0)
            np.minimum.at(found, point[hit], ahead[hit])
        return found

    def _pairs(self, points: np.ndarray, margin: float) -> "list[tuple[Int[np.ndarray, 'P'], Int[np.ndarray, 'P']]]":
        """Pairs of point and triangle whose boxes, grown by the margin, meet in the ground plan; in pieces."""
        order = np.argsort(points[:, 0], kind="stable")
        x, y = points[order, 0], points[order, 1]
        first = np.searchsorted(x, self._low[:, 0] - margin, "left")
        count = np.searchsorted(x, self._high[:, 0] + margin, "right") - first
        faces = np.flatnonzero(count)
        if len(faces) == 0:
            return []
        ends = np.cumsum(count[faces])
        cuts = np.searchsorted(ends, np.arange(_PAIRS, ends[-1], _PAIRS), "left") + 1
        pieces = []
        for part in np.split(faces, np.unique(cuts)):
            n = count[part]
            face = np.repeat(part, n)
            at = np.repeat(first[part] - (np.cumsum(n) - n), n) + np.arange(len(face))
            keep = (y[at] >= self._low[face, 1] - margin) & (y[at] <= self._high[face, 1] + margin)
            pieces.append((order[at[keep]], face[keep]))
        return pieces


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _distance(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Distance of each point to the triangle of its row: to the plane where its foot lies inside, else to an edge."""
    a, b, c = np.moveaxis(corners, 1, 0)
    edges = [_to_segment(points, *ends) for ends in ((a, b), (b, c), (c, a))]
    nearest = np.minimum.reduce(edges)
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        height = np.abs(((points - a) * normal).sum(1)) / length
    inside = length > 0
    for start, end in ((a, b), (b, c), (c, a)):
        inside &= (np.cross(end - start, points - start) * normal).sum(1) >= 0
    return np.where(inside, height, nearest)


def _to_segment(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    along = end - start
    square = np.maximum((along * along).sum(1), 1e-300)
    t = np.clip(((points - start) * along).sum(1) / square, 0.0, 1.0)
    return np.linalg.norm(points - start - t[:, None] * along, axis=1)
