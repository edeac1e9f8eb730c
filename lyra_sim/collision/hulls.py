"""Convex hulls that physics engines accept: few vertices, never flat, wound outwards."""

import numpy as np
from jaxtyping import Float, Int

from lyra_sim.geometry.hulls import convex_hull
from lyra_sim.surface.linear import turned

MOST_VERTICES = 60
"""PhysX cooks hulls of more than 64 vertices anew on a GPU."""

Triangles = tuple[Float[np.ndarray, "N 3"], Int[np.ndarray, "M 3"]]


def hull_of(points: Float[np.ndarray, "K 3"]) -> Triangles:
    """Hull of points that span a volume; thinned to MOST_VERTICES by taking the extreme points of fixed directions,
    after its principal axes are brought to one length."""
    hull = convex_hull(points)
    if len(hull.vertices) > MOST_VERTICES:
        points = points[hull.vertices]
        _, size, axes = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
        points = points[np.unique(turned(_directions(MOST_VERTICES), turned(points, axes) / size).argmax(axis=1))]
        hull = convex_hull(points)
    used = np.sort(hull.vertices)
    place = np.zeros(len(points), np.int64)
    place[used] = np.arange(len(used))
    faces = hull.simplices
    a, b, c = (points[faces[:, k]] for k in range(3))
    inward = (np.cross(b - a, c - a) * hull.equations[:, :3]).sum(axis=1) < 0
    faces = np.where(inward[:, None], faces[:, [0, 2, 1]], faces)
    first = place[faces]
    turn = first.argmin(axis=1)
    rotated = first[np.arange(len(first))[:, None], (turn[:, None] + np.arange(3)) % 3]
    return points[used], rotated[np.lexsort(rotated.T[::-1])]


def spans_volume(points: Float[np.ndarray, "K 3"]) -> bool:
    """False for points within about a millimetre of a plane: PhysX thickens their hull by centimetres."""
    return bool(np.linalg.matrix_rank(points - points.mean(axis=0), tol=1e-3) == 3)


def _directions(count: int) -> Float[np.ndarray, "K 3"]:
    """Directions spread evenly over the sphere (golden spiral)."""
    k = np.arange(count) + 0.5
    z = 1.0 - 2.0 * k / count
    angle = np.pi * (1.0 + np.sqrt(5.0)) * k
    r = np.sqrt(1.0 - z * z)
    return np.stack([r * np.cos(angle), r * np.sin(angle), z], axis=1)
