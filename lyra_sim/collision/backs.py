"""Thickness for low things that were seen from one side: a sheet of triangles gets a back where nobody looked.

A depth camera sees fronts. As colliders they are sheets without volume: what is set down beside one may overlap it
without any engine noticing at the start, and is flung away in the first step; what is fast passes through. Behind a
front lies space that no ray crossed, so a back there contradicts no measurement. Hulls are thickened the same way
(`pieces.py`). Only what wheels and feet meet is backed: things other than walls, near the floor. What is higher stays
exactly where it was measured, on all its sides.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from scipy import ndimage

from lyra_sim.collision.freespace import FREE
from lyra_sim.collision.measure import in_state
from lyra_sim.core.records import FloorGrid, Label, SpaceGrid, TriMesh
from lyra_sim.geometry.cells import cells_of
from lyra_sim.surface.clean import face_vectors
from lyra_sim.surface.decimate import simplify_triangles, with_attributes

THICKNESS_M = 0.08
LOW_M = 0.3
"""Faces that reach higher than this above the nearest floor get no back."""
SEEN_FLOOR = 1
OVER_FLOOR_M = 2.0
"""Where the floor was seen, nothing is put this far above it, whether a ray passed there or not: robots go there."""
ROUNDING_M = 0.02
LEAST_VOXELS = 3.0
"""A back nearer than this to its front is left out: boards seen from both sides are solid already."""
SAMPLE_M = 0.03
KEEP = 0.25
"""Share of the triangles of backs and sides that is kept, but for those at borders, which stay where they are."""
UP = 0.5
"""Sides whose normal has less than this upward are left out: what stands or rolls comes from above or in front."""


def backed(mesh: TriMesh, space: SpaceGrid, floor: FloorGrid) -> TriMesh:
    """The mesh with the low faces of obstacles and objects repeated `THICKNESS_M` behind themselves, as far as nothing
    free is met on the way, and with sides that close each sheet from above.

    Backs take colour, label and origin of the nearest face of the mesh. Nothing is added in free space (voxels that
    rays passed, and over seen floor): vertices go back one voxel less than that, and no triangle crosses it.
    """
    if len(mesh.faces) == 0:
        return mesh
    inward = -_vertex_normals(mesh)
    depth = _room_behind(mesh.vertices, inward, space, floor)
    low = (height_above(mesh.vertices, floor, beyond=True) < LOW_M)[mesh.faces].all(axis=1)
    low &= np.isin(mesh.face_label, (Label.OBSTACLE, Label.OBJECT))
    low &= (depth[mesh.faces] > 0).any(axis=1)
    there = len(mesh.vertices)
    vertices = np.concatenate([mesh.vertices, mesh.vertices + depth[:, None] * inward]).astype(np.float32)
    sides = _sides(mesh.faces, low, there)
    cross = face_vectors(vertices, sides)
    sides = sides[cross[:, 2] > np.maximum(UP * np.linalg.norm(cross, axis=1), 1e-8)]
    faces = np.concatenate([mesh.faces[low][:, ::-1] + there, sides])
    faces = faces[~_touches_free(vertices[faces], space, floor)]
    vertices, faces = simplify_triangles(vertices, faces, int(np.ceil(KEEP * len(faces))))
    faces = faces[~_touches_free(vertices[faces], space, floor)]
    behind = with_attributes(vertices, faces, mesh)
    return TriMesh(
        vertices=np.concatenate([mesh.vertices, behind.vertices]),
        faces=np.concatenate([mesh.faces, behind.faces + there]),
        vertex_color=np.concatenate([mesh.vertex_color, behind.vertex_color]),
        face_label=np.concatenate([mesh.face_label, behind.face_label]),
        face_origin=np.concatenate([mesh.face_origin, behind.face_origin]),
    )


def height_above(points: Float32[np.ndarray, "N 3"], floor: FloorGrid, *, beyond: bool) -> Float[np.ndarray, "N"]:
    """Height above the floor of the cell; off the floor above the nearest cell with floor where `beyond`, else
    infinite."""
    there = floor.state > 0
    if not there.any():
        return np.full(len(points), np.inf)
    cell = np.floor((points[:, :2] - floor.origin_m) / floor.cell_m).astype(np.int64)
    inside = np.clip(cell, 0, np.array(there.shape) - 1)
    i, j = inside.T
    nearest = np.asarray(ndimage.distance_transform_edt(~there, return_distances=False, return_indices=True))
    above = points[:, 2].astype(np.float64) - floor.height_m[tuple(nearest[:, i, j])]
    on_floor = there[i, j] & (inside == cell).all(axis=1)
    return above if beyond else np.where(on_floor, above, np.inf)


def _vertex_normals(mesh: TriMesh) -> Float[np.ndarray, "N 3"]:
    """Unit outward normals, faces weighted by area."""
    cross = face_vectors(mesh.vertices, mesh.faces)
    total = np.stack(
        [np.bincount(mesh.faces.ravel(), np.repeat(cross[:, k], 3), len(mesh.vertices)) for k in range(3)], axis=1
    )
    return total / np.maximum(np.linalg.norm(total, axis=1), 1e-20)[:, None]


def _room_behind(points: np.ndarray, inward: np.ndarray, space: SpaceGrid, floor: FloorGrid) -> Float[np.ndarray, "N"]:
    """How far each point may go back: to one voxel before what is free, at most `THICKNESS_M`; 0 where that is
    less than `LEAST_VOXELS`. The front stands in the first 1.5 voxels."""
    voxel = space.voxel_m
    ways = np.arange(1.5 * voxel, THICKNESS_M + voxel, 0.5 * voxel)
    free = np.stack([_free(points + way * inward, space, floor) for way in ways])
    first = np.where(free.any(axis=0), ways[free.argmax(axis=0)], np.inf)
    depth = np.minimum(first - voxel, THICKNESS_M)
    return np.where(depth >= LEAST_VOXELS * voxel, depth, 0.0)


def _free(points: Float[np.ndarray, "N 3"], space: SpaceGrid, floor: FloorGrid) -> Bool[np.ndarray, "N"]:
    """Points in voxels that rays passed, or over floor that was seen, up to `OVER_FLOOR_M`; none outside both grids."""
    free = in_state(space, FREE)(points)
    found, cell = cells_of(points[:, :2], floor.origin_m, floor.cell_m, floor.state.shape)
    above = points[found, 2] - floor.height_m[tuple(cell)]
    free[found] |= (floor.state[tuple(cell)] == SEEN_FLOOR) & (above > -ROUNDING_M) & (above < OVER_FLOOR_M)
    return free


def _touches_free(corners: Float[np.ndarray, "M 3 3"], space: SpaceGrid, floor: FloorGrid) -> Bool[np.ndarray, "M"]:
    """Triangles one of whose equal parts, of `SAMPLE_M` at most, has its centre in free space."""
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    cuts = np.maximum(np.ceil(longest / SAMPLE_M), 1).astype(np.int64)
    out = np.zeros(len(corners), bool)
    for n in np.unique(cuts):
        i, j = np.nonzero(np.add.outer(np.arange(n), np.arange(n)) < n)
        weight = (np.stack([i, j, n - 1 - i - j], axis=1) + 1 / 3) / n
        some = np.flatnonzero(cuts == n)
        for part in np.array_split(some, len(some) * len(weight) // 2_000_000 + 1):
            points = np.einsum("wk,mkc->mwc", weight, corners[part])
            out[part] = _free(points.reshape(-1, 3), space, floor).reshape(len(part), -1).any(axis=1)
    return out


def _sides(faces: Int[np.ndarray, "M 3"], some: Bool[np.ndarray, "M"], offset: int) -> Int[np.ndarray, "S 3"]:
    """Two triangles for each border edge of some of the faces (there is no other face at it), from it to its copy
    (vertex numbers plus `offset`)."""
    start, end = faces.ravel(), faces[:, [1, 2, 0]].ravel()
    key = np.minimum(start, end).astype(np.int64) * offset + np.maximum(start, end)
    _, where, count = np.unique(key, return_inverse=True, return_counts=True)
    border = np.flatnonzero((count[where.ravel()] == 1) & np.repeat(some, 3))
    a, b = start[border], end[border]
    return np.concatenate([np.stack([b, a, a + offset], 1), np.stack([b, a + offset, b + offset], 1)])
