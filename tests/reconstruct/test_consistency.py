"""Generated depth that is wrong smoothly, frame by frame, in a place known in closed form."""

import dataclasses

import numpy as np
import pytest

from lyra_sim.config.geometry3d import TsdfConfig
from lyra_sim.core.records import Fused, PixelOrigin, PosedFrames, Segment, World
from lyra_sim.reconstruct import consistency
from lyra_sim.reconstruct.build import build
from lyra_sim.reconstruct.consistency import consistent
from tests.analytic_room import CAMERA, Room, circle, posed

ROOM = Room(boxes=[((1.0, -0.5, 0.0), (1.6, 0.5, 0.6))], spheres=[((-1.2, 0.3, 0.9), 0.35)])
POSES = circle(60)
TRUE = np.stack([ROOM.depth(T) for T in POSES])
GIVEN = 4
V, U = np.mgrid[: CAMERA.height, : CAMERA.width] / CAMERA.height


def waves(seed: int) -> np.ndarray:
    """Of 5 % in the mean: cosines over the picture, others in every frame."""
    rng = np.random.default_rng(seed)
    a, b, c, d = rng.normal(0, 0.035, (4, len(TRUE), 1, 1))
    return a * np.cos(2 * U + 3 * b / 0.035) + c * np.cos(3 * V + 3 * d / 0.035)


def white(seed: int, sigma: float) -> np.ndarray:
    return sigma * np.random.default_rng(seed).standard_normal(TRUE.shape)


def world(depth: np.ndarray, cut: int = 30, **changed: np.ndarray) -> World:
    def made(first: int, last: int, origin: PixelOrigin) -> PosedFrames:
        part = {key: value[first:last] for key, value in changed.items()}
        part.setdefault("origin", np.full(depth[first:last].shape, origin, np.uint8))
        return posed(depth[first:last].astype(np.float32), POSES[first:last], **part)

    spans = [(GIVEN, cut), (cut, len(depth))]
    segments = [Segment(index=k, frames=made(*span, PixelOrigin.GENERATED).frames) for k, span in enumerate(spans)]
    return World(start=made(0, GIVEN, PixelOrigin.MEASURED), segments=tuple(segments))


def wrong(seed: int = 0) -> np.ndarray:
    depth = TRUE * np.exp(waves(seed) + white(seed, 0.02))
    depth[:GIVEN] = TRUE[:GIVEN]
    return depth


def off(made: World) -> float:
    depth = np.concatenate([segment.frames.depth_m for segment in made.segments])
    return float(np.median(np.abs(np.log(depth / TRUE[GIVEN:]))))


@pytest.mark.parametrize("seed", [1, 2])
def test_smooth_errors_are_halved(seed: int):
    given = world(wrong(seed))
    bent, notes = consistent(given, 8.0)
    assert notes["bent"] and notes["off_after"] < 0.75 * notes["off_before"]
    noise = float(np.median(np.abs(white(seed, 0.02))))
    assert off(bent) - noise < 0.5 * (off(given) - noise), "of what is not noise"


def fused(made: World, *, bend: bool) -> Fused:
    return build(TsdfConfig(voxel_m=0.03, bend_depth=bend))(made)


def test_surfaces_of_bent_depth_lie_nearer_to_the_truth():
    given = world(wrong())
    plain, bent = (fused(given, bend=bend) for bend in (False, True))
    error = [np.percentile(ROOM.distance(one.mesh.vertices.astype(np.float64)), (50, 90)) for one in (plain, bent)]
    assert (error[1] < 0.7 * error[0]).all()
    assert bent.notes["agreement"]["bent"] and not plain.notes


def test_exact_depth_is_left_alone():
    given = world(TRUE)
    same, notes = consistent(given, 8.0)
    assert same is given and not notes["bent"] and notes["off_before"] < 0.006


def test_depth_that_is_only_noisy_is_left_alone():
    given = world(np.where(np.arange(len(TRUE))[:, None, None] < GIVEN, TRUE, TRUE * np.exp(white(3, 0.04))))
    same, notes = consistent(given, 8.0)
    assert same is given and not notes["bent"]


def test_only_generated_pixels_are_bent():
    origin = np.full(TRUE.shape, PixelOrigin.GENERATED, np.uint8)
    origin[:GIVEN] = PixelOrigin.MEASURED
    origin[20, :50] = PixelOrigin.FILLED
    given = world(wrong(), origin=origin)
    bent, notes = consistent(given, 8.0)
    assert notes["bent"] and bent.start is given.start
    before, after = given.segments[0].frames.depth_m[20 - GIVEN], bent.segments[0].frames.depth_m[20 - GIVEN]
    assert np.array_equal(before[:50], after[:50]) and (before[50:] != after[50:]).mean() > 0.9


def test_warped_segments_keep_their_depth_and_move_no_other():
    given = world(wrong())
    first, last = given.segments
    between = dataclasses.replace(first, index=1, warped=True)
    more = dataclasses.replace(given, segments=(first, between, dataclasses.replace(last, index=2)))
    bent, _ = consistent(given, 8.0)
    with_warped, _ = consistent(more, 8.0)
    assert with_warped.segments[1] is between
    assert np.array_equal(with_warped.segments[-1].frames.depth_m, bent.segments[1].frames.depth_m)
    assert [one.index for one in with_warped.segments[1:]] == [1, 2]


def test_nothing_generated_is_nothing_to_do():
    given = world(TRUE)
    alone = dataclasses.replace(given, segments=())
    assert consistent(alone, 8.0) == (alone, {})


def test_frames_that_were_bent_apart_do_not_count_as_agreeing(monkeypatch: pytest.MonkeyPatch):
    def apart(walk, pairs, knots, spread):
        return np.arange(len(knots))[:, None] * np.ones_like(knots)

    monkeypatch.setattr(consistency, "_solved", apart)
    given = world(wrong())
    same, notes = consistent(given, 8.0)
    assert same is given and not notes["bent"]
