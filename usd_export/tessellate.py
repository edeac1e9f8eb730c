"""Triangles of USD's primitive shapes and of convex hulls, the way physics engines see them. No pxr here."""

import numpy as np
from scipy.spatial import QhullError

from lyra_sim.geometry.hulls import convex_hull

_ROUND = 32
"""Segments around a round shape: a circle's chord then stays within 0.5 % of its radius."""
_PLANE_HALF_M = 500.0
"""Half size of the square that stands for an infinite plane."""


def triangulate(counts: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fan triangles of polygons.

    Args:
        counts: (P,) corners per polygon.
        indices: (sum of counts,) vertex index per corner.

    Returns:
        (M, 3) vertex indices and (M, 3) corner indices (positions in `indices`), int32.
    """
    counts = np.asarray(counts, np.int64)
    start = np.cumsum(counts) - counts
    triangles = np.maximum(counts - 2, 0)
    face = np.repeat(np.arange(len(counts)), triangles)
    step = np.arange(len(face)) - np.repeat(np.cumsum(triangles) - triangles, triangles)
    first = start[face]
    corners = np.stack([first, first + step + 1, first + step + 2], 1).astype(np.int32)
    return np.asarray(indices, np.int32)[corners], corners


def hull(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Convex hull as triangles with outward winding; a flat or smaller set gives no triangles.

    Args:
        points: (N, 3).
    """
    points = np.asarray(points, np.float64).reshape(-1, 3)
    empty = np.zeros((0, 3)), np.zeros((0, 3), np.int32)
    if len(points) < 4:
        return empty
    try:
        found = convex_hull(points)
    except QhullError:  # flat: a volume of zero has no hull in an engine that is honest about it
        return empty
    corners = points[found.simplices]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inward = (normal * found.equations[:, :3]).sum(1) < 0
    faces = found.simplices.copy()
    faces[inward] = faces[inward][:, [0, 2, 1]]
    used, compact = np.unique(faces, return_inverse=True)
    return points[used], compact.reshape(-1, 3).astype(np.int32)


def box(half: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Axis-aligned box of the given half sizes around the origin."""
    signs = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    return hull(signs * half)


def sphere(radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Sphere around the origin."""
    return hull(_revolved(np.sin(_arc()) * radius, np.cos(_arc()) * radius))


def cylinder(radius: float, height: float, top: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Cylinder (or, with `top` = 0, cone) along z around the origin."""
    top = radius if top is None else top
    return hull(_revolved(np.array([radius, top]), np.array([-height / 2, height / 2])))


def capsule(radius: float, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Capsule along z around the origin; `height` is that of its cylinder."""
    ring, z = np.sin(_arc()) * radius, np.cos(_arc()) * radius
    upper = z > 0
    return hull(_revolved(ring, np.where(upper, z + height / 2, z - height / 2)))


def plane() -> tuple[np.ndarray, np.ndarray]:
    """A large square in z = 0 that faces up, for an infinite plane."""
    s = _PLANE_HALF_M
    corners = np.array([(-s, -s, 0), (s, -s, 0), (s, s, 0), (-s, s, 0)])
    return corners, np.array([(0, 1, 2), (0, 2, 3)], np.int32)


def turned(points: np.ndarray, axis: str) -> np.ndarray:
    """Points of a shape made along z, turned so that its axis is `axis` ('X', 'Y' or 'Z')."""
    order = {"X": [2, 0, 1], "Y": [1, 2, 0], "Z": [0, 1, 2]}[axis]
    return points[:, order]


def _arc() -> np.ndarray:
    return np.linspace(0, np.pi, _ROUND // 2 + 1)


def _revolved(radius: np.ndarray, z: np.ndarray) -> np.ndarray:
    turn = np.arange(_ROUND) * (2 * np.pi / _ROUND)
    ring = np.stack([np.cos(turn), np.sin(turn)], 1)
    xy = (radius[:, None, None] * ring[None]).reshape(-1, 2)
    return np.concatenate([xy, np.repeat(z, _ROUND)[:, None]], 1)
