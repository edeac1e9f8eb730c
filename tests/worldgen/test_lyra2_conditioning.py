"""What a step hands to the network: rules that can be seen without its code, the ablations, published numbers."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lyra_sim.memory import warp
from lyra_sim.memory.packing import Packing
from lyra_sim.memory.spatial import SpatialMemory
from lyra_sim.memory.twin import Twin
from lyra_sim.worldgen.lyra2.conditioning import Conditioning, Known, condition, retrieve, time_line
from pipelines.vectors import compare
from tests.data import shared_data

PACKING = Packing.parse("f1k1f2s2f1s1f4k4f1k1_g3")
HEIGHT, WIDTH, CHANNELS = 24, 40, 5


def _encode(frames: torch.Tensor) -> torch.Tensor:
    """The mean colour of each group's last frame in 8 x 8 blocks, and how many frames were encoded together."""
    assert frames.dtype == torch.float32 and (len(frames) - 1) % 4 == 0
    x = torch.nn.functional.avg_pool2d(frames[::4], 8).transpose(0, 1)
    return torch.cat([x, torch.full_like(x[:1], len(frames)), torch.zeros_like(x[:1])])


def _known(packing: Packing = PACKING, frames: int = 25, seed: int = 0, still: bool = False) -> Known:
    """A walk through a smooth bowl; every 8th frame is remembered."""
    rng = np.random.default_rng(seed)
    total = frames + 4 * packing.new_latents
    w2c, K = np.tile(np.eye(4), (total, 1, 1)), np.tile(np.diag([36.0, 36, 1]), (total, 1, 1))
    K[:, 0, 2], K[:, 1, 2] = WIDTH / 2, HEIGHT / 2
    if not still:
        K[:, 0, 0] += rng.uniform(-1, 1, total)
        for i, T in enumerate(w2c):
            T[:3, :3] = cv2.Rodrigues(np.array([0.0, 0.01 * i, 0.003 * i]))[0]
            T[:3, 3] = [-0.02 * i, 0.003 * i, 0]
    pixels = rng.uniform(-1, 1, (frames, 3, HEIGHT, WIDTH)).astype(np.float32)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    depths = {i: 2 + 0.0004 * ((x - 20) ** 2 + (y - 9) ** 2) + 0.01 * i for i in range(0, frames, 8)}
    memory = SpatialMemory(downsample=2)
    for i, depth in depths.items():
        memory.add(i, depth, w2c[i], K[i])
    latents = packing.history_latents + (frames - 1) // 4
    return Known(
        frames=frames,
        pixels=pixels.__getitem__,
        latents=torch.tensor(rng.normal(size=(CHANNELS, latents, HEIGHT // 8, WIDTH // 8)), dtype=torch.float32),
        w2c=w2c,
        K=K,
        last_depth=depths[0] + 0.2,
        memory=memory,
        depth=depths.__getitem__,
    )


def _pixels(channels: torch.Tensor) -> np.ndarray:
    """(C 64, h, w) back to (C, 8 h, 8 w), by torch's own function."""
    return torch.nn.functional.pixel_shuffle(channels[None], 8)[0].numpy()


def _slots_of(buffer: torch.Tensor, latent: int) -> np.ndarray:
    """(slots, 4, H, W) of one latent."""
    image = _pixels(buffer[0, :, latent])
    return image.reshape(-1, 4, *image.shape[1:])


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 5), st.sampled_from("ks"), st.integers(1, 4)), min_size=1, max_size=5),
    st.integers(1, 3),
    st.integers(0, 6),
)
def test_window_of_any_packing(segments, new, steps):
    packing = Packing.parse("".join(f"f{n}{kind}{kernel}" for n, kind, kernel in segments) + f"_g{new}")
    known = _known(packing, frames=1 + 4 * steps)
    made = condition(known, packing, _encode, warp)
    count = {kind: sum(n for n, k, _ in segments if k == kind) for kind in "ks"}
    latents = known.latents.shape[1]
    recent = [0, *range(latents - count["k"] + 1, latents)][: count["k"]]
    want = [(kind, n) for n, kind, _ in segments for _ in range(n)]
    assert ["ks"[k] for k in made.kinds[: len(want)]] == [kind for kind, _ in want]
    assert list(made.index[made.kinds == 0]) == recent
    assert list(made.index[made.kinds == 1]) == list(made.slots)
    assert list(made.index[made.kinds == 2]) == list(range(latents, latents + new))
    assert made.slots == (0,) * (count["s"] - len(made.retrieved)) + made.retrieved
    assert made.y.shape == (1, 4 + CHANNELS + 384, len(want) + new, 3, 5)
    assert made.buffer.shape == (1, 256 * count["s"], len(want) + new, 3, 5)
    assert (made.y[:, :4] == 1).all()
    assert torch.equal(made.latents, made.y[:, 4 : 4 + CHANNELS, : len(want)])
    assert (made.buffer[:, :, made.kinds == 0] == 0).all()


