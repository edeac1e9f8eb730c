"""The transformer: against diffusers' Wan where the two are the same network, and what Lyra adds to it."""

import numpy as np
import pytest
import torch
from diffusers import WanTransformer3DModel
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from lyra_sim.memory.packing import RELEASED, Packing
from lyra_sim.worldgen.lyra2.tokens import buffer_tokens, camera_tokens, patches, rotary_angles, runs_of, unpatch
from lyra_sim.worldgen.lyra2.transformer import LyraTransformer3DModel
from tests.worldgen.lyra2 import tiny

TINY = {
    "dim": 48, "ffn_dim": 64, "num_heads": 4, "num_layers": 2, "freq_dim": 32, "text_dim": 20, "image_dim": 24,
    "buffer_in_dim": 64, "buffer_mlp_squeeze_dim": 8, "camera_dim": 12,
}  # fmt: skip
WAN_NAMES = (
    ("time_embedding.0", "condition_embedder.time_embedder.linear_1"),
    ("time_embedding.2", "condition_embedder.time_embedder.linear_2"),
    ("text_embedding.0", "condition_embedder.text_embedder.linear_1"),
    ("text_embedding.2", "condition_embedder.text_embedder.linear_2"),
    ("time_projection.1", "condition_embedder.time_proj"),
    ("img_emb.proj.0", "condition_embedder.image_embedder.norm1"),
    ("img_emb.proj.1", "condition_embedder.image_embedder.ff.net.0.proj"),
    ("img_emb.proj.3", "condition_embedder.image_embedder.ff.net.2"),
    ("img_emb.proj.4", "condition_embedder.image_embedder.norm2"),
    ("head.modulation", "scale_shift_table"), ("head.head", "proj_out"), ("modulation", "scale_shift_table"),
    ("ffn.0", "ffn.net.0.proj"), ("ffn.2", "ffn.net.2"), ("norm3", "norm2"),
    ("self_attn.norm_", "attn1.norm_"), ("self_attn.o", "attn1.to_out.0"), ("self_attn.", "attn1.to_"),
    ("cross_attn.norm_k_img", "attn2.norm_added_k"), ("cross_attn.k_img", "attn2.add_k_proj"),
    ("cross_attn.v_img", "attn2.add_v_proj"), ("cross_attn.norm_", "attn2.norm_"),
    ("cross_attn.o", "attn2.to_out.0"), ("cross_attn.", "attn2.to_"),
)  # fmt: skip


def net_of(packing: str, **changed) -> LyraTransformer3DModel:
    torch.manual_seed(0)
    net = LyraTransformer3DModel(**{**TINY, **changed}, framepack_type=packing).eval()
    for parameter in net.parameters():  # norms and biases that do something
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, 0.5, 0.3)
    return net


def inputs_of(packing: str, rows: int, columns: int, seed: int = 0) -> list[torch.Tensor]:
    rng, n = torch.Generator().manual_seed(seed), len(Packing.parse(packing).kinds)
    shapes = [
        (1, 16, n, rows, columns),
        None,
        (1, 512, 20),
        (1, 7, 24),
        (1, 32, n, rows, columns),
        (1, 64, n, rows, columns),
    ]
    return [torch.tensor([437.0]) if s is None else torch.randn(s, generator=rng) for s in shapes]


def wan_name(name: str) -> str:
    for ours, theirs in WAN_NAMES:
        if ours in name:
            return name.replace(ours, theirs)
    return name


@torch.no_grad()
def test_without_lyras_additions_it_is_wan():
    net = net_of("f2k1_g3")
    for clean in net.clean_patch_embeddings:
        clean.load_state_dict(net.patch_embedding.state_dict())
    for block in net.blocks:
        block.cam_encoder.weight.zero_()
        block.buffer_encoder[1].weight.zero_()
    wan = WanTransformer3DModel(
        num_attention_heads=4, attention_head_dim=12, in_channels=36, out_channels=16, text_dim=20, freq_dim=32,
        ffn_dim=64, num_layers=2, image_dim=24, added_kv_proj_dim=48,
    ).eval()  # fmt: skip
    added = ("cam_encoder", "buffer_encoder", "clean_patch_embeddings")
    state = {wan_name(k): v for k, v in net.state_dict().items() if not any(part in k for part in added)}
    state["patch_embedding.weight"] = state["patch_embedding.weight"].reshape(48, 36, 1, 2, 2)
    wan.load_state_dict(state)
    x, t, text, image, y, buffer = inputs_of("f2k1_g3", 6, 10)
    wanted = wan(torch.cat([x, y[:, :20]], 1), t, text, image, return_dict=False)[0][:, :, 2:]
    assert torch.allclose(net(x, t, text, image, y, buffer), wanted, atol=2e-5)
    assert wanted.abs().max() > 0.1


@torch.no_grad()
def test_places_enter_queries_and_keys_only():
    net, given = net_of("f1k1f2s1_g2"), inputs_of("f1k1f2s1_g2", 4, 6)
    other = [*given[:4], given[4].clone(), given[5] + 1]
    other[4][:, 20:] += 1
    assert not torch.allclose(net(*given), net(*other), atol=1e-3)
    for block in net.blocks:  # all weights of attention equal: where things are cannot matter, what they are does
        block.self_attn.norm_q.weight.zero_()
    assert torch.allclose(net(*given), net(*other), atol=1e-5)
    assert not torch.allclose(net(*given), net(given[0] + 1, *given[1:]), atol=1e-3)


