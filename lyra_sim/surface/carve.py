"""Takes away what no measurement supports: fringes that rays pass through, loose pieces where nothing was measured."""

import numpy as np
from jaxtyping import Bool

from lyra_sim.collision.measure import EARLY_M, View, far_from_all
from lyra_sim.core.records import FaceOrigin, TriMesh
from lyra_sim.geometry.rays import RayScene
from lyra_sim.surface.clean import face_components, face_normals_areas, select_faces

ROUNDS = 2
"""What lies behind a fringe is looked at once it is gone."""
RINGS = 2
MOST_RAYS = 600_000
MOST_FLOATER_M2 = 0.5


def carve(mesh: TriMesh, views: tuple[View, ...]) -> TriMesh:
    """Drop faces that a ray meets more than 5 cm before its measured end, at a spot more than 5 cm from every measured
    point. At most MOST_RAYS rays are cast, evenly spread over all measured pixels."""
    total = sum(int(view.measured.sum()) for view in views)
    every = max(1, -(-total // MOST_RAYS))
    for _ in range(ROUNDS):
        pierced = _pierced(mesh, views, every)
        if not pierced.any():
            break
        mesh = select_faces(mesh, ~_grown(mesh, pierced, views))
    return mesh


def without_floaters(mesh: TriMesh, views: tuple[View, ...]) -> TriMesh:
    """Drop loose pieces of at most MOST_FLOATER_M2 most of whose area came from measurements and yet lies more than 5
    cm from every measured point: fusion makes them behind thin things."""
    _, area = face_normals_areas(mesh.vertices, mesh.faces)
    piece = face_components(mesh.faces, len(mesh.vertices))
    total = np.bincount(piece, area)
    asked = np.nonzero((total[piece] <= MOST_FLOATER_M2) & (mesh.face_origin == FaceOrigin.SEEN))[0]
    far = asked[far_from_all(mesh.vertices[mesh.faces[asked]].mean(axis=1).astype(np.float64), views)]
    floats = np.bincount(piece[far], area[far], minlength=len(total)) > 0.5 * total
    return select_faces(mesh, ~floats[piece])


def _grown(mesh: TriMesh, pierced: Bool[np.ndarray, "M"], views: tuple[View, ...]) -> Bool[np.ndarray, "M"]:
    """The faces that rays hit and their neighbours between two rays that lie as far from anything measured."""
    out = pierced.copy()
    for _ in range(RINGS):
        touched = np.zeros(len(mesh.vertices), bool)
        touched[mesh.faces[out]] = True
        beside = np.nonzero(touched[mesh.faces].any(axis=1) & ~out)[0]
        centre = mesh.vertices[mesh.faces[beside]].mean(axis=1).astype(np.float64)
        out[beside[far_from_all(centre, views)]] = True
    return out


def _pierced(mesh: TriMesh, views: tuple[View, ...], every: int) -> Bool[np.ndarray, "M"]:
    scene = RayScene(mesh.vertices, mesh.faces)
    spots, faces = [np.zeros((0, 3))], [np.zeros(0, np.int64)]
    for view in views:
        end = view.points(every)
        along = end - view.origin
        t, face, _ = scene.cast(np.broadcast_to(view.origin, end.shape), along)
        early = np.isfinite(t) & ((1.0 - t) * np.linalg.norm(along, axis=1) > EARLY_M)
        spots.append(view.origin + along[early] * t[early, None])
        faces.append(face[early])
    out = np.zeros(len(mesh.faces), bool)
    out[np.concatenate(faces)[far_from_all(np.concatenate(spots), views)]] = True
    return out
