"""The surface stage: fused triangles in, clean labelled surfaces, repaired floor, painted mesh and splats out."""

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from lyra_sim.collision.measure import floor_views, measured_views
from lyra_sim.config.geometry3d import SurfaceConfig
from lyra_sim.core.errors import SceneError
from lyra_sim.core.records import FaceOrigin, FloorGrid, Fused, Label, Surface, TriMesh, World
from lyra_sim.geometry.camera import invert
from lyra_sim.geometry.cells import cells_of
from lyra_sim.surface.backdrop import backdrop
from lyra_sim.surface.carve import carve, without_floaters
from lyra_sim.surface.clean import clean, select_faces
from lyra_sim.surface.decimate import decimate
from lyra_sim.surface.floor import Floor, find_floor
from lyra_sim.surface.floor_mesh import floor_triangles
from lyra_sim.surface.floor_noise import floor_noise
from lyra_sim.surface.label import floor_faces, label_faces
from lyra_sim.surface.linear import moved
from lyra_sim.surface.observed import foot_triangles, observe_faces
from lyra_sim.surface.rims import rims
from lyra_sim.surface.splats import surfels
from lyra_sim.surface.support import without_unsupported
from lyra_sim.surface.texture import paint
from lyra_sim.surface.views import candidate_views

VISUAL_FLOOR_CELLS = 4
"""Painted floor squares are at most 10 cm wide: one view each, and straight texture lines within a pixel."""
BACKDROP_SHARE = 0.4
"""Share of the visual triangles that a photo's backdrop may take."""
RIMS_SHARE = 0.15
"""Share of them that thin things and rims may take where depth was measured."""


def build_surface(world: World, fused: Fused, config: SurfaceConfig) -> Surface:
    """Carve, clean, label, repair the floor, paint; surfels where the fused volume brings no splats.

    `near` keeps the measured triangles where they were fused, floor included, plus filled floor, and of walks only what
    a measurement bears out; the repaired floor is the `FloorGrid`. The visual mesh shows the repaired floor, with the
    low things on it that wheels roll over.

    Raises:
        SceneError: nothing was fused, or there is no floor.
    """
    views = measured_views(world)
    mesh = without_floaters(clean(carve(fused.mesh, views), config.min_component_cm2), views)
    if len(mesh.faces) == 0:
        raise SceneError(
            "surface",
            expected="a fused surface",
            got="no triangles that are larger than crumbs",
            todo="Check that the depth has valid pixels nearer than reconstruct.max_depth_m.",
        )
    observed = observe_faces(mesh, world)
    may_be_floor = (observed == Label.UNKNOWN) | (observed == Label.FLOOR)
    floor = find_floor(mesh, may_be_floor, fused.space, world.start.environment, config, foot_triangles(world))
    on_floor = floor_faces(mesh, floor, config.snap_m, floor_noise(floor_views(world), floor.grid))
    mesh = relabelled(mesh, label_faces(mesh, on_floor, observed))
    painted_floor = _floor_mesh(mesh, _with_relief(floor), VISUAL_FLOOR_CELLS)
    rest = select_faces(mesh, (mesh.face_label != Label.FLOOR) | _beyond(mesh, floor.grid))
    is_photo = not world.start.frame.measured
    budget = config.visual_faces - len(painted_floor.faces)
    extra = int(config.visual_faces * (BACKDROP_SHARE if is_photo else RIMS_SHARE))
    visual = joined([painted_floor, decimate(rest, max(budget - extra, 1000))])
    far_faces = None
    if is_photo:
        far = backdrop(world.start.frames, visual, _near_range(world, mesh), extra)
        far_faces = len(visual.faces) + np.arange(len(far.faces))
        visual = joined([visual, far])
    splats = fused.splats
    if splats is None:
        splats = surfels(_splat_source(visual, rest, len(painted_floor.faces), far_faces), fused.space.voxel_m)
    candidates = candidate_views(world)
    if not is_photo:
        visual = joined([visual, rims(visual, candidates, fused.space.voxel_m, extra)])
    filled = select_faces(painted_floor, painted_floor.face_origin == FaceOrigin.FILLED)
    near = mesh if is_photo else without_unsupported(mesh, views)
    return Surface(
        near=joined([near, filled]),
        visual=paint(visual, candidates, config.texture_px, far_faces),
        floor=floor.grid,
        splats=splats,
    )


def _splat_source(visual: TriMesh, rest: TriMesh, floor_faces: int, far_faces: np.ndarray | None) -> TriMesh:
    """Repaired floor (the first faces of the visual mesh) and backdrop as painted, all else at full resolution."""
    keep = np.arange(len(visual.faces)) < floor_faces
    if far_faces is not None:
        keep[far_faces] = True
    return joined([select_faces(visual, keep), rest])