@torch.no_grad()
def test_correspondences_of_temporal_history_say_nothing():
    packing = "f1k1f2s2f3k2_g2"
    net, given = net_of(packing), inputs_of(packing, 6, 6)
    changed = given[5].clone()
    changed[:, :, [0, 3, 4, 5]] += 1
    assert torch.equal(net(*given), net(*given[:5], changed))
    changed[:, :, 2] += 1
    assert not torch.equal(net(*given), net(*given[:5], changed))


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_tokens_of_any_window_against_slow_loops(data):
    count = data.draw(st.integers(1, 3))
    draw = [f"f{data.draw(st.integers(1, 5))}{data.draw(st.sampled_from('ks'))}{data.draw(st.integers(1, 4))}"] * count
    packing = Packing.parse("".join(draw) + "_g2")
    rows, columns = 2 * data.draw(st.integers(1, 5)), 2 * data.draw(st.integers(1, 5))
    rays = torch.randn(1, 3, len(packing.kinds), rows, columns)
    angles, cameras = rotary_angles(packing, rows // 2, columns // 2, 24, "cpu"), camera_tokens(rays, packing)
    tokens, said = buffer_tokens(rays, packing)
    wanted_angles, wanted_cameras, wanted_said = [], [], []
    rates = [10_000.0 ** -(np.arange(0, d, 2) / d) for d in (8, 8, 8)]
    for run, where in runs_of(packing, len(packing.kinds)):
        kt, kh, kw = run.stretch
        for f in range(0, run.latents, kt):
            for i in range(0, rows // 2, kh):
                for j in range(0, columns // 2, kw):
                    ends = (run.latents - 1, rows // 2 - 1, columns // 2 - 1)
                    steps = np.stack(np.meshgrid(range(kt), range(kh), range(kw), indexing="ij"), -1).reshape(-1, 3)
                    cells = np.minimum(np.array([f, i, j]) + steps, ends) + np.array([where.start, 0, 0])
                    mean = np.mean(cells, 0)
                    wanted_angles.append(np.concatenate([m * rate for m, rate in zip(mean, rates, strict=True)]))
                    blocks = [rays[0, :, t, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].flatten() for t, y, x in cells]
                    wanted_cameras.append(torch.stack(blocks).mean(0))
                    wanted_said.append(float(run.kind != "k"))
    assert np.allclose(angles.numpy(), np.array(wanted_angles), atol=2e-5)
    assert torch.allclose(cameras[0], torch.stack(wanted_cameras), atol=1e-6)
    assert said[0, :, 0].tolist() == wanted_said and tokens.shape[1] == len(wanted_said)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_patches_cover_everything_and_go_back(t, h, w):
    x = torch.randn(1, 3, t, h, w)
    size, grid = (1, 2, 2), (t, -(-h // 2), -(-w // 2))
    made = patches(x, size)
    features = made.unflatten(-1, (3, 4)).transpose(-1, -2).flatten(-2)  # the head orders channels last
    assert torch.equal(unpatch(features, grid, size, (h, w)), x)
    assert patches(x, (2, 4, 4)).shape == (1, -(-t // 2) * -(-h // 4) * -(-w // 4), 3 * 32)


def test_window_of_the_release():
    packing = Packing.parse(RELEASED)
    x = torch.zeros(1, 1, 45, 60, 104)
    assert buffer_tokens(x, packing)[1].shape == (1, 38246, 1)
    assert [int(buffer_tokens(x, packing)[1].sum()), 38246 - 31200] == [38246 - 1560 - 416 - 390 - 1560, 7046]


@torch.no_grad()
def test_precision_of_bfloat16_is_that_of_bfloat16():
    net, given = net_of("f1k1f2s1f3k2_g2"), inputs_of("f1k1f2s1f3k2_g2", 4, 6)
    wanted = net(*given)
    low = net.to(torch.bfloat16)(*[x if x.ndim == 1 else x.bfloat16() for x in given])
    assert low.dtype == torch.bfloat16
    assert torch.linalg.norm(low.float() - wanted) < 0.03 * torch.linalg.norm(wanted)


def test_gradients_reach_every_parameter():
    packing = "f1k1f2s2f3k2_g2"
    net = net_of(packing)
    plain = net(*inputs_of(packing, 6, 6)).square().mean()
    plain.backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []
    kept = {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}
    net.zero_grad()
    net.enable_gradient_checkpointing()
    net.train()(*inputs_of(packing, 6, 6)).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and torch.allclose(parameter.grad, kept[name], atol=1e-7), name


@pytest.mark.parametrize("wrong", ["f1k1_g3"])
def test_a_window_of_another_length_is_a_bug(wrong):
    with pytest.raises(AssertionError, match="a window of"):
        net_of(wrong).pack(torch.zeros(1, 36, 7, 4, 4))


def test_mixed_precision_leaves_the_time_as_it_is():
    """As in the release: 16 bits would round neighbouring times to one and the same."""
    net, times = net_of("f1k1_g1"), torch.tensor([437.0, 438.0])
    plain = net.embed_time(times)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = net.embed_time(times)
    assert all(torch.equal(a, b) and b.dtype == torch.float32 for a, b in zip(plain, mixed, strict=True))


def test_a_pass_without_values_has_shape_and_work_of_one():
    """On the meta device, where benchmarks count what a pass costs."""
    net = tiny.network()
    counted = []
    for device in ("cpu", "meta"):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            made = net.to(device)(*(tensor.to(device) for tensor in tiny.given()))
        counted.append((made.shape, counter.get_total_flops()))
    (shape, least), (same, work) = counted  # attention on a CPU is not counted
    assert shape == same and work >= least > 1e6
