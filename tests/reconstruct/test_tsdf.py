"""Fusion against surfaces known in closed form: accuracy, carving, honesty about filled pixels, order."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
import trimesh

from lyra_sim.config.geometry3d import TsdfConfig
from lyra_sim.core.errors import SceneError
from lyra_sim.core.records import FaceOrigin, Fused, Label, PixelOrigin, PosedFrames, Segment, World
from lyra_sim.depth.sensor import clean_depth
from lyra_sim.geometry.rays import RayScene
from lyra_sim.reconstruct.build import build
from tests.analytic_room import CAMERA, Room, circle, look, posed

VOXEL = 0.03
ROOM = Room(boxes=[((1.0, -0.5, 0.0), (1.6, 0.5, 0.6))], spheres=[((-1.2, 0.3, 0.9), 0.35)])


def fused(start: PosedFrames, *segments: Segment, **settings: float) -> Fused:
    return build(TsdfConfig(voxel_m=VOXEL, **settings))(World(start=start, segments=segments))  # pyright: ignore[reportArgumentType]


def walk(count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    poses = circle(count)
    return np.stack([ROOM.depth(T) for T in poses]), poses


@pytest.fixture(scope="module")
def whole() -> Fused:
    return fused(posed(*walk()))


def test_surface_lies_where_it_is(whole: Fused):
    error = ROOM.distance(whole.mesh.vertices.astype(np.float64))
    assert np.percentile(error, 95) < 0.3 * VOXEL
    assert np.median(error) < 0.05 * VOXEL
    assert (error > 1.5 * VOXEL).mean() < 1e-4, "no phantom shells"


def test_every_measured_pixel_is_covered(whole: Fused):
    depth, poses = walk()
    scene = RayScene(whole.mesh.vertices, whole.mesh.faces)
    v, u = np.mgrid[4 : CAMERA.height - 4 : 5, 4 : CAMERA.width - 4 : 5]
    rays = np.stack([(u + 0.5 - CAMERA.cx) / CAMERA.fx, (v + 0.5 - CAMERA.cy) / CAMERA.fy, np.ones(u.shape)], -1)
    for d, T in zip(depth[::4], poses[::4], strict=True):
        ray = rays.reshape(-1, 3) @ T[:3, :3].T
        hit = scene.cast(np.broadcast_to(T[:3, 3], ray.shape), ray)[0].reshape(u.shape)
        assert (np.abs(hit - d[v, u]) < 2 * VOXEL).mean() > 0.95
        assert (hit < d[v, u] - 2 * VOXEL).mean() < 0.005, "nothing stands in measured free space"


def test_faces_are_wound_towards_free_space(whole: Fused):
    mesh = trimesh.Trimesh(whole.mesh.vertices, whole.mesh.faces, process=False)
    on_floor = np.abs(mesh.triangles_center[:, 2]) < 0.01
    assert on_floor.sum() > 1000 and (mesh.face_normals[on_floor, 2] > 0).all()
    near = np.linalg.norm(mesh.triangles_center - ROOM.spheres[0][0], axis=1) < 0.36
    outward = ((mesh.triangles_center - ROOM.spheres[0][0]) * mesh.face_normals).sum(1)
    assert near.sum() > 100 and (outward[near] > 0).mean() > 0.99


def test_space_is_free_on_the_rays_and_unknown_inside_things(whole: Fused):
    space = whole.space

    def state(*p: float) -> int:
        return int(space.state[tuple(np.floor((np.array(p) - space.origin_m) / space.voxel_m).astype(int))])

    assert state(2.0, 0, 1.5) == 1 and state(0, 1.5, 0.4) == 1
    assert state(1.3, 0, 0.3) == 0 and state(-1.2, 0.3, 0.9) == 0
    assert state(1.3, 0, 0.595) == 2


def test_a_floater_of_one_frame_is_carved(whole: Fused):
    depth, poses = walk(24)
    depth[0, 60:80, 100:130] = 0.9
    mesh = fused(posed(depth, poses)).mesh
    error = ROOM.distance(mesh.vertices.astype(np.float64))
    assert (error > 2 * VOXEL).sum() < 10
    lone = fused(posed(depth[:1], poses[:1])).mesh
    assert (ROOM.distance(lone.vertices.astype(np.float64)) > 0.2).sum() > 15, "with one witness it stays"


def test_no_fins_grow_into_the_shadows_of_jambs_and_legs():
    jamb = [((-0.06, -2.0, 0.0), (0.06, -0.5, 2.5)), ((-0.1, -0.62, 0.0), (0.1, -0.5, 2.1))]
    legs = [((1.0, 0.5, 0.0), (1.05, 0.55, 0.8)), ((1.5, -0.6, 0.0), (1.55, -0.55, 0.8))]
    room = Room(boxes=jamb + legs)
    for eyes in (((0.8, 1.3), (1.4, 1.5), (-0.3, -0.1)), ((1.5, 1.0), (-1.5, 1.0), (2.0, 1.7))):
        poses = np.stack([look((*eye, 1.2), (0.5, -0.2, 0.3)) for eye in eyes])
        depth = np.stack([room.depth(T) for T in poses])
        depth *= [clean_depth(d, d > 0, 0.05) for d in depth.astype(np.float32)]
        found = fused(posed(depth, poses)).mesh
        mesh = trimesh.Trimesh(found.vertices, found.faces, process=False)
        away = room.distance(mesh.triangles_center) > VOXEL
        assert mesh.area_faces[away].sum() < 2e-4 * mesh.area


def test_one_view_has_no_shells_behind_or_beside_silhouettes():
    T = look((-1.5, -1.2, 1.3), (1.3, 0.3, 0.4))
    mesh = fused(posed(ROOM.depth(T)[None], T[None])).mesh
    vertices = mesh.vertices.astype(np.float64)
    assert (ROOM.distance(vertices) > 1.5 * VOXEL).mean() < 2e-3
    assert ROOM.distance(vertices).max() < 3 * VOXEL
    corners = vertices[mesh.faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing = (normal * (T[:3, 3] - corners.mean(1))).sum(1) > 0
    assert facing.mean() > 0.995


def test_filled_pixels_and_sky_make_no_geometry_and_carve_nothing():
    depth, poses = walk(4)
    plain = fused(posed(depth, poses))
    wrong = np.concatenate([depth, 0.5 * depth, 3.0 * depth])
    for changed in (
        {"origin": np.repeat([PixelOrigin.MEASURED, PixelOrigin.FILLED], [4, 8])},
        {"label": np.repeat([Label.UNKNOWN, Label.SKY], [4, 8])},
    ):
        per_pixel = {k: np.broadcast_to(v[:, None, None], wrong.shape).astype(np.uint8) for k, v in changed.items()}
        same = fused(posed(wrong, np.concatenate([poses] * 3), **per_pixel))
        assert np.array_equal(same.mesh.vertices, plain.mesh.vertices)
        assert np.array_equal(same.space.state, plain.space.state)


def test_generated_frames_add_only_what_is_new():
    depth, poses = walk(4)
    start = posed(depth[:1], poses[:1])
    new = posed(depth[1:], poses[1:], origin=np.full(depth[1:].shape, PixelOrigin.GENERATED, np.uint8))
    alone, both = fused(start), fused(start, Segment(index=0, frames=new.frames))
    origins = np.bincount(both.mesh.face_origin, minlength=3)
    assert origins[FaceOrigin.GENERATED] > 0.5 * origins[FaceOrigin.SEEN] > 0
    again = posed(depth[:1], poses[:1], origin=np.full(depth[:1].shape, PixelOrigin.GENERATED, np.uint8))
    same = fused(start, Segment(index=0, frames=again.frames))
    assert np.array_equal(same.mesh.vertices, alone.mesh.vertices)
    assert np.array_equal(same.space.state, alone.space.state)
    assert set(same.mesh.face_origin) == {FaceOrigin.SEEN}


def test_warped_segments_are_no_evidence():
    depth, poses = walk(4)
    start = posed(depth[:1], poses[:1])
    new = posed(depth[1:], poses[1:], origin=np.full(depth[1:].shape, PixelOrigin.GENERATED, np.uint8))
    alone, both = fused(start), fused(start, Segment(index=0, frames=new.frames, warped=True))
    assert np.array_equal(both.mesh.vertices, alone.mesh.vertices)
    assert np.array_equal(both.mesh.vertex_color, alone.mesh.vertex_color)
    assert np.array_equal(both.space.state, alone.space.state)


def test_colours_come_from_the_pixels():
    depth, poses = walk(6)
    images = np.zeros((*depth.shape, 3), np.uint8)
    up = np.stack([_height(d, T) for d, T in zip(depth, poses, strict=True)])
    images[up < 0.01] = (200, 30, 10)
    images[up >= 0.01] = (10, 60, 220)
    mesh = fused(posed(depth, poses, images=images)).mesh
    floor = mesh.vertices[:, 2] < 0.005
    away = mesh.vertices[:, 2] > 0.1
    assert (np.abs(mesh.vertex_color[floor].astype(int) - (200, 30, 10)).max(1) < 60).mean() > 0.9
    assert (np.abs(mesh.vertex_color[away].astype(int) - (10, 60, 220)).max(1) < 3).mean() > 0.95


def _height(depth: np.ndarray, T: np.ndarray) -> np.ndarray:
    v, u = np.mgrid[: CAMERA.height, : CAMERA.width]
    rays = np.stack([(u + 0.5 - CAMERA.cx) / CAMERA.fx, (v + 0.5 - CAMERA.cy) / CAMERA.fy, np.ones(u.shape)], -1)
    return (rays * depth[..., None]) @ T[2, :3] + T[2, 3]


def test_voxels_grow_to_the_memory_limit():
    small = fused(posed(*walk(4)), max_memory_gib=0.001)
    assert small.space.state.nbytes <= 0.001 * 2**30 and small.space.voxel_m > 2 * VOXEL
    assert np.median(ROOM.distance(small.mesh.vertices.astype(np.float64))) < 0.3 * small.space.voxel_m


def test_nothing_to_fuse_is_an_error():
    depth, poses = walk(2)
    with pytest.raises(SceneError, match="expected pixels with measured or generated depth"):
        fused(posed(np.zeros_like(depth), poses))
    with pytest.raises(SceneError, match="max_depth_m"):
        fused(posed(depth + 30.0, poses))


def test_same_bytes_for_any_number_of_threads_and_process():
    code = (
        "import hashlib; from tests.reconstruct.test_tsdf import fused, posed, walk; f = fused(posed(*walk(4)));"
        "print(hashlib.sha256(b''.join(a.tobytes() for a in (f.mesh.vertices, f.mesh.faces, f.mesh.vertex_color,"
        " f.space.state))).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"NUMBA_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(digests) == 1


def test_order_is_canonical(whole: Fused):
    v = np.rint((whole.mesh.vertices - whole.space.origin_m) / whole.space.voxel_m / 1e-3).astype(int)
    assert (np.diff(v[:, 0]) >= -1).all()
    f = whole.mesh.faces
    assert (f[:, 0] == f.min(1)).all() and (np.lexsort((f[:, 2], f[:, 1], f[:, 0])) == np.arange(len(f))).all()


def test_frames_beyond_the_near_field_still_carve():
    depth, poses = walk(6)
    far = posed(depth, poses).frames
    hidden = dataclasses.replace(far, depth_m=np.full(depth.shape, 20.0, np.float32))
    one = posed(depth[:1], poses[:1])
    ghost = dataclasses.replace(
        one, frames=dataclasses.replace(one.frames, depth_m=np.full(depth[:1].shape, 1.0, np.float32))
    )
    with pytest.raises(SceneError, match="contradicted"):
        fused(ghost, *(Segment(index=i, frames=hidden) for i in range(3)))
