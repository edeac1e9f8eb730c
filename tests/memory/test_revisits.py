"""Consistency on return, in a room that is ray-cast on paper: what is compared, and that nothing else is."""

import math

import cv2
import numpy as np
import pytest

from lyra_sim.core.records import Frames, Intrinsics, Label, PixelOrigin, Segment, World
from lyra_sim.geometry.camera import scaled
from lyra_sim.memory.revisits import Returned, Revisits, returns
from tests.trajectory.box_room import CAMERA, cast, paint, pose_at, room_frames, start_of

SMALL = scaled(CAMERA, 160, 120)
HOME = pose_at(0.2, 0.1, 1.4)
ASIDE = pose_at(0.5, -0.3, 1.2, 0.1, 0.3)
BY_ONE_BIT = 10 * math.log10(255**2 * 12)


def soft(pose: np.ndarray, camera: Intrinsics = SMALL) -> np.ndarray:
    """The room as a lens shows it: every pixel the mean of 4 x 4 rays, so that depth edges are mixed."""
    fine = paint(cast(pose, scaled(camera, 4 * camera.width, 4 * camera.height))[2])
    return cv2.resize(fine, (camera.width, camera.height), interpolation=cv2.INTER_AREA)


def exact(pose: np.ndarray, camera: Intrinsics = SMALL) -> Frames:
    return changed(room_frames(pose[None], camera), images=soft(pose, camera)[None])


def changed(frames: Frames, **arrays: np.ndarray) -> Frames:
    return Frames(**{**{k: getattr(frames, k) for k in Frames.__dataclass_fields__}, **arrays})


def blind(count: int, camera: Intrinsics = SMALL) -> Frames:
    """Frames that show nothing."""
    shape = (count, camera.height, camera.width)
    return Frames(
        images=np.zeros((*shape, 3), np.uint8),
        depth_m=np.zeros(shape, np.float32),
        valid=np.zeros(shape, bool),
        origin=np.full(shape, int(PixelOrigin.GENERATED), np.uint8),
        label=np.zeros(shape, np.uint8),
        cam_to_world=np.repeat(HOME[None], count, 0),
        intrinsics=camera,
    )


def after(older: Frames, newer: Frames, number: int = 168, between: tuple[Frames, int] | None = None):
    """What is found when `newer` is frame `number` of a walk that starts with `older`; `between` comes at a number of
    its own."""
    found = Revisits(older, newer.intrinsics)
    at = 1
    for frames, when in ([between] if between else []) + [(newer, number)]:
        found.add(blind(when - at))
        found.add(frames)
        at = when + 1
    return found.result()


def pixels(found: Returned | None, frames: Frames) -> float:
    return 0.0 if found is None else found.share * frames.valid.sum()


def test_exact_views_agree_and_the_pair_is_named():
    found = after(exact(HOME), exact(ASIDE))
    assert found is not None and found.psnr_db > 40 and found.pairs == 1 and found.share > 0.5
    assert (found.lowest.newer, found.lowest.older) == (168, 0)
    assert found.lowest.psnr_db == pytest.approx(found.psnr_db)
    points = cast(HOME, SMALL)[2].reshape(-1, 3)
    local = (points - ASIDE[:3, 3]) @ ASIDE[:3, :3]
    u, v = local[:, 0] / local[:, 2] * SMALL.fx + SMALL.cx, local[:, 1] / local[:, 2] * SMALL.fy + SMALL.cy
    inside = (local[:, 2] > 0) & (u > 0) & (u < SMALL.width) & (v > 0) & (v < SMALL.height)
    assert 0.9 * inside.mean() < found.lowest.overlap <= inside.mean() + 0.01, "the box hides a little"


def test_a_gain_costs_what_it_costs_on_paper():
    grey = np.full((1, SMALL.height, SMALL.width, 3), 200, np.uint8)
    older, newer = changed(exact(HOME), images=grey), changed(exact(ASIDE), images=(grey * 0.9).astype(np.uint8))
    found = after(older, newer)
    assert found is not None and found.psnr_db == pytest.approx(20 * math.log10(255 / 20), abs=1e-9)
    same = after(older, changed(newer, images=grey))
    assert same is not None and same.psnr_db == pytest.approx(BY_ONE_BIT), "rounding is never ruled out"


def test_errors_are_pooled_over_pixels_not_over_pairs():
    grey = np.full((1, SMALL.height, SMALL.width, 3), 100, np.uint8)
    found = Revisits(changed(exact(HOME), images=grey), SMALL)
    found.add(blind(167))
    found.add(changed(exact(HOME), images=grey + 10))
    found.add(blind(7))
    found.add(changed(exact(HOME), images=grey + 20))
    result = found.result()
    assert result is not None and result.pairs == 2 and result.lowest.newer == 176
    assert result.psnr_db == pytest.approx(10 * math.log10(255**2 / 250))


def test_only_what_more_than_160_frames_before_saw_is_a_return():
    assert after(exact(HOME), exact(HOME), 160) is None
    assert after(exact(HOME), exact(HOME), 168) is not None
    assert after(exact(HOME), exact(HOME), 170) is None, "every 8th frame is looked at"


