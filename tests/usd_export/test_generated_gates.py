"""Frames of a generator against the start: exact renderings, those with a video network's faults, and dreams."""

import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from lyra_sim.core.records import Frames, Gate, PixelOrigin, Segment, World
from lyra_sim.memory.revisits import Pair, Returned
from lyra_sim.procedural.cameras import pinhole, walk_cameras
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.render import render
from tests.analytic_room import posed
from tests.usd_export import rooms
from usd_export.validate import gates
from usd_export.validate.generated_gates import compare_generated, has_generated
from usd_export.validate.limits import GENERATED, holds_back

CAMERA = pinhole(192, 144, 80)


def rendered(poses: np.ndarray, origin: PixelOrigin) -> Frames:
    views = [render(SCENE, pose, CAMERA, antialias=False) for pose in poses]
    depth = np.stack([view.depth_m for view in views])
    return Frames(
        images=np.stack([view.image for view in views]),
        depth_m=depth,
        valid=depth > 0,
        origin=np.full(depth.shape, origin, np.uint8),
        label=np.zeros(depth.shape, np.uint8),
        cam_to_world=poses,
        intrinsics=CAMERA,
    )


def moved(pose: np.ndarray, count: int) -> np.ndarray:
    """Camera-to-world matrices that step aside and turn a little more each time."""
    out = np.repeat(pose[None], count, 0)
    for k in range(count):
        turn = np.eye(4)
        turn[:3, :3] = Rotation.from_euler("y", 1.0 * k, degrees=True).as_matrix()
        turn[0, 3] = 0.01 * k
        out[k] = pose @ turn
    return out


SCENE = make_flat(3)
POSES = moved(walk_cameras(SCENE, 1, 1)[0], 17)


@pytest.fixture(scope="module")
def truth() -> World:
    start = posed(np.ones((1, 144, 192), np.float32), POSES[:1])
    start = replace(start, frames=rendered(POSES[:1], PixelOrigin.MEASURED))
    drawn = rendered(POSES[1:], PixelOrigin.GENERATED)
    return World(start=start, segments=(Segment(index=0, frames=drawn, warped=False),))


def changed(world: World, **arrays: np.ndarray) -> World:
    (segment,) = world.segments
    return replace(world, segments=(replace(segment, frames=replace(segment.frames, **arrays)),))


def kept(world: World) -> list[bool]:
    found = compare_generated(world)
    assert found.likeness is not None and found.depth_off_median is not None
    least, most = (GENERATED[name].value for name in ("generated_likeness", "generated_depth_off_median"))
    assert least is not None and most is not None
    return [found.likeness >= least, found.depth_off_median <= most]


def test_exact_frames_agree(truth):
    found = compare_generated(truth)
    assert found.likeness > 0.95 and found.depth_off_median < 0.01


def test_faults_of_a_good_generator_are_borne(truth):
    """Blur, drift of exposure, 4 % of scale and noise of depth."""
    frames, rng = truth.segments[0].frames, np.random.default_rng(0)
    blurred = ndimage.gaussian_filter(frames.images.astype(float), (0, 2, 2, 0)) * 0.8 + 20
    noisy = frames.depth_m * 1.04 * (1 + 0.03 * rng.standard_normal(frames.depth_m.shape))
    assert kept(changed(truth, images=blurred.astype(np.uint8), depth_m=noisy.astype(np.float32))) == [True, True]


