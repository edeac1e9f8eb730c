"""Colliders and their figures, judged by trimesh and by rays through a doorway."""

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import trimesh
from scipy.spatial import ConvexHull

from lyra_sim.collision.build import collide, merged
from lyra_sim.collision.describe import describe
from lyra_sim.collision.hulls import MOST_VERTICES, hull_of
from lyra_sim.collision.measure import View, area_samples, blocked_share, depth_distance, surface_distance
from lyra_sim.collision.static_mesh import rest_of
from lyra_sim.config.geometry3d import CollideConfig, ConvexConfig, SurfaceConfig
from lyra_sim.core.records import (
    Frames,
    Fused,
    Intrinsics,
    Label,
    PosedFrames,
    Provenance,
    SpaceGrid,
    TriMesh,
    World,
    WorldFrame,
)
from lyra_sim.surface.build import build_surface

VOXEL = 0.04
CAMERA = Intrinsics(fx=60.0, fy=60.0, cx=60.0, cy=45.0, width=120, height=90)


def flat_with_door() -> trimesh.Trimesh:
    """Floor, outer walls seen from inside, a partition at y = 0 with a 0.9 m doorway, a box. Fine triangles."""
    boxes = [
        trimesh.creation.box(bounds=[[-2, -0.05, 0], [-0.45, 0.05, 2.4]]),
        trimesh.creation.box(bounds=[[0.45, -0.05, 0], [2, 0.05, 2.4]]),
        trimesh.creation.box(bounds=[[1.0, 1.0, 0.0], [1.5, 1.5, 0.5]]),
    ]
    shell = trimesh.creation.box(bounds=[[-2, -2, 0], [2, 2, 2.4]])
    shell.invert()
    mesh = trimesh.util.concatenate([shell, *boxes])
    vertices, faces = trimesh.remesh.subdivide_to_size(mesh.vertices, mesh.faces, 0.12)
    return trimesh.Trimesh(vertices, faces)


def poses() -> np.ndarray:
    """Cameras 1.2 m high on both sides of the partition, looking around, down and up: all of it is seen."""
    out = []
    for x, y in ((0.0, -1.2), (0.0, 1.2), (-1.2, -0.8), (-1.0, 0.9)):
        for yaw, tilt in product(np.arange(0, 2 * np.pi, np.pi / 3), (-0.35, 0.35)):
            forward = np.array([np.cos(yaw), np.sin(yaw), tilt])
            forward /= np.linalg.norm(forward)
            right = np.cross(forward, [0, 0, 1.0])
            right /= np.linalg.norm(right)
            pose = np.eye(4)
            pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
            pose[:3, 3] = [x, y, 1.2]
            out.append(pose)
    return np.stack(out)


def rays_of(pose):
    u, v = np.meshgrid(np.arange(120) + 0.5, np.arange(90) + 0.5)
    ray = np.stack([(u - 60) / 60, (v - 45) / 60, np.ones_like(u)], -1).reshape(-1, 3)
    return ray @ pose[:3, :3].T


@pytest.fixture(scope="module")
def flat():
    mesh = flat_with_door()
    depth = np.zeros((len(poses()), 90, 120), np.float32)
    for t, pose in enumerate(poses()):
        along = rays_of(pose)
        hit, ray, _ = mesh.ray.intersects_location(np.tile(pose[:3, 3], (len(along), 1)), along, multiple_hits=False)
        depth[t].reshape(-1)[ray] = (hit - pose[:3, 3]) @ pose[:3, 2]
    world = world_of(depth)
    fused = Fused(mesh=record_of(mesh), space=carved(depth))
    return mesh, world, fused, build_surface(world, fused, SurfaceConfig(texture_px=512))


def record_of(mesh) -> TriMesh:
    return TriMesh(
        vertices=np.array(mesh.vertices, np.float32),
        faces=np.array(mesh.faces, np.int32),
        vertex_color=np.full((len(mesh.vertices), 3), 128, np.uint8),
        face_label=np.zeros(len(mesh.faces), np.uint8),
        face_origin=np.ones(len(mesh.faces), np.uint8),
    )


def world_of(depth) -> World:
    frames = Frames(
        images=np.full((*depth.shape, 3), 120, np.uint8),
        depth_m=depth,
        valid=depth > 0,
        origin=np.ones(depth.shape, np.uint8),
        label=np.zeros(depth.shape, np.uint8),
        cam_to_world=poses(),
        intrinsics=CAMERA,
    )
    frame = WorldFrame(
        metric="sensor", gravity="planes", gravity_sigma_rad=0.0, scale_sigma=0.0, T_world_source=np.eye(4)
    )
    provenance = Provenance(backend="test", version="0", config_hash="", seed=0, inputs=(), licences=())
    start = PosedFrames(frames=frames, frame=frame, environment="indoor", provenance=provenance)
    return World(start=start, segments=())


