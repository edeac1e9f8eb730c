"""Upright planes through the feet of a room whose walls are known."""

import cv2
import numpy as np
import pytest

from lyra_sim.core.records import Intrinsics
from lyra_sim.depth.fronts import fit_fronts
from lyra_sim.depth.layout import make_cylinder, stand_up
from lyra_sim.geometry.camera import pixel_rays

CAMERA = Intrinsics(fx=300.0, fy=300.0, cx=240.0, cy=160.0, width=480, height=320)
HEIGHT_M = 1.3
WALLS = np.array([[1.0, -0.4, 4.0], [0.5, 1.0, 4.6]])
"""n . (forward, right) = d of two walls that meet in a corner, metres."""


def exact(forward: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Distance of the nearest wall along directions in the plane."""
    toward = np.stack([forward, right], axis=-1) @ WALLS[:, :2].T
    return np.where(toward > 1e-6, WALLS[:, 2] / np.maximum(toward, 1e-6), np.inf).min(axis=-1)


def test_noisy_feet_of_two_walls_and_a_box_become_their_planes():
    azimuth = np.linspace(0.6, -0.6, 400)
    wall = exact(np.cos(azimuth), -np.sin(azimuth))
    boxed = np.abs(azimuth - 0.3) < 0.08
    feet = np.where(boxed, 1.5 / np.cos(azimuth), wall)
    pixel = 1 / 300 / HEIGHT_M
    noisy = 1 / feet + np.random.default_rng(2).normal(0, 1.5 * pixel, 400)
    fronts = fit_fronts(noisy[None], azimuth, pixel)
    of_column = fronts.of_column[0]
    turns = np.nonzero(np.diff(of_column))[0]
    assert len(turns) == 3, "wall, box, wall, other wall"
    corner = np.nonzero(np.diff(np.gradient(1 / wall)) > 5e-4)[0]
    assert abs(turns[-1] - corner.mean()) < 12
    assert 1 / fronts.inverse_range(of_column, azimuth) == pytest.approx(feet, rel=0.03)


def test_no_feet_no_fronts():
    assert (fit_fronts(np.zeros((2, 50)), np.linspace(0.4, -0.4, 50), 0.002).of_column == -1).all()


def test_walls_of_a_photo_are_whole_though_the_floors_edge_is_ragged():
    """The edge is off by up to 4 pixels, superpixel by superpixel, as colour segmentation leaves it."""
    rays = pixel_rays(CAMERA)
    depth = exact(np.ones(rays.shape[:2]), rays[..., 0])
    rows = np.arange(320)[:, None]
    edge = CAMERA.cy + CAMERA.fy * HEIGHT_M / depth[0]
    ragged = edge + np.repeat(np.random.default_rng(4).uniform(-4, 4, 48), 10)
    floor = rows > ragged
    patch = (rows // 10) * 48 + np.arange(480)[None] // 10
    cylinder = make_cylinder(CAMERA, np.array([0.0, 1.0, 0.0]))
    made = stand_up(cylinder, floor, floor & False, patch, height_m=HEIGHT_M, reach_m=25.0, ceiling_m=None)
    wall = cv2.erode((rows < edge - 8).astype(np.uint8), np.ones((1, 5), np.uint8)).astype(bool)
    wall[:, :3] = wall[:, -3:] = False
    assert made.valid[wall].all()
    share = np.abs(made.depth_m / depth - 1)[wall]
    assert np.median(share) < 0.02 and np.percentile(share, 98) < 0.06
    step = np.abs(np.diff(made.depth_m, axis=1)) / made.depth_m[:, 1:]
    torn = step[wall[:, 1:] & wall[:, :-1]] > 0.02
    assert torn.mean() < 0.005, "a wall in pieces is full of holes from anywhere else"