def test_looking_elsewhere_is_no_return():
    assert after(exact(HOME), exact(pose_at(0.2, 0.1, 1.4, np.pi))) is None


def white_box(pose: np.ndarray) -> Frames:
    """A white box before dark walls, edges mixed. What is low is unknown: where the box stands on the floor, colours
    change without an edge in depth."""
    _, label, _ = cast(pose, scaled(SMALL, 4 * SMALL.width, 4 * SMALL.height))
    image = np.where(label == Label.OBSTACLE, 220, 30).astype(np.uint8)
    image = cv2.resize(image, (SMALL.width, SMALL.height), interpolation=cv2.INTER_AREA)
    frames = room_frames(pose[None], SMALL)
    known = cast(pose, SMALL)[2][..., 2] > 0.1
    return changed(frames, images=np.repeat(image[None, ..., None], 3, 3), valid=known[None])


def test_hidden_places_and_mixed_edges_are_not_compared():
    """From the side the box hides other parts of the walls: a hidden place, or a pixel of both, would be far off."""
    found = after(white_box(pose_at(0.4, -1.9, 0.5, 0.1, 0.0)), white_box(pose_at(0.4, -0.3, 0.5, -0.25, 0.0)))
    assert found is not None and found.share > 0.2
    assert found.psnr_db == pytest.approx(BY_ONE_BIT)


def painted_over(pose: np.ndarray) -> Frames:
    frames = exact(pose)
    filled = np.full(frames.origin.shape, int(PixelOrigin.FILLED), np.uint8)
    black = np.zeros_like(frames.images)
    return changed(frames, origin=filled, valid=~frames.valid, depth_m=np.zeros_like(frames.depth_m), images=black)


def test_paint_counts_where_the_place_would_be_seen():
    """A frame that forgot everything is judged only at places that an exact one shows from there: the box, known from
    other frames, hides the wall behind it. Grazed floor may be left out."""
    older, between, pose = exact(pose_at(0.4, -1.9, 1.4, 0.2)), exact(ASIDE), pose_at(0.5, -0.4, 0.5, -0.3, 0.1)
    forgot, knew = painted_over(pose), changed(painted_over(pose), images=exact(pose).images)
    honest, black, right = (after(older, newer, between=(between, 8)) for newer in (exact(pose), forgot, knew))
    assert honest is not None and black is not None and right is not None
    assert 0.6 * pixels(honest, older) < pixels(black, older) < pixels(honest, older)
    assert black.psnr_db < 12 and right.psnr_db > 37


def test_paint_of_the_older_frame_is_no_place():
    assert after(painted_over(HOME), exact(HOME)) is None
    origin = exact(HOME).origin.copy()
    origin[:, :, 80:] = int(PixelOrigin.FILLED)
    found = after(changed(exact(HOME), origin=origin, images=np.where(origin[..., None] == 3, 0, exact(HOME).images)),
                  exact(HOME))  # fmt: skip
    assert found is not None and found.psnr_db > 45


def test_other_colours_are_judged_at_the_same_pixels():
    plain, other = Revisits(exact(HOME), SMALL), Revisits(exact(HOME), SMALL)
    black = np.zeros((1, SMALL.height, SMALL.width, 3), np.uint8)
    for found, shown in ((plain, None), (other, black)):
        found.add(blind(167))
        found.add(exact(ASIDE), shown)
    one, two = plain.result(), other.result()
    assert one is not None and two is not None
    assert (one.pairs, one.share) == (two.pairs, two.share)
    assert two.psnr_db < one.psnr_db - 20


def test_what_one_frame_shows_much_finer_is_not_compared():
    def before_the_wall(distance: float) -> Frames:
        return exact(pose_at(5.0 - distance, 1.5, 1.4, 0.0, 0.0))

    assert after(before_the_wall(1.0), before_the_wall(1.9)) is not None
    assert after(before_the_wall(1.0), before_the_wall(2.2)) is None


def test_finer_start_frames_are_averaged_first():
    """A pattern finer than a generated pixel is no difference."""
    wide = scaled(SMALL, 640, 480)
    start = room_frames(HOME[None], wide)
    v, u = np.mgrid[:480, :640]
    fine = np.where((u + v) % 2, 60, 180).astype(np.uint8)
    start = changed(start, images=np.repeat(fine[None, ..., None], 3, 3))
    grey = np.full((1, SMALL.height, SMALL.width, 3), 120, np.uint8)
    found = after(start, changed(exact(HOME), images=grey))
    assert found is not None and found.psnr_db > 50 and found.share > 0.8


def test_of_a_world_with_segments():
    """Start frames count down to 0; generated ones begin at 1 whatever the cut into segments."""
    start = start_of(exact(HOME))
    cut = [blind(80), blind(80), blind(7), exact(ASIDE)]
    world = World(start=start, segments=tuple(Segment(index=i, frames=frames) for i, frames in enumerate(cut)))
    found = returns(world)
    assert found == after(exact(HOME), exact(ASIDE))
    early = World(start=start, segments=world.segments[2:])
    assert returns(early) is None and returns(World(start=start, segments=())) is None
