"""Backs of one-sided sheets, judged by rays of trimesh and by the voxels they must keep out of."""

import numpy as np
import pytest
import trimesh

from lyra_sim.collision.backs import THICKNESS_M, backed
from lyra_sim.core.records import FloorGrid, SpaceGrid, TriMesh

VOXEL = 0.02
TOP = 0.28
SIDE = 60
"""Voxels; the grid covers 1.2 m from the origin."""


def mesh_of(made: trimesh.Trimesh, label: int = 4) -> TriMesh:
    return TriMesh(
        vertices=np.asarray(made.vertices, np.float32),
        faces=np.asarray(made.faces, np.int32),
        vertex_color=np.zeros((len(made.vertices), 3), np.uint8),
        face_label=np.full(len(made.faces), label, np.uint8),
        face_origin=np.zeros(len(made.faces), np.uint8),
    )


def sheet(x: float, away: float = 1.0) -> trimesh.Trimesh:
    """An upright sheet of 0.8 x 0.28 m in the plane x, its triangles 4 cm wide, that looks along +x (or -x)."""
    y, z = (a.ravel() for a in np.meshgrid(np.linspace(0.2, 1.0, 21), np.linspace(0.0, TOP, 21), indexing="ij"))
    vertices = np.column_stack([np.full(len(y), x), y, z])
    a = (np.arange(20)[:, None] * 21 + np.arange(20)).ravel()
    quads = np.stack([a, a + 21, a + 22, a + 1], axis=1)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return trimesh.Trimesh(vertices, faces if away > 0 else faces[:, ::-1], process=False)


def space(*free: tuple[float, float]) -> SpaceGrid:
    """Unknown but for free slabs between two values of x."""
    state = np.zeros((SIDE, SIDE, SIDE), np.uint8)
    for low, high in free:
        state[round(low / VOXEL) : round(high / VOXEL)] = 1
    return SpaceGrid(origin_m=np.zeros(3), voxel_m=VOXEL, state=state)


def floor_of(state: int, low: float = 0.0, high: float = 1.2) -> FloorGrid:
    """A level floor at z = 0 between two values of x."""
    cells = np.zeros((24, 24), np.uint8)
    cells[round(low / 0.05) : round(high / 0.05)] = state
    return FloorGrid(origin_m=np.zeros(2), cell_m=0.05, state=cells, height_m=np.zeros((24, 24), np.float32))


FAR_FLOOR = floor_of(2, 1.1)
"""Filled, and not where anything stands."""


