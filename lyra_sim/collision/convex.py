"""Convex colliders that stay out of the space that was seen to be free: slabs under the floor, and pieces behind every
other surface."""

import numpy as np

from lyra_sim.collision.freespace import FreeSpace
from lyra_sim.collision.hulls import hull_of
from lyra_sim.collision.pieces import Patch, Piece, cut, make_piece, merge_all, trimmed
from lyra_sim.collision.regions import plane_regions
from lyra_sim.collision.static_mesh import rest_of
from lyra_sim.config.geometry3d import ConvexConfig
from lyra_sim.core.records import ColliderPart, FloorGrid, Label, SpaceGrid, Surface, TriMesh
from lyra_sim.surface.clean import face_components, face_normals_areas
from lyra_sim.surface.floor_mesh import floor_quads, solid_floor

SLAB_M = 0.1
"""Thickness of the floor."""
FLOOR_SIDE_CELLS = 40
"""A row of single cells this long is still no needle."""
EVEN_M = 0.002
"""Waves of the floor up to this high are left out."""
LEAST_M2 = 3e-4
"""Smaller scraps are left out: three square centimetres."""


def convex_parts(surface: Surface, space: SpaceGrid, config: ConvexConfig) -> tuple[ColliderPart, ...]:
    """At most about `config.most_parts` hulls for the whole near field. The work is bounded by counts, not by the
    clock, so that the result depends on nothing but the input."""
    free = FreeSpace(space)
    pieces = floor_slabs(surface.floor, free)
    for patch in patches(rest_of(surface)):
        pieces += cut(patch, free)
    if not pieces:
        return ()
    pieces = merge_all(pieces, free, config.most_parts)
    pieces = [piece if piece.label == Label.FLOOR else trimmed(piece, free) for piece in pieces]
    count = dict.fromkeys(Label, 0)
    parts = []
    for piece in pieces:
        label = Label(piece.label)
        vertices, faces = hull_of(piece.corners)
        parts.append(
            ColliderPart(
                name=f"{label.name.lower()}_{count[label]}", kind="hull", label=int(label),
                vertices=vertices.astype(np.float32), faces=faces.astype(np.int32),
            )
        )  # fmt: skip
        count[label] += 1
    return tuple(parts)


def floor_slabs(grid: FloorGrid, space: FreeSpace) -> list[Piece]:
    """Boxes 10 cm thick under each rectangle of floor."""
    quads, _ = floor_quads(solid_floor(grid), FLOOR_SIDE_CELLS, within_m=EVEN_M)
    pieces = []
    for quad in quads:
        side = np.linalg.norm(quad[[1, 2]] - quad[[0, 1]], axis=1)
        u, v = (np.linspace(0, 1, int(np.ceil(length / grid.cell_m)) + 1)[:, None] for length in side)
        edge = [quad[k] + (u, v, u, v)[k] * (quad[(k + 1) % 4] - quad[k]) for k in range(4)]
        corners = np.concatenate([quad, quad - [0.0, 0.0, SLAB_M]])
        pieces.append(make_piece(int(Label.FLOOR), corners, np.concatenate(edge), float(side.prod()), space))
    return pieces


def patches(mesh: TriMesh) -> list[Patch]:
    """Plane regions with their faces moved on to their plane, and the scraps between them as they are."""
    normal, area = face_normals_areas(mesh.vertices, mesh.faces)
    region = plane_regions(mesh.vertices, mesh.faces)
    scrap = np.nonzero(region < 0)[0]
    plane = np.ones(len(region), bool)
    plane[scrap] = False
    region[scrap] = region.max(initial=-1) + 1 + face_components(mesh.faces[scrap], len(mesh.vertices))
    order = np.argsort(region, kind="stable")
    made = []
    for faces in np.split(order, np.nonzero(np.diff(region[order]))[0] + 1):
        if area[faces].sum() < LEAST_M2:
            continue
        corner = mesh.vertices[mesh.faces[faces]].astype(np.float64)
        turn = (normal[faces] * area[faces, None]).sum(axis=0) / area[faces].sum()
        flat, axis = _flattened(corner, area[faces], turn)
        if plane[faces[0]]:
            corner, turn = flat, axis
        elif np.linalg.norm(turn) < 0.3:  # a crumb seen from all sides
            turn = axis
        turn = turn / np.linalg.norm(turn)
        label = int(np.bincount(mesh.face_label[faces], weights=area[faces]).argmax())
        made.append(Patch(label, corner, area[faces], turn))
    return made


def _flattened(corner: np.ndarray, area: np.ndarray, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners moved along the normal on to the plane through the faces' centres, and its normal."""
    centre = corner.mean(axis=1)
    middle = (centre * area[:, None]).sum(axis=0) / area.sum()
    away = (centre - middle) * np.sqrt(area)[:, None]
    axis = np.linalg.eigh(away.T @ away)[1][:, 0]
    axis = axis if axis @ turn > 0 else -axis
    return corner - ((corner - middle) @ axis)[..., None] * axis, axis
