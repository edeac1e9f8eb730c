"""Thin things that the fused surface lacks, seen by cameras in a row before a wall."""

import numpy as np
import pytest

from lyra_sim.core.records import Intrinsics, Label, PixelOrigin, TriMesh
from lyra_sim.geometry.camera import pixel_rays
from lyra_sim.geometry.rays import RayScene
from lyra_sim.surface.rims import rims
from lyra_sim.surface.views import View

CAMERA = Intrinsics(fx=200.0, fy=200.0, cx=80.0, cy=60.0, width=160, height=120)
WALL_M, POLE_M, HALF_M = 2.0, 1.5, 0.03
VOXEL_M = 0.02


def wall() -> TriMesh:
    """A square wall 2 m before the cameras, which look along z."""
    corners = np.array([[-3, -3, WALL_M], [3, -3, WALL_M], [3, 3, WALL_M], [-3, 3, WALL_M]], np.float32)
    faces = np.array([[0, 2, 1], [0, 3, 2]], np.int32)
    floor = np.full(2, int(Label.FLOOR), np.uint8)
    return TriMesh(
        vertices=corners,
        faces=faces,
        vertex_color=np.zeros((4, 3), np.uint8),
        face_label=floor,
        face_origin=np.ones(2, np.uint8),
    )


def view(x: float, *, pole: bool = True, origin: PixelOrigin = PixelOrigin.MEASURED) -> View:
    """A camera at x that measures the wall and, where asked, an upright strip 6 cm wide 0.5 m before it."""
    at_pole = x + pixel_rays(CAMERA)[..., 0] * POLE_M
    depth = np.where(pole & (np.abs(at_pole) < HALF_M), POLE_M, WALL_M).astype(np.float32)
    pose = np.eye(4)
    pose[0, 3] = x
    image = np.where(depth[..., None] < WALL_M, np.uint8(200), np.uint8(50)).repeat(3, 2).astype(np.uint8)
    return View(
        image=image, origin=np.full(depth.shape, origin, np.uint8), camera=CAMERA, cam_to_world=pose, depth_m=depth
    )


PLACES = np.linspace(-0.2, 0.2, 5)


def test_a_pole_that_the_mesh_lacks_comes_back_where_it_was_measured():
    found = rims(wall(), [view(x) for x in PLACES], VOXEL_M, 50_000)
    assert np.abs(found.vertices[:, 2] - POLE_M).max() < 0.002
    assert np.ptp(found.vertices[:, 0]) == pytest.approx(2 * HALF_M, abs=2 * POLE_M / CAMERA.fx)
    ahead = np.array([[0.0, y, 0.0] for y in (-0.3, 0.0, 0.3)])
    t, face, _ = RayScene(found.vertices, found.faces).cast(ahead, np.tile([0.0, 0.0, 1.0], (3, 1)))
    assert t == pytest.approx(POLE_M, abs=0.002)
    corners = found.vertices[found.faces[face]]
    assert (np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] < 0).all()
    assert (found.vertex_color == 200).mean() > 0.9
    assert (found.face_label == Label.OBJECT).all()


def test_further_views_add_only_what_is_missing():
    few, many = (rims(wall(), [view(x) for x in places], VOXEL_M, 50_000) for places in (PLACES[:4], PLACES))
    assert len(many.faces) < 1.2 * len(few.faces)


@pytest.mark.parametrize(
    "views",
    [
        [view(x, pole=False) for x in PLACES],
        [view(x) for x in PLACES[:3]],
        [view(x, pole=k < 4) for k, x in enumerate(np.linspace(-0.2, 0.2, 8))],
        [view(x, origin=PixelOrigin.GENERATED) for x in PLACES],
    ],
    ids=["nothing there", "too few saw it", "as many saw through it", "generated"],
)
def test_what_is_not_confirmed_by_measurements_stays_out(views):
    assert len(rims(wall(), views, VOXEL_M, 50_000).faces) == 0


def test_the_budget_is_kept_and_far_things_are_left_to_the_voxels():
    views = [view(x) for x in PLACES]
    assert len(rims(wall(), views, VOXEL_M, 10).faces) == 0
    assert len(rims(wall(), views, 2 * POLE_M / CAMERA.fx * 0.99, 50_000).faces) == 0