def carved(depth) -> SpaceGrid:
    """Voxels along the rays are free, voxels at their ends are surface."""
    origin, shape = np.array([-2.2, -2.2, -0.2]), (110, 110, 70)
    state = np.zeros(shape, np.uint8)
    for pose, image in zip(poses(), depth, strict=True):
        end = pose[:3, 3] + rays_of(pose) * image.reshape(-1, 1)
        for s in np.linspace(0.02, 0.98, 80):
            cell = np.floor((pose[:3, 3] + s * (end - pose[:3, 3]) - origin) / VOXEL).astype(int)
            state[tuple(cell.T)] = np.maximum(state[tuple(cell.T)], 1)
        cell = np.floor((end - origin) / VOXEL).astype(int)
        state[tuple(cell.T)] = 2
    return SpaceGrid(origin_m=origin, voxel_m=VOXEL, state=state)


CONVEX = CollideConfig(backends=(ConvexConfig(),))


@pytest.fixture(scope="module")
def convex(flat):
    _, world, fused, surface = flat
    return collide(surface, world, fused, CONVEX)


def test_every_backend_is_measured_and_the_better_one_chosen(flat):
    _, world, fused, surface = flat
    got = collide(surface, world, fused, CollideConfig())
    assert set(got.alternatives) == {"static_mesh", "convex"}
    assert got.backend == "static_mesh"
    assert got.measured == got.alternatives["static_mesh"]
    assert got.measured["surface_p95_m"] < 0.01
    assert got.measured["depth_p95_m"] < 0.01
    for figures in got.alternatives.values():
        assert figures["free_blocked_share"] <= 0.01
    assert got.alternatives["convex"]["surface_p95_m"] < 0.08


def test_hulls_leave_the_doorway_open_and_the_walls_shut(convex):
    got = convex
    assert got.backend == "convex"
    for part in got.parts:
        assert part.kind == "hull"
        assert len(part.vertices) <= MOST_VERTICES
    solid = trimesh.Trimesh(*merged(got.parts), process=False)
    x, z = (g.ravel() for g in np.meshgrid(np.linspace(-0.35, 0.35, 15), np.linspace(0.1, 2.0, 15)))
    start = np.column_stack([x, np.full(len(x), -0.8), z])
    through = np.tile([0.0, 1.6, 0.0], (len(x), 1))
    hit, _, _ = solid.ray.intersects_location(start, through, multiple_hits=False)
    assert not (np.abs(hit[:, 1]) < 0.8).any()
    start[:, 0] = -1.2 + x
    hit, ray, _ = solid.ray.intersects_location(start, through, multiple_hits=False)
    assert np.isin(np.arange(len(x)), ray[np.abs(hit[:, 1] + 0.05) < 0.06]).mean() > 0.95


def test_the_parts_file_says_what_each_part_is(convex):
    got = json.loads(json.dumps(describe(convex)))
    assert got["backend"] == "convex" and set(got["measured"]) == {"convex"}
    assert [row["name"] for row in got["parts"]["convex"]] == [part.name for part in convex.parts]
    assert {row["class"] for row in got["parts"]["convex"]} >= {"floor", "wall"}
    for row, part in zip(got["parts"]["convex"], convex.parts, strict=True):
        solid = trimesh.Trimesh(part.vertices, part.faces, process=False)
        assert row["area_m2"] == pytest.approx(solid.area, rel=1e-3, abs=1e-4)
        assert row["volume_m3"] == pytest.approx(solid.volume, rel=1e-3, abs=1e-4)
        assert 0.019 <= row["least_width_m"] <= min(np.subtract(row["high_m"], row["low_m"])) + 1e-3


def test_a_box_becomes_a_few_solid_hulls(convex):
    near = [(part, part.vertices[:, :2]) for part in convex.parts if part.label != 1]
    hulls = [part for part, xy in near if (xy.min(axis=0) > 0.9).all() and (xy.max(axis=0) < 1.6).all()]
    assert 1 <= len(hulls) <= 4
    volume = sum(ConvexHull(part.vertices.astype(float)).volume for part in hulls)
    assert 0.08 < volume < 0.2  # the box has 0.125 cubic metres


