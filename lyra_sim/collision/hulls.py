"""Convex hulls that physics engines accept: few vertices, never flat, wound outwards."""

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import ConvexHull

from lyra_sim.core.records import TriMesh
from lyra_sim.surface.clean import face_normals_areas
from lyra_sim.surface.linear import turned

MOST_VERTICES = 60
"""PhysX cooks hulls of more than 64 vertices anew on a GPU."""
PATCH_M = 0.25
BACK_M = 0.03
"""How far a patch is thickened behind its surface."""

Triangles = tuple[Float[np.ndarray, "N 3"], Int[np.ndarray, "M 3"]]


def hull_of(points: Float[np.ndarray, "K 3"]) -> Triangles:
    """Hull of points that span a volume; thinned to MOST_VERTICES by taking the extreme points of fixed directions."""
    hull = ConvexHull(points)
    if len(hull.vertices) > MOST_VERTICES:
        points = points[hull.vertices]
        points = points[np.unique(turned(_directions(MOST_VERTICES), points).argmax(axis=1))]
        hull = ConvexHull(points)
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


def patch_hulls(mesh: TriMesh) -> list[Triangles]:
    """One thin hull per cube of 25 cm and main direction of the faces in it, grown 3 cm to the back.

    A patch turns by less than 90 degrees, so its hull leaves the surface by little; there are many of them.
    """
    if len(mesh.faces) == 0:
        return []
    normal, area = face_normals_areas(mesh.vertices, mesh.faces)
    corner = mesh.vertices[mesh.faces].astype(np.float64)
    cell = np.floor(corner.mean(axis=1) / PATCH_M).astype(np.int64)
    axis = np.abs(normal).argmax(axis=1)
    side = axis * 2 + (normal[np.arange(len(normal)), axis] > 0)
    _, group = np.unique(np.column_stack([cell, side]), axis=0, return_inverse=True)
    order = np.argsort(group.reshape(-1), kind="stable")
    hulls = []
    for faces in np.split(order, np.nonzero(np.diff(group.reshape(-1)[order]))[0] + 1):
        if area[faces].sum() < 3e-4:
            continue  # three square centimetres
        mean = (normal[faces] * area[faces, None]).sum(axis=0)
        back = -BACK_M * mean / max(float(np.linalg.norm(mean)), 1e-12)
        points = np.unique(np.round(corner[faces].reshape(-1, 3), 6), axis=0)
        prism = np.concatenate([points, points + back])
        if spans_volume(prism):
            hulls.append(hull_of(prism))
    return hulls
