"""RGB-D walks: what is read equals what was written, and each kind of damage has its message."""

import json

import numpy as np
import pytest
from PIL import Image

from lyra_sim.config.capture import CaptureConfig
from lyra_sim.core.errors import InputError
from lyra_sim.sources.capture import read_capture
from lyra_sim.sources.discover import discover
from tests.data import shared_data

SIZE = (72, 96)


def rotation(axis, angle):
    """Rotation about an axis by Rodrigues' formula."""
    x, y, z = np.asarray(axis, float) / np.linalg.norm(axis)
    K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * K @ K


def write_walk(folder, frames=3, size=SIZE):
    """A walk of noise images; returns colour, depth values and poses."""
    rng = np.random.default_rng(1)
    color = rng.integers(0, 255, (frames, *size, 3), dtype=np.uint8)
    depth = rng.integers(500, 4000, (frames, *size)).astype(np.uint16)
    depth[:, :5] = 0
    poses = np.tile(np.eye(4), (frames, 1, 1))
    for i in range(frames):
        (folder / "color").mkdir(parents=True, exist_ok=True)
        (folder / "depth").mkdir(parents=True, exist_ok=True)
        Image.fromarray(color[i]).save(folder / "color" / f"{i:06d}.png")
        Image.fromarray(depth[i]).save(folder / "depth" / f"{i:06d}.png")
        poses[i, :3, :3] = rotation((1, 2, 3), 0.2 * i)
        poses[i, :3, 3] = (i, 2 * i, -i)
    text = "# row-major\n" + "\n".join(" ".join(f"{v:.6f}" for v in pose.ravel()) for pose in poses)
    (folder / "poses.txt").write_text(text)
    camera = {"width": size[1], "height": size[0], "fx": 80.0, "fy": 81.0, "cx": 47.5, "cy": 35.0, "depth_scale": 1000}
    (folder / "camera.json").write_text(json.dumps(camera))
    return color, depth, poses


def read(folder, **settings):
    (source,) = discover([folder]).sources
    return read_capture(source, CaptureConfig(**settings), config_hash="abc", seed=3)


def edit_camera(folder, **changes):
    camera = json.loads((folder / "camera.json").read_text()) | changes
    (folder / "camera.json").write_text(json.dumps({k: v for k, v in camera.items() if v is not None}))


def test_a_walk_is_read_as_written(tmp_path):
    color, depth, poses = write_walk(tmp_path / "flat")
    got = read(tmp_path / "flat")
    np.testing.assert_array_equal(got.images, color)
    np.testing.assert_array_equal(got.depth_valid, depth > 0)
    np.testing.assert_allclose(got.depth_m, depth / 1000.0, rtol=1e-6)
    np.testing.assert_allclose(got.cam_to_world, poses, atol=2e-6)
    R = got.cam_to_world[:, :3, :3]
    np.testing.assert_allclose(R.swapaxes(1, 2) @ R, np.tile(np.eye(3), (3, 1, 1)), atol=1e-12)
    k = got.intrinsics
    assert (k.fx, k.fy, k.cx, k.cy, k.width, k.height) == (80.0, 81.0, 48.0, 35.5, 96, 72)
    assert (got.kind, got.name, got.focal_source, got.camera_height_m) == ("rgbd", "flat", "given", None)
    assert got.provenance.config_hash == "abc" and got.provenance.seed == 3 and got.image_valid.all()


@pytest.mark.parametrize(
    ("name", "frames", "shape", "centre", "valid_share"),
    [
        ("livingroom1_synthetic", 54, (480, 640), (320.0, 240.0), 0.99),
        ("hololens_office", 42, (360, 540), (270.002897, 169.694112), 0.61),
    ],
)
def test_real_walks_load(name, frames, shape, centre, valid_share):
    folder = shared_data("rgbd_sequence", name)
    got = read(folder)
    assert got.images.shape == (frames, *shape, 3) and abs(got.depth_valid.mean() - valid_share) < 0.01
    assert (got.intrinsics.cx, got.intrinsics.cy) == pytest.approx(centre, abs=1e-4)
    last = sorted((folder / "depth").iterdir())[-1]
    stored = np.asarray(Image.open(last))
    np.testing.assert_allclose(got.depth_m[-1], stored / 1000.0, rtol=1e-6)
    row = (folder / "poses.txt").read_text().splitlines()[-1]
    np.testing.assert_allclose(got.cam_to_world[-1].ravel(), [float(v) for v in row.split()], atol=1e-4)


