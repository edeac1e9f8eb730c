"""Paths that come from files and go to files, read back by other means than those that wrote them."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lyra_sim.config.path import FilePath
from lyra_sim.core.errors import InputError
from lyra_sim.core.records import Intrinsics, Segment, World
from lyra_sim.trajectory.given import given_path
from lyra_sim.trajectory.motion import Pace, level_camera
from lyra_sim.trajectory.path_file import load_path, save_path
from lyra_sim.trajectory.pose_export import save_colmap, save_tum
from tests.trajectory.box_room import CAMERA, pose_at, room_frames, start_of
from usd_export.side_files import _write_trajectory

PACE = Pace(robot_height_m=0.6, clearance_m=0.35, step_m=0.1, turn_rad=np.deg2rad(3.0))
LENS = Intrinsics(fx=100.0, fy=101.5, cx=60.25, cy=40.0, width=120, height=80)


def wandering(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = Rotation.random(count, rng=rng).as_matrix()
    poses[:, :3, 3] = rng.normal(size=(count, 3)) * 3
    return poses


def write(path, keyframes) -> object:
    path.write_text(json.dumps({"keyframes": keyframes}))
    return path


def test_path_round_trip(tmp_path):
    poses = wandering(9)
    save_path(tmp_path / "path.npz", poses, LENS)
    loaded, lens = load_path(tmp_path / "path.npz")
    assert np.allclose(loaded, poses, atol=1e-12) and lens is not None and vars(lens) == vars(LENS)


def test_a_file_in_lyras_layout_moves_the_start_as_it_moves_its_first_camera(tmp_path):
    """As Lyra 2.0's examples have it: float32, world to camera, the first one the identity."""
    w2c = np.tile(np.eye(4, dtype=np.float32), (40, 1, 1))
    w2c[:, 2, 3] = -0.05 * np.arange(40)  # forward, along the camera's z
    K = np.tile(np.array([[400, 0, 415.5], [0, 400, 239.5], [0, 0, 1]], np.float32), (40, 1, 1))
    np.savez(tmp_path / "lyra.npz", w2c=w2c, intrinsics=K, image_height=480, image_width=832)
    home = pose_at(1.0, -0.5, 1.4, 2.0, 0.3)
    poses = given_path(FilePath(path=tmp_path / "lyra.npz"), home, PACE)
    assert poses.shape == (39, 4, 4) and np.allclose(poses[:, :3, :3], home[:3, :3])
    assert np.allclose(poses[:, :3, 3], home[:3, 3] + 0.05 * np.arange(1, 40)[:, None] * home[:3, 2], atol=1e-6)
    assert vars(load_path(tmp_path / "lyra.npz")[1])["cx"] == 416, "the middle of 832 pixels"


def test_a_worlds_trajectory_drives_the_same_walk_again(tmp_path):
    """Of an RGB-D walk too: it begins where the start ended."""
    start = np.stack([pose_at(0.2 * k, 0.1, 1.4, 0.1 * k) for k in range(3)])
    walk = np.stack([pose_at(0.5, 0.1 + 0.05 * k, 1.3, 0.2, 0.1) for k in range(5)])
    small = Intrinsics(fx=24.0, fy=24.0, cx=16.0, cy=12.0, width=32, height=24)
    pieces = [Segment(index=k, frames=room_frames(walk[cut], small)) for k, cut in enumerate((slice(3), slice(3, 5)))]
    _write_trajectory(tmp_path / "trajectory.npz", World(start=start_of(room_frames(start), "sensor"), segments=pieces))
    poses = given_path(FilePath(path=tmp_path / "trajectory.npz"), start[-1], PACE)
    assert np.allclose(poses, walk, atol=1e-12)
    assert vars(load_path(tmp_path / "trajectory.npz")[1]) == vars(CAMERA)


def test_keyframes_are_passed_exactly_and_smoothly(tmp_path):
    pose = pose_at(2.0, 1.0, 1.7, 1.2, 0.2)
    path = write(
        tmp_path / "keys.json",
        [
            {"frame": 0, "position": [0, 0, 1.5], "heading_deg": 10, "pitch_deg": 20},
            {"frame": 30, "position": [1, 0, 1.5], "heading_deg": 60},
            {"frame": 47, "cam_to_world": pose.tolist()},
            {"frame": 60, "position": [2, 2, 1.7]},
        ],
    )
    poses, lens = load_path(path)
    assert poses.shape == (61, 4, 4) and lens is None
    assert np.allclose(poses[[0, 30, 60], :3, 3], [[0, 0, 1.5], [1, 0, 1.5], [2, 2, 1.7]])
    assert np.allclose(poses[0, :3, :3], level_camera(np.deg2rad(10), np.deg2rad(20)))
    assert np.allclose(poses[30, :3, :3], level_camera(np.deg2rad(60), 0)) and np.allclose(poses[47], pose)
    turns = Rotation.from_matrix(poses[:, :3, :3])
    paces = (turns[:-1].inv() * turns[1:]).magnitude()
    for piece in (paces[:30], paces[30:47], paces[47:]):
        assert np.allclose(piece, piece.mean()), "turns evenly between keyframes"
    assert (np.diff(poses[:, 0, 3]) > -1e-12).all() and poses[:, 2, 3].max() <= 1.7 + 1e-12, "never swings beyond"
    steps = np.diff(poses[:, :3, 3], axis=0)
    assert np.abs(np.diff(steps, axis=0)).max() < 0.4 * np.abs(steps).max(), "no jerk at a keyframe"
    driven = given_path(FilePath(path=path), poses[0], PACE)
    assert np.allclose(driven, poses[1:])


