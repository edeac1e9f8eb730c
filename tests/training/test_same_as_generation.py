"""What training shows the network is what generation shows it: one posed RGB-D walk through both."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lyra_sim.config.lyra2 import Lyra2Config
from lyra_sim.core.records import Capture, Frames, Label, Segment
from lyra_sim.memory.spatial import SpatialMemory
from lyra_sim.memory.twin import Twin
from lyra_sim.training import examples
from lyra_sim.training.clips import fitted
from lyra_sim.training.examples import ExampleMaker
from lyra_sim.training.flow import FlowTable
from lyra_sim.worldgen.lyra2.conditioning import Conditioning, Known, condition
from lyra_sim.worldgen.lyra2.frame_size import framed_camera
from lyra_sim.worldgen.lyra2.framing import framed_depth, framed_image, with_far_sky
from lyra_sim.worldgen.lyra2.network import Lyra2Network, build_network
from lyra_sim.worldgen.lyra2.past import Past
from tests.trajectory.box_room import pose_at, room_frames, start_of

SIZE, SEGMENT, PAST = (48, 64), 8, 3
GENERATOR = {
    "backend": "lyra2", "device": "cpu", "dtype": "float32", "packing": "f1k1f2s2f1s1f2k2f1k1_g2",
    "height_px": SIZE[0], "width_px": SIZE[1], "random_weights": {},
}  # fmt: skip
REMEMBERED = [0, 16]


@pytest.fixture(scope="module")
def network() -> Lyra2Network:
    return build_network(Lyra2Config.model_validate(GENERATOR))


@pytest.fixture(scope="module")
def walk() -> Frames:
    """Frames with holes in their depth, far from the origin of their world."""
    poses = np.stack(
        [pose_at(0.4 + 0.05 * i, 0.4 - 0.02 * i, 1.4, 0.01 * i, 0.02) for i in range(1 + SEGMENT * (PAST + 1))]
    )
    frames, moved = room_frames(poses), poses.copy()
    moved[:, :3, 3] += [30.0, -20.0, 5.0]
    valid = frames.valid.copy()
    valid[:, 60:100, 150:220] = False
    return replace(frames, cam_to_world=moved, valid=valid)


def _trained(network: Lyra2Network, walk: Frames, patch: pytest.MonkeyPatch) -> tuple[Known, Conditioning]:
    seen, made = [], condition

    def recording(known: Known, *args, **settings) -> Conditioning:
        seen.append((known, made(known, *args, **settings)))
        return seen[-1][1]

    patch.setattr(examples, "condition", recording)
    patch.setattr(SpatialMemory, "sample", lambda *_args, **_settings: [(i, i) for i in REMEMBERED])
    capture = Capture(
        kind="rgbd", name="room", images=walk.images, image_valid=np.ones(walk.valid.shape, bool),
        intrinsics=walk.intrinsics, focal_source="given", depth_m=walk.depth_m, depth_valid=walk.valid,
        cam_to_world=walk.cam_to_world, facts={}, provenance=start_of(walk).provenance,
    )  # fmt: skip
    ExampleMaker(network, FlowTable.build()).clean(fitted(capture, SIZE), PAST, np.random.default_rng(0))
    return seen[0]


def _taken(walk: Frames, begin: int, end: int) -> Frames:
    names = ("images", "depth_m", "valid", "origin", "label", "cam_to_world")
    return replace(walk, **{name: getattr(walk, name)[begin:end] for name in names})


def _framed(frames: Frames) -> Frames:
    depth = np.stack([framed_depth(d, v, *SIZE) for d, v in zip(frames.depth_m, frames.valid, strict=True)])
    pixels = np.zeros(depth.shape, np.uint8)
    return replace(
        frames, images=np.stack([framed_image(x, *SIZE) for x in frames.images]), depth_m=depth, valid=depth > 0,
        origin=pixels, label=pixels, intrinsics=framed_camera(frames.intrinsics, *SIZE),
    )  # fmt: skip


def _generated(network: Lyra2Network, walk: Frames) -> tuple[Known, Conditioning]:
    packing = network.transformer.packing
    past = Past(_taken(walk, 0, 1), framed_camera(walk.intrinsics, *SIZE), packing, network.vae)
    for k in range(PAST):
        frames = _framed(_taken(walk, 1 + SEGMENT * k, 1 + SEGMENT * (k + 1)))
        past.add(Segment(index=k, frames=frames, latents=np.zeros((16, 2, 6, 8), np.float32)))
    known = past.known(walk.cam_to_world[1 + SEGMENT * PAST :])
    twin = Twin(dtype=torch.float32)
    return known, condition(known, packing, network.vae.encode, twin, retrieved=REMEMBERED)


def test_training_and_generation_give_the_network_the_same(network, walk, monkeypatch):
    known, made = _generated(network, walk)
    trained, example = _trained(network, walk, monkeypatch)
    for name in ("latents", "y", "buffer", "warped"):
        assert torch.allclose(getattr(example, name), getattr(made, name), rtol=0, atol=1e-5), name
    assert torch.equal(example.warped_mask, made.warped_mask) and 0.2 < made.warped_mask.float().mean() < 0.95
    assert example.slots == made.slots == (0, *REMEMBERED)
    assert np.allclose(trained.w2c, known.w2c[: len(trained.w2c)], atol=1e-9)
    assert np.array_equal(trained.K, known.K[: len(trained.K)])
    both = [dict(zip([i for _, i in k.memory.ids], k.memory.points, strict=True)) for k in (trained, known)]
    assert sorted(both[1]) == [0, 8, 16, 24]
    for frame, points in both[1].items():
        assert np.allclose(points, both[0][frame], atol=1e-5), "retrieval sees the same points"


def test_sky_is_as_far_as_the_farthest_that_was_seen():
    depth = np.linspace(1, 101, 1000, dtype=np.float32).reshape(1, 20, 50)
    solid, sky = np.ones(depth.shape, bool), np.zeros(depth.shape, bool)
    solid[0, -2:], sky[0, -1] = False, True  # a row that nothing is known of, and one of sky
    made = with_far_sky(depth, solid, sky)
    assert np.array_equal(made[solid], depth[solid]) and (made[0, -2] == 0).all()
    assert made[sky] == pytest.approx(np.sort(depth[solid])[round(0.99 * solid.sum())], rel=1e-2)
    assert not with_far_sky(depth, np.zeros_like(solid), sky).any(), "nothing says how far"


def test_the_start_of_a_street_has_its_sky_far_away(network, walk):
    first = _taken(walk, 0, 1)
    valid, label = first.valid.copy(), first.label.copy()
    valid[:, :60], label[:, :60] = False, int(Label.SKY)
    past = Past(
        replace(first, valid=valid, label=label), framed_camera(walk.intrinsics, *SIZE), network.transformer.packing,
        network.vae,
    )  # fmt: skip
    assert (past.last_depth[:3] == np.percentile(first.depth_m[valid], 99)).all()