def test_another_picture_and_another_depth_are_each_found(truth):
    frames, rng = truth.segments[0].frames, np.random.default_rng(0)
    dream = rng.integers(0, 256, frames.images.shape).astype(np.uint8)
    assert kept(changed(truth, images=dream)) == [False, True]
    assert kept(changed(truth, images=frames.images[:, :, ::-1].copy())) == [False, True], "mirrored"
    assert kept(changed(truth, images=np.full_like(frames.images, 128) + dream // 64)) == [False, True], "blank"
    assert kept(changed(truth, depth_m=frames.depth_m * np.float32(1.2))) == [True, False]
    assert compare_generated(changed(truth, depth_m=frames.depth_m * np.float32(1.2))).depth_off_median == (
        pytest.approx(0.2, abs=0.01)
    )


def test_only_what_was_drawn_is_judged(truth):
    (segment,) = truth.segments
    assert has_generated(truth)
    assert not has_generated(replace(truth, segments=(replace(segment, warped=True),)))
    assert not has_generated(replace(truth, segments=()))
    filled = np.full_like(segment.frames.origin, PixelOrigin.FILLED)
    assert not has_generated(changed(truth, origin=filled))


class Stored(Sequence[Segment]):
    """Segments that are made when they are asked for, as those on disk; `most` of them were alive at one time."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.segments, self.made, self.most = segments, [], 0

    def __len__(self) -> int:
        return len(self.segments)

    def __getitem__(self, index):
        segment = replace(self.segments[index])
        self.made.append(weakref.ref(segment))
        self.most = max(self.most, sum(made() is not None for made in self.made))
        return segment


def test_segments_are_read_one_by_one(truth):
    stored = Stored([replace(truth.segments[0], index=i) for i in range(6)])
    world = replace(truth, segments=stored)
    assert has_generated(world) and compare_generated(world).likeness > 0.95
    assert stored.most <= 2, "one in use while the next is read"


def sided(*, front: int, back: int) -> World:
    """A wall at 2 m; frames that show its front as the start does, and frames that show another picture at its back."""
    rng = np.random.default_rng(0)
    picture, other = (np.kron(rng.integers(0, 256, (9, 12)), np.ones((16, 16)))[..., None] for _ in range(2))
    behind = np.diag([-1.0, 1.0, -1.0, 1.0])
    behind[2, 3] = 4.0
    images = np.stack([picture] * (1 + front) + [other] * back).repeat(3, 3).astype(np.uint8)
    poses, depth = np.stack([np.eye(4)] * (1 + front) + [behind] * back), np.full(images.shape[:3], 2.0, np.float32)

    def part(some: slice, origin: PixelOrigin) -> Frames:
        plain = {"label": np.zeros(depth[some].shape, np.uint8), "origin": np.full(depth[some].shape, origin, np.uint8)}
        return Frames(
            images=images[some], depth_m=depth[some], valid=depth[some] > 0, cam_to_world=poses[some],
            intrinsics=CAMERA, **plain,
        )  # fmt: skip

    start = replace(posed(depth[:1], poses[:1]), frames=part(slice(1), PixelOrigin.MEASURED))
    drawn = part(slice(1, None), PixelOrigin.GENERATED)
    return World(start=start, segments=(Segment(index=0, frames=drawn, warped=False),))


def test_the_other_side_of_a_wall_is_not_what_the_start_saw():
    mixed = compare_generated(sided(front=2, back=6))
    assert mixed.likeness > 0.99 and mixed.depth_off_median < 0.001
    assert compare_generated(sided(front=0, back=6)).likeness is None


def test_frames_that_never_see_the_start_say_nothing(truth):
    away = truth.segments[0].frames.cam_to_world.copy()
    away[:, :3, 3] += 100
    found = compare_generated(changed(truth, cam_to_world=away))
    assert found.likeness is None and found.depth_off_median is None


def test_a_world_is_failed_by_the_gate_that_its_frames_break(room_folder: Path):
    known = rooms.world()
    frames = replace(known.start.frames, origin=np.full_like(known.start.frames.origin, PixelOrigin.GENERATED))
    drawn = replace(known, segments=(Segment(index=0, frames=frames, warped=False),))

    def failed(world: World) -> set[str]:
        found = gates(room_folder, world=world, surface=rooms.surface(), space=rooms.space())
        return {gate.name for gate in found if not gate.ok}

    sound = failed(drawn)
    assert sound == failed(known) and not sound & set(GENERATED)
    upside_down = frames.images[:, ::-1].copy()
    assert failed(changed(drawn, images=upside_down)) == sound | {"generated_likeness"}
    deeper = frames.depth_m * np.float32(1.2)
    assert failed(changed(drawn, depth_m=deeper)) == sound | {"generated_depth_off_median"}


def test_returns_are_reported_and_hold_no_world_back(room_folder: Path):
    def judge(returned: Returned | None) -> dict[str, Gate]:
        known = {"world": rooms.world(), "surface": rooms.surface(), "space": rooms.space()}
        return {gate.name: gate for gate in gates(room_folder, **known, returned=returned)}

    def found(psnr_db: float) -> Returned:
        lowest = Pair(newer=240, older=8, overlap=0.5, psnr_db=psnr_db - 5)
        return Returned(psnr_db=psnr_db, pairs=12, share=0.4, lowest=lowest)

    never, good, low = judge(None), judge(found(34.0)), judge(found(20.0))
    assert list(good)[-1] == "revisit_psnr_db"
    assert list(good)[:-1] == list(never), "a walk that never returns has no such number"
    kept, missed = good["revisit_psnr_db"], low["revisit_psnr_db"]
    assert (kept.value, kept.limit, kept.unit, kept.ok, kept.why) == (34.0, 28.0, "dB", True, "")
    assert (missed.value, missed.limit, missed.ok) == (20.0, 28.0, False)
    assert "frame 240 against 8 (15.0 dB)" in missed.why
    assert not holds_back(kept) and not holds_back(missed)
    failed = [gate for gate in good.values() if not gate.ok]
    assert all(holds_back(gate) for gate in failed)
    assert holds_back(replace(missed, name="reprojection_psnr_db"))