@pytest.mark.parametrize(
    ("size", "at", "stays"),
    [
        ((0.3, 0.3, 0.008), (-1.0, -1.0, 0.0), False),
        ((0.03, 0.03, 0.03), (-1.0, -1.0, 0.0), False),
        ((0.03, 0.03, 0.03), (-1.0, -1.0, 0.7), False),
        ((0.6, 0.06, 0.03), (-1.0, -1.0, 0.0), True),
        ((0.05, 0.05, 0.05), (-1.0, -1.0, 0.0), True),
        ((0.3, 0.3, 0.008), (-1.0, -1.0, 0.7), True),
    ],
    ids=["low bump", "speck", "floating speck", "cable duct", "small thing", "board in the air"],
)
def test_bumps_of_the_floor_and_specks_are_no_colliders(flat, size, at, stays: bool):
    surface = flat[3]
    thing = trimesh.creation.box(size)
    thing.apply_translation(np.add(at, (0.0, 0.0, size[2] / 2)))
    near, extra = surface.near, record_of(trimesh.Trimesh(*trimesh.remesh.subdivide(thing.vertices, thing.faces)))
    both = TriMesh(
        vertices=np.concatenate([near.vertices, extra.vertices]),
        faces=np.concatenate([near.faces, extra.faces + len(near.vertices)]),
        vertex_color=np.concatenate([near.vertex_color, extra.vertex_color]),
        face_label=np.concatenate([near.face_label, np.full(len(extra.faces), Label.OBJECT, np.uint8)]),
        face_origin=np.concatenate([near.face_origin, extra.face_origin]),
    )
    bare, full = rest_of(surface), rest_of(replace(surface, near=both))
    assert len(full.faces) - len(bare.faces) == (len(extra.faces) if stays else 0)


def test_same_input_same_bytes(flat, convex):
    _, world, fused, surface = flat
    two = collide(surface, world, fused, CONVEX)
    assert [p.vertices.tobytes() + p.faces.tobytes() for p in convex.parts] == [
        p.vertices.tobytes() + p.faces.tobytes() for p in two.parts
    ]
    assert convex.measured == two.measured
    again = build_surface(world, fused, SurfaceConfig(texture_px=512))
    for a, b in ((surface.near.faces, again.near.faces), (surface.visual.uv, again.visual.uv)):
        assert a.tobytes() == b.tobytes()
    assert surface.visual.texture.tobytes() == again.visual.texture.tobytes()
    assert surface.splats.means.tobytes() == again.splats.means.tobytes()


def test_distances_agree_with_trimesh():
    ball = trimesh.creation.icosphere(subdivisions=3, radius=1.0)
    bigger = trimesh.creation.icosphere(subdivisions=3, radius=1.03)
    got = surface_distance(bigger.vertices, bigger.faces, ball.vertices, ball.faces, 1, samples=4000)
    ways = [
        np.abs(trimesh.proximity.closest_point(b, area_samples(a.vertices, a.faces, 1500, 7))[1])
        for a, b in ((bigger, ball), (ball, bigger))
    ]
    assert got["median_m"] == pytest.approx(max(np.median(w) for w in ways), abs=5e-4)
    assert got["p95_m"] == pytest.approx(max(np.percentile(w, 95) for w in ways), abs=5e-4)


def wall_view(z=3.0) -> View:
    return View(
        depth_m=np.full((90, 120), z, np.float32),
        measured=np.ones((90, 120), bool),
        camera=CAMERA,
        T_world_cam=np.eye(4),
    )


def square(z, side):
    s = side / 2
    vertices = np.array([[-s, -s, z], [s, -s, z], [s, s, z], [-s, s, z]], float)
    return vertices, np.array([[0, 1, 2], [0, 2, 3]])


def test_a_sheet_before_the_wall_blocks_by_its_share_of_the_rays():
    sheet = square(1.5, 1.0)
    along = rays_of(np.eye(4))[::10]
    inside = (np.abs(along[:, :2] * 1.5) <= 0.5).all(axis=1).mean()
    assert blocked_share(*sheet, [wall_view()]) == pytest.approx(inside, abs=1e-6)
    assert blocked_share(*square(2.98, 20.0), [wall_view()]) == 0.0
    assert blocked_share(*square(3.0, 20.0), [wall_view()]) == 0.0


def test_what_lies_on_measured_points_does_not_block():
    sheet = square(1.5, 1.0)
    assert blocked_share(*sheet, [wall_view(), wall_view(1.5)]) == 0.0


def test_depth_distance_is_that_of_the_pixels():
    got = depth_distance(*square(2.9, 40.0), [wall_view()])
    assert got["median_m"] == pytest.approx(0.1, abs=1e-5)
    assert got["p95_m"] == pytest.approx(0.1, abs=1e-5)


def test_hulls_are_closed_thin_enough_and_wound_outwards():
    rng = np.random.default_rng(0)
    vertices, faces = hull_of(rng.normal(size=(400, 3)))
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    assert len(vertices) <= MOST_VERTICES
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(ConvexHull(vertices).volume)
