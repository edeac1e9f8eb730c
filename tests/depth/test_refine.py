"""Poses of walks in a room known in closed form: wrong ones are mended, right ones stay."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lyra_sim.config.observe import SensorConfig
from lyra_sim.depth import refine
from lyra_sim.depth.build import build
from lyra_sim.depth.camera_height import GIVEN_SIGMA
from lyra_sim.depth.overlap import coarse_walk
from lyra_sim.depth.refine import Refined, refine_poses
from lyra_sim.geometry.camera import pixel_rays, transform
from tests.analytic_room import CAMERA, Room, capture, circle

ROOM = Room(boxes=[((1.0, -0.5, 0.0), (1.6, 0.5, 0.6)), ((-1.6, 0.6, 0.0), (-0.9, 1.3, 1.1))])
COUNT = 16
TRUE = circle(COUNT, drop=0.7)


def walk(noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Images (T, H, W, 3) painted with waves that depend on the place alone, and depth with a relative error."""
    rng = np.random.default_rng(1)
    depth = np.stack([ROOM.depth(T) for T in TRUE])
    rays = pixel_rays(CAMERA)
    points = np.stack([transform(T, rays * d[..., None]) for d, T in zip(depth, TRUE, strict=True)])
    images = 120 + 40 * np.sin(2.0 * points + [0, 1, 2]) + 25 * np.sin(11.0 * points[..., [1, 2, 0]])
    images += 3 * rng.standard_normal(images.shape)
    depth = depth * (1 + noise * rng.standard_normal(depth.shape))
    return np.clip(np.rint(images), 0, 255).astype(np.uint8), depth.astype(np.float32)


def wrong(size_m: float, size_rad: float) -> np.ndarray:
    """The true poses with a drift along the walk and a shake on top."""
    rng = np.random.default_rng(2)
    out = TRUE.copy()
    drift, shake = rng.standard_normal((2, 6)), rng.standard_normal((COUNT, 6))
    off = np.sin(np.arange(COUNT) * 2 * np.pi / COUNT)[:, None] * drift[0] + 0.5 * shake
    out[:, :3, 3] += size_m * off[:, :3]
    out[:, :3, :3] = Rotation.from_rotvec(size_rad * off[:, 3:]).as_matrix() @ out[:, :3, :3]
    return out


def errors(poses: np.ndarray) -> tuple[float, float]:
    """Mean distance (metres) and angle (radians) from the true poses, after the best common movement."""
    turn = Rotation.from_matrix(TRUE[:, :3, :3] @ poses[:, :3, :3].transpose(0, 2, 1)).mean()
    centre = poses[:, :3, 3] @ turn.as_matrix().T
    centre += (TRUE[:, :3, 3] - centre).mean(0)
    left = Rotation.from_matrix(turn.as_matrix() @ poses[:, :3, :3] @ TRUE[:, :3, :3].transpose(0, 2, 1))
    return float(np.linalg.norm(centre - TRUE[:, :3, 3], axis=1).mean()), float(left.magnitude().mean())


def refined(poses: np.ndarray, noise: float) -> Refined:
    images, depth = walk(noise)
    return refine_poses(images, depth, CAMERA, coarse_walk(depth, depth > 0, poses, CAMERA))


@pytest.mark.parametrize("noise", [0.0, 0.005])
def test_wrong_poses_are_mended(noise: float):
    given = wrong(0.01, 0.006)
    found = refined(given, noise)
    assert found.accepted and found.after.depth_m < found.before.depth_m and found.after.grey < found.before.grey
    (after_m, after_rad), (before_m, before_rad) = errors(found.T_world_cam), errors(given)
    assert after_m < 0.5 * before_m and after_rad < 0.2 * before_rad


