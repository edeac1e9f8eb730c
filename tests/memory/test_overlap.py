"""What views cover of a frame, against visibility worked out on paper: a convex room with one box in it."""

import numpy as np
import pytest

from lyra_sim.core.records import Frames, Intrinsics, Label, PixelOrigin
from lyra_sim.geometry.camera import scaled
from lyra_sim.memory.overlap import coverage, geometry_of
from tests.trajectory.box_room import BOX_HIGH, BOX_LOW, CAMERA, cast, pose_at, room_frames

SMALL = scaled(CAMERA, 160, 120)
HOME = pose_at(0.4, -0.3, 1.2, -0.2)
OTHERS = [
    pose_at(0.2, -1.9, 0.6, 0.3, 0.0),
    pose_at(1.2, 1.5, 1.4, -0.6, 0.3),
    pose_at(4.5, -0.3, 1.0, 2.8, 0.2),
    pose_at(0.4, -0.3, 1.2, 0.5),
]
AWAY = pose_at(0.4, -0.3, 1.2, -0.2 + np.pi)


def visible(points: np.ndarray, pose: np.ndarray, camera: Intrinsics) -> np.ndarray:
    """Which points (H, W, 3) a camera sees: in its picture, and the straight line to them misses the box."""
    eye, way = pose[:3, 3], points - pose[:3, 3]
    local = way @ pose[:3, :3]
    with np.errstate(divide="ignore", invalid="ignore"):
        u = local[..., 0] / local[..., 2] * camera.fx + camera.cx
        v = local[..., 1] / local[..., 2] * camera.fy + camera.cy
        a, b = (BOX_LOW - eye) / way, (BOX_HIGH - eye) / way
    near, far = np.minimum(a, b).max(-1), np.maximum(a, b).min(-1)
    hidden = (near < far) & (near > 0) & (near < 1 - 1e-6)
    inside = (local[..., 2] > 0) & (u > 0) & (u < camera.width) & (v > 0) & (v < camera.height)
    return inside & ~hidden


def exact(pose: np.ndarray, camera: Intrinsics = SMALL) -> Frames:
    return room_frames(pose[None], camera)


def changed(frames: Frames, **arrays: np.ndarray) -> Frames:
    return Frames(**{**{k: getattr(frames, k) for k in Frames.__dataclass_fields__}, **arrays})


@pytest.mark.parametrize("camera", [SMALL, scaled(CAMERA, 100, 120)])
def test_each_view_and_their_union_cover_what_they_see_on_paper(camera):
    """Up to pixels beside depth edges and floor that is grazed, where half a pixel is more than 5 % of depth."""
    points = cast(HOME, SMALL)[2]
    wanted = np.stack([visible(points, pose, camera) for pose in OTHERS])
    found = coverage(exact(HOME), 0, [geometry_of(exact(pose, camera), 0) for pose in OTHERS])
    assert found.valid.all()
    off = (found.by != wanted).mean((1, 2))
    assert (off < 0.03).all(), off
    assert found.shares == pytest.approx(wanted.mean((1, 2)), abs=0.02)
    union = wanted.any(0)
    assert found.overlap == pytest.approx(union.mean(), abs=0.02) and union.mean() > max(found.shares) + 0.05
    assert found.overlap == 1 - found.uncovered.mean()
    assert 0.02 < wanted[1].mean() < 0.98, "some is seen and some is not"


def test_itself_covers_all_and_a_view_that_looks_away_nothing():
    itself, away = geometry_of(exact(HOME), 0), geometry_of(exact(AWAY), 0)
    assert coverage(exact(HOME), 0, [itself]).overlap == 1.0
    assert coverage(exact(HOME), 0, [away]).overlap == 0.0
    assert coverage(exact(HOME), 0, []).overlap == 0.0
    assert coverage(exact(HOME), 0, [away, itself]).shares == [0.0, 1.0]


@pytest.mark.parametrize(("factor", "share"), [(1.045, 1.0), (1.06, 0.0), (0.96, 1.0), (0.94, 0.0)])
def test_depth_has_to_agree_within_five_percent(factor, share):
    off = changed(exact(HOME), depth_m=exact(HOME).depth_m * np.float32(1 / factor))
    assert coverage(exact(HOME), 0, [geometry_of(off, 0)]).overlap == share


def test_paint_is_never_covered_and_covers_nothing_and_sky_does_not_count():
    frames = exact(HOME)
    origin, label, valid = frames.origin.copy(), frames.label.copy(), frames.valid.copy()
    origin[:, :, :40], label[:, :, :20], valid[:, :, :40] = int(PixelOrigin.FILLED), int(Label.SKY), False
    valid[:, :10] = False
    painted = changed(frames, origin=origin, label=label, valid=valid)
    found = coverage(painted, 0, [geometry_of(frames, 0)])
    counts, paint = 120 * 20 + 110 * 120, 120 * 20
    assert found.valid.sum() == counts and found.overlap == pytest.approx(1 - paint / counts)
    assert coverage(frames, 0, [geometry_of(painted, 0)]).overlap == pytest.approx(110 * 120 / (120 * 160))


def test_a_frame_without_depth_has_no_overlap():
    blind = changed(exact(HOME), valid=np.zeros((1, 120, 160), bool))
    assert coverage(blind, 0, [geometry_of(exact(HOME), 0)]).overlap is None
