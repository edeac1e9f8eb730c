"""Of what a walk is said to have seen, only that stays which a measurement bears out."""

import numpy as np
import trimesh

from lyra_sim.collision.measure import View
from lyra_sim.core.records import FaceOrigin, Intrinsics, Label, TriMesh
from lyra_sim.geometry.camera import pixel_rays
from lyra_sim.surface.support import supported, without_unsupported

CAMERA = Intrinsics(fx=130.0, fy=130.0, cx=80.0, cy=60.0, width=160, height=120)
POST = trimesh.creation.box(bounds=[[-0.2, -0.05, 1.5], [0.2, 1.0, 1.6]])
WALL = trimesh.creation.box(bounds=[[-3, -2, 3.0], [3, 2, 3.1]])
SIDE = trimesh.creation.box(bounds=[[1.2, -2, 0.0], [1.3, 2, 3.0]])
"""A wall that the camera looks along."""
FIN = trimesh.creation.box(bounds=[[0.1, 0.5, 1.66], [0.2, 0.6, 1.72]])
"""In the shadow behind the post."""


def fine(*solids: trimesh.Trimesh) -> trimesh.Trimesh:
    whole = trimesh.util.concatenate(solids)
    return trimesh.Trimesh(*trimesh.remesh.subdivide_to_size(whole.vertices, whole.faces, 0.03), process=False)


def look(scene: trimesh.Trimesh, noise_m: float = 0.002) -> View:
    """Depth of the scene from the origin, along +z, by trimesh's own rays."""
    rays = pixel_rays(CAMERA).reshape(-1, 3)
    caster = trimesh.ray.ray_pyembree.RayMeshIntersector(scene)
    at, ray, _ = caster.intersects_location(np.zeros_like(rays), rays, multiple_hits=False)
    depth = np.zeros(len(rays), np.float32)
    depth[ray] = at[:, 2] + np.random.default_rng(1).normal(0, noise_m, len(ray))
    depth = depth.reshape(CAMERA.height, CAMERA.width)
    return View(depth_m=depth, measured=depth > 0, camera=CAMERA, T_world_cam=np.eye(4))


def record(mesh: trimesh.Trimesh, label: Label, origin: FaceOrigin) -> TriMesh:
    return TriMesh(
        vertices=np.array(mesh.vertices, np.float32),
        faces=np.array(mesh.faces, np.int32),
        vertex_color=np.full((len(mesh.vertices), 3), 128, np.uint8),
        face_label=np.full(len(mesh.faces), int(label), np.uint8),
        face_origin=np.full(len(mesh.faces), int(origin), np.uint8),
    )


def seen_part(scene: trimesh.Trimesh) -> np.ndarray:
    """Faces whose centre a ray from the camera reaches, inside the image."""
    centre = scene.triangles_center
    u = centre[:, :2] / np.maximum(centre[:, 2:], 0.05) * 130 + [80, 60]
    inside = (centre[:, 2] > 0.3) & (u > 2).all(axis=1) & (u < [158, 118]).all(axis=1)
    caster = trimesh.ray.ray_pyembree.RayMeshIntersector(scene)
    first = caster.intersects_first(np.zeros_like(centre), centre)
    return inside & (first == np.arange(len(centre)))


def test_what_was_seen_stays_and_what_hangs_in_a_shadow_goes():
    scene, fin = fine(POST, WALL, SIDE), fine(FIN)
    view = look(scene)
    seen = seen_part(scene)
    assert seen.sum() > 1000
    assert supported(record(scene, Label.OBJECT, FaceOrigin.SEEN), (view,))[seen].mean() > 0.99
    assert not supported(record(fin, Label.OBJECT, FaceOrigin.SEEN), (view,)).any()


def test_a_wall_that_is_measured_far_between_stays():
    scene = fine(SIDE)
    seen = seen_part(scene) & (scene.triangles_center[:, 2] > 2.0)
    view = look(scene)
    assert supported(record(scene, Label.WALL, FaceOrigin.SEEN), (view,))[seen].mean() > 0.97


def test_floor_and_what_was_generated_or_filled_is_not_asked():
    fin, view = fine(FIN), look(fine(WALL))
    for label, origin, stays in (
        (Label.OBJECT, FaceOrigin.SEEN, False),
        (Label.FLOOR, FaceOrigin.SEEN, True),
        (Label.OBJECT, FaceOrigin.GENERATED, True),
        (Label.OBJECT, FaceOrigin.FILLED, True),
    ):
        left = without_unsupported(record(fin, label, origin), (view,))
        assert len(left.faces) == (len(fin.faces) if stays else 0), (label, origin)
