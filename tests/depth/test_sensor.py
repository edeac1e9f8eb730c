"""Observing RGB-D walks: flying pixels go and far floor stays; the world frame lies where the conventions say."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lyra_sim.config.observe import SensorConfig
from lyra_sim.core.errors import InputError, SceneError
from lyra_sim.depth.build import build
from lyra_sim.depth.frame import place_origin
from lyra_sim.depth.sensor import clean_depth
from tests.analytic_room import CAMERA, Room, capture, circle, look

TABLE = Room(boxes=[((0.9, -1.6, 0.0), (2.4, 1.6, 0.75))])


def test_far_floor_at_grazing_angles_stays():
    hall = Room(low=(-30, -30, 0), high=(30, 30, 3))
    depth = hall.depth(look((0, -29, 0.3), (0, 30, 0.3))).astype(np.float32)
    ratio = np.abs(np.diff(depth, axis=0)) / depth[1:]
    floor = (depth > 4) & (np.arange(CAMERA.height)[:, None] > CAMERA.cy) & (depth < 8)
    assert ratio[floor[1:]].max() > 0.05, "the test needs slopes above the edge ratio"
    kept = clean_depth(depth, depth > 0, 0.05)
    assert kept[floor].all()


def test_flying_pixels_go_and_both_surfaces_stay():
    depth = np.full((40, 60), 3.0, np.float32)
    depth[:, :30] = 1.0
    depth[:, 30] = 1.8
    kept = clean_depth(depth, np.ones(depth.shape, bool), 0.05)
    assert not kept[:, 30].any()
    assert kept[:, :28].all() and kept[:, 33:].all()


def test_lonely_pixels_go():
    valid = np.zeros((20, 20), bool)
    valid[5, 5] = valid[10:14, 10:14] = True
    kept = clean_depth(np.full((20, 20), 2.0, np.float32), valid, 0.05)
    assert not kept[5, 5] and kept[10:14, 10:14].all()


def test_world_frame_of_a_turned_walk():
    poses = circle(10)
    turn = np.eye(4)
    turn[:3, :3] = Rotation.random(rng=np.random.default_rng(5)).as_matrix()
    turn[:3, 3] = [3, -7, 11]
    seen = build(SensorConfig())(capture(TABLE, poses, turn=turn, noise=0.002))
    T_world_room = seen.frame.T_world_source @ turn
    assert np.degrees(np.arccos(min(1.0, T_world_room[2, 2]))) < 0.3
    start = seen.frames.cam_to_world[0]
    assert abs(start[2, 3] - 1.4) < 0.01, "floor at z = 0"
    heading = start[:2, 2] / np.linalg.norm(start[:2, 2])
    assert heading[0] > 0.9999, "x is the heading of the start camera"
    assert 1.0 < np.hypot(*start[:2, 3]) < 2.0, "the nearest floor that is seen, free of the table"
    corner = np.linalg.inv(T_world_room)[:3, 3]
    assert abs(corner[2]) < 0.01 and not (corner[:2] > (0.78, -1.72)).all()
    assert seen.environment == "indoor" and seen.frame.metric == "sensor"
    assert seen.frame.gravity_sigma_rad < np.radians(0.5)
    assert np.allclose(seen.frames.cam_to_world, seen.frame.T_world_source @ turn @ poses)


def test_origin_avoids_what_stands_at_the_cameras_foot():
    grid = np.stack(np.meshgrid(np.arange(-2, 2, 0.03), np.arange(-2, 2, 0.03)), -1).reshape(-1, 2)
    floor = np.column_stack([grid, np.zeros(len(grid))])
    stool = floor[np.abs(grid).max(1) < 0.3] + [0, 0, 0.4]
    camera = look((0, 0, 1.5), (1, 0, 1.0))
    T = place_origin(np.concatenate([floor, stool]), np.array([0.0, 0, 1]), 0.0, camera)
    off = -T[:2, 3]
    assert 0.3 + 0.12 < np.abs(off).max() < 0.3 + 0.12 + 0.15
    assert np.allclose(place_origin(floor, np.array([0.0, 0, 1]), 0.0, camera)[:2, 3], 0, atol=0.05)
    with pytest.raises(SceneError, match="no part of it free"):
        place_origin(np.concatenate([floor, floor + np.array([0, 0, 0.3])]), np.array([0.0, 0, 1]), 0.0, camera)


def test_faults_are_told():
    walk = capture(TABLE, circle(4))
    observe = build(SensorConfig())
    with pytest.raises(InputError, match="depth images and poses"):
        observe(dataclasses.replace(walk, depth_m=None, depth_valid=None, cam_to_world=None))
    assert walk.depth_valid is not None
    with pytest.raises(SceneError, match="depth_scale"):
        observe(dataclasses.replace(walk, depth_valid=np.zeros(walk.depth_valid.shape, bool)))
    walls_only = capture(TABLE, np.stack([look((0, 0, 1.4), (x, -2, 1.6)) for x in (-0.2, 0, 0.2)]))
    with pytest.raises(SceneError, match="floor"):
        observe(walls_only)