def test_long_walks_are_mended_from_fewer_pixels(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(refine, "MOST_SAMPLES", 20_000)
    given = wrong(0.01, 0.006)
    found = refined(given, 0.0)
    assert found.accepted and errors(found.T_world_cam)[1] < 0.3 * errors(given)[1]


def test_poses_that_no_longer_see_the_same_are_no_better(monkeypatch: pytest.MonkeyPatch):
    """Frames that lost each other have no residuals at all."""
    away = np.zeros((COUNT, 6))
    away[:, 3] = 100.0 * np.arange(COUNT)
    monkeypatch.setattr(refine, "_filled", lambda twist, told: away)
    found = refined(wrong(0.01, 0.006), 0.0)
    assert found.after.count == 0 and not found.accepted


def test_a_frame_without_depth_moves_with_its_neighbours():
    given = wrong(0.01, 0.006)
    images, depth = walk(0.0)
    depth[9] = 0.0
    found = refine_poses(images, depth, CAMERA, coarse_walk(depth, depth > 0, given, CAMERA))
    assert found.accepted
    moved = (found.T_world_cam - given)[:, :3, 3]
    assert np.allclose(moved[9], (moved[8] + moved[10]) / 2, atol=2e-6) and np.abs(moved[9]).max() > 0.001


def test_true_poses_stay_to_the_bit_whatever_noise_the_depth_has():
    found = refined(TRUE, 0.005)
    assert not found.accepted and np.array_equal(found.T_world_cam, TRUE)
    assert found.moved_m < 0.004 and found.turned_rad < 0.002, "what was found was next to nothing, too"


def test_colour_decides_where_depth_cannot():
    """Before one bare wall depth says nothing about sliding along it."""
    wall = Room(low=(-50, -50, -50), high=(2, 50, 50))
    true = np.repeat(np.eye(4)[None], 6, 0)
    true[:, :3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    true[:, 1, 3] = np.linspace(-0.3, 0.3, 6)
    depth = np.stack([wall.depth(T) for T in true]).astype(np.float32)
    rays = pixel_rays(CAMERA)
    points = np.stack([transform(T, rays * d[..., None]) for d, T in zip(depth, true, strict=True)])
    waves = 120 + 60 * np.sin(7 * points[..., 1]) * np.cos(6 * points[..., 2])
    images = np.repeat(np.rint(waves).astype(np.uint8)[..., None], 3, -1)
    given = true.copy()
    given[::2, 1, 3] += 0.02
    found = refine_poses(images, depth, CAMERA, coarse_walk(depth, depth > 0, given, CAMERA))
    assert found.accepted
    assert np.ptp((found.T_world_cam - true)[:, 1, 3]) < 0.2 * 0.02


def test_an_observed_walk_has_the_better_poses_says_so_and_can_be_told_to_keep_the_given_ones():
    given = wrong(0.01, 0.006)
    images, depth = walk(0.002)
    made = dataclasses.replace(capture(ROOM, given), images=images, depth_m=depth)
    seen, kept = build(SensorConfig())(made), build(SensorConfig(refine_poses=False))(made)
    assert np.allclose(kept.frames.cam_to_world, kept.frame.T_world_source @ given)
    back = np.linalg.inv(seen.frame.T_world_source) @ seen.frames.cam_to_world
    assert errors(back)[1] < 0.2 * errors(given)[1]
    notes = seen.notes["poses"]
    assert notes["accepted"] and notes["depth_residual_mm"][1] < notes["depth_residual_mm"][0]
    assert "poses" not in kept.notes


def test_a_stated_camera_height_is_that_of_the_refined_cameras():
    """All cameras are truly equally high; what shakes them up and down in the given poses must not widen its sigma."""
    given = TRUE.copy()
    given[:, 2, 3] += 0.03 * np.random.default_rng(3).standard_normal(COUNT)
    images, depth = walk(0.002)
    made = dataclasses.replace(capture(ROOM, given), images=images, depth_m=depth, camera_height_m=1.4)
    sigmas = []
    for refine_poses_too in (True, False):
        notes = build(SensorConfig(refine_poses=refine_poses_too))(made).notes
        (cue,) = [cue for cue in notes["scale"]["cues"] if cue["source"] == "camera_height_given"]
        sigmas.append(cue["sigma"])
    assert sigmas[0] == pytest.approx(GIVEN_SIGMA, rel=0.02) and sigmas[1] > 1.1 * GIVEN_SIGMA


def test_frames_that_share_nothing_stay():
    poses = circle(2)
    poses[1, :3, 3] += [0.0, 0.0, 40.0]
    depth = np.full((2, CAMERA.height, CAMERA.width), 2.0, np.float32)
    images = np.full((*depth.shape, 3), 128, np.uint8)
    found = refine_poses(images, depth, CAMERA, coarse_walk(depth, depth > 0, poses, CAMERA))
    assert not found.accepted and np.array_equal(found.T_world_cam, poses)