def test_single_frame_gets_the_identity_and_sparse_depth_is_refused():
    got = read(shared_data("rgbd_single_gt", "indoor_tum_fr2desk_1"))
    assert got.images.shape == (1, 480, 640, 3) and (got.cam_to_world[0] == np.eye(4)).all()
    assert got.intrinsics.cx == pytest.approx(325.6)
    with pytest.raises(InputError, match="as a photo"):
        read(shared_data("rgbd_single_gt", "street_dgp_scene_01_CAMERA_06"))


def test_large_frames_and_long_walks_are_thinned(tmp_path):
    color, depth, poses = write_walk(tmp_path / "flat", frames=7, size=(128, 256))
    got = read(tmp_path / "flat", rgbd_max_side_px=128, rgbd_max_frames=3)
    assert got.facts["frames_used"] == [0, 3, 6] and got.images.shape == (3, 64, 128, 3)
    np.testing.assert_allclose(got.cam_to_world[1], poses[3], atol=2e-6)
    assert set(np.unique(got.depth_m[1])) <= set(np.float32(depth[3] / 1000.0).ravel()), "depth must not be averaged"
    np.testing.assert_allclose(got.depth_m[1], depth[3, 1::2, 1::2] / 1000.0, rtol=1e-6)
    assert np.abs(got.images[1] - color[3].reshape(64, 2, 128, 2, 3).mean(axis=(1, 3))).max() <= 1.0
    assert (got.intrinsics.fx, got.intrinsics.cx) == (40.0, 24.0)


def test_gps_of_colour_images_becomes_metres_and_the_place_stays_behind(tmp_path):
    write_walk(tmp_path / "geo")
    offsets_m = [(0.0, 0.0, None), (30.0, -40.0, None), (60.0, 10.0, 2.5)]
    for i, (east, north, error) in enumerate(offsets_m):
        # one degree at 60 degrees north: 111,412 m to the north and 55,800 m to the east (WGS 84, published tables)
        latitude, longitude = 60.0 + north / 111_412, 179.9999 + east / 55_800
        longitude -= 360 * (longitude > 180)
        gps = {1: "N", 2: (latitude, 0.0, 0.0), 3: "E" if longitude > 0 else "W", 4: (abs(longitude), 0.0, 0.0)}
        path = tmp_path / "geo" / "color" / f"{i:06d}.png"
        block = Image.Exif()
        block[0x0112] = 1
        block.get_ifd(0x8825).update(gps | ({} if error is None else {31: error}))
        with Image.open(path) as image:
            image.load()
            image.save(path, exif=block)
    fixes = read(tmp_path / "geo").facts["fixes_m"]
    found = np.array(fixes)
    np.testing.assert_allclose(found[:, :2] - found[0, :2], [o[:2] for o in offsets_m], atol=0.05)
    assert found[:, 2].tolist() == [5.0, 5.0, 2.5] and np.abs(found[:, :2].mean(0)).max() < 0.01
    edit_camera(tmp_path / "geo", metric=False, camera_height_m=1.3)
    got = read(tmp_path / "geo", camera_height_m=0.4)
    assert got.facts["unit_known"] is False
    assert got.camera_height_m == 1.3, "the setting is for photos"


def drop_depth(folder):
    (folder / "depth" / "000001.png").unlink()


def drop_color(folder):
    (folder / "color" / "000001.png").unlink()


