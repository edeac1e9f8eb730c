"""Cleaning, labels, texture and surfels on shapes whose answer is known."""

import dataclasses

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from lyra_sim.collision import measure
from lyra_sim.core.records import FaceOrigin, FloorGrid, Intrinsics, Label, TriMesh
from lyra_sim.surface.build import _beyond
from lyra_sim.surface.carve import carve, without_floaters
from lyra_sim.surface.clean import clean
from lyra_sim.surface.decimate import decimate
from lyra_sim.surface.harmonize import exposures
from lyra_sim.surface.label import label_faces
from lyra_sim.surface.splats import SH_DC, facing, surfels
from lyra_sim.surface.texture import fit_layout, paint
from lyra_sim.surface.views import View


def record_of(mesh: trimesh.Trimesh, color=(10, 20, 30)) -> TriMesh:
    return TriMesh(
        vertices=np.array(mesh.vertices, np.float32),
        faces=np.array(mesh.faces, np.int32),
        vertex_color=np.tile(np.array(color, np.uint8), (len(mesh.vertices), 1)),
        face_label=np.zeros(len(mesh.faces), np.uint8),
        face_origin=np.ones(len(mesh.faces), np.uint8),
    )


def sheet(size=1.0, parts=20) -> trimesh.Trimesh:
    """A square in the plane z = 0, up-facing, of 2 * parts^2 triangles."""
    x, y = np.meshgrid(*[np.linspace(0, size, parts + 1)] * 2, indexing="ij")
    index = np.arange(x.size).reshape(x.shape)
    a, b, c, d = (s.ravel() for s in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return trimesh.Trimesh(np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], 1), faces, process=False)


def test_clean_drops_crumbs_doubles_and_keeps_a_chair_leg():
    leg = trimesh.creation.cylinder(0.012, 0.4, sections=8)
    crumb = trimesh.creation.icosphere(subdivisions=1, radius=0.01).apply_translation([1, 0, 0])
    mesh = trimesh.util.concatenate([sheet(), leg.apply_translation([0, 0, 2]), crumb])
    dirty = record_of(mesh)
    doubled = np.concatenate([dirty.faces, dirty.faces[:3][:, [1, 2, 0]], [[5, 5, 6]]]).astype(np.int32)
    dirty = TriMesh(
        vertices=dirty.vertices,
        faces=doubled,
        vertex_color=dirty.vertex_color,
        face_label=np.zeros(len(doubled), np.uint8),
        face_origin=np.ones(len(doubled), np.uint8),
    )
    tidy = clean(dirty, 15.0)
    assert len(tidy.faces) == 800 + len(leg.faces)
    assert set(np.unique(tidy.faces)) == set(range(len(tidy.vertices)))
    assert tidy.vertices[:, 2].max() > 1.9


def test_a_third_face_at_an_edge_goes():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1]], float)
    fan = record_of(trimesh.Trimesh(vertices, [[0, 1, 2], [1, 0, 3], [0, 1, 4]], process=False))
    assert len(clean(fan, 0.0, min_faces=1).faces) == 2


def test_decimation_stays_on_the_surface_and_keeps_labels():
    ball = trimesh.creation.icosphere(subdivisions=5, radius=0.5)
    mesh = record_of(ball)
    upper = ball.triangles_center[:, 2] > 0
    mesh = TriMesh(
        vertices=mesh.vertices,
        faces=mesh.faces,
        vertex_color=mesh.vertex_color,
        face_label=np.where(upper, 2, 5).astype(np.uint8),
        face_origin=mesh.face_origin,
    )
    small = decimate(mesh, 2000)
    assert len(small.faces) <= 2100
    assert np.abs(np.linalg.norm(small.vertices, axis=1) - 0.5).max() < 0.005
    centre = small.vertices[small.faces].mean(axis=1)[:, 2]
    assert set(small.face_label[centre > 0.05]) == {2}
    assert set(small.face_label[centre < -0.05]) == {5}
    again = decimate(mesh, 2000)
    assert small.vertices.tobytes() == again.vertices.tobytes()
    assert small.faces.tobytes() == again.faces.tobytes()


