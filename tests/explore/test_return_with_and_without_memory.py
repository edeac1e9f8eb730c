"""Consistency on return owes to memory: the reproject generator with its memory and without, in a room on paper."""

import numpy as np
import pytest

from lyra_sim.config.explore import ReprojectConfig
from lyra_sim.core.records import Frames, PixelOrigin
from lyra_sim.geometry.camera import scaled
from lyra_sim.memory.revisits import Returned, Revisits
from lyra_sim.worldgen import build
from lyra_sim.worldgen.request import Request, view_of, without_memory
from tests.trajectory.box_room import CAMERA, pose_at, room_frames

SMALL = scaled(CAMERA, 160, 120)
APART_DB = 6.0


def joined(pieces: list[Frames]) -> Frames:
    arrays = ("images", "depth_m", "valid", "origin", "label", "cam_to_world")
    stacked = {name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in arrays}
    return Frames(**stacked, intrinsics=pieces[0].intrinsics)


@pytest.fixture(scope="module")
def walk() -> tuple[Frames, list[Frames], list[Frames]]:
    """Start, three segments of a camera that turns away and comes back a little aside, and the same drawn forgetfully.

    Memory holds the start alone: at the end of the walk the frame just before a segment looks away from it.
    """
    start = room_frames(pose_at(0.2, 0.1, 1.4)[None], SMALL)
    heading = np.concatenate([np.linspace(0, np.pi, 60), np.full(100, np.pi), np.linspace(np.pi, 0, 40)])
    poses = np.stack([pose_at(0.2 + 0.001 * i, 0.1, 1.4 - 0.001 * i, float(h)) for i, h in enumerate(heading)])
    generator, last = build(ReprojectConfig()), view_of(start, 0, 0)
    home, drawn, again = last, [], []
    for begin in range(0, len(poses), 80):
        piece = poses[begin : begin + 80]
        request = Request(cam_to_world=piece, intrinsics=SMALL, views=(home,), chosen=((0,),) * len(piece), seed=begin)
        drawn.append(generator.generate(request).frames)
        forgetful = without_memory(request, last)
        assert forgetful.views == (last,) and set(forgetful.chosen) == {(last.frame_id,)}
        assert np.array_equal(forgetful.cam_to_world, piece) and forgetful.seed == begin
        again.append(generator.generate(forgetful).frames)
        last = view_of(drawn[-1], len(piece) - 1, begin + len(piece))
    return start, drawn, again


def judged(start: Frames, drawn: list[Frames], shown: list[Frames] | None = None) -> Returned:
    found = Revisits(start, SMALL)
    for i, frames in enumerate(drawn):
        found.add(frames, None if shown is None else shown[i].images)
    result = found.result()
    assert result is not None
    return result


def test_memory_shows_places_again_as_they_were(walk):
    start, drawn, again = walk
    with_memory, without = judged(start, drawn), judged(start, drawn, again)
    assert with_memory.psnr_db >= 28.0
    assert without.psnr_db <= with_memory.psnr_db - APART_DB
    assert (without.pairs, without.share) == (with_memory.pairs, with_memory.share), "the very same pixels"


def test_a_world_that_was_drawn_forgetfully_is_found_out(walk):
    """What it painted into the holes is what a user sees on return; its few warped pixels do not hide that."""
    start, drawn, again = walk
    assert (again[-1].origin[-1] == PixelOrigin.FILLED).mean() > 0.5
    assert judged(start, again).psnr_db <= judged(start, drawn).psnr_db - APART_DB


def test_noise_in_place_of_memory_scores_like_noise(walk):
    start, drawn, _ = walk
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, frames.images.shape).astype(np.uint8) for frames in drawn]
    wrong = Revisits(start, SMALL)
    for frames, shown in zip(drawn, noise, strict=True):
        wrong.add(frames, shown)
    result = wrong.result()
    assert result is not None and result.psnr_db < 12
