"""Given paths against what stands there: a slow look at every voxel box, and the room known on paper."""

import itertools

import numpy as np
import pytest

from lyra_sim.config.path import DollyPath, FilePath, LookAroundPath, OrbitPath, ZoomPath
from lyra_sim.core.errors import InputError
from lyra_sim.trajectory.given import beyond_pace, collisions, frame_ranges, given_path, refuse_collisions
from lyra_sim.trajectory.motion import Pace
from lyra_sim.trajectory.path_file import save_path
from lyra_sim.trajectory.voxels import BLOCK, OCCUPIED, VOXEL_M, VoxelMap
from tests.trajectory.box_room import BOX_HIGH, BOX_LOW, CAMERA, HIGH, LOW, all_around, pose_at, room_frames

PACE = Pace(robot_height_m=0.6, clearance_m=0.35, step_m=0.1, turn_rad=np.deg2rad(3.0))
HOME = pose_at(0.2, 0.1, 1.4, 0.0, 0.0)


@pytest.fixture(scope="module")
def space() -> VoxelMap:
    made = VoxelMap(HOME[:3, 3])
    made.see(
        room_frames(np.concatenate([all_around(), [pose_at(0.2, 0.1, 1.4, h, 0.0) for h in np.arange(0, 6.3, 1)]]))
    )
    return made


def through(points: np.ndarray) -> np.ndarray:
    """Poses at points."""
    poses = np.tile(np.eye(4), (len(points), 1, 1))
    poses[:, :3, 3] = points
    return poses


def boxes(space: VoxelMap) -> np.ndarray:
    """Low corners of all occupied voxels, asked one by one."""
    cells = np.concatenate(
        [b * BLOCK + np.argwhere(np.ones((BLOCK,) * 3, bool)) for b in np.argwhere(space.index >= 0)]
    )
    return space.origin_m + cells[space.states(space.origin_m + (cells + 0.5) * VOXEL_M) == OCCUPIED] * VOXEL_M


def on_paper(points: np.ndarray) -> np.ndarray:
    """Distance of points (N, 3) to the nearest surface of the room, from either side of its walls."""
    inside = np.minimum(points - LOW, HIGH - points).min(1)
    past = np.linalg.norm(np.maximum(np.maximum(LOW - points, points - HIGH), 0), axis=1)
    box = np.linalg.norm(np.maximum(np.maximum(BOX_LOW - points, points - BOX_HIGH), 0), axis=1)
    return np.minimum(np.where(inside > 0, inside, past), box)


def slow_look(low: np.ndarray, every: np.ndarray, clearance: float) -> list[int]:
    """Numbers of the colliding frames: every frame and the line to it against the boxes at `low`, one by one."""
    found = []
    for k, (a, b) in enumerate(itertools.pairwise(every), 1):
        distance = np.linalg.norm(np.maximum(np.maximum(low - b, b - low - VOXEL_M), 0), axis=1).min()
        one, two = (low - a) / (b - a), (low + VOXEL_M - a) / (b - a)
        enters, leaves = np.minimum(one, two).max(1).clip(0), np.maximum(one, two).min(1).clip(None, 1)
        if distance < clearance or (enters < leaves).any():
            found.append(k)
    return found


@pytest.mark.parametrize("clearance", [0.0, 0.12, 0.35, 0.9])
def test_exactly_the_frames_that_a_slow_look_at_every_box_finds(space, clearance):
    rng = np.random.default_rng(3)
    points = rng.uniform(LOW - 1, HIGH + 1, (120, 3))
    points[60:] = np.cumsum(np.concatenate([[[1.0, 0, 1.4]], rng.normal(0, 0.15, (59, 3))]), 0)
    points[7], points[8] = [80.0, 3, 1], [-90.0, -2.5, 1.2]  # beyond the map, and right across it
    expected = slow_look(boxes(space), np.concatenate([HOME[None, :3, 3], points]), clearance)
    found = collisions(through(points), HOME, space, clearance)
    assert found.tolist() == expected and 10 < len(expected) < 120


def test_lines_between_single_voxels_are_followed_from_border_to_border():
    """Specks of one voxel in one block: a line must meet each of those it runs through and none beside it."""
    rng, space = np.random.default_rng(5), VoxelMap(HOME[:3, 3])
    space.index[32, 32, 3] = 0
    space.hits = np.where(rng.random((1, BLOCK, BLOCK, BLOCK)) < 0.05, 9, 0).astype(np.uint8)
    space.passed = np.ones_like(space.hits)
    corner = space.origin_m + np.array([32, 32, 3]) * BLOCK * VOXEL_M
    points = corner + rng.uniform(-0.2, BLOCK * VOXEL_M + 0.2, (600, 3))
    points[1::2] = points[::2] + rng.normal(0, 0.3, (300, 3))
    found = collisions(through(points[1:]), through(points[:1])[0], space, 0.0)
    assert found.tolist() == slow_look(boxes(space), points, 0.0) and 150 < len(found) < 450


