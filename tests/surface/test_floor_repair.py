"""Floor repair on rooms made of triangles, judged by what was built and by vertical rays."""

import numpy as np
import pytest
import trimesh
from scipy import ndimage

from lyra_sim.config.geometry3d import SurfaceConfig
from lyra_sim.core.errors import SceneError
from lyra_sim.core.records import FloorGrid, Label, SpaceGrid, TriMesh
from lyra_sim.surface.floor import find_floor
from lyra_sim.surface.floor_mesh import floor_quads, floor_triangles, merged_squares, solid_floor
from lyra_sim.surface.label import floor_faces

NO_FOOT = np.zeros((0, 3, 2))
VOXEL = 0.02


def height_field(height, x=(-1.5, 1.5), y=(-1.5, 1.5), pitch=0.02) -> TriMesh:
    """Triangles of z = height(x, y) on a grid, up-facing; NaN heights are left out."""
    xs, ys = np.arange(*x, pitch), np.arange(*y, pitch)
    gx, gy = np.meshgrid(xs, ys, indexing="ij")
    z = height(gx, gy)
    index = np.arange(gx.size).reshape(gx.shape)
    a, b, c, d = (s.ravel() for s in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    vertices = np.stack([gx.ravel(), gy.ravel(), z.ravel()], 1)
    faces = faces[~np.isnan(vertices[faces]).any(axis=(1, 2))]
    return mesh_of(np.nan_to_num(vertices), faces)


def mesh_of(vertices, faces) -> TriMesh:
    return TriMesh(
        vertices=np.array(vertices, np.float32),
        faces=np.array(faces, np.int32),
        vertex_color=np.full((len(vertices), 3), 128, np.uint8),
        face_label=np.zeros(len(faces), np.uint8),
        face_origin=np.ones(len(faces), np.uint8),
    )


def space(free_from=0.06, solid=None) -> SpaceGrid:
    """Free above `free_from`, unknown below; `solid(x, y, z)` marks surface voxels."""
    origin = np.array([-2.0, -2.0, -0.6])
    shape = (200, 200, 100)
    centre = [origin[k] + (np.arange(shape[k]) + 0.5) * VOXEL for k in range(3)]
    gx, gy, gz = np.meshgrid(*centre, indexing="ij")
    state = np.where(gz > free_from, 1, 0).astype(np.uint8)
    if solid is not None:
        state = solid(gx, gy, gz, state)
    return SpaceGrid(origin_m=origin, voxel_m=VOXEL, state=state)


def find(mesh, where=None, config=None, foot=NO_FOOT, environment="indoor"):
    every = np.ones(len(mesh.faces), bool)
    return find_floor(mesh, every, where or space(), environment, config or SurfaceConfig(), foot)


def at(floor, x, y):
    i, j = np.floor((np.array([x, y]) - floor.grid.origin_m) / floor.grid.cell_m).astype(int)
    return int(floor.grid.state[i, j]), float(floor.grid.height_m[i, j])


def test_noise_becomes_one_level_without_holes():
    rng = np.random.default_rng(3)
    mesh = height_field(lambda x, y: rng.normal(0.0, 0.002, x.shape))
    floor = find(mesh)
    assert set(np.unique(floor.grid.height_m[floor.grid.state > 0])) == {0.0}
    v, f, _ = floor_triangles(floor.grid)
    i, j = np.nonzero(floor.grid.state)
    start = np.column_stack([floor.grid.origin_m + (np.column_stack([i, j]) + 0.5) * 0.025, np.full(len(i), 0.5)])
    down = np.tile([0.0, 0.0, -1.0], (len(i), 1))
    hits, ray, _ = trimesh.Trimesh(v, f, process=False).ray.intersects_location(start, down)
    assert set(ray) == set(range(len(i))), "every floor cell is met by a vertical line"
    assert np.abs(hits[:, 2]).max() < 1e-6
    assert abs((floor.grid.state > 0).sum() * 0.025**2 - 2.98**2) < 0.4


def test_a_cable_duct_of_three_centimetres_stays():
    def duct(x, y):
        return np.where(np.abs(x - 0.3) <= 0.03, 0.03, 0.0)

    mesh = height_field(duct)
    floor = find(mesh)
    on = floor_faces(mesh, floor, 0.015, np.zeros(floor.grid.state.shape))
    centre = mesh.vertices[mesh.faces].mean(axis=1)
    top = (np.abs(centre[:, 0] - 0.3) < 0.025) & (centre[:, 2] > 0.025)
    assert top.sum() > 100
    assert not on[top].any(), "the duct's top is not replaced by floor"
    beside = np.abs(centre[:, 0] - 0.3) > 0.1
    assert on[beside].mean() > 0.99


def test_a_small_hole_is_filled_and_marked_a_large_one_is_not():
    def with_holes(x, y):
        hole = (np.hypot(x - 0.7, y) < 0.15) | (np.hypot(x + 0.6, y) < 0.6)
        return np.where(hole, np.nan, 0.0)

    floor = find(height_field(with_holes))
    assert at(floor, 0.7, 0.0) == (2, 0.0)
    assert at(floor, -0.6, 0.0)[0] == 0
    assert at(floor, 0.7, 0.5)[0] == 1


def hole(x, y):
    return np.where(np.hypot(x - 0.7, y) < 0.15, np.nan, 0.0)


@pytest.mark.parametrize("kind", ["stairs_down", "box", "never_seen"])
def test_no_fill_over_stairs_under_things_or_in_the_unseen(kind):
    def solid(x, y, z, state):
        inside = np.hypot(x - 0.7, y) < 0.2
        if kind == "stairs_down":
            return np.where(inside & (z > -0.5), 1, state).astype(np.uint8)
        if kind == "box":
            return np.where(inside & (np.abs(z - 0.3) < 0.03), 2, state).astype(np.uint8)
        return np.where(inside, 0, state).astype(np.uint8)

    floor = find(height_field(hole), space(solid=solid))
    assert at(floor, 0.7, 0.0)[0] == 0


def test_a_mesh_standing_over_the_hole_forbids_filling():
    ground = height_field(hole)
    shelf = height_field(lambda x, y: np.full(x.shape, 0.35), x=(0.4, 1.0), y=(-0.3, 0.3))
    both = mesh_of(
        np.concatenate([ground.vertices, shelf.vertices]),
        np.concatenate([ground.faces, shelf.faces + len(ground.vertices)]),
    )
    assert at(find(both), 0.7, 0.0)[0] == 0


def test_a_kerb_stays_and_both_levels_are_floor():
    mesh = height_field(lambda x, y: np.where(x > 0.5, 0.12, 0.0))
    floor = find(mesh, environment="outdoor")
    assert at(floor, -0.5, 0.0) == (1, 0.0)
    state, height = at(floor, 1.0, 0.0)
    assert state == 1
    assert height == pytest.approx(0.12, abs=0.003)
    riser = floor_faces(mesh, floor, 0.015, np.zeros(floor.grid.state.shape))
    normal_free = np.ptp(mesh.vertices[mesh.faces][:, :, 2], axis=1) > 0.05
    assert not riser[normal_free].any()


def test_a_sloping_street_is_one_plane():
    mesh = height_field(lambda x, y: 0.05 * x)
    floor = find(mesh, environment="outdoor")
    assert floor.patches[0].shape == "plane"
    for x in (-1.2, 0.0, 1.2):
        assert at(floor, x, 0.3)[1] == pytest.approx(0.05 * x, abs=0.002)
    v, f, _ = floor_triangles(floor.grid)
    normal = trimesh.Trimesh(v, f, process=False).face_normals
    np.testing.assert_allclose(normal, np.broadcast_to(normal[0], normal.shape), atol=2e-3)


def test_an_undulating_floor_follows_its_tiles():
    mesh = height_field(lambda x, y: 0.045 * np.sin(1.5 * x))
    floor = find(mesh)
    assert floor.patches[0].shape == "surface"
    i, j = np.nonzero(floor.grid.state == 1)
    x = floor.grid.origin_m[0] + (i + 0.5) * 0.025
    off = np.abs(floor.grid.height_m[i, j] - 0.045 * np.sin(1.5 * x))
    assert np.percentile(off, 95) < 0.012


def test_a_table_top_is_not_floor_and_no_floor_is_an_error():
    table = height_field(lambda x, y: np.full(x.shape, 0.74))
    with pytest.raises(SceneError, match="floor"):
        find(table)


def test_what_an_observer_calls_obstacle_is_not_floor():
    mesh = height_field(lambda x, y: np.zeros(x.shape))
    centre = mesh.vertices[mesh.faces].mean(axis=1)
    floor = find_floor(mesh, centre[:, 0] < 0.5, space(), "indoor", SurfaceConfig(fill_hole_m=0.0), NO_FOOT)
    assert at(floor, 0.0, 0.0)[0] == 1
    assert at(floor, 1.0, 0.0)[0] == 0


def test_the_cameras_foot_is_filled():
    mesh = height_field(lambda x, y: np.zeros(x.shape), x=(0.5, 1.5))
    foot = np.array([[[-0.8, 0.0], [0.55, -0.6], [0.55, 0.6]]])
    floor = find(mesh, foot=foot)
    assert at(floor, -0.3, 0.0) == (2, 0.0)
    assert at(floor, -0.3, 0.9)[0] == 0
    assert int(Label.FLOOR) == 1


def test_no_seam_stays_open_between_the_foot_and_the_floor_that_was_seen():
    mesh = height_field(lambda x, y: np.where((x < 0.55) & (np.abs(y) < 0.1), np.nan, 0.0), x=(0.5, 1.5))
    foot = np.array([[[-0.8, 0.0], [0.49, -0.6], [0.49, 0.6]]])
    floor = find(mesh, foot=foot)
    assert at(floor, 0.53, 0.0) == (2, 0.0)
    assert all(at(floor, x, y)[0] > 0 for x in np.arange(-0.5, 1.4, 0.02) for y in (-0.1, 0.0, 0.1))


def test_what_falls_meets_floor_under_things_too_but_not_over_a_stairwell():
    state = np.zeros((60, 60), np.uint8)
    state[5:55, 5:55], state[10:20, 10:20] = 1, 2
    state[30:34, 20:50] = state[38:50, 10:20] = 0
    made = solid_floor(FloorGrid(origin_m=np.zeros(2), cell_m=0.025, state=state, height_m=np.full((60, 60), 0.1, "f")))
    expected = state > 0
    expected[30:34, 20:50] = True
    assert (made.state == expected).all(), "closed: what is narrow"
    assert (made.height_m[expected] == np.float32(0.1)).all()


@pytest.mark.parametrize("most", [0, 4, 10])
def test_squares_cover_every_cell_once_and_are_large_inside(most):
    key = np.full((90, 70), -1)
    key[3:80, 5:66] = 4
    key[20:30, 20:30] = 8
    key[50, 60] = -1
    boxes = merged_squares(key, most)
    painted = np.full(key.shape, -1)
    for i0, j0, i1, j1 in boxes:
        assert i1 - i0 == j1 - j0 and (painted[i0:i1, j0:j1] == -1).all()
        painted[i0:i1, j0:j1] = key[i0, j0]
    np.testing.assert_array_equal(painted, key)
    deep = ndimage.distance_transform_cdt(key == 4, "chessboard") > 8
    large = sum(deep[i0:i1, j0:j1].sum() for i0, j0, i1, j1 in boxes if i1 - i0 >= 4)
    assert large == deep.sum()


def test_floor_that_waves_by_millimetres_takes_few_rectangles_and_keeps_its_steps_and_ramps():
    rng = np.random.default_rng(4)
    wave = ndimage.gaussian_filter(rng.normal(size=(160, 120)), 6)
    height = np.round(wave / np.abs(wave).max() * 1.8e-3, 4)
    height[80:] += 0.02
    height[120:, :60] += (np.arange(40)[:, None] + 0.5) * 0.025 * np.tan(np.radians(5))
    state = np.ones(height.shape, np.uint8)
    grid = FloorGrid(origin_m=np.array([1.0, 2.0]), cell_m=0.025, state=state, height_m=height.astype(np.float32))
    quads, _ = floor_quads(grid, 40, within_m=0.002)
    assert len(quads) < 150 < 1000 < len(floor_quads(grid, 40)[0])
    covered = np.zeros(state.shape, int)
    for quad in quads:
        i0, j0 = np.rint((quad[0, :2] - grid.origin_m) / grid.cell_m).astype(int)
        i1, j1 = np.rint((quad[2, :2] - grid.origin_m) / grid.cell_m).astype(int)
        covered[i0:i1, j0:j1] += 1
        u, v = ((np.arange(n) + 0.5) / n for n in (i1 - i0, j1 - j0))
        z = quad[0, 2] + u[:, None] * (quad[1, 2] - quad[0, 2]) + v * (quad[3, 2] - quad[0, 2])
        assert np.abs(z - height[i0:i1, j0:j1]).max() < 4e-3
    assert (covered == 1).all()
