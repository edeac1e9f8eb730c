"""Returns: kept views, detection and expectation against overlaps measured pixel by pixel."""

from dataclasses import replace

import numpy as np
import pytest

from lyra_sim.core.records import Label, PixelOrigin
from lyra_sim.memory.overlap import coverage, geometry_of
from lyra_sim.trajectory.gain import BIN_RAD, BINS
from lyra_sim.trajectory.motion import Pace, heading_of
from lyra_sim.trajectory.nextview import NextView
from lyra_sim.trajectory.returns import (
    LEAST_OVERLAP,
    OLD_LOOKS,
    covered,
    expected_overlap,
    is_return,
    kept_view,
    remembered_share,
)
from lyra_sim.trajectory.survey import Survey
from tests.trajectory import box_room
from tests.trajectory.box_room import CAMERA, all_around, cast, pose_at, room_frames

HEIGHT = 0.6
PACE = Pace(robot_height_m=HEIGHT, clearance_m=0.35, step_m=0.1, turn_rad=float(np.deg2rad(3)))
HFOV = 2 * float(np.arctan(CAMERA.width / 2 / CAMERA.fx))


def walk_poses(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    spots = rng.uniform((-0.1, -1.7), (2.1, 1.7), (count, 2))
    return np.stack([pose_at(x, y, HEIGHT, rng.uniform(-np.pi, np.pi), 0.12) for x, y in spots])


def overlaps(pose: np.ndarray, old: np.ndarray) -> np.ndarray:
    """With each old view, of every pixel."""
    frames = room_frames(np.stack([pose, *old]))
    return np.array(coverage(frames, 0, [geometry_of(frames, t) for t in range(1, len(frames))]).shares)


@pytest.mark.parametrize("width", [320, 428])
def test_a_kept_view_shows_what_its_frame_showed(width):
    pose = pose_at(0.4, 0.6, HEIGHT, 0.3, 0.12)
    camera = CAMERA.__class__(fx=0.75 * width, fy=0.75 * width, cx=width / 2, cy=120.0, width=width, height=240)
    frames = room_frames(pose[None], camera)
    view = kept_view(frames, 0)
    assert view.depth_m.shape[1] == (width if width < 400 else width // 2)
    points = cast(pose, camera)[2].reshape(-1, 3)
    assert covered(points, [view], 0.0).mean() > 0.97
    nearer = pose[:3, 3] + 0.9 * (points - pose[:3, 3])
    assert covered(nearer, [view], 0.0).mean() < 0.03 < 0.9 < covered(nearer, [view], 1.0).mean()


def test_paint_is_neither_kept_nor_covered():
    frames = room_frames(np.stack([pose_at(0.4, 0.6, HEIGHT, 0.3, 0.12)] * 2))
    old = [kept_view(frames, 0)]
    assert is_return(frames, 1, old) and not is_return(frames, 1, [])
    origin, label = frames.origin.copy(), frames.label.copy()
    origin[1, :, : CAMERA.width * 6 // 10] = int(PixelOrigin.FILLED)
    painted = replace(frames, origin=origin)
    assert not is_return(painted, 1, old)
    assert not is_return(frames, 0, [kept_view(painted, 1)])
    label[1, :, : CAMERA.width * 6 // 10] = int(Label.SKY)
    assert is_return(replace(painted, label=label), 1, old), "sky counts as neither"


def test_returns_are_told_as_the_overlap_of_every_pixel_tells_them():
    poses, old = walk_poses(40, 1), walk_poses(6, 2)
    shown = room_frames(np.stack([*poses, *old]))
    kept = [kept_view(shown, len(poses) + k) for k in range(len(old))]
    found = {True: 0, False: 0}
    for t, pose in enumerate(poses):
        share = overlaps(pose, old).max()
        if abs(share - LEAST_OVERLAP) > 0.03:
            assert is_return(shown, t, kept) == (share > LEAST_OVERLAP)
            found[bool(share > LEAST_OVERLAP)] += 1
    assert min(found.values()) >= 5


def test_expected_overlap_is_about_what_a_camera_there_has():
    old = walk_poses(6, 2)
    survey = Survey(np.array([1.0, 0.0, HEIGHT]), HEIGHT)
    survey.see(room_frames(np.stack([*all_around(), *old])))
    views = survey.views[-len(old) :]
    off = []
    for pose in walk_poses(40, 3):
        k = int((heading_of(pose)[0] + np.pi) / BIN_RAD) % BINS
        expected = expected_overlap(survey.space, pose[:3, 3], views, HFOV)[k]
        off.append(expected - overlaps(pose, old).max())
    assert abs(np.mean(off)) < 0.06 and np.quantile(np.abs(off), 0.9) < 0.16
    assert not expected_overlap(survey.space, pose_at(1, 0, HEIGHT)[:3, 3], [], HFOV).any()


def test_what_is_unknown_is_not_expected_to_be_covered():
    pose = pose_at(0.4, 0.6, HEIGHT, 0.3, 0.12)
    survey = Survey(pose[:3, 3], HEIGHT)
    survey.see(room_frames(pose[None]))
    share = expected_overlap(survey.space, pose[:3, 3], survey.views, HFOV)
    ahead = int((0.3 + np.pi) / BIN_RAD)
    assert share[ahead] > 0.85 and share[(ahead + BINS // 2) % BINS] == 0
    assert 0.3 < share[ahead + round(HFOV / 2 / BIN_RAD)] < 0.6, "half of it turned away"


def test_the_other_side_of_a_thin_wall_was_not_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(box_room, "BOX_LOW", np.array([2.46, -1.6, 0.0]))
    monkeypatch.setattr(box_room, "BOX_HIGH", np.array([2.52, 1.6, 2.6]))
    front, back = pose_at(1.2, 0.0, HEIGHT, 0.0, 0.12), pose_at(3.8, 0.0, HEIGHT, np.pi, 0.12)
    survey = Survey(np.array([1.0, 0.0, HEIGHT]), HEIGHT)
    survey.see(room_frames(np.stack([front, back])))
    ahead = survey.views[:1]
    assert remembered_share(survey.space, front[:3, 3], 0.0, ahead, HFOV) > 0.85
    assert remembered_share(survey.space, back[:3, 3], np.pi, ahead, HFOV) < 0.2, "of six rows one ends on the floor"
    assert remembered_share(survey.space, back[:3, 3], np.pi, survey.views, HFOV) > 0.85
    turned = remembered_share(survey.space, front[:3, 3], HFOV / 2, ahead, HFOV)
    assert 0.3 < turned < 0.7, "half of it was not in the picture"


def test_a_due_return_shows_half_of_an_old_view_again():
    survey = Survey(np.array([0.4, 0.6, HEIGHT]), HEIGHT)
    survey.see(room_frames(all_around()))
    survey.looks, survey.views, survey.returned = [], [], 0
    first = np.stack([pose_at(0.4, 0.6, HEIGHT, a, 0.12) for a in (0.3, 0.4)])
    away = [pose_at(0.0, -1.7, HEIGHT, -2.5 + 0.01 * k, 0.12) for k in range(OLD_LOOKS - 1)]
    survey.see(room_frames(np.stack([*first, *away])))
    assert survey.returned < 2, "the corner was not seen before"
    planner = NextView(survey, PACE, CAMERA, whole=True, return_frames=64)
    poses = planner.plan(away[-1], 200)
    old = np.stack([*first, *away])[: len(survey.views) + 1 - OLD_LOOKS]
    shares = [overlaps(pose, old).max() for pose in poses[::4]]
    assert max(shares) >= LEAST_OVERLAP
    begin = 4 * int(np.argmax(np.array(shares) >= LEAST_OVERLAP))
    survey.see(room_frames(poses[begin : begin + 1]))
    assert survey.returned == len(survey.looks) - 1, "and that is noticed"
    assert planner._old_view() is None, "none is due now"
    survey.returned -= 8
    assert planner._old_view() is not None
    planner.return_frames = 0
    assert planner._old_view() is None, "switched off"


def test_nothing_is_a_return_before_enough_frames():
    survey = Survey(np.array([0.4, 0.6, HEIGHT]), HEIGHT)
    same = np.repeat(pose_at(0.4, 0.6, HEIGHT, 0.3, 0.12)[None], OLD_LOOKS, 0)
    survey.see(room_frames(same))
    assert survey.returned == 0
    survey.see(room_frames(same[:1]))
    assert survey.returned == OLD_LOOKS
