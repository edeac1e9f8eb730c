"""The carpenter's shapes are closed and wound outward; flats and streets can be walked through."""

import numpy as np
import pytest
import trimesh
from scipy import ndimage

from lyra_sim.core.records import Label
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.render import face_normals, ray_scene
from lyra_sim.procedural.scene import Pattern, ProceduralScene
from lyra_sim.procedural.shapes import MeshBuilder
from lyra_sim.procedural.street import make_street
from lyra_sim.procedural.truth import bounds, floor_height, free_mask, truth_distance, truth_free


def _solid(build) -> trimesh.Trimesh:
    builder = MeshBuilder()
    frame = builder.at(1.0, -2.0, 0.5, 0.7)
    build(frame, frame.paint(Pattern.PLAIN, (1, 1, 1)))
    mesh = builder.mesh()
    found = trimesh.Trimesh(mesh["vertices"], mesh["faces"], process=False)
    along = np.einsum("ij,ij->i", found.face_normals, mesh["vertex_normal"][mesh["faces"]].mean(1))
    assert (along > 0.5).all(), "shading normals point the way the faces do"
    found.merge_vertices(digits_vertex=5, merge_norm=True, merge_tex=True)
    return found


@pytest.mark.parametrize(
    ("build", "volume", "tolerance"),
    [
        (lambda p, c: p.box((0, 0, 0), (1, 2, 0.5), Label.OBJECT, c), 1.0, 1e-5),
        (lambda p, c: p.cylinder((0, 0, 0), 2.0, 0.5, Label.OBJECT, c, n=64), np.pi / 2, 0.01),
        (lambda p, c: p.cylinder((0, 0, 0), 3.0, 1.0, Label.OBJECT, c, top=0.5, n=64), np.pi * 1.75, 0.02),
        (lambda p, c: p.wheel((0, 0, 1), 0.4, 0.5, Label.OBJECT, c, n=64), np.pi * 0.1, 0.002),
        (lambda p, c: p.ellipsoid((0, 0, 0), (1, 0.5, 0.25), Label.OBJECT, c, n=64), np.pi / 6, 0.01),
        (lambda p, c: p.extrude([(0, 0), (2, 0), (1, 1)], 0, 3, Label.OBJECT, c), 3.0, 1e-5),
    ],
)
def test_shapes_are_closed_and_face_outward(build, volume: float, tolerance: float) -> None:
    solid = _solid(build)
    assert solid.is_watertight
    assert solid.volume == pytest.approx(volume, abs=tolerance)


def test_wall_leaves_its_openings_open() -> None:
    builder = MeshBuilder()
    frame = builder.at()
    frame.wall(4.0, 2.5, [(1.0, 0.0, 1.9, 2.0), (2.5, 0.9, 3.5, 2.1)], frame.paint(Pattern.PLAIN, (1, 1, 1)))
    mesh = builder.mesh()
    wall = trimesh.Trimesh(mesh["vertices"], mesh["faces"], process=False)
    assert wall.area == pytest.approx(4.0 * 2.5 - 0.9 * 2.0 - 1.0 * 1.2, abs=1e-5)
    assert np.allclose(wall.face_normals, [0, -1, 0])


@pytest.fixture(scope="module")
def flats() -> list[ProceduralScene]:
    return [make_flat(seed) for seed in range(6)]


def test_every_room_is_reached_through_the_doors(flats: list[ProceduralScene]) -> None:
    for scene in flats:
        assert 2 <= len(scene.rooms_m) <= 5
        origin, shape = bounds(scene, 0.05)
        free = free_mask(scene, origin, shape, 0.05, 0.3)
        groups = np.asarray(ndimage.label(free)[0])
        main = 1 + int(np.bincount(groups.ravel())[1:].argmax())
        for x0, y0, x1, y1 in scene.rooms_m:
            i0, j0 = ((np.array([x0, y0]) - origin) / 0.05).astype(int)
            i1, j1 = ((np.array([x1, y1]) - origin) / 0.05).astype(int)
            assert (groups[i0:i1, j0:j1] == main).sum() * 0.05**2 > 0.4, f"{scene.name}: a room without way into it"
        assert free.sum() * 0.05**2 > 6.0


def test_doors_are_passable_and_walls_are_not(flats: list[ProceduralScene]) -> None:
    for scene in flats:
        for x0, y0, x1, y1 in scene.doors_m:
            width = max(x1 - x0, y1 - y0)
            assert 0.8 <= width <= 1.01
            center = np.array([[(x0 + x1) / 2, (y0 + y1) / 2]])
            assert truth_free(scene, center, width / 2 - 0.02).all()
            assert not truth_free(scene, center, width / 2 + 0.02).any()
            jamb = (
                np.array([[x0 - 0.02, (y0 + y1) / 2]]) if y1 - y0 < x1 - x0 else np.array([[(x0 + x1) / 2, y0 - 0.02]])
            )
            assert not truth_free(scene, jamb, 0.01).any(), "inside the wall beside the door"