def test_walls_ceiling_and_objects_are_told_apart():
    wall = sheet(2.5, 40).apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    ceiling = sheet(2.0, 20)
    ceiling.invert()
    ceiling.apply_translation([0, -2, 2.4])
    box = trimesh.creation.box([0.4, 0.4, 0.4]).subdivide().subdivide().apply_translation([1, -1, 0.3])
    mesh = record_of(trimesh.util.concatenate([wall, ceiling, box]))
    label = label_faces(mesh, np.zeros(len(mesh.faces), bool), np.zeros(len(mesh.faces), np.uint8))
    n, m = len(wall.faces), len(wall.faces) + len(ceiling.faces)
    assert set(label[:n]) == {Label.WALL}
    assert set(label[n:m]) == {Label.CEILING}
    assert set(label[m:]) == {Label.OBJECT}


def looking_down(height=2.0, gain=1.0) -> View:
    """A camera over the sheet's middle; image: red grows with x, green with y (world), blue marks the middle."""
    camera = Intrinsics(fx=200.0, fy=200.0, cx=100.0, cy=80.0, width=200, height=160)
    u, v = np.meshgrid(np.arange(200) + 0.5, np.arange(160) + 0.5)
    x, y = 0.5 + (u - 100) / 200 * height, 0.5 - (v - 80) / 200 * height
    image = np.stack([40 + 150 * x, 40 + 150 * y, 0 * x + 90], axis=-1) * gain
    pose = np.eye(4)
    pose[:3, :3] = np.diag([1.0, -1.0, -1.0])
    pose[:3, 3] = [0.5, 0.5, height]
    return View(
        image=np.clip(image, 0, 255).astype(np.uint8),
        origin=np.ones((160, 200), np.uint8),
        camera=camera,
        cam_to_world=pose,
        depth_m=np.zeros((160, 200), np.float32),
    )


def texture_at(painted, face, weights):
    h, w = painted.texture.shape[:2]
    u, v = np.array(weights) @ painted.uv[face]
    return painted.texture[int((1 - v) * h), int(u * w)].astype(float)


def test_measured_floor_that_reaches_beyond_its_cells_stays_visible():
    """Else a gap opens between the last cell of the floor and the wall behind it."""
    x = np.array([0.0, 0.04, 0.08, 0.12])
    vertices = np.array([(a, b, 0.0) for a in x for b in (0.0, 0.04)], np.float32)
    faces = np.array([(2 * k, 2 * k + 2, 2 * k + 1) for k in range(3)], np.int32)
    mesh = TriMesh(
        vertices=vertices,
        faces=faces,
        vertex_color=np.zeros((8, 3), np.uint8),
        face_label=np.full(3, int(Label.FLOOR), np.uint8),
        face_origin=np.full(3, int(FaceOrigin.SEEN), np.uint8),
    )
    state = np.zeros((6, 4), np.uint8)
    state[:4] = 1  # floor up to x = 0.1
    grid = FloorGrid(origin_m=np.zeros(2), cell_m=0.025, state=state, height_m=np.zeros(state.shape, np.float32))
    assert _beyond(mesh, grid).tolist() == [False, False, True]


def test_tiles_of_several_images_are_finer_than_the_images_and_of_one_are_not():
    view = View(
        image=np.zeros((48, 64, 3), np.uint8),
        origin=np.zeros((48, 64), np.uint8),
        camera=Intrinsics(fx=50.0, fy=50.0, cx=32.0, cy=24.0, width=64, height=48),
        cam_to_world=np.eye(4),
        depth_m=np.zeros((48, 64), np.float32),
    )
    assert [fit_layout([view] * n, 1, 4096).tile_w for n in (1, 2)] == [64, 96]
    assert fit_layout([view] * 9, 1, 256).tile_w <= 256 // 3


def test_uv_leads_to_the_pixel_that_saw_the_place():
    painted = paint(record_of(sheet()), [looking_down()], 1024)
    for face in (10, 222, 417, 650):
        for weights in ((1 / 3, 1 / 3, 1 / 3), (0.7, 0.2, 0.1)):
            place = np.array(weights) @ painted.mesh.vertices[painted.mesh.faces[face]]
            if not (0.05 < place[1] < 0.95):
                continue
            expected = np.array([40 + 150 * place[0], 40 + 150 * place[1], 90])
            assert np.abs(texture_at(painted, face, weights) - expected).max() < 4


