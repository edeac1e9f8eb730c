"""Convex colliders that stay out of free space: floor and walls as slabs behind their surface, loose objects by CoACD,
everything else as hulls of small patches."""

from collections.abc import Callable

import coacd
import numpy as np

from lyra_sim.collision.hulls import MOST_VERTICES, Triangles, hull_of, patch_hulls
from lyra_sim.collision.measure import in_state
from lyra_sim.collision.solid import closed, convexity, solid_of
from lyra_sim.collision.static_mesh import rest_of
from lyra_sim.config.geometry3d import ConvexConfig
from lyra_sim.core.records import ColliderPart, FloorGrid, Label, SpaceGrid, Surface, TriMesh
from lyra_sim.geometry.rays import RayScene
from lyra_sim.surface.clean import face_components, face_normals_areas, select_faces
from lyra_sim.surface.decimate import decimate, simplify_triangles
from lyra_sim.surface.floor_mesh import floor_quads, merged_rectangles, one_state
from lyra_sim.surface.heightmap import lowest_surface, window_medians
from lyra_sim.surface.label import WallPlane, wall_planes
from lyra_sim.surface.linear import turned

SLAB_M = 0.1
"""Thickness of floor and wall slabs; PhysX fattens thinner hulls by itself."""
THIN_SLAB_M = 0.04
"""Thickness where there is free space close behind: a partition seen from both sides."""
FLOOR_SIDE_CELLS = 40
WALL_CELL_M = 0.05
WALL_SIDE_CELLS = 30
OFFSET_STEP_M = 0.015
COMPACT = 1.3
"""Surface of an object relative to that of its bounding box, up to which its body is looked at."""
CONVEXITY = 0.6
"""CoACD gets bodies that fill this much of their hull: a cabinet in a second. A rocking chair took a minute and its
hulls blocked 8 % of the rays."""
PATCH_KEEP = 0.15
"""Share of the faces that patches are made from; the noise of full resolution splits them into thousands."""


def convex_parts(surface: Surface, space: SpaceGrid, config: ConvexConfig) -> tuple[ColliderPart, ...]:
    """Hulls for the whole near field. The work is bounded by counts, not by the clock, so that the result depends on
    nothing but the input (CoACD: Wei et al. 2022)."""
    parts = [_part(f"floor_{n}", Label.FLOOR, hull) for n, hull in enumerate(floor_slabs(surface.floor))]
    rest = rest_of(surface)
    planes = wall_planes(rest, rest.face_label == Label.WALL)
    on_plane = np.zeros(len(rest.faces), bool)
    number = 0
    for plane in planes:
        on_plane[plane.faces] = True
        for hull in wall_slabs(rest, plane, space):
            parts.append(_part(f"wall_{number}", Label.WALL, hull))
            number += 1
    loose = select_faces(rest, ~on_plane)
    objects, left = _objects(loose, config)
    for n, piece in enumerate(objects):
        parts += [
            _part(f"object_{n}_{k}", Label.OBJECT, hull) for k, hull in enumerate(_decompose(piece, space, config))
        ]
    for label in (Label.WALL, Label.CEILING, Label.OBSTACLE, Label.OBJECT):
        piece = select_faces(left, left.face_label == label)
        parts += [_part(f"{label.name.lower()}_patch_{k}", label, hull) for k, hull in enumerate(patch_hulls(piece))]
    return tuple(parts)


def floor_slabs(grid: FloorGrid) -> list[Triangles]:
    """Boxes 10 cm thick under each rectangle of floor."""
    quads, _ = floor_quads(one_state(grid), FLOOR_SIDE_CELLS)
    return [hull_of(np.concatenate([quad, quad - [0.0, 0.0, SLAB_M]])) for quad in quads]


def wall_slabs(mesh: TriMesh, plane: WallPlane, space: SpaceGrid) -> list[Triangles]:
    """Boxes behind the covered parts of one upright plane.

    The plane's faces are drawn on a 5 cm grid; cells whose smoothed offset agrees within 1.5 cm are merged. A box's
    front lies on the surface and it grows away from free space.
    """
    along = np.array([-plane.normal[1], plane.normal[0], 0.0])
    axes = np.stack([along, [0.0, 0.0, 1.0], -plane.normal])  # looking from free space, "lowest" is nearest
    local = turned(mesh.vertices.astype(np.float64), axes)
    faces = mesh.faces[plane.faces]
    used = local[faces].reshape(-1, 3)
    origin = np.floor(used[:, :2].min(axis=0) / WALL_CELL_M) * WALL_CELL_M
    shape = np.ceil((used[:, :2].max(axis=0) - origin) / WALL_CELL_M).astype(np.int64) + 1
    wide = np.full(tuple(shape), np.inf)
    depth, _ = lowest_surface(local, faces, origin, WALL_CELL_M, -wide, wide)
    smooth = window_medians(depth, 1, 8, least=1)[: shape[0], : shape[1]]
    key = np.where(np.isnan(depth), -1, np.floor((np.nan_to_num(smooth) + 1e3) / OFFSET_STEP_M)).astype(np.int64)
    free = in_state(space, 1)
    hulls = []
    for i0, j0, i1, j1 in merged_rectangles(key, WALL_SIDE_CELLS):
        front = float(np.nanmedian(smooth[i0:i1, j0:j1]))
        a, b = origin + np.array([i0, j0]) * WALL_CELL_M, origin + np.array([i1, j1]) * WALL_CELL_M
        u, v = np.meshgrid(np.arange(i0, i1) + 0.5, np.arange(j0, j1) + 0.5, indexing="ij")
        centre = origin + np.stack([u.ravel(), v.ravel()], axis=1) * WALL_CELL_M
        behind = [
            turned(np.column_stack([centre, np.full(len(centre), front + d)]), axes.T) for d in (0.06, 0.08, SLAB_M)
        ]
        thick = THIN_SLAB_M if free(np.concatenate(behind)).any() else SLAB_M
        corner = [(x, y, z) for x in (a[0], b[0]) for y in (a[1], b[1]) for z in (front, front + thick)]
        hulls.append(hull_of(turned(np.array(corner), axes.T)))
    return hulls