def drop_pose(folder):
    lines = (folder / "poses.txt").read_text().splitlines()
    (folder / "poses.txt").write_text("\n".join(lines[:-1]))


def pose_rows(change):
    def damage(folder):
        lines = (folder / "poses.txt").read_text().splitlines()
        lines[2] = change(lines[2].split())
        (folder / "poses.txt").write_text("\n".join(lines))

    return damage


def small_depth(folder):
    Image.fromarray(np.full((36, 48), 900, np.uint16)).save(folder / "depth" / "000001.png")


def byte_depth(folder):
    Image.fromarray(np.full(SIZE, 90, np.uint8)).save(folder / "depth" / "000001.png")


def small_color(folder):
    Image.fromarray(np.zeros((70, 96, 3), np.uint8)).save(folder / "color" / "000002.png")


def empty_depth(folder):
    for path in (folder / "depth").iterdir():
        Image.fromarray(np.zeros(SIZE, np.uint16)).save(path)


def cut_color(folder):
    path = folder / "color" / "000002.png"
    path.write_bytes(path.read_bytes()[:3000])


def twin(folder):
    (folder / "color" / "000001.jpg").write_bytes(b"x")


DAMAGE = {
    "missing depth": (drop_depth, "color/000001.png without depth"),
    "missing colour": (drop_color, "depth/000001.png without colour"),
    "a pose too few": (drop_pose, "3 poses, one per frame, got 2"),
    "scaled pose": (pose_rows(lambda w: " ".join(str(2 * float(v)) for v in w[:15]) + " 1"), "scaled or sheared"),
    "mirrored pose": (pose_rows(lambda w: "-1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1"), "mirroring"),
    "column-major pose": (pose_rows(lambda w: "1 0 0 0 0 1 0 0 0 0 1 0 2 3 4 1"), "row-major"),
    "nan pose": (pose_rows(lambda w: " ".join(["nan", *w[1:]])), "tracker"),
    "TUM pose": (pose_rows(lambda w: "0.0 1 2 3 0 0 0 1"), "TUM"),
    "words": (pose_rows(lambda w: " ".join(["abc", *w[1:]])), "16 numbers"),
    "small depth": (small_depth, "fx, fy, cx, cy with it"),
    "8-bit depth": (byte_depth, "16-bit"),
    "colour of another size": (small_color, "96x72 as in camera.json, got 96x70"),
    "no depth anywhere": (empty_depth, "depth at 5 %"),
    "cut colour": (cut_color, "broken or cut off"),
    "two of one name": (twin, "one image per name"),
    "no camera": (lambda f: (f / "camera.json").unlink(), "camera.json"),
    "no poses": (lambda f: (f / "poses.txt").unlink(), "poses.txt"),
    "no scale": (lambda f: edit_camera(f, depth_scale=None), "depth_scale"),
    "wrong scale": (lambda f: edit_camera(f, depth_scale=1), "median depth"),
    "zero scale": (lambda f: edit_camera(f, depth_scale=0), "depth_scale above 0"),
    "text focal": (lambda f: edit_camera(f, fx="80"), "fx as a finite number"),
    "centre outside": (lambda f: edit_camera(f, cx=500.0), "cx, cy inside"),
    "wrong size": (lambda f: edit_camera(f, width=640), "640x72"),
    "distorted": (lambda f: edit_camera(f, k1=-0.2), "Undistort"),
    "metric in words": (lambda f: edit_camera(f, metric="false"), "metric as true or false"),
    "other axes": (lambda f: edit_camera(f, pose_convention="camera_to_world, OpenGL"), "OpenCV"),
    "no JSON": (lambda f: (f / "camera.json").write_text("{fx"), "JSON"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named(tmp_path, name):
    write_walk(tmp_path / "flat")
    damage, words = DAMAGE[name]
    damage(tmp_path / "flat")
    with pytest.raises(InputError) as caught:
        read(tmp_path / "flat")
    assert words in str(caught.value)
    assert all((caught.value.where, caught.value.expected, caught.value.got, caught.value.todo))
