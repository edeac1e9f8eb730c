"""The renderer against analytic planes and a slow ray tracer; walks, photos and what is written of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lyra_sim.core.errors import InputError
from lyra_sim.core.records import Label
from lyra_sim.geometry.camera import backproject, pixel_rays, transform
from lyra_sim.procedural.cameras import look, photo_camera, pinhole, walk_cameras
from lyra_sim.procedural.example import photo_set, random_rotation
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.render import render
from lyra_sim.procedural.scene import ProceduralScene
from lyra_sim.procedural.street import make_street
from lyra_sim.procedural.truth import floor_height, truth_distance
from lyra_sim.procedural.write import DepthNoise, scene_of, write_photo, write_walk
from lyra_sim.sources.discover import discover

CAMERA = pinhole(96, 72, 75.0)


@pytest.fixture(scope="module")
def flat() -> ProceduralScene:
    return make_flat(2)


@pytest.fixture(scope="module")
def street() -> ProceduralScene:
    return make_street(1)


def _slow_trace(scene: ProceduralScene, origin: np.ndarray, way: np.ndarray) -> tuple[float, int]:
    """Moeller and Trumbore over all triangles in float64: (distance in units of |way|, face)."""
    p = scene.vertices[scene.faces].astype(np.float64)
    e1, e2 = p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]
    h = np.cross(way, e2)
    det = np.einsum("ij,ij->i", e1, h)
    ok = np.abs(det) > 1e-14
    inv = np.where(ok, 1 / np.where(ok, det, 1), 0)
    s = origin - p[:, 0]
    u = inv * np.einsum("ij,ij->i", s, h)
    q = np.cross(s, e1)
    v, t = inv * (q @ way), inv * np.einsum("ij,ij->i", e2, q)
    hit = ok & (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 1e-9)
    face = int(np.argmin(np.where(hit, t, np.inf)))
    return (float(t[face]), face) if hit.any() else (np.inf, -1)


@pytest.mark.parametrize("name", ["flat", "street"])
def test_depth_normals_and_labels_equal_a_slow_ray_tracer(name: str, request: pytest.FixtureRequest) -> None:
    scene = request.getfixturevalue(name)
    pose = photo_camera(scene, 0, height_m=1.4, pitch_deg=12, intrinsics=CAMERA)
    view = render(scene, pose, CAMERA, colour=False)
    ways = pixel_rays(CAMERA) @ pose[:3, :3].T
    rng = np.random.default_rng(0)
    wrong = 0
    for v, u in zip(rng.integers(72, size=60), rng.integers(96, size=60), strict=True):
        t, face = _slow_trace(scene, pose[:3, 3], ways[v, u])
        assert view.valid[v, u] == (face >= 0)
        if face < 0:
            assert view.label[v, u] == Label.SKY
            continue
        assert view.depth_m[v, u] == pytest.approx(t, abs=1e-4 * max(t, 1))
        assert view.normal[v, u] @ ways[v, u] < 0, "normals look at the camera"
        wrong += view.label[v, u] != scene.face_label[face]
    assert wrong <= 1


def test_floor_pixels_lie_on_the_floor_plane(flat: ProceduralScene) -> None:
    pose = photo_camera(flat, 3, height_m=1.2, pitch_deg=25, intrinsics=CAMERA)
    view = render(flat, pose, CAMERA, colour=False)
    floor = view.valid & (view.label == Label.FLOOR) & (view.normal[..., 2] > 0.99)
    points = backproject(view.depth_m, floor, CAMERA, pose)
    assert len(points) > 500
    assert (np.minimum(np.abs(points[:, 2]), np.abs(points[:, 2] - 0.006)) < 1e-5).all()


def test_backprojected_depth_lies_on_the_surface(street: ProceduralScene) -> None:
    pose = photo_camera(street, 1, height_m=1.6, pitch_deg=5, intrinsics=CAMERA)
    view = render(street, pose, CAMERA, colour=False)
    near = view.valid & (view.depth_m < 20)
    assert truth_distance(street, backproject(view.depth_m, near, CAMERA, pose)).max() < 1e-4


def test_rendering_twice_gives_the_same_bytes_and_texture(flat: ProceduralScene) -> None:
    pose = walk_cameras(flat, 0, 5)[2]
    a, b = (render(flat, pose, pinhole(160, 120, 75), noise_seed=4) for _ in range(2))
    assert a.image.tobytes() == b.image.tobytes() and a.depth_m.tobytes() == b.depth_m.tobytes()
    other = render(flat, pose, pinhole(160, 120, 75), noise_seed=5)
    assert other.image.tobytes() != a.image.tobytes()


@pytest.mark.parametrize("name", ["flat", "street"])
def test_colours_are_textured_and_exposed(name: str, request: pytest.FixtureRequest) -> None:
    scene = request.getfixturevalue(name)
    for k in range(3):
        pose = photo_camera(scene, k, height_m=1.5, pitch_deg=15, intrinsics=CAMERA)
        view = render(scene, pose, pinhole(192, 144, 75.0))
        gray = view.image.mean(2)
        assert 40 < gray.mean() < 215 and (gray > 252).mean() < 0.2 and (gray < 4).mean() < 0.2
        floor = view.label == Label.FLOOR
        assert gray[floor].std() > 1.5
        flat_steps = np.abs(np.diff(gray, axis=1))[floor[:, 1:] & floor[:, :-1]]
        assert (flat_steps > 0.3).mean() > 0.1, "texture, not only shading"


def test_walk_is_collision_free_upright_and_sees_the_rooms(flat: ProceduralScene) -> None:
    cameras = walk_cameras(flat, 0, 60)
    eye = cameras[:, :3, 3]
    assert np.allclose(cameras[:, :3, :3] @ cameras[:, :3, :3].transpose(0, 2, 1), np.eye(3), atol=1e-12)
    height = eye[:, 2] - np.nan_to_num(floor_height(flat, eye[:, :2]))
    assert (np.abs(height - 1.5) < 0.15).all()
    assert truth_distance(flat, eye).min() > 0.2
    assert (cameras[:, 2, 1] < -0.5).all(), "the camera's y axis points down"
    for x0, y0, x1, y1 in flat.rooms_m:
        inside = (eye[:, 0] > x0) & (eye[:, 0] < x1) & (eye[:, 1] > y0) & (eye[:, 1] < y1)
        assert inside.sum() >= 4
    assert np.linalg.norm(eye[0, :2] - eye[-1, :2]) < 0.3, "the walk closes"


def test_photo_set_spreads_height_pitch_and_lens_and_shows_ground_and_things() -> None:
    heights, pitches, floors, uprights = [], [], [], []
    for scene, pose, camera in photo_set(3, 6, width=96):
        view = render(scene, pose, camera, colour=False)
        ground = floor_height(scene, pose[None, :2, 3])[0]
        heights.append(pose[2, 3] - ground)
        pitches.append(np.degrees(np.arcsin(-pose[2, 2])))
        assert np.degrees(2 * np.arctan(48 / camera.fx)) == pytest.approx(70, abs=20.5)
        assert abs(np.degrees(np.arctan2(pose[2, 0], -pose[2, 1]))) < 4.5, "roll"
        floors.append((view.label == Label.FLOOR).mean())
        uprights.append((view.valid & (np.abs(view.normal[..., 2]) < 0.5)).mean())
        stands = view.depth_m[view.valid & (view.label != Label.FLOOR)]
        assert stands.min() > 0.4
    assert min(heights) < 0.75 and max(heights) > 1.45 and min(heights) >= 0.4 and max(heights) <= 1.8
    assert min(pitches) < 3 and max(pitches) > 32
    assert np.median(floors) > 0.25 and np.median(uprights) > 0.15


def test_walk_on_disk_is_the_scene_in_a_turned_frame(flat: ProceduralScene, tmp_path: Path) -> None:
    turn = random_rotation(np.random.default_rng(8))
    cameras = walk_cameras(flat, 0, 3)
    write_walk(tmp_path / "walk", flat, cameras, CAMERA, rotate=turn)
    poses = np.loadtxt(tmp_path / "walk" / "poses.txt").reshape(-1, 4, 4)
    facts = json.loads((tmp_path / "walk" / "camera.json").read_text())
    assert facts["cx"] == CAMERA.cx - 0.5, "integer pixel centres on disk"
    scene, T_world_source = scene_of(tmp_path / "walk")
    assert np.array_equal(scene.vertices, flat.vertices)
    for k in range(3):
        depth = np.asarray(Image.open(tmp_path / "walk" / "depth" / f"{k:06d}.png"))
        assert depth.dtype == np.uint16 and depth.max() <= 8000 and (depth > 0).mean() > 0.5
        metres = depth.astype(np.float32) / facts["depth_scale"]
        points = backproject(metres, depth > 0, CAMERA, poses[k])
        assert truth_distance(flat, transform(T_world_source, points)).max() < 1.5e-3


def test_same_seed_same_files_and_noise_is_as_stated(flat: ProceduralScene, tmp_path: Path) -> None:
    cameras = walk_cameras(flat, 0, 2)
    for name in ("a", "b"):
        write_walk(tmp_path / name, flat, cameras, CAMERA, depth_noise=DepthNoise(slope=0.0019))
    for file in sorted((tmp_path / "a").rglob("*.*")):
        twin = tmp_path / "b" / file.relative_to(tmp_path / "a")
        assert file.read_bytes() == twin.read_bytes(), file.name
    depth = np.asarray(Image.open(tmp_path / "a" / "depth" / "000000.png")).astype(float) / 1000
    exact = render(flat, cameras[0], CAMERA, colour=False).depth_m
    seen = depth > 0
    z_score = (depth - exact)[seen] / (0.0012 + 0.0019 * (exact[seen] - 0.4) ** 2)
    assert z_score.std() == pytest.approx(1.0, abs=0.1)


def test_photo_on_disk_states_its_lens_and_truth_is_no_input(street: ProceduralScene, tmp_path: Path) -> None:
    camera = pinhole(96, 64, float(np.degrees(2 * np.arctan(18 / 28))))
    pose = look(np.array([0.0, 0.5, 1.5]), 0.1, 0.2)
    write_photo(tmp_path / "street.jpg", street, pose, camera, state_height_m=1.5)
    write_walk(tmp_path / "walk", make_flat(0), walk_cameras(make_flat(0), 0, 2), CAMERA)
    exif = Image.open(tmp_path / "street.jpg").getexif()
    assert exif.get_ifd(0x8769)[0xA405] == 28
    assert json.loads((tmp_path / "street.jpg.camera.json").read_text()) == {"camera_height_m": 1.5}
    scene, T_world_source = scene_of(tmp_path / "street.jpg")
    assert scene.kind == "street" and np.allclose(T_world_source, pose)
    found = discover([tmp_path], "auto")
    assert sorted((s.kind, s.name) for s in found.sources) == [("photo", "street"), ("rgbd", "walk")]


def test_scene_of_refuses_inputs_without_truth(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no truth beside it"):
        scene_of(tmp_path)
    (tmp_path / "truth.json").write_text('{"kind": "castle"}')
    with pytest.raises(InputError, match="castle"):
        scene_of(tmp_path)