def test_latents_are_history_pictures_and_the_warped_last_frame():
    known = _known()
    made = condition(known, PACKING, _encode, warp)
    assert len(made.retrieved) >= 2
    for place, (kind, i) in enumerate(zip(made.kinds[:9], made.index, strict=False)):
        wanted = known.latents[:, i] if kind == 0 else _encode(torch.tensor(known.pixels(i)[None]))[:, 0]
        assert torch.equal(made.latents[0, :, place], wanted)
    tail = made.y[0, 4 : 4 + CHANNELS, 9:]
    assert (tail[3] == 13).all()  # 12 targets and, before them, the first once more
    last = torch.nn.functional.avg_pool2d(made.warped[3::4], 8).transpose(0, 1)
    assert torch.allclose(tail[:3], last, atol=1e-6)
    assert 0.3 < made.warped_mask.float().mean() < 1
    assert (made.warped.amax(1)[~made.warped_mask] == -1).all()
    assert time_line(PACKING, 37)[:35] == [0] * 33 + [1, 2]


def test_rays_meet_the_pixels_of_their_cameras():
    known = _known()
    made = condition(known, PACKING, _encode, warp)
    line = [0] * 33 + list(range(1, 37))
    for place, (kind, i) in enumerate(zip(made.kinds, made.index, strict=True)):
        camera = i if kind == 1 else line[4 * i]
        rays = _pixels(made.y[0, -384:, place])
        for v, u in [(0, 0), (5, 33), (23, 39)]:
            origin, direction = rays[:3, v, u], rays[3:, v, u]
            assert np.isclose(np.linalg.norm(direction), 1, atol=1e-6)
            point = np.linalg.inv(known.w2c[24]) @ [*(origin + 3 * direction), 1]  # from the last frame to the world
            x, y, z = known.K[camera] @ (known.w2c[camera] @ point)[:3]
            assert np.allclose([x / z, y / z], [u + 0.5, v + 0.5], atol=1e-3)
            assert z > 0
    assert made.index[-1] == 17 and line[4 * 17] == 36


def test_correspondences_of_a_still_camera_are_the_coordinates():
    known = _known(still=True)
    made = condition(known, PACKING, _encode, warp, retrieved=[8, 16])
    x, y = np.meshgrid(np.linspace(-1, 1, WIDTH), np.linspace(-1, 1, HEIGHT))
    depths = [known.depth(16), known.depth(8)]
    low, high = 0.0, max(depth[warp.continuity_mask(depth[None])[0]].max() for depth in depths)
    for latent in (9, 10, 11):
        best, second, missing = _slots_of(made.buffer, latent)
        for slot, z, depth in ((best, 1.0, depths[0]), (second, 0.0, depths[1])):
            seen = warp.continuity_mask(depth[None])[0]
            assert 0.5 < seen.mean() < 1  # the border is not continuous
            assert np.allclose(slot[:3, seen], np.stack([x, y, np.full_like(x, z)])[:, seen], atol=1e-5)
            assert np.allclose(slot[3, seen], (2 * (depth - low) / (high - low) - 1)[seen], atol=1e-5)
            assert (slot[:, slot[3] == -1] == -1).all() and (slot[3] == -1).any()
        assert (missing[:3] == -1).all() and (missing[3] == 1).all()
    for slot, place in enumerate((1, 2, 3)):
        for group, image in enumerate(_slots_of(made.buffer, place)):
            assert np.allclose(image[:3], np.stack([x, y, np.full_like(x, slot - 1.0)]), atol=1e-6)
            assert (image[3] == (1 if group else -1)).all()


def test_last_frame_of_each_latent_is_told_and_depths_of_all_frames_are_scaled():
    known = _known(still=True)
    plain = condition(known, PACKING, _encode, warp, retrieved=[8])
    others = [25 + j for j in range(12) if j % 4 != 3]
    turned, back = known.w2c.copy(), known.w2c.copy()
    turned[others] = np.diag([-1.0, 1, -1, 1])
    away = Known(**{**vars(known), "w2c": turned})
    assert torch.equal(condition(away, PACKING, _encode, warp, retrieved=[8]).buffer, plain.buffer)
    back[others, 2, 3] = 3.0
    far = condition(Known(**{**vars(known), "w2c": back}), PACKING, _encode, warp, retrieved=[8])
    depth = known.depth(8)
    seen = warp.continuity_mask(depth[None])[0]
    wanted = 2 * depth / (depth[seen].max() + 3) - 1
    assert np.allclose(_slots_of(far.buffer, 11)[0, 3, seen], wanted[seen], atol=1e-3)