def test_a_face_that_no_camera_sees_gets_its_own_colour():
    below = sheet().apply_translation([0, 0, -0.5])
    painted = paint(record_of(trimesh.util.concatenate([sheet(), below]), (200, 100, 50)), [looking_down()], 1024)
    hidden = 800 + 400
    assert np.abs(texture_at(painted, hidden, (1 / 3, 1 / 3, 1 / 3)) - [200, 100, 50]).max() <= 4
    assert max(painted.texture.shape) <= 1024


def test_filled_pixels_do_not_colour():
    view = looking_down()
    filled = dataclasses.replace(view, origin=np.full((160, 200), 3, np.uint8))
    painted = paint(record_of(sheet(), (200, 100, 50)), [filled], 1024)
    assert np.abs(texture_at(painted, 417, (1 / 3, 1 / 3, 1 / 3)) - [200, 100, 50]).max() <= 4


def test_what_an_input_saw_beats_any_number_of_generated_views():
    view = looking_down()
    other = np.full((160, 200), 2, np.uint8)
    drawn = [dataclasses.replace(view, image=np.full_like(view.image, 250), origin=other) for _ in range(5)]
    painted = paint(record_of(sheet()), [view, *drawn], 1024)
    place = painted.mesh.vertices[painted.mesh.faces[417]].mean(axis=0)
    expected = np.array([40 + 150 * place[0], 40 + 150 * place[1], 90])
    assert np.abs(texture_at(painted, 417, (1 / 3, 1 / 3, 1 / 3)) - expected).max() < 4
    only = paint(record_of(sheet()), drawn, 1024)
    assert np.abs(texture_at(only, 417, (1 / 3, 1 / 3, 1 / 3)) - 250).max() < 4


def test_exposure_of_generated_views_is_evened_out():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.2, 0.7, (400, 3))
    color = np.clip(np.stack([truth, 0.75 * truth, 1.2 * truth - 0.05]) * 255, 0, 255).astype(np.uint8)
    color[1, :20] = 250  # glare
    quality = np.ones((3, 400), np.float32)
    gain, offset = exposures(color, quality, np.ones(400))
    mapped = color / 255.0 * gain[:, None] + offset[:, None]
    assert np.abs(mapped[0, 50:] - mapped[1, 50:]).mean() < 0.02


def test_what_one_of_many_views_shows_is_left_out():
    """A passer-by in front of one camera, with the depth of the sheet: colours only."""
    views = [looking_down(height) for height in (1.8, 1.9, 2.0, 2.1, 2.2)]
    passing = views[0].image.copy()
    passing[60:100, 80:120] = 255
    painted = paint(record_of(sheet()), [dataclasses.replace(views[0], image=passing), *views[1:]], 1024)
    for face in (189, 210, 590):
        place = painted.mesh.vertices[painted.mesh.faces[face]].mean(axis=0)
        expected = np.array([40 + 150 * place[0], 40 + 150 * place[1], 90])
        assert np.abs(texture_at(painted, face, (1 / 3, 1 / 3, 1 / 3)) - expected).max() < 10


def test_colours_of_what_stands_in_front_do_not_bleed_behind():
    """A red bar over the sheet, whose measured edge lies two pixels outside that of its mesh."""
    sheet_depth, bar_z = 2.0, 0.6
    view = looking_down(sheet_depth)
    u = np.abs(np.arange(200) + 0.5 - 100)
    image, depth = view.image.copy(), np.full((160, 200), sheet_depth, np.float32)
    image[:, u < 22], depth[:, u < 22] = (255, 0, 0), sheet_depth - bar_z
    half = 20 / 200 * (sheet_depth - bar_z)
    bar = trimesh.creation.box([2 * half, 1.2, 0.01]).apply_translation([0.5, 0.5, bar_z])
    aside = looking_down(sheet_depth)
    pose = aside.cam_to_world.copy()
    pose[0, 3] += 0.8
    u, v = np.meshgrid(np.arange(200) + 0.5, np.arange(160) + 0.5)
    x, y = 1.3 + (u - 100) / 200 * sheet_depth, 0.5 - (v - 80) / 200 * sheet_depth
    other = np.clip(np.stack([40 + 150 * x, 40 + 150 * y, 0 * x + 90], -1), 0, 255).astype(np.uint8)
    views = [
        dataclasses.replace(view, image=image, depth_m=depth),
        dataclasses.replace(aside, image=other, cam_to_world=pose),
    ]
    painted = paint(record_of(trimesh.util.concatenate([sheet(), bar])), views, 1024)
    centre = painted.mesh.vertices[painted.mesh.faces].mean(axis=1)
    behind = np.nonzero((centre[:, 2] < 0.1) & (centre[:, 0] > 0.5) & (np.abs(centre[:, 1] - 0.5) < 0.3))[0]
    owned = [f for f in behind if 0.68 < centre[f, 0] < 0.78]
    assert len(owned) > 10
    for face in owned:
        expected = np.array([40 + 150 * centre[face, 0], 40 + 150 * centre[face, 1], 90])
        assert np.abs(texture_at(painted, face, (1 / 3, 1 / 3, 1 / 3)) - expected).max() < 12, centre[face]


