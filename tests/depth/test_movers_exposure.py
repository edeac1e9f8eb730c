"""Walks with things that move and cameras whose exposure drifts, in a room known in closed form."""

import dataclasses

import numpy as np
import pytest

from lyra_sim.config.observe import SensorConfig
from lyra_sim.core.records import Capture, PixelOrigin
from lyra_sim.depth.build import build
from lyra_sim.depth.exposure import evened, find_gains
from lyra_sim.depth.movers import find_movers
from lyra_sim.depth.overlap import coarse_walk
from lyra_sim.geometry.camera import pixel_rays, transform
from tests.analytic_room import CAMERA, Room, capture, circle

ROOM = Room(boxes=[((1.0, -0.5, 0.0), (1.6, 0.5, 0.6)), ((-0.4, 1.5, 0.0), (-0.36, 1.54, 1.2))])
"""With a box and a post 4 cm thick, which stay."""
COUNT = 16


def passer_by(k: int) -> Room:
    """The room with a ball that goes round the cameras, against their turn."""
    angle = -2 * np.pi * k / COUNT * 3
    return dataclasses.replace(ROOM, spheres=[((1.3 * np.cos(angle), 1.3 * np.sin(angle), 0.9), 0.3)])


def walk_with_ball() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth, pixels of the ball, poses."""
    poses = circle(COUNT)
    still = np.stack([ROOM.depth(T) for T in poses])
    moved = np.stack([passer_by(k).depth(T) for k, T in enumerate(poses)])
    return moved, still - moved > 0.2, poses


def test_what_moved_is_found_and_what_stands_is_not():
    depth, ball, poses = walk_with_ball()
    assert 0.01 < ball.mean() < 0.2
    found = find_movers(coarse_walk(depth.astype(np.float32), depth > 0, poses, CAMERA), depth.shape)
    assert (found & ball).sum() > 0.99 * ball.sum()
    near_ball = np.stack([np.abs(depth[k] - ROOM.depth(T)) > 1e-6 for k, T in enumerate(poses)])
    assert (found & ~near_ball).mean() < 0.03, "a margin round the ball"


@pytest.mark.parametrize("off_m", [0.0, 0.02])
def test_nothing_moves_in_a_still_walk_with_noise_and_wrong_poses(off_m: float):
    rng = np.random.default_rng(0)
    poses = circle(COUNT)
    depth = np.stack([ROOM.depth(T) for T in poses])
    depth = (depth * (1 + 0.005 * rng.standard_normal(depth.shape))).astype(np.float32)
    poses[:, :3, 3] += off_m * rng.standard_normal((COUNT, 3))
    assert not find_movers(coarse_walk(depth, depth > 0, poses, CAMERA), depth.shape).any()


def painted(depth: np.ndarray, poses: np.ndarray) -> np.ndarray:
    """(T, H, W, 3) colours 0..255 that depend on the place alone."""
    rays = pixel_rays(CAMERA)
    points = np.stack([transform(T, rays * d[..., None]) for d, T in zip(depth, poses, strict=True)])
    return 110 + 60 * np.sin(2.0 * points + np.array([0.0, 1.0, 2.0]))


def test_drifting_exposure_and_white_balance_are_recovered():
    poses = circle(COUNT)
    depth = np.stack([ROOM.depth(T) for T in poses]).astype(np.float32)
    colours = painted(depth, poses)
    gain = np.linspace(0.9, 1.1, COUNT)[:, None] ** np.array([1.0, 0.8, 1.2])
    images = np.clip(np.rint(colours * gain[:, None, None]), 0, 255).astype(np.uint8)
    found = find_gains(images, coarse_walk(depth, depth > 0, poses, CAMERA))
    relative = found / gain
    assert np.abs(relative / relative.mean(0) - 1).max() < 0.01
    assert np.abs(evened(images, found) - colours * (gain / found).mean(0)).mean() < 1.5


def test_steps_of_a_walk_from_dark_to_bright_go_without_clipping_it():
    poses = circle(COUNT)
    depth = np.stack([ROOM.depth(T) for T in poses]).astype(np.float32)
    gain = 4.0 ** np.cos(np.arange(COUNT) * 2 * np.pi / COUNT) ** 3
    images = np.clip(0.3 * painted(depth, poses) * gain[:, None, None, None], 0, 255).astype(np.uint8)
    found = np.log(find_gains(images, coarse_walk(depth, depth > 0, poses, CAMERA)))
    assert np.ptp(found) < 0.8 * np.ptp(np.log(gain)), "pulled back"
    assert np.corrcoef(found[:, 1], np.log(gain))[0, 1] > 0.9


def test_an_observed_walk_leaves_movers_out_and_says_so():
    depth, ball, poses = walk_with_ball()
    made: Capture = dataclasses.replace(capture(ROOM, poses), depth_m=depth.astype(np.float32))
    seen = build(SensorConfig())(made)
    assert not (seen.frames.valid & ball).any()
    assert (seen.frames.origin[ball] == PixelOrigin.NONE).mean() > 0.99
    assert seen.notes["moving_share"] == pytest.approx(ball.mean(), rel=0.5)
    assert seen.frames.valid.mean() > 0.8 * (1 - ball.mean())


def test_depth_too_far_for_geometry_still_shows_that_something_moved():
    depth, ball, poses = walk_with_ball()
    made: Capture = dataclasses.replace(capture(ROOM, poses), depth_m=depth.astype(np.float32))
    seen = build(SensorConfig(max_depth_m=1.7))(made)
    assert (seen.frames.valid & ball).sum() < 0.01 * ball.sum()
    assert seen.frames.depth_m[seen.frames.valid].max() <= 1.7


@pytest.mark.parametrize("reach_m", [1.1, 1.7])
def test_what_moved_before_a_background_without_depth_is_found(reach_m: float):
    depth, ball, poses = walk_with_ball()
    measured = depth <= reach_m
    found = find_movers(coarse_walk(depth.astype(np.float32), measured, poses, CAMERA), depth.shape)
    assert (found & ball).sum() > 0.99 * ball.sum()
    still = np.stack([ROOM.depth(T) for T in poses]).astype(np.float32)
    assert not find_movers(coarse_walk(still, still <= reach_m, poses, CAMERA), depth.shape).any()
