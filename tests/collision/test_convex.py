"""The steps of the convex backend, judged by scipy, trimesh and shapes of known extent."""

import numpy as np
import pytest
import trimesh
from scipy.spatial import ConvexHull, Delaunay
from skimage.measure import marching_cubes

from lyra_sim.collision.convex import floor_slabs, patches
from lyra_sim.collision.freespace import FreeSpace
from lyra_sim.collision.pieces import LEAST_WIDTH_M, Piece, cut, make_piece, merge_all, trimmed
from lyra_sim.collision.regions import plane_regions
from lyra_sim.core.records import FloorGrid, Label, SpaceGrid, TriMesh

VOXEL = 0.02
ORIGIN = np.array([-0.5, -0.5, -0.2])


def record_of(mesh: trimesh.Trimesh) -> TriMesh:
    return TriMesh(
        vertices=np.array(mesh.vertices, np.float32),
        faces=np.array(mesh.faces, np.int32),
        vertex_color=np.full((len(mesh.vertices), 3), 128, np.uint8),
        face_label=np.full(len(mesh.faces), int(Label.OBJECT), np.uint8),
        face_origin=np.ones(len(mesh.faces), np.uint8),
    )


def around(boxes: list) -> tuple[TriMesh, FreeSpace]:
    """Fine surface of the union of boxes (low, high), and the space around it, free further than a voxel from it."""
    if len(boxes) == 1:
        solid = trimesh.creation.box(bounds=np.array(boxes[0], float))
        mesh = trimesh.Trimesh(*trimesh.remesh.subdivide_to_size(solid.vertices, solid.faces, 0.03))
    else:
        mesh = union_of(boxes)
    cell = np.stack(np.meshgrid(*[np.arange(100)] * 3, indexing="ij"), axis=-1)
    centre = ORIGIN + (cell + 0.5) * VOXEL
    state = np.ones((100, 100, 100), np.uint8)
    for low, high in np.array(boxes, float):
        state[((centre > low - VOXEL) & (centre < high + VOXEL)).all(axis=-1)] = 2
    return record_of(mesh), FreeSpace(SpaceGrid(origin_m=ORIGIN, voxel_m=VOXEL, state=state))


def union_of(boxes: list) -> trimesh.Trimesh:
    """Level set of the union's signed distance on a grid of 2 cm, as a fusion finds it."""
    grid = np.stack(np.meshgrid(*[np.arange(95)] * 3, indexing="ij"), axis=-1) * VOXEL + ORIGIN + 0.0031
    outside = []
    for low, high in np.array(boxes, float):
        q = np.abs(grid - (low + high) / 2) - (high - low) / 2
        outside.append(np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(axis=-1), 0))
    vertices, faces, _, _ = marching_cubes(np.min(outside, axis=0), 0.0)
    mesh = trimesh.Trimesh(vertices * VOXEL + ORIGIN + 0.0031, faces)
    mesh.fix_normals()
    return mesh


def pieces_of(mesh: TriMesh, space: FreeSpace) -> list[Piece]:
    return [piece for patch in patches(mesh) for piece in cut(patch, space)]


def merged(pieces: list[Piece], space: FreeSpace, most: int = 1000) -> list[Piece]:
    return merge_all(pieces, space, most)


TABLE = [
    ([0, 0, 0.7], [0.9, 0.6, 0.74]),
    *(([x, y, 0.0], [x + 0.05, y + 0.05, 0.7]) for x in (0.0, 0.85) for y in (0.0, 0.55)),
]


def test_free_volume_is_that_of_the_voxels_whose_centres_lie_inside():
    rng = np.random.default_rng(3)
    state = (rng.random((40, 50, 30)) < 0.4).astype(np.uint8)
    space = FreeSpace(SpaceGrid(origin_m=ORIGIN, voxel_m=VOXEL, state=state))
    centre = ORIGIN + (np.argwhere(state == 1) + 0.5) * VOXEL
    for _ in range(10):
        points = ORIGIN + rng.uniform(-0.1, 0.9, 3) + rng.normal(size=(12, 3)) * rng.uniform(0.02, 0.2, 3)
        hull = ConvexHull(points)
        got, _ = space.inside(hull.equations, points)
        assert got == pytest.approx((Delaunay(points).find_simplex(centre) >= 0).sum() * VOXEL**3, abs=1e-12)


def test_a_noisy_box_has_six_regions():
    mesh, _ = around([([0, 0, 0], [0.6, 0.5, 0.4])])
    rng = np.random.default_rng(0)
    region = plane_regions(mesh.vertices + rng.normal(scale=0.002, size=mesh.vertices.shape), mesh.faces)
    normal = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).face_normals
    side = np.abs(normal).argmax(axis=1) * 2 + (normal.sum(axis=1) > 0)
    assert region.max() == 5
    known = region >= 0
    assert known.mean() > 0.95
    rows = np.unique(np.column_stack([region, side])[known], axis=0, return_counts=True)[1]
    assert np.sort(rows)[-6:].sum() / known.sum() > 0.97


def test_a_table_is_a_few_hulls_that_leave_the_space_below_it_free():
    mesh, space = around(TABLE)
    got = merged(pieces_of(mesh, space), space, most=9)
    assert 5 <= len(got) <= 9
    below = np.stack(
        np.meshgrid(*[np.linspace(0.08, 0.82, 9), np.linspace(0.08, 0.52, 7), np.linspace(0.02, 0.66, 9)]), -1
    )
    for piece in got:
        assert piece.depth(below.reshape(-1, 3)).max() <= 0.0
        assert piece.fit
    surface = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).sample(2000, seed=1)
    apart = np.max([piece.depth(surface) for piece in got], axis=0)
    assert np.percentile(apart, 2) > -0.005  # all of the surface is covered


