"""The planner in a room known on paper: free cells only, home again, within its limits."""

import numpy as np
import pytest

from lyra_sim.core.records import Frames, Label
from lyra_sim.trajectory.freemap import CELL_M, Sight
from lyra_sim.trajectory.planner import Pace, Walk, plan
from tests.trajectory.box_room import BOX_HIGH, BOX_LOW, HIGH, LOW, all_around, pose_at, room_distance, room_frames

PACE = Pace(robot_height_m=0.6, clearance_m=0.35, step_m=0.08, turn_rad=float(np.deg2rad(3)))
HOME = pose_at(0.2, 0.1, 1.4)
NONE = np.zeros((0, 4, 4))


@pytest.fixture(scope="module")
def seen() -> Frames:
    return room_frames(HOME[None])


def _walk(frames: int, trail: np.ndarray = NONE, wanted: int | None = None) -> Walk:
    return Walk(home=HOME, trail=trail, frames_left=frames, frames_wanted=frames if wanted is None else wanted)


def _turns(poses: np.ndarray) -> np.ndarray:
    between = np.einsum("nji,njk->nik", poses[:-1, :3, :3], poses[1:, :3, :3])
    return np.arccos(np.clip((np.trace(between, axis1=1, axis2=2) - 1) / 2, -1, 1))


def _with(frames: Frames, **changed: np.ndarray) -> Frames:
    return Frames(**{**{k: getattr(frames, k) for k in Frames.__dataclass_fields__}, **changed})


@pytest.mark.parametrize("frames", [81, 200])
def test_walks_on_free_floor_only_and_comes_home(seen, frames):
    poses = plan([seen], _walk(frames), PACE)
    assert len(poses) == frames
    every = np.concatenate([HOME[None], poses])
    assert np.linalg.norm(np.diff(every[:, :3, 3], axis=0), axis=1).max() <= PACE.step_m + 1e-9
    assert _turns(every).max() <= PACE.turn_rad + 1e-7
    assert np.linalg.norm(poses[-1, :3, 3] - HOME[:3, 3]) < 0.5
    place = poses[:, :3, 3]
    low = np.abs(place[:, 2] - PACE.robot_height_m) < 1e-6
    assert low.sum() >= (10 if frames == 81 else 60), "it reaches the floor"
    assert room_distance(place[low, :2]).min() >= PACE.clearance_m - CELL_M
    inside = ((place > BOX_LOW - 0.05) & (place < BOX_HIGH + 0.05)).all(1)
    assert not inside.any()
    assert ((place > LOW + 0.1) & (place < HIGH - 0.1)).all()


def test_free_cells_keep_their_distance_by_brute_force(seen):
    made = Sight([seen]).free_map(HOME[:3, 3], 0.35, 0.6)
    free, other = made.centre(np.argwhere(made.free)), made.centre(np.argwhere(~made.known))
    assert len(free) > 500
    nearest = min(np.linalg.norm(other - c, axis=1).min() for c in free[::7])
    assert nearest >= 0.35 - 1e-9
    assert room_distance(made.centre(np.argwhere(made.known))).min() > -CELL_M
    assert room_distance(free).min() >= 0.35 - CELL_M
    visible = [cell for cell in np.argwhere(made.known) if made.centre(cell)[0] < 1.0]
    assert not visible, "floor below the image's lower edge is unknown, not free"


def test_walk_leaves_no_free_cell(seen):
    made = Sight([seen]).free_map(HOME[:3, 3], PACE.clearance_m, PACE.robot_height_m)
    poses = plan([seen], _walk(160), PACE)
    low = np.abs(poses[:, 2, 3] - PACE.robot_height_m) < 1e-6
    assert all(made.free[made.cell(p)] for p in poses[low, :3, 3])


def test_unknown_floor_is_not_walked(seen):
    valid = seen.valid.copy()
    valid[:, :, 160:] = False
    label = np.where(valid, seen.label, int(Label.UNKNOWN)).astype(np.uint8)
    half = _with(seen, valid=valid, label=label)
    poses = plan([half], _walk(160), PACE)
    low = np.abs(poses[:, 2, 3] - PACE.robot_height_m) < 1e-6
    assert low.sum() > 20
    # the right half of the image is what lies to the right (smaller y) of the line straight ahead
    assert poses[low, 1, 3].min() >= HOME[1, 3] + PACE.clearance_m - CELL_M


def test_what_is_labelled_obstacle_is_not_floor(seen):
    doubtful = np.where(seen.label == Label.FLOOR, int(Label.OBSTACLE), seen.label).astype(np.uint8)
    poses = plan([_with(seen, label=doubtful)], _walk(81), PACE)
    assert len(poses) == 81
    assert np.ptp(poses[:, :3, 3], axis=0).max() == 0, "no known floor: it only looks around"
    assert _turns(np.concatenate([HOME[None], poses])).max() <= PACE.turn_rad + 1e-7
    heading = np.arctan2(poses[:, 1, 2], poses[:, 0, 2])
    assert np.ptp(heading) > np.deg2rad(40)


def test_same_input_same_bytes_and_unlabelled_depth_works(seen):
    assert plan([seen], _walk(120), PACE).tobytes() == plan([seen], _walk(120), PACE).tobytes()
    poses = plan([room_frames(HOME[None], labelled=False)], _walk(120), PACE)
    low = np.abs(poses[:, 2, 3] - PACE.robot_height_m) < 1e-6
    assert low.sum() > 20
    assert room_distance(poses[low, :2, 3]).min() >= PACE.clearance_m - CELL_M


@pytest.mark.parametrize("cut", [15, 35, 60, 90, 120])
def test_planning_again_midway_still_comes_home(seen, cut):
    first = plan([seen], _walk(150), PACE)[:cut]
    rest = plan([seen], _walk(150 - cut, first), PACE)
    every = np.concatenate([HOME[None], first, rest])
    assert len(every) == 151
    assert np.linalg.norm(np.diff(every[:, :3, 3], axis=0), axis=1).max() <= PACE.step_m + 1e-9
    assert _turns(every).max() <= PACE.turn_rad + 1e-7
    assert np.linalg.norm(every[-1, :3, 3] - HOME[:3, 3]) < 0.5


def test_nothing_left_to_see_ends_the_walk(seen):
    """All around the room is seen: the floor goes on nowhere."""
    everything = room_frames(np.concatenate([all_around(), HOME[None]]))
    assert not len(plan([everything], _walk(300, np.repeat(HOME[None], 90, 0), wanted=0), PACE))


def test_seeing_through(seen):
    sight, eye = Sight([seen]), HOME[:3, 3]
    assert sight.sees_through(eye, np.array([2.0, 0.5, 0.6]))
    behind_box = np.array([3.6, -1.3, 0.2])
    assert not sight.sees_through(eye, behind_box)
    assert not sight.sees_through(eye, np.array([-0.4, 0.1, 0.3])), "behind the camera nothing was seen"
