"""Removes what a fusion leaves lying around: slivers, double faces, loose crumbs, unused vertices."""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from lyra_sim.core.records import TriMesh

MIN_COMPONENT_FACES = 12
"""Loose pieces with fewer faces are crumbs; 60 was tried on a real walk and took chair legs and leaves away."""


def face_vectors(vertices: Float[np.ndarray, "N 3"], faces: Int[np.ndarray, "M 3"]) -> Float[np.ndarray, "M 3"]:
    """Cross products of the face edges (float64): direction = outward normal, length = twice the area."""
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    return np.cross(b - a, c - a)


def face_normals_areas(
    vertices: Float[np.ndarray, "N 3"], faces: Int[np.ndarray, "M 3"]
) -> tuple[Float[np.ndarray, "M 3"], Float[np.ndarray, "M"]]:
    """Unit outward normals (zero for degenerate faces) and areas in square metres."""
    cross = face_vectors(vertices, faces)
    length = np.linalg.norm(cross, axis=1)
    return cross / np.maximum(length, 1e-20)[:, None], 0.5 * length


def select_faces(mesh: TriMesh, keep: Bool[np.ndarray, "M"]) -> TriMesh:
    """The mesh with only the faces in `keep`; vertices that no face uses are dropped, the order stays."""
    faces = mesh.faces[keep]
    used = np.zeros(len(mesh.vertices), bool)
    used[faces.ravel()] = True
    new_index = np.cumsum(used) - 1
    return TriMesh(
        vertices=mesh.vertices[used],
        faces=new_index[faces].astype(np.int32).reshape(-1, 3),
        vertex_color=mesh.vertex_color[used],
        face_label=mesh.face_label[keep],
        face_origin=mesh.face_origin[keep],
    )


def face_components(faces: Int[np.ndarray, "M 3"], vertex_count: int) -> Int[np.ndarray, "M"]:
    """Component number of each face; faces that share a vertex are connected. Numbered by lowest vertex."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    graph = coo_matrix((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), (vertex_count, vertex_count))
    return connected_components(graph, directed=False)[1][faces[:, 0]]


def clean(mesh: TriMesh, min_component_cm2: float, min_faces: int = MIN_COMPONENT_FACES) -> TriMesh:
    """Drop degenerate and repeated faces, third and further faces at an edge, loose pieces below either limit, and
    vertices that no face uses."""
    _, area = face_normals_areas(mesh.vertices, mesh.faces)
    keep = (area > 1e-10) & _first_of_each(np.sort(mesh.faces, axis=1))
    mesh = select_faces(mesh, keep)
    mesh = select_faces(mesh, ~_beyond_two_at_an_edge(mesh.faces))
    if not len(mesh.faces):
        return mesh
    _, area = face_normals_areas(mesh.vertices, mesh.faces)
    component = face_components(mesh.faces, len(mesh.vertices))
    count = np.bincount(component)
    total_cm2 = np.bincount(component, weights=area) * 1e4
    crumb = (count < min_faces) | (total_cm2 < min_component_cm2)
    return select_faces(mesh, ~crumb[component])


def _first_of_each(rows: Int[np.ndarray, "M 3"]) -> Bool[np.ndarray, "M"]:
    keep = np.zeros(len(rows), bool)
    keep[np.unique(rows, axis=0, return_index=True)[1]] = True
    return keep


def _beyond_two_at_an_edge(faces: Int[np.ndarray, "M 3"]) -> Bool[np.ndarray, "M"]:
    """Faces that come third or later at one of their edges (a surface has two faces at an edge)."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1).astype(np.int64)
    key = edges[:, 0] * (int(faces.max(initial=0)) + 1) + edges[:, 1]
    order = np.argsort(key, kind="stable")
    starts = np.concatenate([[True], key[order][1:] != key[order][:-1]]) if len(order) else np.zeros(0, bool)
    rank = np.arange(len(order)) - np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))
    excess = np.zeros(len(faces), bool)
    excess[order[rank >= 2] % max(len(faces), 1)] = True
    return excess
