"""Fewer triangles for the same surface, with labels and colours carried over."""

import fast_simplification
import numpy as np
from jaxtyping import Float32, Int, Int32

from lyra_sim.core.records import TriMesh
from lyra_sim.geometry.rays import RayScene
from lyra_sim.surface.clean import clean, select_faces


def decimate(mesh: TriMesh, target_faces: int) -> TriMesh:
    """Edge collapse to about `target_faces`; see `simplify` and `with_attributes`."""
    if len(mesh.faces) <= max(target_faces, 4):
        return mesh
    return with_attributes(*simplify(mesh, target_faces), mesh)


def simplify(mesh: TriMesh, target_faces: int) -> tuple[Float32[np.ndarray, "N 3"], Int32[np.ndarray, "M 3"]]:
    """`simplify_triangles` of a mesh, borders kept."""
    return simplify_triangles(mesh.vertices, mesh.faces, target_faces)


def simplify_triangles(
    vertices: np.ndarray, faces: np.ndarray, target_faces: int
) -> tuple[Float32[np.ndarray, "N 3"], Int32[np.ndarray, "M 3"]]:
    """Quadric edge collapse (Garland and Heckbert 1997) to about `target_faces`; borders stay where they are.
    Deterministic. Vertices and faces as the library gives them (slivers possible)."""
    if len(faces) <= max(target_faces, 4):
        return np.asarray(vertices, np.float32), np.asarray(faces, np.int32)
    fewer_vertices, fewer_faces = fast_simplification.simplify(
        np.array(vertices, np.float64),  # copies: the library refuses read-only arrays
        np.array(faces, np.int32),
        target_count=target_faces,
        preserve_border=True,
    )[:2]
    return np.asarray(fewer_vertices, np.float32), np.asarray(fewer_faces, np.int32).reshape(-1, 3)


def with_attributes(vertices: np.ndarray, faces: np.ndarray, source: TriMesh) -> TriMesh:
    """A clean mesh of these triangles; each face takes label and origin of the source face nearest to its centre,
    each vertex the colour of the nearest source vertex of that face."""
    if len(faces) == 0:
        return select_faces(source, np.zeros(len(source.faces), bool))
    scene = RayScene(source.vertices, source.faces)
    _, nearest = scene.closest(vertices[faces].mean(axis=1))
    new = TriMesh(
        vertices=vertices,
        faces=faces,
        vertex_color=source.vertex_color[nearest_corner(source, vertices, scene)],
        face_label=source.face_label[nearest],
        face_origin=source.face_origin[nearest],
    )
    return clean(new, min_component_cm2=0.0, min_faces=1)


def nearest_corner(mesh: TriMesh, points: np.ndarray, scene: RayScene) -> Int[np.ndarray, "N"]:
    """For each point the vertex of the mesh that is nearest among the corners of the nearest face."""
    _, face = scene.closest(points)
    corner = mesh.faces[face]
    apart = np.linalg.norm(mesh.vertices[corner] - points[:, None], axis=2)
    return corner[np.arange(len(points)), apart.argmin(axis=1)]