GOOD = {"frame": 0, "position": [0, 0, 1]}
SKEW = [[1, 0, 0, 0], [0, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
MIRROR = [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


@pytest.mark.parametrize(
    ("keyframes", "said"),
    [
        ([GOOD], "at least 2"),
        ([{"frame": 2, "position": [0, 0, 1]}, {"frame": 5, "position": [0, 0, 1]}], "begin at 0.*2, 5"),
        ([GOOD, {"frame": 9, "position": [1, 0, 1]}, {"frame": 9, "position": [0, 0, 1]}], "increase.*0, 9, 9"),
        ([GOOD, {"frame": 3.5, "position": [0, 0, 1]}], r"keyframes\.1\.frame.*integer"),
        ([GOOD, {"frame": 3, "position": [0, float("nan"), 1]}], r"keyframes\.1\.position\.1.*finite"),
        ([GOOD, {"frame": 3, "position": [0, 1]}], r"keyframes\.1\.position"),
        ([GOOD, {"frame": 3, "heading_deg": 3}], "either cam_to_world, or position"),
        ([GOOD, {"frame": 3, "position": [0, 0, 1], "cam_to_world": SKEW}], "either cam_to_world, or position"),
        ([GOOD, {"frame": 3, "cam_to_world": SKEW}], "pose 1: R R"),
        ([GOOD, {"frame": 3, "cam_to_world": MIRROR}], "pose 1: .*det R -1"),
        ([GOOD, {"frame": 3, "cam_to_world": SKEW[:3]}], r"keyframes\.1\.cam_to_world"),
        ([GOOD, {"frame": 3, "position": [0, 0, 1], "heading_deg": 180}], "180.0 degrees between frames 0 and 3"),
        ([GOOD, {"frame": 3, "position": [0, 0, 1], "headin_deg": 1}], r"keyframes\.1\.headin_deg"),
        ([GOOD, {"frame": 10**9, "position": [0, 0, 1]}], r"keyframes\.1\.frame"),
    ],
)
def test_wrong_keyframes_say_what_is_wrong(tmp_path, keyframes, said):
    with pytest.raises(InputError, match=said):
        load_path(write(tmp_path / "keys.json", keyframes))


def test_what_is_no_path_is_refused(tmp_path):
    good = {"w2c": np.tile(np.eye(4), (3, 1, 1)), "intrinsics": np.tile(np.eye(3), (3, 1, 1))}
    size = {"image_height": 4, "image_width": 4}
    skew, nan = good["w2c"] * 1.1, good["w2c"].copy()
    nan[1, 0, 3] = np.nan
    wrong = {
        "scaled.npz": {**good, **size, "w2c": skew},
        "nan.npz": {**good, **size, "w2c": nan},
        "fewer.npz": {**good, **size, "intrinsics": good["intrinsics"][:1]},
        "sizeless.npz": good,
        "zero.npz": {**good, **size, "image_width": 0},
        "sizes.npz": {**good, **size, "image_width": np.ones(3)},
        "world.npz": {"cam_to_world": good["w2c"], "intrinsics": good["intrinsics"], "segment": np.zeros(3)},
    }
    for name, arrays in wrong.items():
        np.savez(tmp_path / name, **arrays)
    (tmp_path / "no.json").write_text("{")
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "path.txt").write_text("0 0 0")
    for name in [*wrong, "no.json", "missing.json", "empty.npz", "path.txt"]:
        with pytest.raises(InputError, match=name):
            load_path(tmp_path / name)
    save_path(tmp_path / "one.npz", np.eye(4)[None], LENS)
    with pytest.raises(InputError, match="at least one more"):
        given_path(FilePath(path=tmp_path / "one.npz"), np.eye(4), PACE)


def test_tum_read_back(tmp_path):
    poses = wandering(12, 1)
    save_tum(tmp_path / "poses.txt", poses, fps=16.0)
    lines = [line.split() for line in (tmp_path / "poses.txt").read_text().splitlines() if not line.startswith("#")]
    rows = np.array(lines, float)
    assert rows.shape == (12, 8) and np.allclose(rows[:, 0], np.arange(12) / 16)
    assert np.allclose(rows[:, 1:4], poses[:, :3, 3], atol=1e-8)
    for (x, y, z, w), pose in zip(rows[:, 4:], poses, strict=True):
        R = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
        assert np.allclose(R, pose[:3, :3], atol=1e-7)


def test_colmap_read_back(tmp_path):
    """The format's own words: world to camera, quaternion first, two lines an image, pixels from the image's corner."""
    poses, names = wandering(5, 2), [f"{k:04d}.png" for k in range(5)]
    save_colmap(tmp_path / "sparse", poses, LENS, names)
    lines = (tmp_path / "sparse" / "images.txt").read_text().split("\n")
    body = [line for line in lines[:-1] if not line.startswith("#")]
    assert len(body) == 10 and all(line == "" for line in body[1::2])
    camera = (tmp_path / "sparse" / "cameras.txt").read_text().splitlines()[-1].split()
    assert camera[:4] == ["1", "PINHOLE", "120", "80"] and [float(v) for v in camera[4:]] == [100, 101.5, 60.25, 40]
    assert (tmp_path / "sparse" / "points3D.txt").read_text().startswith("#")
    for number, (line, pose, name) in enumerate(zip(body[::2], poses, names, strict=True), 1):
        words = line.split()
        assert words[0] == str(number) and words[8:] == ["1", name]
        w, x, y, z = (float(v) for v in words[1:5])
        w2c = np.linalg.inv(pose)
        assert np.allclose(Rotation.from_quat([x, y, z, w]).as_matrix(), w2c[:3, :3], atol=1e-12)
        assert np.allclose([float(v) for v in words[5:8]], w2c[:3, 3], atol=1e-12)
