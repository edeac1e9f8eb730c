"""The reproject generator against scenes known on paper, and its promises about holes and fill."""

import time

import cv2
import numpy as np
import pytest

from lyra_sim.config.explore import ReprojectConfig
from lyra_sim.core.records import Frames, Intrinsics, Label, PixelOrigin
from lyra_sim.geometry.camera import pixel_rays, transform
from lyra_sim.worldgen import build
from lyra_sim.worldgen.fill import push_pull
from lyra_sim.worldgen.request import Request, view_of
from tests.trajectory.box_room import BOX_HIGH, BOX_LOW, CAMERA, HIGH, LOW, cast, paint, pose_at, room_frames

HOME = pose_at(0.2, 0.1, 1.4)


def _generate(frames: Frames, poses, camera: Intrinsics = CAMERA, views: int = 3, chosen=None) -> Frames:
    ids = tuple(range(len(frames)))
    request = Request(
        cam_to_world=np.stack(poses),
        intrinsics=camera,
        views=tuple(view_of(frames, i, i) for i in ids),
        chosen=chosen or (ids,) * len(poses),
        seed=0,
    )
    return build(ReprojectConfig(views=views)).generate(request).frames


def _changed(frames: Frames, **arrays: np.ndarray) -> Frames:
    return Frames(**{**{k: getattr(frames, k) for k in Frames.__dataclass_fields__}, **arrays})


def _surface_error(made: Frames, t: int) -> np.ndarray:
    """Distance of every valid pixel's point to the nearest surface of the room, metres."""
    rays = pixel_rays(made.intrinsics)[made.valid[t]]
    points = transform(made.cam_to_world[t], rays * made.depth_m[t][made.valid[t]][:, None])
    walls = np.abs(np.stack([points - LOW, HIGH - points])).min((0, 2))
    inside = np.minimum(points - BOX_LOW, BOX_HIGH - points).min(1)
    outside = np.linalg.norm(np.maximum(np.maximum(BOX_LOW - points, points - BOX_HIGH), 0), axis=1)
    return np.minimum(walls, np.where(inside > 0, inside, outside))


def test_warped_depth_and_colour_lie_on_the_true_surfaces():
    made = _generate(room_frames(HOME[None]), [pose_at(1.0, 0.4, 1.0, -0.2, 0.25), pose_at(0.3, -0.3, 1.3, 0.3, 0.3)])
    for t in range(2):
        assert made.valid[t].mean() > 0.5
        error = _surface_error(made, t)
        assert np.quantile(error, 0.99) < 0.005
        assert error.max() < 0.06, "no skin is stretched from the box to what is behind it"
        depth, label, points = cast(made.cam_to_world[t])
        right = made.valid[t] & (np.abs(made.depth_m[t] - depth) < 0.01)
        assert right.sum() > 0.9 * made.valid[t].sum()
        wrong = np.abs(made.images[t].astype(int) - paint(points)).max(-1)
        assert np.quantile(wrong[right], 0.99) <= 6
        assert (made.label[t][right] == label[right]).mean() > 0.99


def test_rotation_is_a_homography():
    frames = room_frames(HOME[None])
    pose = pose_at(0.2, 0.1, 1.4, 0.2, 0.3)
    made = _generate(frames, [pose])
    K = np.array([[CAMERA.fx, 0, CAMERA.cx - 0.5], [0, CAMERA.fy, CAMERA.cy - 0.5], [0, 0, 1]])
    H = K @ pose[:3, :3].T @ HOME[:3, :3] @ np.linalg.inv(K)
    expected = cv2.warpPerspective(np.asarray(frames.images[0]), H, (320, 240))
    inner = cv2.erode(made.valid[0].astype(np.uint8), np.ones((5, 5))) > 0
    assert inner.mean() > 0.5
    wrong = np.abs(made.images[0].astype(int) - expected).max(-1)[inner]
    assert np.quantile(wrong, 0.99) <= 6


def test_sideways_step_before_a_wall_is_an_integer_shift():
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)
    camera = Intrinsics(fx=80.0, fy=80.0, cx=40.0, cy=30.0, width=80, height=60)
    depth, ones = np.full((1, 60, 80), 2.0, np.float32), np.ones((1, 60, 80), bool)
    pose = np.eye(4)
    frames = Frames(
        images=image[None],
        depth_m=depth,
        valid=ones,
        origin=ones.astype(np.uint8),
        label=np.zeros((1, 60, 80), np.uint8),
        cam_to_world=pose[None],
        intrinsics=camera,
    )
    moved = pose.copy()
    moved[0, 3] = 7 * 2.0 / 80
    made = _generate(frames, [moved], camera)
    assert np.abs(made.images[0, 1:-1, 1:-8].astype(int) - image[1:-1, 8:-1]).max() <= 1
    assert np.allclose(made.depth_m[0, 1:-1, 1:-8], 2.0)
    assert not made.valid[0, :, -7:].any()


