"""Doorways: heights of drawn plans in exact flats, a door known in closed form, and what is no door."""

import dataclasses

import numpy as np
import pytest

from lyra_sim.config.observe import SensorConfig
from lyra_sim.depth.doors import door_heights
from lyra_sim.depth.sensor import observe_sensor
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.plan import draw_plan
from tests.analytic_room import Room, capture, look

UP = np.array([0.0, 0.0, 1.0])


def surface(seed: int, rooms: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (400 per square metre) and normals of an exact flat."""
    scene = make_flat(seed, rooms=rooms)
    corner = scene.vertices[scene.faces].astype(float)
    cross = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    area = 0.5 * np.linalg.norm(cross, axis=1)
    rng = np.random.default_rng(0)
    face = rng.choice(len(area), int(400 * area.sum()), p=area / area.sum())
    u, v = rng.random((2, len(face), 1))
    over = u + v > 1
    u, v = np.where(over, 1 - u, u), np.where(over, 1 - v, v)
    points = corner[face, 0] + u * (corner[face, 1] - corner[face, 0]) + v * (corner[face, 2] - corner[face, 0])
    return points, cross[face] / (2 * area[face, None])


@pytest.mark.parametrize("seed", [71, 72, 73, 74, 75, 76])
def test_every_doorway_of_an_exact_flat_is_found_and_nothing_else(seed):
    plan = draw_plan(np.random.default_rng([seed, 1]), 4)
    found = door_heights(*surface(seed, 4), UP, 0.0)
    assert found == pytest.approx(sorted(plan.door_height_m), abs=0.01)


def test_turned_and_lifted_flats_have_the_same_doors():
    points, normals = surface(71, 4)
    turn, _ = np.linalg.qr(np.random.default_rng(5).standard_normal((3, 3)))
    there = door_heights(points @ turn.T + 7.0, normals @ turn.T, turn @ UP, float(7.0 * (turn @ UP).sum()))
    assert there == pytest.approx(door_heights(points, normals, UP, 0.0), abs=0.02)


def split_room(lintel_m: float, sill_m: float = 0.0) -> Room:
    """Two rooms with a wall between, an opening 0.9 m wide in it."""
    wall = [((-0.1, -2.0, 0.0), (0.1, -0.4, 2.5)), ((-0.1, 0.5, 0.0), (0.1, 2.0, 2.5))]
    wall += [((-0.1, -0.4, lintel_m), (0.1, 0.5, 2.5))]
    return Room(boxes=wall + ([((-0.1, -0.4, 0.0), (0.1, 0.5, sill_m))] if sill_m else []))


def walk(room: Room, unit: float = 1.0):
    """A walk of eight frames on both sides of the wall, its lengths multiplied."""
    eyes = [(side * 1.9, y, 1.4) for side in (-1, 1) for y in (-1.2, -0.3, 0.5, 1.2)]
    poses = np.stack([look(eye, (0.0, 0.05, height)) for eye in eyes for height in (0.5, 1.7)])
    made = capture(room, poses)
    assert made.depth_m is not None
    poses = poses.copy()
    poses[:, :3, 3] *= unit
    return dataclasses.replace(made, depth_m=made.depth_m * np.float32(unit), cam_to_world=poses)


def notes(made) -> dict:
    return observe_sensor(made, SensorConfig(refine_poses=False)).notes


def test_a_walk_through_a_door_notes_its_height_and_a_wrong_unit():
    right = notes(walk(split_room(2.02)))["doors"]
    assert right["heights_m"] == [pytest.approx(2.02 + 0.02, abs=0.02)] and right["usual"]
    assert right["sigma_m"] == pytest.approx(np.hypot(0.03, 2.02 * 0.015), abs=2e-3)
    wrong = notes(walk(split_room(2.02), unit=1.25))["doors"]
    assert wrong["height_m"] == pytest.approx(1.25 * right["height_m"], abs=0.03) and not wrong["usual"]


def test_hatches_and_closed_walls_are_no_doors():
    assert "doors" not in notes(walk(split_room(2.02, sill_m=0.9)))
    assert "doors" not in notes(walk(split_room(0.0)))


def sheet(low, high, normal) -> tuple[np.ndarray, np.ndarray]:
    """400 points per square metre of an axis-aligned rectangle."""
    low, high = np.array(low, float), np.array(high, float)
    side = np.sort(high - low)[1:]
    points = low + (high - low) * np.random.default_rng(2).random((int(400 * side.prod()), 3))
    return points, np.tile(np.array(normal, float), (len(points), 1))


def doors_of(*sheets) -> list[float]:
    points, normals = (np.concatenate(arrays) for arrays in zip(*sheets, strict=True))
    return door_heights(points, normals, UP, 0.0)


def wall(at: float, lintel: float = 2.02) -> list:
    """One face of a wall at x = `at` with an opening 0.9 m wide."""
    parts = [(-2.0, -0.45, 0.0), (0.45, 2.0, 0.0), (-0.45, 0.45, lintel)]
    return [sheet((at, y0, z), (at, y1, 2.5), (1, 0, 0)) for y0, y1, z in parts]


def level(x0: float, x1: float, z: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    return sheet((x0, -2, z), (x1, 2, z), (0, 0, 1))


FLOOR = level(-2, 2)


def test_a_bare_opening_is_a_door_and_so_it_is_on_a_step_or_beside_a_stray_point():
    assert doors_of(FLOOR, *wall(0)) == [pytest.approx(2.02, abs=0.01)]
    assert doors_of(level(-2, 0), level(0, 2, 0.15), *wall(0)) == [pytest.approx(2.02, abs=0.01)]
    stray = np.array([[900.0, 900.0, 1.0]]), np.array([[1.0, 0.0, 0.0]])
    assert doors_of(FLOOR, *wall(0), stray) == [pytest.approx(2.02, abs=0.01)]
    assert door_heights(np.zeros((0, 3)), np.zeros((0, 3)), UP, 0.0) == []


def test_both_faces_of_a_thick_wall_are_one_door():
    assert len(doors_of(level(-3, 3), *wall(-0.4), *wall(0.4))) == 1


def test_niches_blocked_openings_and_low_boards_are_no_doors():
    assert doors_of(level(-2, 0), *wall(0)) == [], "no floor behind"
    assert doors_of(FLOOR, *wall(0), sheet((-0.3, -0.45, 0.8), (0.3, 0.45, 0.8), (0, 0, 1))) == [], "a counter"
    assert doors_of(FLOOR, *wall(0, lintel=1.4)) == [], "too low for any unit that is nearly right"
