"""The steps of the convex backend, judged by scipy, trimesh and shapes of known extent."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from scipy.spatial import ConvexHull, Delaunay
from skimage.measure import marching_cubes

from lyra_sim.collision.convex import floor_slabs, patches
from lyra_sim.collision.freespace import FreeSpace
from lyra_sim.collision.pieces import (
    HARMLESS_M,
    LEAST_WIDTH_M,
    MOST_HARM_M,
    SAMPLES,
    Piece,
    cut,
    make_piece,
    merge,
    merge_all,
    touching_pairs,
    trimmed,
)
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


def bumpy(seed: int) -> tuple[list[Piece], FreeSpace]:
    """Pieces of a rough piece of ground of two labels, free from 5 mm above it on."""
    rng = np.random.default_rng(seed)
    side = np.arange(25)
    x, y = np.meshgrid(side * 0.03, side * 0.03, indexing="ij")
    wave = rng.normal(0, 1, (3, 4))
    z = sum(0.03 * a * np.sin(9 * b * x + 9 * c * y + 6 * d) for a, b, c, d in wave) + rng.normal(0, 0.006, x.shape)
    corner = (side[:-1, None] * 25 + side[:-1]).ravel()
    faces = np.concatenate([np.stack([corner, corner + 25, corner + 1], 1)] * 2)
    faces[len(corner) :] += (1, 0, 0)
    faces[len(corner) :] = np.stack([corner + 1, corner + 25, corner + 26], 1)
    mesh = record_of(trimesh.Trimesh(np.stack([x, y, z], -1).reshape(-1, 3), faces, process=False))
    right = mesh.vertices[mesh.faces][:, :, 0].mean(1) > 0.4
    mesh = replace(mesh, face_label=np.where(right, Label.OBSTACLE, Label.OBJECT).astype(np.uint8))
    state = np.ones((100, 100, 100), np.uint8)
    centre = ORIGIN + (np.stack(np.meshgrid(*[np.arange(100)] * 3, indexing="ij"), -1) + 0.5) * VOXEL
    at = np.clip(np.round(centre[:, :, 0, :2] / 0.03).astype(int), 0, 24)
    state[centre[..., 2] < z[at[..., 0], at[..., 1]][..., None] + 0.005] = 2
    return pieces_of(mesh, space := FreeSpace(SpaceGrid(origin_m=ORIGIN, voxel_m=VOXEL, state=state))), space


def eagerly_merged(pieces: list[Piece], space: FreeSpace, most: int) -> list[Piece]:
    """The same choice with every hull made before one is chosen."""
    left = dict(enumerate(pieces))
    near = {tuple(pair) for pair in touching_pairs(pieces).tolist()}
    offers: dict[tuple[int, int], tuple] = {}

    def offer(a: int, b: int) -> None:
        one, other = left[a], left[b]
        if one.label != other.label:
            return
        samples = np.concatenate([one.samples, other.samples])
        samples, area = samples[:: len(samples) // SAMPLES + 1], one.area_m2 + other.area_m2
        piece = make_piece(one.label, np.concatenate([one.corners, other.corners]), samples, area, space)
        if piece.fit and not piece.takes_open and piece.harm_m3 <= MOST_HARM_M * area:
            harm = piece.harm_m3 - one.harm_m3 - other.harm_m3
            growth = piece.volume_m3 - one.volume_m3 - other.volume_m3
            offers[a, b] = (0.0 if harm <= HARMLESS_M * area else harm, growth, a, b, piece)

    for pair in sorted(near):
        offer(*pair)
    while offers:
        harm, _, a, b, piece = min(offers.values(), key=lambda entry: entry[:4])
        if harm > 0 and len(left) <= most:
            break
        fresh = max(left) + 1 + len(pieces)
        around = {n for pair in near for n in pair if {a, b} & set(pair)} - {a, b}
        near = {pair for pair in near if not {a, b} & set(pair)} | {(n, fresh) for n in around}
        offers = {pair: entry for pair, entry in offers.items() if not {a, b} & set(pair)}
        del left[a], left[b]
        left[fresh] = piece
        for n in sorted(around):
            offer(n, fresh)
    return list(left.values())


@pytest.mark.parametrize(("seed", "most"), [(3, 40), (5, 8), (6, 20)])
def test_hulls_that_are_made_late_change_no_choice(seed: int, most: int):
    pieces, space = bumpy(seed)
    found = merge(pieces, touching_pairs(pieces), space, most, mixed=False)
    expected = eagerly_merged(pieces, space, most)
    assert len(pieces) > 2 * len(found) and len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one.corners, other.corners)


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