def test_holes_and_fill_are_marked_and_never_geometry():
    frames = room_frames(HOME[None])
    made = _generate(frames, [pose_at(0.6, 0.5, 1.2, 0.9, 0.2), pose_at(0.2, 0.1, 1.4, np.pi)])
    assert set(np.unique(made.origin)) <= {PixelOrigin.GENERATED, PixelOrigin.FILLED}
    assert np.array_equal(made.origin == PixelOrigin.GENERATED, made.valid)
    assert (made.depth_m[~made.valid] == 0).all()
    assert (~made.valid[0]).mean() > 0.2
    assert not made.valid[1].any(), "the camera looks away from all it knows"


def test_filled_pixels_of_a_view_are_never_used():
    frames = room_frames(HOME[None])
    origin, images = frames.origin.copy(), frames.images.copy()
    origin[:, :, 160:] = int(PixelOrigin.FILLED)
    images[:, :, 160:] = [255, 0, 255]
    made = _generate(_changed(frames, origin=origin, images=images), [HOME])
    assert made.valid[0, :, :158].mean() > 0.95
    assert not made.valid[0, :, 161:].any()
    assert not (np.abs(made.images[0].astype(int) - [255, 0, 255]).max(-1) < 20).any()


def test_unknown_depth_gives_colour_but_no_geometry():
    frames = room_frames(HOME[None])
    valid, label = frames.valid.copy(), frames.label.copy()
    valid[:, 60:100, 100:220] = False
    label[:, 60:100, 100:220] = int(Label.SKY)
    depth = np.where(valid, frames.depth_m, np.float32(0))
    made = _generate(_changed(frames, valid=valid, label=label, depth_m=depth), [HOME])
    window = (0, slice(64, 96), slice(104, 216))
    assert not made.valid[window].any()
    assert (made.origin[window] == PixelOrigin.FILLED).all()
    assert np.abs(made.images[window].astype(int) - frames.images[window]).max() <= 2
    assert (made.label[window] == Label.SKY).all()


def test_a_surface_is_not_shown_from_behind():
    behind_box = pose_at(4.2, -1.15, 0.6, np.pi, 0.0)
    made = _generate(room_frames(HOME[None]), [behind_box])
    assert (cast(behind_box)[1] == Label.OBSTACLE).sum() > 5000
    points = transform(behind_box, pixel_rays(CAMERA) * made.depth_m[0][..., None])
    front = (np.abs(points[..., 0] - BOX_LOW[0]) < 0.02) & (points[..., 1] < -0.75) & (points[..., 1] > -1.55)
    assert not (front & (points[..., 2] > 0.05) & (points[..., 2] < 0.75) & made.valid[0]).any()


def test_measured_views_first_and_later_ones_fill_only_holes():
    poses = np.stack([HOME, pose_at(0.2, 0.1, 1.4, 0.5)])
    frames = room_frames(poses)
    images, origin = frames.images.copy(), frames.origin.copy()
    images[1] = [255, 0, 0]
    origin[1] = int(PixelOrigin.GENERATED)
    target = pose_at(0.2, 0.1, 1.4, 0.25)
    alone = _generate(frames, [target], chosen=((0,),))
    both = _generate(_changed(frames, images=images, origin=origin), [target], chosen=((1, 0),))
    assert (both.valid & ~alone.valid).sum() > 3000
    assert np.array_equal(both.images[alone.valid], alone.images[alone.valid])
    assert (both.images[both.valid & ~alone.valid] == [255, 0, 0]).all()
    one = _generate(_changed(frames, images=images, origin=origin), [target], views=1, chosen=((1, 0),))
    assert np.array_equal(one.valid, alone.valid)


def test_push_pull_keeps_what_is_known():
    rng = np.random.default_rng(0)
    values = rng.uniform(10, 20, (37, 53, 3)).astype(np.float32)
    known = rng.random((37, 53)) < 0.3
    known[10:30, 10:40] = False
    filled = push_pull(values, known)
    assert np.array_equal(filled[known], values[known])
    assert filled.min() >= 10 - 1e-4
    assert filled.max() <= 20 + 1e-4
    assert np.allclose(push_pull(np.full((9, 7, 1), 3.0), np.eye(9, 7) > 0), 3.0)
    assert (push_pull(values, np.zeros_like(known)) == push_pull(values, np.zeros_like(known))).all()


@pytest.mark.parametrize("size", [(960, 720), (320, 240), (720, 960)])
def test_eighty_frames_in_time_and_the_same_twice(size):
    width, height = size
    big = Intrinsics(fx=width * 0.75, fy=width * 0.75, cx=width / 2, cy=height / 2, width=width, height=height)
    frames = room_frames(HOME[None], big)
    poses = [pose_at(0.2 + 0.01 * i, 0.1, 1.4 - 0.008 * i, 0.2 * np.sin(i / 10), 0.3) for i in range(80)]
    first = _generate(frames, poses[:1])
    begin = time.process_time()
    made = _generate(frames, poses)
    assert time.process_time() - begin < 6
    assert made.images[0].tobytes() == first.images[0].tobytes()
    assert made.valid.mean() > 0.5
