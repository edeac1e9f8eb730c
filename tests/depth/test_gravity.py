"""Gravity and floor against rooms whose gravity is known."""

import numpy as np
from scipy.spatial.transform import Rotation

from lyra_sim.config.capture import CaptureConfig
from lyra_sim.config.observe import SensorConfig
from lyra_sim.core.records import Capture
from lyra_sim.depth.build import build
from lyra_sim.sources.capture import read_capture
from lyra_sim.sources.discover import discover
from tests.analytic_room import Room, capture, circle
from tests.data import shared_data

TABLE = Room(boxes=[((0.6, -1.9, 0.0), (2.4, 1.9, 0.75)), ((-2.4, -1.9, 0.0), (-0.9, 0.2, 0.8))])


def tilt_deg(walk: Capture, turn: np.ndarray) -> tuple[float, float]:
    """Error of gravity, and of the height of the first camera above the floor."""
    seen = build(SensorConfig())(walk)
    T_world_room = seen.frame.T_world_source[:3, :3] @ turn[:3, :3]
    assert walk.cam_to_world is not None
    true_height = (np.linalg.inv(turn) @ walk.cam_to_world[0])[2, 3]
    angle = np.degrees(np.arccos(np.clip(T_world_room[2, 2], -1, 1)))
    return float(angle), float(abs(seen.frames.cam_to_world[0, 2, 3] - true_height))


def test_any_orientation_with_tables_larger_than_the_seen_floor():
    rng = np.random.default_rng(0)
    for i in range(6):
        room = Room(
            boxes=[(low, (high[0], high[1], high[2] + rng.uniform(-0.2, 0.1))) for low, high in TABLE.boxes],
            high=(2.5, 2.0, float(rng.uniform(2.3, 3))),
        )
        turn = np.eye(4)
        turn[:3, :3] = Rotation.random(rng=np.random.default_rng(i)).as_matrix()
        poses = circle(9, height=float(rng.uniform(1.0, 1.7)), drop=float(rng.uniform(0.4, 1.2)))
        angle, height = tilt_deg(capture(room, poses, turn=turn, noise=0.004, seed=i), turn)
        assert angle < 0.3 and height < 0.01, (i, angle, height)


def test_cameras_rolled_by_40_degrees():
    angle, height = tilt_deg(capture(TABLE, circle(9, drop=0.8, roll_deg=40), noise=0.003), np.eye(4))
    assert angle < 0.3 and height < 0.01


def test_real_walk_with_y_up_poses():
    found = discover([shared_data("rgbd_sequence", "hololens_office")], "rgbd")
    seen = build(SensorConfig())(read_capture(found.sources[0], CaptureConfig()))
    up = seen.frame.T_world_source[2, :3]
    assert np.degrees(np.arccos(up[1])) < 1.0, "the headset's own gravity"
    assert 1.5 < seen.frames.cam_to_world[0, 2, 3] < 1.75


def test_a_step_in_the_ground_does_not_tilt_it():
    """A pavement 11 cm above a road: either is level, a plane through both is not."""
    kerb = Room(low=(-6, -3, 0), high=(6, 3, 4), boxes=[((-6, -3, 0.0), (6, 0.4, 0.11))])
    poses = circle(9, height=1.6, drop=0.9)
    seen = build(SensorConfig())(capture(kerb, poses, noise=0.002))
    assert np.degrees(np.arccos(min(1.0, seen.frame.T_world_source[2, 2]))) < 0.15
    height = seen.frames.cam_to_world[0, 2, 3]
    assert min(abs(height - 1.6), abs(height - 1.49)) < 0.01