@pytest.mark.parametrize("direction", [[0, 0, 1], [0, 0, -1], [1, 2, 3], [-1, 0.2, -0.4]])
def test_surfels_face_along_the_normal(direction):
    w, x, y, z = facing(np.array([direction], float))[0]
    turned = Rotation.from_quat([x, y, z, w]).apply([0, 0, 1])
    assert np.allclose(turned, np.array(direction) / np.linalg.norm(direction), atol=1e-9)


def test_surfels_cover_the_sheet_in_its_colour():
    splats = surfels(record_of(sheet(), (200, 100, 50)), 0.1)
    area = np.pi * (splats.scales_m[:, 0].astype(float) ** 2).sum()
    assert 0.6 < area < 1.2
    assert np.allclose((0.5 + SH_DC * splats.sh[:, 0]) * 255, [200, 100, 50], atol=1)
    assert np.abs(splats.means[:, 2]).max() < 1e-6


def test_faces_that_rays_pass_through_are_carved_and_silhouettes_stay():
    camera = Intrinsics(fx=60.0, fy=60.0, cx=60.0, cy=45.0, width=120, height=90)
    depth = np.full((90, 120), 3.0, np.float32)
    depth[:, :60] = 1.5  # a near wall fills the left half of the view
    view = measure.View(depth_m=depth, measured=depth > 0, camera=camera, T_world_cam=np.eye(4))

    def facing_square(x, z, side):
        flat = sheet(side, 40).apply_translation([x, -side / 2, z])
        flat.invert()
        return flat

    far, near = facing_square(-4, 3.0, 8.0), facing_square(-3.0, 1.5, 3.0)
    fringe = facing_square(0.5, 1.5, 0.4)  # floats before the far wall, seen by nobody
    mesh = record_of(trimesh.util.concatenate([far, near, fringe]))
    centre = carve(mesh, (view,)).vertices
    floating = (np.abs(centre[:, 2] - 1.5) < 1e-3) & (centre[:, 0] > 0.1)
    assert floating.sum() < 10
    assert ((np.abs(centre[:, 2] - 1.5) < 1e-3) & (centre[:, 0] <= 0.0)).sum() == len(near.vertices)
    assert (centre[:, 2] > 2.9).sum() == len(far.vertices)


def test_loose_pieces_away_from_all_measurements_go_unless_they_were_generated():
    camera = Intrinsics(fx=60.0, fy=60.0, cx=60.0, cy=45.0, width=120, height=90)
    depth = np.full((90, 120), 2.0, np.float32)
    view = measure.View(depth_m=depth, measured=depth > 0, camera=camera, T_world_cam=np.eye(4))
    wall = sheet(2.0, 40).apply_translation([-1.0, -1.0, 2.0])
    pieces = [wall] + [sheet(0.1, 4).apply_translation([0, 0, z]) for z in (2.03, 2.12, 2.30)]
    mesh = record_of(trimesh.util.concatenate(pieces))
    assert np.unique(without_floaters(mesh, (view,)).vertices[:, 2]) == pytest.approx([2.0, 2.03])
    drawn = np.where(mesh.vertices[mesh.faces][:, :, 2].max(axis=1) > 2.2, FaceOrigin.GENERATED, FaceOrigin.SEEN)
    kept = without_floaters(dataclasses.replace(mesh, face_origin=drawn.astype(np.uint8)), (view,))
    assert np.unique(kept.vertices[:, 2]) == pytest.approx([2.0, 2.03, 2.3])
