"""The surface itself as static triangles: the repaired floor as rectangles, everything else decimated and backed."""

import numpy as np

from lyra_sim.collision.backs import backed, height_above
from lyra_sim.collision.measure import area_samples
from lyra_sim.config.geometry3d import StaticMeshConfig
from lyra_sim.core.records import ColliderPart, FaceOrigin, Label, SpaceGrid, Surface, TriMesh
from lyra_sim.geometry.rays import RayScene
from lyra_sim.surface.clean import face_components, select_faces
from lyra_sim.surface.decimate import simplify, with_attributes
from lyra_sim.surface.floor_mesh import floor_triangles, solid_floor

KEEP_LADDER = (0.08, 0.15, 0.25, 0.4, 0.6)
"""Shares of the faces that are tried, smallest first, until the surface moves by less than the limit."""
TRIAL_SAMPLES = 10_000
SPECK_M = 0.04
"""Loose pieces no longer than this in any direction are noise: mostly what is left where the floor was cut out."""
BUMP_M = 0.01
"""Loose pieces that rise no higher than this above the floor are bumps of the floor, which the floor grid smoothed."""


def static_mesh_parts(surface: Surface, space: SpaceGrid, config: StaticMeshConfig) -> tuple[ColliderPart, ...]:
    """The floor and, per label, the decimated rest of the near field with backs (`backs.py`), as triangle meshes."""
    vertices, faces, _ = floor_triangles(solid_floor(surface.floor))
    parts = [trimesh_part("floor", Label.FLOOR, vertices, faces)]
    rest = backed(decimated(rest_of(surface), config.max_error_m), space, surface.floor)
    for label in (Label.WALL, Label.CEILING, Label.OBSTACLE, Label.OBJECT):
        piece = select_faces(rest, rest.face_label == label)
        parts.append(trimesh_part(label.name.lower(), label, piece.vertices, piece.faces))
    return tuple(part for part in parts if len(part.faces))


def rest_of(surface: Surface) -> TriMesh:
    """The near field without its floor, which the floor grid replaces, and without loose specks and low bumps."""
    near = surface.near
    rest = select_faces(near, (near.face_label != Label.FLOOR) & (near.face_origin != FaceOrigin.FILLED))
    if len(rest.faces) == 0:
        return rest
    piece = face_components(rest.faces, len(rest.vertices))
    low, high = np.full((piece.max() + 1, 3), np.inf), np.full((piece.max() + 1, 3), -np.inf)
    rises = np.full(len(low), -np.inf)
    above = height_above(rest.vertices, surface.floor, beyond=False)
    for corner in rest.faces.T:
        np.minimum.at(low, piece, rest.vertices[corner])
        np.maximum.at(high, piece, rest.vertices[corner])
        np.maximum.at(rises, piece, above[corner])
    noise = ((high - low).max(axis=1) <= SPECK_M) | (rises <= BUMP_M)
    return select_faces(rest, ~noise[piece])


def decimated(mesh: TriMesh, max_error_m: float) -> TriMesh:
    """Fewest triangles (of KEEP_LADDER) whose 95th percentile of distance to the original, both ways, stays within
    `max_error_m`; the original where none does."""
    if len(mesh.faces) == 0:
        return mesh
    original = RayScene(mesh.vertices, mesh.faces)
    on_original = area_samples(mesh.vertices, mesh.faces, TRIAL_SAMPLES, seed=0)
    for keep in KEEP_LADDER:
        vertices, faces = simplify(mesh, int(np.ceil(len(mesh.faces) * keep)))
        there = original.distance(area_samples(vertices, faces, TRIAL_SAMPLES, seed=1))
        back = RayScene(vertices, faces).distance(on_original)
        if len(there) and max(np.percentile(there, 95), np.percentile(back, 95)) <= max_error_m:
            return with_attributes(vertices, faces, mesh)
    return mesh


def trimesh_part(name: str, label: Label, vertices: np.ndarray, faces: np.ndarray) -> ColliderPart:
    """A static triangle mesh as a collider part."""
    return ColliderPart(
        name=name, kind="trimesh", label=int(label), vertices=vertices.astype(np.float32), faces=faces.astype(np.int32)
    )
