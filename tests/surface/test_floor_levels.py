"""Thresholds, kerbs, ramps and bumps in the repaired floor, judged by the heights they were built with."""

import numpy as np
import pytest
import trimesh
from scipy import ndimage

from lyra_sim.core.records import FloorGrid
from lyra_sim.geometry.rays import RayScene
from lyra_sim.surface.floor_mesh import floor_triangles
from lyra_sim.surface.label import floor_faces
from tests.surface.test_floor_repair import at, find, height_field

RISE = np.tan(np.radians(5.0))


def noisy(height, sigma=0.0015, seed=1):
    """The same height with noise of a fused depth camera."""
    rng = np.random.default_rng(seed)
    return lambda x, y: height(x, y) + rng.normal(0.0, sigma, x.shape)


def sill(x, y):
    return np.where(np.abs(x - 0.3) <= 0.06, 0.02, 0.0)


def podium(x, y):
    """A ramp of 5 degrees along x, 0.8 m wide, up to a deck of 10 cm; floor around both."""
    up = np.clip((x + 1.2) * RISE, 0.0, 0.1)
    return np.where((np.abs(y) <= 0.4) & (x < 0.8), up, 0.0)


def height_of(floor, x, y, top=0.3):
    """Height of the floor's triangles by vertical rays, NaN where they are open."""
    v, f, _ = floor_triangles(floor.grid)
    start = np.column_stack([x, y, np.full(len(x), top)])
    depth, _, _ = RayScene(v, f).cast(start, np.broadcast_to([0.0, 0.0, -1.0], start.shape))
    return np.where(np.isfinite(depth), top - depth, np.nan)


def test_a_sill_of_two_centimetres_is_floor_with_sharp_sides():
    mesh = height_field(noisy(sill))
    floor = find(mesh)
    x = np.linspace(-1.0, 1.0, 81)
    x = x[np.abs(np.abs(x - 0.3) - 0.06) > 0.025]
    got = height_of(floor, x, np.full(len(x), 0.0137))
    np.testing.assert_allclose(got, sill(x, 0), atol=0.0025)
    centre = mesh.vertices[mesh.faces].mean(axis=1)
    near = (np.abs(centre[:, 0] - 0.3) < 0.2) & (np.abs(centre[:, 1]) < 1.3)
    assert floor_faces(mesh, floor, 0.015, np.zeros(floor.grid.state.shape))[near].mean() > 0.995, (
        "nothing of the measured sill is left beside the grid's"
    )


def test_low_sides_are_closed_and_face_the_lower_floor():
    state = np.ones((8, 9), np.uint8)
    height = np.zeros((8, 9), np.float32)
    height[3:5, 2:6] = 0.02
    height[6:, 7:] = 0.2
    grid = FloorGrid(origin_m=np.array([-0.1, 0.3]), cell_m=0.025, state=state, height_m=height)
    v, f, _ = floor_triangles(grid)
    mesh = trimesh.Trimesh(v, f, process=False)
    upright = np.abs(mesh.face_normals[:, 2]) < 1e-6
    assert mesh.area_faces[upright].sum() == pytest.approx(2 * (2 + 4) * 0.025 * 0.02), "not the side of 20 cm"
    middle = np.array([-0.1 + 4 * 0.025, 0.3 + 4 * 0.025])
    away = mesh.triangles_center[upright][:, :2] - middle
    assert (np.einsum("nk,nk->n", mesh.face_normals[upright][:, :2], away) > 0).all()


def test_a_bump_of_one_centimetre_is_seen_and_not_felt():
    def bump(x, y):
        return np.where((np.abs(x - 0.4) <= 0.15) & (np.abs(y) <= 0.15), 0.01, 0.0)

    floor = find(height_field(noisy(bump)))
    assert at(floor, 0.4, 0.0) == (1, 0.0)
    relief = floor.relief_m[floor.relief_m > 0]
    assert relief == pytest.approx(np.full(len(relief), 0.01), abs=0.002)
    assert len(relief) * 0.025**2 == pytest.approx(0.09, rel=0.25)


def test_a_gentle_swell_is_no_relief():
    floor = find(height_field(noisy(lambda x, y: 0.012 * np.exp(-(x**2 + y**2) / 0.3))))
    assert not floor.relief_m.any()


def test_a_ramp_leads_from_the_floor_to_a_deck():
    floor = find(height_field(noisy(podium), x=(-2.0, 1.9), y=(-1.6, 1.6)))
    x = np.linspace(-1.9, 0.72, 60)
    got = height_of(floor, x, np.full(len(x), 0.013))
    np.testing.assert_allclose(got, podium(x, 0), atol=0.004)
    ramp = (x > -1.15) & (x < -0.12)
    slope = np.degrees(np.arctan(np.polyfit(x[ramp], got[ramp], 1)[0]))
    assert slope == pytest.approx(5.0, abs=0.3)
    beside = height_of(floor, x, np.full(len(x), 0.6))
    np.testing.assert_allclose(beside, 0.0, atol=1e-6)


def test_levels_joined_by_a_ramp_keep_their_heights_and_their_kerb():
    def street(x, y):
        return np.where(np.abs(y) <= 0.6, np.clip((x + 0.2) * RISE, 0, 0.1), np.where(x > 0.95, 0.1, 0.0))

    mesh = height_field(noisy(street), x=(-2.5, 2.5), y=(-2.0, 2.0))
    floor = find(mesh, environment="outdoor")
    for y in (-1.5, 0.0, 1.5):
        assert height_of(floor, [-1.5], [y])[0] == pytest.approx(0.0, abs=0.002)
        assert height_of(floor, [1.8], [y])[0] == pytest.approx(0.1, abs=0.002)
    heights = floor.grid.height_m[floor.grid.state > 0]
    apart = np.minimum(np.abs(heights), np.abs(heights - 0.1)) > 0.004
    assert apart.sum() * 0.025**2 < 1.2 * 1.2, "only the ramp lies between the levels"


def test_the_ragged_noise_of_a_warped_scan_is_no_relief():
    rng = np.random.default_rng(4)

    def warped(x, _):
        return 0.5 * ndimage.gaussian_filter(rng.normal(0.0, 0.1, x.shape), 4.0, mode="wrap")

    mesh = height_field(lambda x, y: warped(x, y) + rng.normal(0.0, 0.003, x.shape))
    assert not find(mesh).relief_m.any()