def solid_of(mesh: TriMesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def heights_above(made: trimesh.Trimesh, x: float) -> np.ndarray:
    """Whether rays straight down meet something at `x`, all along the sheet but 8 cm at its ends (backs are coarse)."""
    y = np.linspace(0.28, 0.92, 30)
    origins = np.column_stack([np.full(30, x), y, np.full(30, 2.0)])
    return made.ray.intersects_any(origins, np.tile([0.0, 0.0, -1.0], (30, 1)))


def test_a_sheet_seen_from_one_side_becomes_a_body():
    front = sheet(0.5)
    body = backed(mesh_of(front), space((0.52, 1.2)), FAR_FLOOR)
    made = solid_of(body)
    assert not heights_above(front, 0.45).any(), "a sheet shows nothing to rays along it"
    assert heights_above(made, 0.45).all() and not heights_above(made, 0.55).any()
    assert made.bounds[:, 0] == pytest.approx([0.5 - THICKNESS_M, 0.5], abs=1e-3)
    assert made.bounds[:, 1:] == pytest.approx(front.bounds[:, 1:], abs=1e-3)
    hits, _, faces = made.ray.intersects_location([[0.0, 0.61, 0.21]], [[1.0, 0.0, 0.0]])
    order = np.argsort(hits[:, 0])
    assert hits[order, 0] == pytest.approx([0.5 - THICKNESS_M, 0.5], abs=2e-3)
    assert made.face_normals[faces[order], 0] == pytest.approx([-1, 1], abs=1e-3), "outside is outside"
    assert (body.faces[: len(front.faces)] == front.faces).all(), "the front stays as it is"
    assert len(body.faces) < 1.5 * len(front.faces)
    assert set(body.face_label) == {4}


def test_only_the_top_is_closed():
    made = solid_of(backed(mesh_of(sheet(0.5)), space((0.52, 1.2)), FAR_FLOOR))
    along = np.linspace(0.28, 0.92, 30)
    for axis, first in ((2, TOP), (1, None)):
        origins, ways = np.full((30, 3), 0.45), np.zeros((30, 3))
        origins[:, 3 - axis], origins[:, axis], ways[:, axis] = along, -1.0, 1.0
        hits, _, _ = made.ray.intersects_location(origins, ways, multiple_hits=False)
        assert hits[:, axis] == pytest.approx([] if first is None else np.full(30, first), abs=2e-3)


@pytest.mark.parametrize(("gap_m", "depth_m"), [(0.3, THICKNESS_M), (0.09, 0.07), (0.06, 0.0)])
def test_backs_keep_out_of_what_was_seen_to_be_free(gap_m: float, depth_m: float):
    """Free space in front, and behind from `gap_m` on."""
    front = sheet(0.5)
    grid = space((0.52, 1.2), (0.0, 0.5 - gap_m))
    made = solid_of(backed(mesh_of(front), grid, FAR_FLOOR))
    assert 0.5 - made.bounds[0, 0] == pytest.approx(depth_m, abs=0.0151)
    points, _ = trimesh.sample.sample_surface(made, 20_000, seed=0)
    cell = np.floor(points / VOXEL).astype(int)
    assert not (grid.state[tuple(cell.T)] == 1).any()


def test_a_board_seen_from_both_sides_stays_as_it_is():
    both = mesh_of(trimesh.util.concatenate([sheet(0.5), sheet(0.46, -1.0)]))
    same = backed(both, space((0.52, 1.2), (0.0, 0.44)), FAR_FLOOR)
    assert np.array_equal(same.faces, both.faces) and np.array_equal(same.vertices, both.vertices)


def test_a_hole_behind_a_large_triangle_is_found():
    """Free space behind the middle of two large triangles, far from their corners: a back there would close it."""
    corners = np.array([[0.5, 0.1, 0.0], [0.5, 1.1, 0.0], [0.5, 1.1, TOP], [0.5, 0.1, TOP]])
    quad = mesh_of(trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], process=False))
    ray = {"ray_origins": [[0.0, 0.7, 0.2]], "ray_directions": [[1.0, 0.0, 0.0]]}
    for thick, free in ((THICKNESS_M, False), (0.0, True)):
        state = space((0.52, 1.2)).state.copy()
        state[15:22, 20:40, 5:15] = free
        grid = SpaceGrid(origin_m=np.zeros(3), voxel_m=VOXEL, state=state)
        hits, _, _ = solid_of(backed(quad, grid, FAR_FLOOR)).ray.intersects_location(**ray, multiple_hits=False)
        assert hits[0, 0] == pytest.approx(0.5 - thick, abs=2e-3)


@pytest.mark.parametrize(("state", "depth_m"), [(1, 0.0), (2, THICKNESS_M)], ids=["seen", "filled"])
def test_floor_that_was_seen_stays_free(state: int, depth_m: float):
    made = solid_of(backed(mesh_of(sheet(0.5)), space((0.52, 1.2)), floor_of(state, 0.0, 0.45)))
    assert 0.5 - made.bounds[0, 0] == pytest.approx(depth_m, abs=1e-3)


@pytest.mark.parametrize(("label", "up", "backs"), [(4, 0.0, True), (2, 0.0, False), (4, 0.5, False)])
def test_walls_and_what_hangs_high_get_no_backs(label: int, up: float, backs: bool):
    front = mesh_of(sheet(0.5), label)
    raised = TriMesh(
        vertices=front.vertices + np.float32([0, 0, up]), faces=front.faces, vertex_color=front.vertex_color,
        face_label=front.face_label, face_origin=front.face_origin,
    )  # fmt: skip
    assert (len(backed(raised, space((0.52, 1.2)), FAR_FLOOR).faces) > len(front.faces)) == backs


def test_nothing_in_nothing_out():
    none = mesh_of(trimesh.Trimesh(np.zeros((0, 3)), np.zeros((0, 3), int), process=False))
    assert len(backed(none, space(), FAR_FLOOR).faces) == 0