def _new(made: Conditioning) -> np.ndarray:
    return made.buffer[0, :, made.kinds == 2].numpy().reshape(-1, 4, 64, 3, 3, 5)


def test_nothing_retrieved_or_no_memory():
    known = _known()
    for made in (
        condition(known, PACKING, _encode, warp, retrieved=[]),
        condition(known, PACKING, _encode, warp, way="none"),
    ):
        assert made.retrieved == () and made.slots == (0, 0, 0)
        assert (_new(made)[:, :3] == -1).all() and (_new(made)[:, 3] == 1).all()


def test_hard_warp_shows_remembered_views_in_pixels_only():
    known = _known()
    plain = condition(known, PACKING, _encode, warp)
    made = condition(known, PACKING, _encode, warp, way="hard_warp")
    assert made.retrieved == plain.retrieved and made.slots == (0, 0, 0)
    assert (_new(made)[:, :3] == -1).all() and (_new(made)[:, 3] == 1).all()
    assert torch.equal(made.warped[plain.warped_mask[:, None].expand_as(made.warped)],
                       plain.warped[plain.warped_mask[:, None].expand_as(made.warped)])  # fmt: skip
    assert made.warped_mask.sum() > plain.warped_mask.sum()
    best = plain.retrieved[-1]
    cameras = (known.w2c[[best]], known.K[[best]], known.w2c[25:], known.K[25:])
    view = warp.forward_warp(known.pixels(best)[None], known.depth(best)[None], *cameras)
    filled = ~plain.warped_mask.numpy() & view.mask
    assert filled.any()
    assert np.array_equal(made.warped.numpy().transpose(0, 2, 3, 1)[filled], view.images.transpose(0, 2, 3, 1)[filled])


def test_global_cloud_tells_one_correspondence_per_pixel():
    known = _known(still=True)
    alone = condition(known, PACKING, _encode, warp, retrieved=[8], way="global_cloud")
    assert torch.equal(alone.buffer, condition(known, PACKING, _encode, warp, retrieved=[8]).buffer)
    made = condition(known, PACKING, _encode, warp, retrieved=[0, 16], way="global_cloud")
    cloud = _new(made)
    assert (cloud[1:, :3] == -1).all() and (cloud[1:, 3] == 1).all()
    assert made.slots == (0, 0, 16)
    far = Known(**{**vars(known), "depth": lambda i: known.depth(i) * (3.0 if i == 16 else 1.0)})
    slot = _slots_of(condition(far, PACKING, _encode, warp, retrieved=[0, 16], way="global_cloud").buffer, 9)[0]
    nearer = warp.continuity_mask(known.depth(0)[None])[0]
    assert np.abs(slot[2, nearer]).max() < 0.01  # the nearer view is at slot coordinate 0, the farther at 1
    assert np.isclose(slot[2, ~nearer], 1).any()


def test_several_targets_are_covered_jointly(monkeypatch):
    known, asked = _known(Packing.parse("f1k1f4s1_g20"), frames=25), []
    monkeypatch.setattr(known.memory, "retrieve", lambda w2c, K, size, count: asked.append((w2c, K, size, count)) or [])
    for views, targets in ((1, [79]), (2, [39, 79]), (5, [15, 31, 47, 63, 79])):
        assert retrieve(known, Packing.parse("f1k1f4s1_g20"), views) == ()
        w2c, K, size, count = asked.pop()
        assert np.array_equal(w2c, known.w2c[25:][targets]) and np.array_equal(K, known.K[25:][targets])
        assert (size, count) == ((HEIGHT, WIDTH), 4)


@pytest.mark.parametrize(("seed", "way"), [(1, "memory"), (2, "hard_warp"), (3, "global_cloud")])
def test_numpy_and_twin_agree(seed, way):
    known = _known(seed=seed)
    one, other = (condition(known, PACKING, _encode, geometry, way=way) for geometry in (warp, Twin()))
    assert one.retrieved == other.retrieved
    for name in ("latents", "y", "buffer", "warped"):
        assert torch.allclose(getattr(one, name), getattr(other, name), atol=1e-5), name
    assert torch.equal(one.warped_mask, other.warped_mask)
    single = condition(known, PACKING, _encode, Twin(dtype=torch.float32), way=way)
    assert single.buffer.dtype == torch.float32
    assert ((single.buffer - one.buffer).abs() > 1e-3).float().mean() < 0.01


def test_equals_published_numbers(capsys):
    file = Path(shared_data()).parent / "vectors" / "conditioning.safetensors"
    if not file.exists():
        pytest.skip(f"reference vectors not on this machine: {file.name}")
    assert compare([file]) == 0, capsys.readouterr().err
