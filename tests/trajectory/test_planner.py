"""The planner in a room known on paper: down through air that was seen, over free cells only, within its limits."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lyra_sim.core.records import Frames, Label
from lyra_sim.trajectory.freemap import CELL_M
from lyra_sim.trajectory.gain import BINS, bin_of, known_share, over_pictures
from lyra_sim.trajectory.motion import LAG, WALK_PITCH_RAD, Pace, heading_of, level_camera, smoothed
from lyra_sim.trajectory.planner import Planner
from lyra_sim.trajectory.survey import Survey
from lyra_sim.trajectory.voxels import FREE
from tests.trajectory.box_room import (
    BOX_HIGH,
    BOX_LOW,
    CAMERA,
    HIGH,
    LOW,
    all_around,
    pose_at,
    room_distance,
    room_frames,
)

PACE = Pace(robot_height_m=0.6, clearance_m=0.35, step_m=0.08, turn_rad=float(np.deg2rad(3)))
HOME = pose_at(0.2, 0.1, 1.4)


@pytest.fixture(scope="module")
def seen() -> Frames:
    return room_frames(HOME[None])


def _turns(poses: np.ndarray) -> np.ndarray:
    between = np.einsum("nji,njk->nik", poses[:-1, :3, :3], poses[1:, :3, :3])
    return np.arccos(np.clip((np.trace(between, axis1=1, axis2=2) - 1) / 2, -1, 1))


def _with(frames: Frames, **changed: np.ndarray) -> Frames:
    return Frames(**{**{k: getattr(frames, k) for k in Frames.__dataclass_fields__}, **changed})


def _planner(frames: Frames, whole: bool = True) -> Planner:
    survey = Survey(HOME[:3, 3], PACE.robot_height_m)
    survey.see(frames)
    return Planner(survey, PACE, CAMERA, whole=whole)


def _check(planner: Planner, poses: np.ndarray) -> np.ndarray:
    """Limits and clearances of a walk from HOME; which of its frames are at robot height."""
    every = np.concatenate([HOME[None], poses])
    assert np.linalg.norm(np.diff(every[:, :3, 3], axis=0), axis=1).max() <= PACE.step_m + 1e-9
    assert _turns(every).max() <= PACE.turn_rad + 1e-7
    place = poses[:, :3, 3]
    low = np.abs(place[:, 2] - PACE.robot_height_m) < 1e-6
    free = planner.survey.free_map(PACE.clearance_m)
    assert all(free.free[free.cell(p)] for p in place[low])
    assert room_distance(place[low, :2]).min(initial=1) >= PACE.clearance_m - CELL_M
    beside = np.maximum(np.maximum(BOX_LOW - place, place - BOX_HIGH), 0)
    assert np.linalg.norm(beside, axis=1).min() >= 0.3
    assert ((place > LOW + 0.3) & (place < HIGH - 0.3)).all()
    return low


@pytest.mark.parametrize("frames", [20, 81, 200])
def test_goes_down_and_walks_on_free_floor_only(seen, frames):
    planner = _planner(seen)
    poses = planner.plan(HOME, frames)
    assert len(poses) <= frames
    low = _check(planner, poses)
    assert low.sum() >= (0 if frames == 20 else 40)
    assert (np.diff(poses[:, 2, 3]) <= 1e-9).all(), "it never climbs"
    assert poses.tobytes() == _planner(seen).plan(HOME, frames).tobytes()


def test_the_way_down_was_seen_to_be_empty(seen):
    planner = _planner(seen)
    poses = planner.plan(HOME, 81)
    down = poses[np.abs(poses[:, 2, 3] - PACE.robot_height_m) > 1e-6, :3, 3]
    far = np.linalg.norm(down - HOME[:3, 3], axis=1) > 0.3
    assert far.sum() > 5
    assert (planner.survey.space.states(down[far]) == FREE).all()
    blind = _with(seen, valid=seen.valid & (np.arange(240)[:, None] > 170), label=seen.label)
    assert not len(_planner(blind).plan(HOME, 81)), "floor was seen, but not the air on the way to it"


def test_unknown_floor_is_not_walked(seen):
    valid = seen.valid.copy()
    valid[:, :, 160:] = False
    label = np.where(valid, seen.label, int(Label.UNKNOWN)).astype(np.uint8)
    planner = _planner(_with(seen, valid=valid, label=label))
    poses = planner.plan(HOME, 160)
    low = _check(planner, poses)
    assert low.sum() > 5
    # the right half of the image is what lies to the right (smaller y) of the line straight ahead
    assert poses[low, 1, 3].min() >= HOME[1, 3] + PACE.clearance_m - CELL_M


def test_where_no_floor_is_known_it_can_only_look_around(seen):
    doubtful = np.where(seen.label == Label.FLOOR, int(Label.OBSTACLE), seen.label).astype(np.uint8)
    planner = _planner(_with(seen, label=doubtful))
    assert not len(planner.plan(HOME, 81))
    hfov = planner.next_view.hfov
    for size in (24, 80):
        at, looks = HOME, []
        for _ in range(4):
            poses = planner.look_around(at, size, 0.35)
            assert len(poses) == size and np.ptp(poses[:, :3, 3], axis=0).max() == 0
            every = np.concatenate([at[None], poses])
            assert _turns(every).max() <= PACE.turn_rad + 1e-7 and np.abs(every[:, 2, 0]).max() < 1e-7
            at, looks = poses[-1], [*looks, np.array([heading_of(pose) for pose in poses])]
            assert abs(looks[-1][-1, 0]) < np.deg2rad(3), "back in the middle"
            assert np.ptp(looks[-1][:, 0]) > np.deg2rad(11)
            for pose in poses[:: max(len(poses) // 8, 1)]:
                share = known_share(planner.survey.space, pose[:3, 3], heading_of(pose)[1] - WALK_PITCH_RAD)
                known = over_pictures(share, hfov) / over_pictures(np.ones(BINS), hfov)
                assert known[bin_of(heading_of(pose)[0])] > 0.6, "what is known nothing of is not looked at"
        pitch = np.array([look[-1, 1] for look in looks])
        low = 0.35 + np.deg2rad(15)
        assert np.allclose(pitch, [low, 0.35, low, 0.35], atol=0.02), "lower and level in turn"


def test_unlabelled_depth_works():
    planner = _planner(room_frames(HOME[None], labelled=False))
    assert _check(planner, planner.plan(HOME, 120)).sum() > 20


def test_a_piece_goes_on_where_the_last_one_ended(seen):
    planner, trail = _planner(seen, whole=False), [HOME]
    while len(trail) < 300 and len(poses := planner.plan(trail[-1], 24)):
        trail += list(poses)
        planner.survey.see(room_frames(poses[[*range(0, len(poses), 8), len(poses) - 1]]))
    _check(planner, np.stack(trail[1:]))
    size = HIGH - LOW
    assert planner.survey.near.sum() * CELL_M**2 > 0.95 * (size[0] * size[1] - 0.54) and len(trail) < 250


def test_nothing_left_to_see_ends_the_walk(seen):
    everything = room_frames(np.concatenate([all_around(), HOME[None]]))
    planner = _planner(everything)
    poses = planner.plan(HOME, 300)
    low = np.abs(poses[:, 2, 3] - PACE.robot_height_m) < 1e-6
    assert low.sum() <= 1, "it goes down and finds nothing to do"


def test_below_a_thing_seen_from_one_side_only_is_no_way():
    """A cabinet on legs: floor is seen through below it, but what stands above that floor on the far side is not."""
    eye = pose_at(0.4, 0.6, 0.6, 0.0, 0.12)
    room = room_frames(eye[None])
    survey = Survey(eye[:3, 3], 0.6)
    survey.see(room)
    known = survey.free_map(0.0).known.sum()
    hidden = Survey(eye[:3, 3], 0.6)
    rows = np.arange(240)[:, None] + 0.5
    up = -(0.12 + np.arctan((rows - CAMERA.cy) / CAMERA.fy)) * np.ones((1, 320))
    hidden.see(_with(room, valid=room.valid & (up < np.deg2rad(-8))))  # only floor, no air at the camera's height
    assert hidden.floor.sum() > 0.5 * survey.floor.sum()
    assert hidden.free_map(0.0).known.sum() < 0.2 * known


def test_smooth_poses_keep_the_limits_and_change_speed_gradually():
    rng = np.random.default_rng(0)
    planned, at, heading = [], np.array([0.0, 0, 0.6]), 0.0
    for _ in range(40):  # walks, stops and turns at once, as a plan does
        course, turn, go = rng.uniform(-3, 3), rng.uniform(-1, 1) * PACE.turn_rad, rng.random() < 0.6
        for _ in range(int(rng.integers(3, 12))):
            at = at + (PACE.step_m * np.array([np.cos(course), np.sin(course), 0]) if go else 0)
            heading += turn
            pose = np.eye(4)
            pose[:3, :3], pose[:3, 3] = level_camera(heading, 0.12), at
            planned.append(pose)
    planned = np.stack(planned)
    before = np.repeat(planned[:1], LAG, 0)
    made = smoothed(before, planned)
    step = np.diff(made[:, :3, 3], axis=0)
    assert np.linalg.norm(step, axis=1).max() <= PACE.step_m + 1e-12 and _turns(made).max() <= PACE.turn_rad + 1e-7
    assert np.linalg.norm(np.diff(step, axis=0), axis=1).max() < 0.7 * PACE.step_m
    jump = np.linalg.norm(np.diff(planned[:, :3, 3], 2, axis=0), axis=1).max()
    assert jump > 1.5 * PACE.step_m, "the plan itself turns on the spot"
    assert np.abs(made[:, 2, 0]).max() < 1e-12, "level"
    late = np.linalg.norm(made[2:, :3, 3] - planned[:-2, :3, 3], axis=1)
    assert late.max() <= 0.9 * PACE.step_m, "two frames late, corners cut a little"
    parts = [smoothed(before, planned[:50]), smoothed(planned[46:50], planned[50:])]
    assert np.array_equal(np.concatenate(parts), made)
    middle = Rotation.from_matrix(planned[10:15, :3, :3]).mean([1, 2, 3, 2, 1])
    assert (Rotation.from_matrix(made[14, :3, :3]).inv() * middle).magnitude() < 1e-3
