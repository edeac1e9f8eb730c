"""Straightened ways, path files, motion."""

import itertools

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from lyra_sim.core.errors import InputError
from lyra_sim.core.records import Intrinsics
from lyra_sim.trajectory.freemap import CELL_M, FreeMap
from lyra_sim.trajectory.motion import LAG, along, heading_of, level_camera, paced, smoothed, sweep
from lyra_sim.trajectory.path_file import load_path, save_path
from lyra_sim.trajectory.ways import distances, straightened, way_back


def _map(free: np.ndarray) -> FreeMap:
    free[[0, -1]] = free[:, [0, -1]] = False
    return FreeMap(
        origin_m=np.array([-1.0, 2.0]),
        known=free,
        distance_m=np.asarray(distance_transform_edt(free)) * CELL_M,
        free=free.copy(),
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_straightened_ways_stay_free_and_get_shorter(seed):
    rng = np.random.default_rng(seed)
    made = _map(rng.random((30, 34)) > 0.25)
    start = tuple(int(v) for v in np.argwhere(made.free)[3])
    cost = distances(made.free, (start[0], start[1]))
    goal = np.unravel_index(np.argmax(np.where(np.isfinite(cost), cost, -1)), cost.shape)
    way = straightened(made, made.centre(way_back(made.free, cost, (int(goal[0]), int(goal[1])))))
    assert np.allclose(way[[0, -1]], made.centre(np.array([start, goal])))
    length = np.linalg.norm(np.diff(way, axis=0), axis=1).sum()
    assert length <= cost[goal] + 1e-9
    dense = np.concatenate([np.linspace(a, b, 200) for a, b in itertools.pairwise(way)])
    cells = np.floor((dense - made.origin_m) / CELL_M + 1e-9).astype(int)
    share = made.free[cells[:, 0], cells[:, 1]].mean()
    assert share > 0.995, "only rounding at the corner of two cells"


def test_poses_along_a_way_are_evenly_spaced():
    way = np.array([[0.0, 0, 1], [1, 0, 1], [1, 1, 1]])
    made = along(way, 20)
    assert np.allclose(made[-1], way[-1])
    assert np.allclose(made[:10], np.stack([np.arange(1, 11) / 10, np.zeros(10), np.ones(10)], 1))


@pytest.mark.parametrize("turn_deg", [0, 20, 60, 90, 150])
def test_smooth_walks_hardly_cut_corners(turn_deg):
    turn = np.deg2rad(turn_deg)
    corner = np.array([2.0, 0.0, 0.6])
    way = np.stack([[0, 0, 0.6], corner, corner + 2 * np.array([np.cos(turn), np.sin(turn), 0])])
    made = paced(way, 0.1)
    step = np.linalg.norm(np.diff(np.concatenate([way[:1], made]), axis=0), axis=1)
    assert step.max() <= 0.1 + 1e-9 and np.allclose(made[-1], way[-1]) and len(made) <= 40 + 8
    poses = np.tile(np.eye(4), (len(made), 1, 1))
    poses[:, :3, 3] = made
    smooth = smoothed(np.repeat(poses[:1], LAG, 0), poses)[:, :3, 3]
    t = [np.clip((smooth - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1) for a, b in itertools.pairwise(way)]
    legs = zip(t, itertools.pairwise(way), strict=True)
    off = [np.linalg.norm(a + s[:, None] * (b - a) - smooth, axis=1) for s, (a, b) in legs]
    assert np.min(off, 0).max() < 0.04
    assert not len(paced(way[:1], 0.1)) and not len(paced(np.stack([corner, corner]), 0.1))


def test_sweep_looks_both_ways_and_back():
    made = sweep(1.0, np.deg2rad(30), np.deg2rad(3))
    assert np.abs(np.diff(np.concatenate([[1.0], made]))).max() <= np.deg2rad(3) + 1e-12
    assert made.max() == pytest.approx(1 + np.deg2rad(30))
    assert made.min() == pytest.approx(1 - np.deg2rad(30))
    assert made[-1] == pytest.approx(1.0)


@pytest.mark.parametrize(("heading", "pitch"), [(0.0, 0.0), (2.1, 0.4), (-3.0, -0.7)])
def test_level_camera_looks_where_it_should(heading, pitch):
    R = level_camera(heading, pitch)
    assert np.allclose(R.T @ R, np.eye(3))
    assert np.linalg.det(R) == pytest.approx(1)
    assert np.allclose(R[:, 2], [np.cos(heading) * np.cos(pitch), np.sin(heading) * np.cos(pitch), -np.sin(pitch)])
    assert R[2, 0] == 0, "x is level: no roll"
    assert R[2, 1] < 0, "y points down"
    T = np.eye(4)
    T[:3, :3] = R
    assert heading_of(T) == pytest.approx((heading, pitch))


def test_path_file_round_trip_and_damage(tmp_path):
    poses = np.tile(np.eye(4), (5, 1, 1))
    poses[:, :3, :3] = level_camera(0.7, 0.2)
    poses[:, 0, 3] = np.arange(5)
    camera = Intrinsics(fx=100.0, fy=101.0, cx=60.0, cy=40.0, width=120, height=80)
    save_path(tmp_path / "path.npz", poses, camera)
    loaded, again = load_path(tmp_path / "path.npz")
    assert np.allclose(loaded, poses)
    assert again == camera or vars(again) == vars(camera)
    with np.load(tmp_path / "path.npz") as stored:
        assert stored["intrinsics"][0, 0, 2] == 59.5
    (tmp_path / "bad.npz").write_bytes((tmp_path / "path.npz").read_bytes()[:200])
    np.savez(tmp_path / "other.npz", w2c=np.zeros((3, 3)))
    for name in ("bad.npz", "other.npz", "missing.npz"):
        with pytest.raises(InputError):
            load_path(tmp_path / name)
