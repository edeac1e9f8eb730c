"""Which faces some measurement bears out. Fusion also makes surfaces in the shadow beside edges, a voxel or two thick:
no camera saw them, and low ones lie in the way of wheels where in truth the floor is bare."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from jaxtyping import Bool, Float

from lyra_sim.collision.measure import View
from lyra_sim.core.records import FaceOrigin, Label, TriMesh
from lyra_sim.geometry.camera import invert, project
from lyra_sim.surface.clean import face_normals_areas, select_faces
from lyra_sim.surface.linear import moved

NEAR_M = 0.02
"""A measured point this near to the middle of a face bears it out, ..."""
MOST_POINTS = 3_000_000
"""... of at most so many, evenly taken from all frames."""
MOST_BRIDGE = 0.03
"""Pixels side by side lie on one surface when their depths differ by less than this share."""


def without_unsupported(mesh: TriMesh, views: Sequence[View]) -> TriMesh:
    """Drop what is said to be seen and no measurement bears out; floor stays, for its holes are closed elsewhere."""
    asked = (mesh.face_label != Label.FLOOR) & (mesh.face_origin == FaceOrigin.SEEN)
    keep = ~asked
    keep[asked] = supported(select_faces(mesh, asked), views)
    return select_faces(mesh, keep)


def supported(mesh: TriMesh, views: Sequence[View]) -> Bool[np.ndarray, "M"]:
    """Faces with a measured point within `NEAR_M` of their centre (points are averaged in cubes of that side), or
    whose centre some frame measured at its depth, to `NEAR_M`."""
    centre = mesh.vertices[mesh.faces].mean(axis=1).astype(np.float64)
    normal, _ = face_normals_areas(mesh.vertices, mesh.faces)
    total = sum(int(view.measured.sum()) for view in views)
    every = max(1, -(-total // MOST_POINTS))
    points = np.concatenate([np.zeros((0, 3)), *(view.points(every) for view in views)])
    out = _near_points(centre, points)
    asked = np.flatnonzero(~out)
    for view in views:
        asked = asked[~_agrees(view, centre[asked], normal[asked])]
    out[:] = True
    out[asked] = False
    return out


def _near_points(centre: Float[np.ndarray, "M 3"], points: Float[np.ndarray, "N 3"]) -> Bool[np.ndarray, "M"]:
    """Centres within `NEAR_M` of the mean of the points in one of the 27 cubes around."""
    if not len(points) or not len(centre):
        return np.zeros(len(centre), bool)
    cube = np.floor(points / NEAR_M).astype(np.int64)
    low, shape = cube.min(axis=0) - 1, tuple(np.ptp(cube, axis=0) + 3)
    key = np.ravel_multi_index(tuple((cube - low).T), shape)
    known, where, count = np.unique(key, return_inverse=True, return_counts=True)
    mean = np.stack([np.bincount(where, points[:, k]) for k in range(3)], axis=1) / count[:, None]
    at = np.floor(centre / NEAR_M).astype(np.int64) - low
    inside = np.flatnonzero(((at >= 1) & (at < np.array(shape) - 1)).all(axis=1))
    out = np.zeros(len(centre), bool)
    for step in sorted(product((-1, 0, 1), repeat=3), key=lambda step: np.abs(step).sum()):
        left = inside[~out[inside]]
        key = np.ravel_multi_index(tuple((at[left] + step).T), shape)
        row = np.minimum(np.searchsorted(known, key), len(known) - 1)
        out[left] = (known[row] == key) & (np.linalg.norm(mean[row] - centre[left], axis=1) <= NEAR_M)
    return out


def _agrees(view: View, centre: Float[np.ndarray, "K 3"], normal: Float[np.ndarray, "K 3"]) -> Bool[np.ndarray, "K"]:
    """Centres of faces that look at this frame and lie at the depth it measured in the four pixels around them."""
    uv, z = project(moved(invert(view.T_world_cam), centre), view.camera)
    size = np.array([view.camera.width, view.camera.height])
    facing = (normal * (view.origin - centre)).sum(axis=1) > 0
    found = np.flatnonzero(facing & (z > 0.05) & (uv >= 0.5).all(axis=1) & (uv < size - 0.5).all(axis=1))
    u, v = np.floor(uv[found] - 0.5).astype(np.int64).T
    four = np.stack([view.depth_m[v + j, u + i] for j, i in product((0, 1), repeat=2)])
    known = np.all([view.measured[v + j, u + i] for j, i in product((0, 1), repeat=2)], axis=0)
    low, high = four.min(axis=0), four.max(axis=0)
    one_surface = known & (high - low <= MOST_BRIDGE * low)
    out = np.zeros(len(centre), bool)
    out[found] = one_surface & (z[found] >= low - NEAR_M) & (z[found] <= high + NEAR_M)
    return out