def test_the_clearance_is_measured_to_the_faces_of_the_boxes(space):
    """A hair more than the real distance collides, a hair less does not."""
    low, rng = boxes(space), np.random.default_rng(4)
    for point in rng.uniform(LOW, HIGH, (60, 3)):
        distance = np.linalg.norm(np.maximum(np.maximum(low - point, point - low - VOXEL_M), 0), axis=1).min()
        if distance > 0:
            poses = through(point[None])
            found = [len(collisions(poses, poses[0], space, distance + hair)) for hair in (-1e-7, 1e-7)]
            assert found == [0, 1], point


def test_a_path_through_the_wall_is_refused_with_the_frames_that_geometry_gives(space):
    poses = given_path(ZoomPath(distance_m=8.0), HOME, PACE)
    distance = on_paper(poses[:, :3, 3])
    found = collisions(poses, HOME, space, PACE.clearance_m)
    surely = np.flatnonzero(distance < PACE.clearance_m - VOXEL_M) + 1
    perhaps = np.flatnonzero(distance < PACE.clearance_m + VOXEL_M) + 1
    assert len(surely) >= 4 and set(surely) <= set(found) <= set(perhaps)
    assert (np.diff(found) == 1).all()
    with pytest.raises(InputError) as refused:
        refuse_collisions(poses, HOME, space, PACE.clearance_m)
    assert f"frames {found[0]}-{found[-1]} of {len(poses)} come as near as 0.00 m" in str(refused.value)
    assert "explore.path.kind=planned" in str(refused.value)


def test_a_jump_across_the_wall_is_refused_where_no_frame_is_near_it(space):
    poses = through(np.array([[1.0, 0.1, 1.4], [9.0, 0.1, 1.4], [10.0, 0.1, 1.4]]))
    with pytest.raises(InputError, match=r"frame 2 of 3 come as near as 0\.00 m"):
        refuse_collisions(poses, HOME, space, PACE.clearance_m)


def test_a_path_at_a_safe_distance_is_accepted(space):
    for config in (ZoomPath(distance_m=4.0), OrbitPath(radius_m=1.5), DollyPath(forward_m=2.0, right_m=-0.8)):
        poses = given_path(config, HOME, PACE)
        assert on_paper(poses[:, :3, 3]).min() > PACE.clearance_m + 0.05
        refuse_collisions(poses, HOME, space, PACE.clearance_m)
    low = given_path(DollyPath(forward_m=4.0, right_m=0.0, up_m=-1.2), HOME, PACE)
    assert len(collisions(low, HOME, space, PACE.clearance_m)), "the floor stands in its way"


def test_a_start_near_a_wall_may_keep_its_own_distance_but_not_come_nearer(space):
    home = pose_at(2.0, 2.0, 1.4, 0.0, 0.0)
    along = [given_path(c, home, PACE) for c in (LookAroundPath(), DollyPath(forward_m=1.0, right_m=0.5))]
    for poses in along:
        assert len(collisions(poses, home, space, PACE.clearance_m))
        refuse_collisions(poses, home, space, PACE.clearance_m)
    with pytest.raises(InputError, match=r"here 0\.\d\d m, the start's own"):
        refuse_collisions(given_path(DollyPath(right_m=-0.1), home, PACE), home, space, PACE.clearance_m)


def test_what_was_never_seen_does_not_collide():
    assert not len(collisions(given_path(ZoomPath(distance_m=8), HOME, PACE), HOME, VoxelMap(HOME[:3, 3]), 0.35))


def test_fast_frames_of_a_file_are_told():
    points = HOME[:3, 3] + np.cumsum([0.05, 0.05, 0.3, 0.05, 0.1], 0)[:, None] * [1, 0, 0]
    poses = through(points)
    poses[:, :3, :3] = HOME[:3, :3]
    assert beyond_pace(poses[:2], HOME, PACE) == ""
    assert beyond_pace(poses, HOME, PACE).startswith("frame 3 move up to 0.30 m and turn up to 0.0 degrees")
    assert beyond_pace(given_path(OrbitPath(), HOME, PACE), HOME, PACE) == ""


def test_frames_are_named_in_ranges():
    assert frame_ranges(np.array([12, 13, 14, 44])) == "frames 12-14, 44"
    assert frame_ranges(np.array([7])) == "frame 7"
    assert frame_ranges(np.arange(1, 40, 2)).endswith("17, 19 and 10 more")


def test_a_file_in_other_units_is_refused(tmp_path):
    poses = np.tile(np.eye(4), (20, 1, 1))
    poses[:, 0, 3] = 100.0 * np.arange(20)  # millimetres
    save_path(tmp_path / "mm.npz", poses, CAMERA)
    with pytest.raises(InputError, match="metres"):
        given_path(FilePath(path=tmp_path / "mm.npz"), np.eye(4), PACE)
