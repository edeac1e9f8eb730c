"""The gates of the analytic room, whole and broken; the oracles are areas and shares worked out by hand."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lyra_sim.collision.measure import blocked_share, measured_views, seen_in, surface_distance
from lyra_sim.core.records import ColliderPart, Gate, World, WorldFrame
from lyra_sim.geometry.rays import RayScene
from tests.usd_export import rooms
from usd_export import read_scene
from usd_export.in_memory import scenes_of
from usd_export.validate import gates, limits, validate_any
from usd_export.validate.drop import drop_balls
from usd_export.validate.shape_gates import floor_fit_p95_m, floor_holes_m2

DESIGN = [
    "usd_errors",
    "collider_surface_median_m",
    "collider_surface_p95_m",
    "collider_surface_max_m",
    "collider_depth_p95_m",
    "free_blocked_share",
    "floor_hole_m2",
    "floor_fit_p95_m",
    "scale_sigma",
    "drop_rest_share",
    "map_reraster_iou",
    "reprojection_psnr_db",
    "input_coverage_share",
    "licence_complete",
]
MAP = Gate(name="map_reraster_iou", value=1.0, limit=0.99, unit="1", ok=True, why="")


def judged(folder: Path, world: World | None = None, **given: Any) -> tuple[Gate, ...]:
    return gates(folder, world=world or rooms.world(), surface=rooms.surface(), space=rooms.space(), **given)


def collider_rays(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0] + [len(v) for v, _ in parts])
    faces = np.concatenate([f + o for (_, f), o in zip(parts, offsets, strict=False)])
    return np.concatenate([v for v, _ in parts]), faces


def room_parts() -> list[tuple[np.ndarray, np.ndarray]]:
    return [(v, f) for _, v, f in rooms.surfaces()]


def test_a_sound_world_passes_every_gate_that_can_be_computed(room_folder: Path):
    found = {g.name: g for g in judged(room_folder, reraster=lambda: MAP)}
    assert list(found) == DESIGN
    assert [name for name, gate in found.items() if not gate.ok] == ["drop_rest_share"]
    assert "no robot has a free point" in found["drop_rest_share"].why
    assert found["collider_surface_max_m"].value == pytest.approx(0, abs=1e-4)
    assert found["collider_depth_p95_m"].value == pytest.approx(0, abs=1e-4)
    assert found["reprojection_psnr_db"].value > 35
    assert found["input_coverage_share"].value == 1.0
    json.dumps([gate.value for gate in found.values()], allow_nan=False)


def test_a_gate_that_cannot_be_computed_fails_with_its_reason(room_folder: Path, tmp_path: Path):
    folder = tmp_path / "world"
    shutil.copytree(room_folder, folder)
    (folder / "ATTRIBUTION.json").unlink()
    (folder / "scene.usda").write_text("#usda 1.0\n")
    found = {g.name: g for g in judged(folder)}
    for name in ("collider_surface_p95_m", "floor_hole_m2", "map_reraster_iou", "licence_complete"):
        assert not found[name].ok and found[name].value is None and "not computed" in found[name].why, name
    assert not found["usd_errors"].ok and found["usd_errors"].value > 3


def test_photos_have_their_own_limits():
    assert list(limits.PHOTO) == list(limits.SENSOR) == DESIGN
    assert limits.PHOTO["collider_surface_p95_m"].value == 0.08
    assert limits.PHOTO["input_coverage_share"].value == 0.9
    assert limits.not_computed("x", limits.PHOTO["collider_depth_p95_m"], "no measured depth").ok
    assert not limits.judged("x", limits.SENSOR["drop_rest_share"], 0.99).ok
    assert limits.judged("x", limits.SENSOR["scale_sigma"], 0.3).ok


def test_a_hole_in_the_floor_is_measured():
    floor = rooms.surface().floor
    vertices, faces = collider_rays(room_parts())
    area, _ = floor_holes_m2(RayScene(vertices, faces), floor)
    assert area == 0.0
    centre = vertices[faces].mean(1)
    hole = (np.abs(centre[:, :2] - [1.25, 1.3125]) < [0.25, 0.1875]).all(1) & (np.abs(centre[:, 2]) < 1e-6)
    assert hole.sum() == 2  # one cell of 0.5 x 0.375 m
    area, spot = floor_holes_m2(RayScene(vertices, faces[~hole]), floor)
    assert area == pytest.approx(0.5 * 0.375, rel=0.08)
    assert spot is not None and 1.0 <= spot[0] <= 1.5 and 1.125 <= spot[1] <= 1.5


def test_a_sheet_through_the_free_space_blocks_rays():
    views = measured_views(rooms.world(frames=8))
    assert blocked_share(*collider_rays(room_parts()), views) == 0.0
    sheet = rooms.quad([(2.2, 0.4, 0), (2.2, 1.3, 0), (2.2, 0.4, 2)])
    assert blocked_share(*collider_rays([*room_parts(), sheet]), views) > 0.01


def test_a_sunken_floor_misfits_by_its_depth():
    parts = room_parts()
    parts[0] = (parts[0][0] - [0, 0, 0.04], parts[0][1])
    views = measured_views(rooms.world(frames=8))
    fit = floor_fit_p95_m(RayScene(*collider_rays(parts)), rooms.surface().floor, views)
    assert fit == pytest.approx(0.04, abs=2e-3)
    assert floor_fit_p95_m(RayScene(*collider_rays(room_parts())), rooms.surface().floor, views) < 1e-3


def test_only_what_was_seen_is_held_against_the_surface():
    test = seen_in(rooms.space())
    on_floor, behind_wall, in_box, outside = [3.2, 1.2, 0.0], [4.2, 1.5, 1.0], [2.9, 2.1, 0.35], [9.0, 0.0, 0.0]
    assert test(np.array([on_floor, behind_wall, in_box, outside])).tolist() == [True, False, False, False]
    slabs = collider_rays([rooms.box(*slab) for slab in rooms.slabs()])
    near = rooms.surface().near
    apart = [surface_distance(*slabs, near.vertices, near.faces, 0, seen=seen)["p95_m"] for seen in (test, None)]
    assert apart[0] < 0.01 and apart[1] > 0.09  # the backs of the slabs are 10 cm behind


def test_gates_before_writing_are_those_of_the_files(room_folder: Path, tmp_path: Path):
    folder = tmp_path / "world"
    shutil.copytree(room_folder, folder)
    (folder / "nav" / "robot").mkdir(parents=True)
    (folder / "nav" / "robot" / "free_points.csv").write_text("1.0,1.0\n2.0,0.6\n")
    written = {g.name: g.value for g in judged(folder, reraster=lambda: MAP)}
    scenes = scenes_of(rooms.surface(), rooms.colliders())
    before = {g.name: g.value for g in judged(folder, scenes=scenes)}
    assert set(written) - set(before) == {"usd_errors", "map_reraster_iou", "licence_complete"}
    assert written["drop_rest_share"] == 1.0
    for name, value in before.items():
        assert written[name] == pytest.approx(value, abs=1e-5), name
    lost = {"mesh": scenes["mesh"], "convex": replace(scenes["convex"], colliders=scenes["convex"].colliders[1:])}
    holed = {g.name: g for g in judged(folder, scenes=lost)}["drop_rest_share"]
    assert holed.value == 0.0 and "on convex colliders" in holed.why and "fell" in holed.why


@pytest.fixture(scope="module")
def dropped(room_folder: Path):
    scene = read_scene(room_folder / "scene.usda", textures=False)
    points = np.array([[1.0, 1.0, 0.0], [2.0, 0.6, 0.0], [2.9, 2.1, 0.2], [6.0, 1.0, 0.0]])
    return drop_balls([scene], points, 600.0)[0]


def test_balls_rest_on_the_floor_and_nowhere_else(dropped):
    assert dropped.rested.tolist() == [True, True, False, False]
    inside, outside = dropped.faults
    assert "inside a collider" in inside and "2.90, 2.10" in inside
    assert "fell" in outside


def test_any_scene_is_judged_without_a_world(room_folder: Path, tmp_path: Path):
    assert validate_any(room_folder / "stage.usda").ok
    parts = rooms.colliders().parts
    low = tuple(ColliderPart(**{**vars(p), "vertices": p.vertices - np.float32(0.3)}) for p in parts)
    folder = tmp_path / "low"
    from usd_export.colliders import colliders_stage
    from usd_export.layers import save

    shutil.copytree(room_folder, folder)
    save(colliders_stage(low)[0], folder / "colliders.usdc")
    found = {gate.name: gate for gate in validate_any(folder / "scene.usda").gates}
    assert not found["floor_under_spawns"].ok and found["usd_errors"].ok


def test_an_unsure_scale_fails(room_folder: Path):
    world = rooms.world()
    frame = WorldFrame(**{**vars(world.start.frame), "scale_sigma": 0.4})
    start = type(world.start)(**{**vars(world.start), "frame": frame})
    unsure = type(world)(start=start, segments=())
    found = {g.name: g for g in judged(room_folder, world=unsure, reraster=lambda: MAP)}
    assert not found["scale_sigma"].ok and "must be at most 0.3" in found["scale_sigma"].why
