"""Rays and distances against trimesh and against paper."""

import numpy as np
import trimesh

from lyra_sim.geometry.rays import RayScene
from lyra_sim.geometry.triangles import nearest_points


def soup(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3, 3))


def test_nearest_points_agree_with_trimesh():
    triangles = soup(4000, 0)
    triangles[:200, 2] = triangles[:200, 1]  # no area
    points = np.random.default_rng(1).normal(size=(4000, 3)) * 2
    expected = trimesh.triangles.closest_point(triangles[200:], points[200:])
    np.testing.assert_allclose(nearest_points(points, triangles)[200:], expected, atol=1e-9)
    flat = nearest_points(points[:200], triangles[:200])
    along = np.linspace(0, 1, 2001)[None, :, None]
    segment = triangles[:200, :1] * (1 - along) + triangles[:200, 1:2] * along
    brute = np.linalg.norm(segment - points[:200, None], axis=2).min(axis=1)
    np.testing.assert_allclose(np.linalg.norm(flat - points[:200], axis=1), brute, atol=2e-3)


def test_distance_is_exact_beside_long_thin_triangles():
    long = np.array([[-60.0, 0, 0], [60, 0, 0], [60, 0.12, 0], [-60, 0.12, 0]])
    scene = RayScene(long, np.array([[0, 1, 2], [0, 2, 3]]))
    x = np.linspace(-59, 59, 500)
    points = np.stack([x, np.full_like(x, 0.06), np.full_like(x, 0.15)], 1)
    np.testing.assert_allclose(scene.distance(points), 0.15, atol=1e-6)


def test_distance_agrees_with_trimesh_on_a_soup():
    triangles = soup(300, 2)
    mesh = trimesh.Trimesh(triangles.reshape(-1, 3), np.arange(900).reshape(-1, 3), process=False)
    points = np.random.default_rng(3).normal(size=(500, 3)) * 2
    _, expected, _ = trimesh.proximity.closest_point(mesh, points)
    np.testing.assert_allclose(RayScene(mesh.vertices, mesh.faces).distance(points), expected, atol=1e-5)


def test_hits_and_misses():
    scene = RayScene(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]]))
    origins = np.array([[0.2, 0.3, 1.0], [2.0, 2.0, 1.0]])
    t, face, uv = scene.cast(origins, np.array([[0, 0, -2.0], [0, 0, -1.0]]))
    np.testing.assert_allclose([t[0], *uv[0]], [0.5, 0.2, 0.3], atol=1e-6)
    assert np.isinf(t[1]) and list(face) == [0, -1]


def test_an_empty_scene_is_never_met():
    empty = RayScene(np.zeros((0, 3)), np.zeros((0, 3), np.int32))
    assert np.isinf(empty.distance(np.zeros((2, 3)))).all()
    t, face, _ = empty.cast(np.zeros((2, 3)), np.ones((2, 3)))
    assert np.isinf(t).all() and (face == -1).all()