def row_of_cubes(labels: list[Label]) -> tuple[list[Piece], FreeSpace]:
    """Cubes of 10 cm side by side, each larger than the one before by a hair, nothing free around."""
    space = FreeSpace(SpaceGrid(origin_m=ORIGIN, voxel_m=VOXEL, state=np.zeros((100, 100, 100), np.uint8)))
    pieces = []
    for n, label in enumerate(labels):
        box = trimesh.creation.box(bounds=[[0.1 * n, 0, 0], [0.1 * (n + 1), 0.1, 0.1]])
        samples = np.array(box.sample(100, seed=n))
        pieces.append(make_piece(int(label), np.array(box.vertices), samples, 0.06 + 0.001 * n, space))
    return pieces, space


def test_labels_are_mixed_only_where_there_would_be_too_many_pieces():
    pieces, space = row_of_cubes([Label.WALL, Label.OBJECT] * 5)
    assert len(merged(pieces, space, most=10)) == 10
    few = merged(pieces, space, most=4)
    assert len(few) == 4
    assert sum(piece.volume_m3 for piece in few) == pytest.approx(0.01, rel=1e-6)
    with_floor, space = row_of_cubes([Label.FLOOR, Label.WALL, Label.OBJECT])
    got = merged(with_floor, space, most=1)
    assert sorted(piece.label for piece in got) == sorted([int(Label.FLOOR), int(Label.OBJECT)])


def test_fewer_pieces_where_fewer_are_asked_for_at_the_least_harm():
    mesh, space = around(
        [([0, 0, 0], [0.5, 0.5, 0.5]), ([0.4, 0.1, 0.3], [0.7, 0.2, 0.42]), ([0.1, 0.1, 0.4], [0.16, 0.16, 0.56])]
    )
    pieces = pieces_of(mesh, space)
    many, few = merged(pieces, space), merged(pieces, space, most=2)
    assert len(many) >= 3
    assert len(few) == 2
    assert sum(p.harm_m3 for p in many) < sum(p.harm_m3 for p in few)
    arm = max(few, key=lambda piece: piece.corners[:, 0].max())
    assert arm.corners[:, 2].min() > 0.25  # the knob went into the box, not the arm


def test_a_door_is_no_part_of_its_wall():
    wall = [([0, 0, 0], [0.4, 0.1, 1.6]), ([1.1, 0, 0], [1.45, 0.1, 1.6]), ([0, 0, 1.2], [1.45, 0.1, 1.6])]
    mesh, space = around(wall)
    got = merged(pieces_of(mesh, space), space, most=1)
    door = np.stack(np.meshgrid(np.linspace(0.52, 0.98, 9), [0.05], np.linspace(0.05, 1.08, 9)), -1).reshape(-1, 3)
    assert len(got) >= 3
    assert max(piece.depth(door).max() for piece in got) <= 0.0  # however few are asked for


def test_trimming_moves_faces_to_the_middle_of_the_noise():
    mesh, space = around([([0, 0, 0], [0.6, 0.5, 0.4])])
    rng = np.random.default_rng(0)
    points = mesh.vertices + rng.normal(scale=0.004, size=mesh.vertices.shape)
    piece = make_piece(5, points, points, 1.5, space)
    outside = ConvexHull(points).volume / 0.12 - 1
    assert outside > 0.03
    assert abs(trimmed(piece, space).volume_m3 / 0.12 - 1) < 0.4 * outside


def test_thin_things_become_boxes_that_are_thick_enough():
    mesh, space = around([([0, 0, 0], [0.4, 0.006, 0.3])])
    crumb, _ = around([([0, 0, 0], [0.03, 0.01, 0.01])])
    for piece in pieces_of(mesh, space) + pieces_of(crumb, space):
        assert (
            trimesh.Trimesh(
                piece.corners, ConvexHull(piece.corners).simplices
            ).bounding_box_oriented.primitive.extents.min()
            >= LEAST_WIDTH_M - 1e-6
        )


def test_slabs_lie_under_every_cell_of_the_floor():
    rng = np.random.default_rng(2)
    state = np.zeros((60, 40), np.uint8)
    state[5:50, 5:35] = 1
    state[20:30, 10:20] = 0
    state[rng.random(state.shape) < 0.02] = 0
    height = np.where(np.arange(60)[:, None] < 30, 0.0, 0.1).astype(np.float32) * np.ones((1, 40), np.float32)
    grid = FloorGrid(origin_m=np.zeros(2), cell_m=0.025, state=state, height_m=height * (state > 0))
    cell = np.argwhere(state > 0)
    top = np.column_stack([(cell + 0.5) * 0.025, height[state > 0]])
    free = np.zeros((100, 100, 50), np.uint8)
    lattice = (np.arange(100) + 0.5) * VOXEL - 0.2
    z = (np.arange(50) + 0.5) * VOXEL - 0.2
    free[:] = z > np.where(lattice < 0.75, 0.0, 0.1)[:, None, None] + VOXEL
    space = FreeSpace(SpaceGrid(origin_m=np.array([-0.2, -0.2, -0.2]), voxel_m=VOXEL, state=free))
    got = merged(floor_slabs(grid, space), space)
    assert len(got) <= 8
    inside = np.max([piece.depth(top - np.array([0, 0, 1e-4])) for piece in got], axis=0)
    above = np.max([piece.depth(top + np.array([0, 0, 5e-3])) for piece in got], axis=0)
    assert (inside >= 0).all()
    assert (above <= 0).mean() > 0.99  # the step stays a step