def _objects(mesh: TriMesh, config: ConvexConfig) -> tuple[list[TriMesh], TriMesh]:
    """The largest loose compact objects, and what is left, decimated.

    A compact object has little more surface than its bounding box; a plant has far more.
    """
    _, area = face_normals_areas(mesh.vertices, mesh.faces)
    candidate = np.nonzero(mesh.face_label == Label.OBJECT)[0]
    taken = np.zeros(len(mesh.faces), bool)
    objects: list[TriMesh] = []
    if len(candidate):
        component = face_components(mesh.faces[candidate], len(mesh.vertices))
        total = np.bincount(component, weights=area[candidate])
        for k in np.argsort(-total, kind="stable"):
            if total[k] < 0.05 or len(objects) >= config.most_components:
                break
            piece = np.zeros(len(mesh.faces), bool)
            piece[candidate[component == k]] = True
            corners = mesh.vertices[mesh.faces[piece]].reshape(-1, 3).astype(np.float64)
            x, y, z = np.ptp(corners, axis=0)
            if total[k] <= COMPACT * 2.0 * (x * y + y * z + z * x):
                taken |= piece
                objects.append(select_faces(mesh, piece))
    left = select_faces(mesh, ~taken)
    return objects, decimate(left, int(np.ceil(PATCH_KEEP * len(left.faces))))


def _decompose(piece: TriMesh, space: SpaceGrid, config: ConvexConfig) -> list[Triangles]:
    """Hulls of one object by CoACD, from its closed body if that is simple enough, else patches.

    A hull of which more than a tenth is known to be free is dropped, and the faces that no hull then comes near become
    patches.
    """
    body = solid_of(piece, space)
    if body is None:
        return patch_hulls(piece)
    vertices, faces = simplify_triangles(*body, config.most_triangles)
    if not closed(faces) or convexity(vertices, faces) < CONVEXITY:
        return patch_hulls(decimate(piece, int(np.ceil(PATCH_KEEP * len(piece.faces)))))
    coacd.set_log_level("error")
    found = coacd.run_coacd(
        coacd.Mesh(vertices.astype(np.float64), faces),
        threshold=config.concavity,
        preprocess_mode="off",
        resolution=300,
        mcts_nodes=4,
        mcts_iterations=8,
        mcts_max_depth=1,
        decimate=True,
        max_ch_vertex=MOST_VERTICES,
        seed=0,
    )
    free = in_state(space, 1)
    hulls = [hull_of(np.asarray(vertices, np.float64)) for vertices, _ in found]
    hulls = [hull for hull in hulls if _free_share(hull, free) <= 0.1]
    if not hulls:
        return patch_hulls(piece)
    start = np.cumsum([0, *(len(vertices) for vertices, _ in hulls)])
    scene = RayScene(
        np.concatenate([vertices for vertices, _ in hulls]),
        np.concatenate([faces + n for (_, faces), n in zip(hulls, start, strict=False)]),
    )
    bare = scene.distance(piece.vertices[piece.faces].mean(axis=1)) > 0.03
    left = select_faces(piece, bare)
    return hulls + patch_hulls(decimate(left, int(np.ceil(PATCH_KEEP * len(left.faces)))))


def _free_share(hull: Triangles, free: Callable[[np.ndarray], np.ndarray]) -> float:
    """Share of 500 points inside a hull (convex mixtures of its vertices) that lie in free space."""
    rng = np.random.default_rng(0)
    weight = rng.dirichlet(np.full(len(hull[0]), 0.3), 500)
    return float(free(turned(weight, hull[0].T)).mean())


def _part(name: str, label: Label, hull: Triangles) -> ColliderPart:
    return ColliderPart(
        name=name, kind="hull", label=int(label), vertices=hull[0].astype(np.float32), faces=hull[1].astype(np.int32)
    )
