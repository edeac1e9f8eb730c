"""The recipe: what learns, the pace, the plan of every step."""

import numpy as np
import pytest

from lyra_sim.training.recipe import Recipe, learning, plan
from lyra_sim.worldgen.lyra2.transformer import LyraTransformer3DModel


def _net() -> LyraTransformer3DModel:
    return LyraTransformer3DModel(
        dim=24, ffn_dim=16, num_heads=2, num_layers=2, freq_dim=8, text_dim=4, image_dim=4, in_dim=6, out_dim=2,
        camera_dim=8, buffer_in_dim=8, buffer_mlp_squeeze_dim=2, framepack_type="f1k1f2s2f4k4f2k2_g2",
    )  # fmt: skip


def test_only_what_the_recipe_names_learns():
    net = _net()
    learns = {id(parameter) for parameter in learning(net)}
    kept = {name.removesuffix(".weight").removesuffix(".bias") for name, p in net.named_parameters() if id(p) in learns}
    block = {"self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "self_attn.norm_q", "self_attn.norm_k",
             "cam_encoder", "buffer_encoder.0", "buffer_encoder.1"}  # fmt: skip
    wanted = {f"blocks.{i}.{name}" for i in range(2) for name in block} | {"patch_embedding"}
    assert kept == wanted | {f"clean_patch_embeddings.{i}" for i in range(4)}
    assert all(p.requires_grad == (id(p) in learns) for p in net.parameters())


def test_the_pace_warms_up_and_falls_slowly():
    recipe = Recipe()
    factors = [recipe.lr_factor(step) for step in (0, 49, 99, 200_000, 400_000, 500_000)]
    assert factors == pytest.approx([0.0099, 0.495, 0.99, 0.695, 0.4, 0.4], abs=1e-3)


def test_plans_depend_on_seed_and_step_alone():
    recipe = Recipe(seed=3)
    plans = [plan(recipe, step, 12) for step in range(2000)]
    again = plan(recipe, 1234, 12)
    assert (again.kind, again.segment) == (plans[1234].kind, plans[1234].segment)
    assert again.rng.random() == plans[1234].rng.random()
    assert {p.kind for p in plans[::2]} == {"clean"}, "every second step is clean"
    augmented = [p for p in plans[1::2] if p.kind == "augmented"]
    assert abs(len(augmented) / 1000 - 0.7) < 0.05
    assert {p.segment for p in augmented} == set(range(11)), "the one after it is learned"
    assert {p.segment for p in plans[1::2] if p.kind == "image"} == {0}
    assert {p.segment for p in plans[::2]} == set(range(12))
    assert max(plan(recipe, 2 * step, 100).segment for step in range(300)) == 12


def test_processes_share_the_kind_and_draw_their_own_clips():
    plans = [[plan(Recipe(), step, 5, process=p) for p in range(4)] for step in range(50)]
    assert all(len({p.kind for p in row}) == 1 for row in plans)
    assert np.mean([len({p.rng.random() for p in row}) for row in plans]) == 4


def test_a_clip_of_one_segment_is_never_augmented():
    assert {plan(Recipe(), step, 1).kind for step in range(100)} == {"clean", "image"}
