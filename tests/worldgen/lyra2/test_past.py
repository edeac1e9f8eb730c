"""The generator's past: the same after a stop as without one, and what is remembered where."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

from lyra_sim.core.records import Frames, Intrinsics, PixelOrigin, Segment
from lyra_sim.memory.packing import Packing
from lyra_sim.worldgen.lyra2.frame_size import framed_camera
from lyra_sim.worldgen.lyra2.framing import pixels_of
from lyra_sim.worldgen.lyra2.past import Past
from lyra_sim.worldgen.lyra2.vae import WanVae
from tests.trajectory.box_room import pose_at, room_frames

PACKING = Packing.parse("f1k1f1s2f1s1f2k2f1k1_g2")
SIZE = (32, 48)


@pytest.fixture(scope="module")
def vae() -> WanVae:
    torch.manual_seed(0)
    return WanVae(AutoencoderKLWan(base_dim=4, num_res_blocks=1).eval())


@pytest.fixture(scope="module")
def start() -> Frames:
    return room_frames(np.stack([pose_at(0.05 * i, 0.02 * i, 1.4, 0.03 * i) for i in range(11)]))


def segment_of(past: Past, index: int, known: tuple[int, ...] = (2, 7)) -> Segment:
    """Eight frames decoded from random latents, with depth where asked."""
    rng = np.random.default_rng(index)
    latents = rng.standard_normal((16, 2, 4, 6)).astype(np.float32)
    images = past.decode(torch.from_numpy(latents))
    valid = np.zeros((8, *SIZE), bool)
    valid[list(known)] = True
    poses = np.stack([pose_at(0.5 + 0.01 * t, 0.3 * index, 1.3) for t in range(8)])
    frames = Frames(
        images=images,
        depth_m=np.where(valid, np.float32(2 + index), np.float32(0)),
        valid=valid,
        origin=np.full(valid.shape, int(PixelOrigin.GENERATED), np.uint8),
        label=np.zeros(valid.shape, np.uint8),
        cam_to_world=poses,
        intrinsics=past.camera,
    )
    return Segment(index=index, frames=frames, latents=latents)


def past_of(start: Frames, vae: WanVae) -> Past:
    return Past(start, framed_camera(start.intrinsics, *SIZE), PACKING, vae)


def test_a_past_from_files_goes_on_like_one_that_never_stopped(start, vae):
    past = past_of(start, vae)
    made = []
    for index in range(2):
        made.append(segment_of(past, index))
        past.add(made[-1])
    again = past_of(start, vae)
    for segment in made:
        again.add(segment)
    assert torch.equal(past.latents, again.latents)
    assert past.memory.ids == again.memory.ids
    third = [segment_of(p, 2).frames.images for p in (past, again)]
    assert np.array_equal(*third)
    fresh = segment_of(past_of(start, vae), 2).frames.images
    assert not np.array_equal(fresh, third[0]), "what was decoded before leaves its trace"


def test_the_time_line_is_the_clip_encoded_at_once(start, vae):
    past = past_of(start, vae)
    first = past.image(0)
    segment = segment_of(past, 0)
    past.add(segment)
    clip = [first] * PACKING.repeats + list(segment.frames.images)
    whole = vae.encode(torch.stack([pixels_of(image) for image in clip]))
    assert whole.shape == past.latents.shape == (16, PACKING.history_latents + 2, 4, 6)
    assert torch.allclose(whole, past.latents, atol=1e-4)


def test_every_eighth_frame_with_depth_is_remembered_and_the_last_is_kept(start, vae):
    past = past_of(start, vae)
    assert [frame for _, frame in past.memory.ids] == [-8, 0]
    past.add(segment_of(past, 0))
    past.add(segment_of(past, 1, known=(0, 1)))  # ids 9 and 10: neither on the stride nor the last
    assert [frame for _, frame in past.memory.ids] == [-8, 0, 8]
    assert past.frames == 17 and past.image(16).shape == (*SIZE, 3)
    assert not past.last_depth.any(), "the last frame's depth is not known, and it is not guessed"
    with pytest.raises(KeyError):
        past.image(9)


def test_cameras_are_relative_to_frame_0_and_views_before_it_count_from_the_end(start, vae):
    past = past_of(start, vae)
    targets = np.stack([pose_at(0.7, 0.1 * t, 1.2, 0.2) for t in range(8)])
    known = past.known(targets)
    home = np.linalg.inv(start.cam_to_world[-1])
    assert np.allclose(known.w2c[0], np.eye(4))
    for t, pose in enumerate(targets):
        assert np.allclose(known.w2c[1 + t], np.linalg.inv(home @ pose))
    assert np.allclose(known.w2c[-8], np.linalg.inv(home @ start.cam_to_world[2]))
    assert np.array_equal(known.pixels(-8), pixels_of(past.image(-8)).numpy())
    assert known.depth(-8).any() and known.K.shape == (len(known.w2c), 3, 3)


def test_filled_pixels_of_the_start_are_no_geometry(start, vae):
    painted = replace(start, origin=np.full_like(start.origin, int(PixelOrigin.FILLED)))
    past = past_of(painted, vae)
    assert not past.last_depth.any() and [frame for _, frame in past.memory.ids] == [0]


def test_camera_is_that_of_the_pictures(start, vae):
    camera = past_of(start, vae).camera
    assert isinstance(camera, Intrinsics) and (camera.height, camera.width) == SIZE