def _beyond(mesh: TriMesh, grid: FloorGrid) -> Bool[np.ndarray, "M"]:
    """Faces that reach beyond the cells of the floor: at the foot of a wall they close the gap."""
    inside, cell = cells_of(mesh.vertices[:, :2].astype(np.float64), grid.origin_m, grid.cell_m, grid.state.shape)
    within = np.zeros(len(mesh.vertices), bool)
    within[inside] = grid.state[tuple(cell)] > 0
    return np.asarray(~within[mesh.faces].all(axis=1))


def relabelled(mesh: TriMesh, label: np.ndarray) -> TriMesh:
    """The same triangles with these labels."""
    return TriMesh(
        vertices=mesh.vertices,
        faces=mesh.faces,
        vertex_color=mesh.vertex_color,
        face_label=label.astype(np.uint8),
        face_origin=mesh.face_origin,
    )


def joined(meshes: list[TriMesh]) -> TriMesh:
    """One mesh of several, in order; vertices are not merged."""
    start = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    return TriMesh(
        vertices=np.concatenate([mesh.vertices for mesh in meshes]),
        faces=np.concatenate([mesh.faces + n for mesh, n in zip(meshes, start, strict=False)]).astype(np.int32),
        vertex_color=np.concatenate([mesh.vertex_color for mesh in meshes]),
        face_label=np.concatenate([mesh.face_label for mesh in meshes]),
        face_origin=np.concatenate([mesh.face_origin for mesh in meshes]),
    )


def _near_range(world: World, mesh: TriMesh) -> float:
    """Depth at which the near field of a photo ends."""
    z = moved(invert(world.start.frames.cam_to_world[0]), mesh.vertices.astype(np.float64))[:, 2]
    return float(np.percentile(z, 98))


def _with_relief(floor: Floor) -> FloorGrid:
    """The repaired floor with its relief."""
    grid = floor.grid
    height = (grid.height_m + floor.relief_m).astype(np.float32)
    return FloorGrid(origin_m=grid.origin_m, cell_m=grid.cell_m, state=grid.state, height_m=height)


def _floor_mesh(mesh: TriMesh, grid: FloorGrid, most_cells: int) -> TriMesh:
    """The repaired floor as triangles, coloured from the measured floor; filled parts blend from around them."""
    vertices, faces, state = floor_triangles(grid, most_cells)
    colors = _floor_colors(mesh, grid)
    cell = np.clip(np.round((vertices[:, :2] - grid.origin_m) / grid.cell_m).astype(np.int64), 0, None)
    cell = np.minimum(cell, np.array(grid.state.shape) - 1)
    origin = np.where(state == 2, int(FaceOrigin.FILLED), int(FaceOrigin.SEEN))
    return TriMesh(
        vertices=vertices.astype(np.float32),
        faces=faces.astype(np.int32),
        vertex_color=colors[cell[:, 0], cell[:, 1]],
        face_label=np.full(len(faces), int(Label.FLOOR), np.uint8),
        face_origin=origin.astype(np.uint8),
    )


def _floor_colors(mesh: TriMesh, grid: FloorGrid) -> np.ndarray:
    """Colour of each floor cell (X, Y, 3): mean of the floor vertices in it; elsewhere blended from known cells, the
    nearest counting most (normalised Gaussian blurs of growing width)."""
    used = np.unique(mesh.faces[mesh.face_label == Label.FLOOR])
    cell = np.floor((mesh.vertices[used, :2].astype(np.float64) - grid.origin_m) / grid.cell_m).astype(np.int64)
    inside = ((cell >= 0) & (cell < grid.state.shape)).all(axis=1)
    flat = cell[inside, 0] * grid.state.shape[1] + cell[inside, 1]
    size = grid.state.size
    count = np.bincount(flat, minlength=size).reshape(grid.state.shape).astype(np.float64)
    total = [
        np.bincount(flat, weights=mesh.vertex_color[used[inside], k], minlength=size).reshape(grid.state.shape)
        for k in range(3)
    ]
    known = (count > 0) & (grid.state == 1)
    weight = known.astype(np.float64)
    color = np.stack([np.where(known, t / np.maximum(count, 1), 0.0) for t in total], axis=-1)
    out, have = color.copy(), known.copy()
    for sigma in (2.0, 6.0, 20.0, 60.0):
        mass = ndimage.gaussian_filter(weight, sigma, mode="constant")
        blurred = [ndimage.gaussian_filter(color[..., k], sigma, mode="constant") for k in range(3)]
        fresh = ~have & (mass > 1e-3)
        for k in range(3):
            out[..., k][fresh] = blurred[k][fresh] / mass[fresh]
        have |= fresh
    if known.any():
        out[~have] = color[known].mean(axis=0)
    return np.clip(np.round(out), 0, 255).astype(np.uint8)


def floor_area_m2(grid: FloorGrid) -> Float[np.ndarray, "2"]:
    """Seen and filled floor area."""
    return np.array([(grid.state == 1).sum(), (grid.state == 2).sum()]) * grid.cell_m**2
