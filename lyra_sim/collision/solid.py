"""Closes a scanned object: its surface plus what nobody saw behind it becomes a watertight body."""

import numpy as np
from jaxtyping import Float, Int
from scipy import ndimage
from scipy.spatial import ConvexHull
from skimage.measure import marching_cubes

from lyra_sim.core.records import SpaceGrid, TriMesh

DEEP_M = 0.25
"""Unseen space further than this behind the surface does not belong to the object."""


def solid_of(piece: TriMesh, space: SpaceGrid) -> tuple[Float[np.ndarray, "N 3"], Int[np.ndarray, "M 3"]] | None:
    """Watertight surface of the voxels that the object fills: those at its surface and those near it that no ray
    passed. None where that leaves nothing.

    An open shell as such is poison for a convex decomposition: it is cut into ever smaller pieces of wall.
    """
    voxel = space.voxel_m
    corner = piece.vertices[piece.faces].astype(np.float64)
    points = np.concatenate([corner.reshape(-1, 3), corner.mean(axis=1), _edge_middles(corner)])
    low = np.floor((points.min(axis=0) - space.origin_m) / voxel).astype(np.int64) - 1
    shape = np.floor((points.max(axis=0) - space.origin_m) / voxel).astype(np.int64) + 2 - low
    cells = low + np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    inside = ((cells >= 0) & (cells < space.state.shape)).all(axis=-1)
    safe = np.clip(cells, 0, np.array(space.state.shape) - 1)
    state = np.where(inside, space.state[safe[..., 0], safe[..., 1], safe[..., 2]], 0)
    touched = np.zeros(tuple(shape), bool)
    own = np.floor((points - space.origin_m) / voxel).astype(np.int64) - low
    touched[own[:, 0], own[:, 1], own[:, 2]] = True
    near = np.asarray(ndimage.distance_transform_edt(~touched)) * voxel <= DEEP_M
    filled = touched | (near & (state != 1))
    filled[[0, -1]] = filled[:, [0, -1]] = filled[:, :, [0, -1]] = False
    body, count = ndimage.label(filled)  # pyright: ignore[reportGeneralTypeIssues]
    if count == 0:
        return None
    largest = int(np.bincount(body[touched & (body > 0)], minlength=count + 1)[1:].argmax()) + 1
    field = ndimage.gaussian_filter(np.pad(body == largest, 2).astype(np.float64), 0.7)
    if field.max() <= 0.5:
        return None
    vertices, faces, _, _ = marching_cubes(field, 0.5, gradient_direction="ascent")
    return space.origin_m + (vertices - 2 + low + 0.5) * voxel, faces.astype(np.int32)


def _edge_middles(corner: Float[np.ndarray, "M 3 3"]) -> Float[np.ndarray, "K 3"]:
    return (0.5 * (corner + np.roll(corner, 1, axis=1))).reshape(-1, 3)


def closed(faces: Int[np.ndarray, "M 3"]) -> bool:
    """Whether every edge has exactly two faces that run along it in opposite directions."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    size = int(faces.max(initial=0)) + 1
    forth, back = edges[:, 0] * size + edges[:, 1], edges[:, 1] * size + edges[:, 0]
    return len(edges) > 0 and len(np.unique(forth)) == len(forth) and bool(np.isin(forth, back).all())


def convexity(vertices: Float[np.ndarray, "N 3"], faces: Int[np.ndarray, "M 3"]) -> float:
    """Volume of a closed mesh relative to that of its convex hull."""
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    volume = abs(float((a * np.cross(b, c)).sum())) / 6.0
    return volume / float(ConvexHull(vertices.astype(np.float64)).volume)