def test_free_space_agrees_with_a_dense_sampling_of_the_surfaces(flats: list[ProceduralScene]) -> None:
    scene, radius = flats[0], 0.2
    mesh = trimesh.Trimesh(scene.vertices, scene.faces, process=False)
    points, _ = trimesh.sample.sample_surface(mesh, 600_000, seed=0)
    points = points[(points[:, 2] > 0.01) & (points[:, 2] < 0.55), :2]
    rng = np.random.default_rng(0)
    low, high = scene.rooms_m[0, :2], scene.rooms_m[0, 2:]
    ask = rng.uniform(low, high, (400, 2))
    nearest = np.array([np.hypot(*(points - p).T).min() for p in ask])
    free = truth_free(scene, ask, radius)
    assert 30 < free.sum() < 370
    assert nearest[free].min() >= radius - 1e-6
    assert (nearest[~free] < radius + 0.03).mean() > 0.9  # the others lie inside solids


def test_inside_of_a_cabinet_is_not_free() -> None:
    scene = make_flat(2)
    floor = scene.face_label == Label.FLOOR
    top = scene.vertices[scene.faces[(face_normals(scene)[:, 2] > 0.99) & ~floor]]
    blocks = top[(np.ptp(top, axis=1)[:, :2].min(1) > 0.38) & (top[:, 0, 2] > 0.7) & (top[:, 0, 2] < 1.2)]
    inside = [q.mean(0)[:2] for q in blocks if truth_distance(scene, np.array([[*q.mean(0)[:2], 0.3]]))[0] > 0.1]
    assert inside, "the flat has a closed cabinet"
    solid = truth_free(scene, np.array(inside), 0.05)
    assert not solid.all()


def test_floor_under_a_laid_table_is_free() -> None:
    """What stands on a table has no underside. Inside a solid, level rays meet faces from behind; under a table not."""
    scene = make_flat(36, rooms=2)
    rng = np.random.default_rng(0)
    ask = rng.uniform(scene.rooms_m[:, :2].min(0), scene.rooms_m[:, 2:].max(0), (6000, 2))
    low = np.column_stack([ask, np.full(len(ask), 0.15)])
    ask = ask[truth_distance(scene, low) > 0.145]
    blocked = ask[~truth_free(scene, ask, 0.02, slab_m=(0.05, 0.2))]
    assert len(blocked) > 3, "the flat has solids to be inside of"
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    way = np.column_stack([np.cos(angle), np.sin(angle), 0 * angle]).astype(np.float32)
    for x, y in blocked:
        _, hit, _ = ray_scene(scene).cast(np.broadcast_to([x, y, 0.15], (16, 3)), way)
        behind = (face_normals(scene)[hit] * way).sum(1) > 0
        assert behind[hit >= 0].mean() > 0.3, f"free floor at {x:.2f} {y:.2f} is called solid"


def test_cable_duct_is_three_centimetres_high() -> None:
    plain, duct = make_flat(3), make_flat(3, cable_duct=True)
    assert plain.options == {} and duct.options == {"cable_duct": True}
    tops = duct.vertices[duct.faces[(np.abs(duct.vertices[duct.faces][:, :, 2] - 0.03) < 1e-6).all(1)]]
    extent = np.ptp(tops.reshape(-1, 3), axis=0)
    assert sorted(extent)[1] == pytest.approx(0.05, abs=1e-4)
    assert sorted(extent)[2] > 1.0
    middle = tops.reshape(-1, 3).mean(0)[None, :2]
    assert not truth_free(duct, middle, 0.05).any()
    assert truth_free(duct, middle, 0.02, slab_m=(0.04, 0.5)).any()


def test_street_has_kerbs_that_block_and_pavements_that_do_not() -> None:
    for seed in range(3):
        scene = make_street(seed, parked=False)
        pavement, road = scene.rooms_m[0], scene.rooms_m[2]
        height = floor_height(scene, np.array([[0.0, (pavement[1] + pavement[3]) / 2], [0.0, 0.0], [0.0, 300.0]]))
        assert 0.10 <= height[0] <= 0.15 and height[1] == 0 and np.isnan(height[2])
        x = np.linspace(-20, 20, 200)
        assert not truth_free(scene, np.stack([x, np.full(200, road[3] - 0.05)], 1), 0.1).any(), "beside the kerb"
        assert truth_free(scene, np.stack([x, np.full(200, 0.0)], 1), 0.3).mean() > 0.9, "on an empty road"
        assert truth_free(scene, np.stack([x, np.full(200, pavement[1] + 1.3)], 1), 0.2).mean() > 0.6


def test_no_face_is_degenerate_and_same_seed_same_place(flats: list[ProceduralScene]) -> None:
    for scene in [*flats, make_street(0)]:
        assert np.isfinite(face_normals(scene)).all()
        assert scene.face_paint.max() < len(scene.paints.pattern)
    again, other = make_flat(0), make_flat(1)
    assert np.array_equal(again.vertices, flats[0].vertices)
    assert np.array_equal(again.paints.color_a, flats[0].paints.color_a)
    assert again.vertices.shape != other.vertices.shape or not np.array_equal(again.vertices, other.vertices)
