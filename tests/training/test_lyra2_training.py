"""Training of the video generator at tiny size: examples against whole-clip encodings, the loss, resuming, command."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from lyra_sim.config.lyra2 import Lyra2Config
from lyra_sim.core.errors import ConfigError
from lyra_sim.memory.spatial import MARGIN
from lyra_sim.memory.twin import Twin
from lyra_sim.procedural.cameras import pinhole, walk_cameras
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.write import write_walk
from lyra_sim.training import examples
from lyra_sim.training.clips import ProceduralClips
from lyra_sim.training.examples import ExampleMaker
from lyra_sim.training.flow import FlowTable
from lyra_sim.training.lyra2 import Trainer, main, parser, trainer
from lyra_sim.training.recipe import LEARNS, Recipe, plan
from lyra_sim.worldgen.lyra2.conditioning import condition
from lyra_sim.worldgen.lyra2.framing import pixels_of, u8
from lyra_sim.worldgen.lyra2.network import build_network
from lyra_sim.worldgen.lyra2.transformer import LyraTransformer3DModel

PACKING = "f1k1f2s2f1s1f2k2f1k1_g2"  # 7 history latents, segments of 8 frames
GENERATOR = {
    "backend": "lyra2", "device": "cpu", "dtype": "float32", "packing": PACKING, "height_px": 32, "width_px": 48,
    "random_weights": {"dim": 96, "ffn_dim": 96, "num_heads": 4},
}  # fmt: skip
FAST = Recipe(lr=1e-2, warm_up=1, seed=1)


@pytest.fixture(scope="module")
def clip():
    return ProceduralClips(1, frames=65, size=(32, 48)).clip(0, np.random.default_rng(0))


def _maker(**kwargs) -> ExampleMaker:
    return ExampleMaker(build_network(Lyra2Config.model_validate(GENERATOR)), FlowTable.build(), **kwargs)


@pytest.fixture(scope="module")
def maker() -> ExampleMaker:
    return _maker()


@pytest.fixture
def asked(monkeypatch) -> list[tuple]:
    """(known, retrieved, conditioning) of every example that is made."""
    seen, condition = [], examples.condition

    def recording(known, packing, encode, geometry, *, retrieved, way):
        made = condition(known, packing, encode, geometry, retrieved=retrieved, way=way)
        seen.append((known, retrieved, made))
        return made

    monkeypatch.setattr(examples, "condition", recording)
    return seen


def _whole(maker: ExampleMaker, frames: np.ndarray) -> torch.Tensor:
    """Latents of frames and the repeats of frame 0 before them, in one call of the VAE."""
    line = pixels_of(np.concatenate([np.repeat(frames[:1], maker.packing.repeats - 1, 0), frames]))
    return maker.network.vae.encode(line)


def test_a_clean_example_is_the_encoded_clip(maker, clip, asked):
    example = maker.clean(clip, 3, np.random.default_rng(1))
    latents = _whole(maker, clip.frames[:33])
    assert torch.allclose(example.target[0], latents[:, -2:], atol=1e-5)
    temporal = [i for i, kind in enumerate(maker.packing.kinds) if kind == "k"]
    past = latents[:, [0, 10, 11, 12]]  # 7 with repeats of frame 0, 2 for each of 3 segments: 13
    assert torch.allclose(example.history[0, :, temporal], past, atol=1e-5)
    assert torch.allclose(example.y[0, 4:20, temporal], past, atol=1e-5)
    known, _, made = asked[0]
    assert known.frames == 25 and np.array_equal(known.last_depth, clip.depth_m[24])
    assert torch.equal(example.y[:, 20:], made.y[:, 20:]) and torch.equal(example.buffer, made.buffer)
    assert torch.equal(example.image[0], maker.network.images.encode(pixels_of(clip.frames[24:25])[0]))


def test_remembered_views_get_one_noise_in_history_and_condition(maker, clip, asked):
    example = maker.clean(clip, 3, np.random.default_rng(1))
    slots = [i for i, kind in enumerate(maker.packing.kinds) if kind == "s"]
    noise = (example.history - asked[0][2].latents)[0, :, slots]
    assert torch.allclose(example.history[0, :, slots], example.y[0, 4:20, slots])
    spread = noise.std((0, 2, 3))
    assert (spread > 1e-5).all() and (spread / spread.min()).max() > 1.05, "a sigma of its own for every view"
    assert torch.equal(example.y[:, :4], torch.ones_like(example.y[:, :4]))


def test_the_memory_holds_past_and_future_but_nothing_near(maker, clip, asked):
    for seed in range(6):
        maker.clean(clip, 1, np.random.default_rng(seed))
    drawn = {frame for _, retrieved, _ in asked for frame in retrieved}
    assert drawn and all(frame % 8 == 0 and frame >= 17 + MARGIN for frame in drawn)
    maker.clean(clip, 0, np.random.default_rng(0), first_only=True)
    assert [frame for _, frame in asked[-1][0].memory.ids] == [0] and set(asked[-1][1]) <= {0}


def test_an_ablation_is_trained_as_it_generates(maker, clip, asked):
    """Without correspondences to remembered views, their images replaced by that of frame 0."""
    example = replace(maker, way="hard_warp").clean(clip, 1, np.random.default_rng(1))
    known, retrieved, made = asked[0]
    assert retrieved and made.slots == (0, 0, 0)
    twin = Twin(dtype=torch.float32)
    wanted = condition(known, maker.packing, maker.network.vae.encode, twin, way="hard_warp", retrieved=retrieved)
    assert torch.equal(example.buffer, wanted.buffer) and torch.equal(example.y[:, 20:], wanted.y[:, 20:])
    generated = example.buffer[0, :, -2:].unflatten(0, (3, 4, -1))
    assert (generated[:, :3] == -1).all() and (generated[:, 3] == 1).all()


def test_text_is_left_out_at_times(maker, clip):
    texts = [replace(maker, text_dropout=p).clean(clip, 0, np.random.default_rng(0)).text for p in (0.0, 1.0)]
    assert torch.equal(texts[0], maker.network.texts([clip.caption(1)]))
    assert torch.equal(texts[1], maker.network.texts([""]))
    assert not torch.equal(*texts)


def test_self_augmentation_changes_the_history_that_is_trained_on(maker, clip, asked):
    """Against whole-clip calls of the VAE: decoded with the prediction at the end, encoded again with the clean past
    before it. The network is replaced by one that says 0, whose prediction is the noised input itself."""
    windows = []

    def still(window, timestep, *_):
        windows.append((window, timestep))
        return torch.zeros(1, 16, 2, 4, 6)

    example = maker.augmented(clip, 2, still, np.random.default_rng(5))
    (window, timestep), (_, _, made) = windows[0], asked[-1]
    assert len(windows) == 1 and 1 <= float(timestep) <= 502
    clean = _whole(maker, clip.frames[:33])
    predicted = torch.cat([clean[:, :11], window[0, :, -2:]], 1)
    seen = u8(maker.network.vae.decode(predicted))[maker.packing.repeats - 1 :]
    assert len(seen) == 25
    degraded = _whole(maker, np.concatenate([clip.frames[:17], seen[17:]]))
    temporal = [i for i, kind in enumerate(maker.packing.kinds) if kind == "k"]
    history = example.history[0, :, temporal]
    assert torch.allclose(history, degraded[:, [0, 10, 11, 12]], atol=1e-4)
    changed = (history - clean[:, [0, 10, 11, 12]]).abs().amax((0, 2, 3))
    assert (changed[:2] < 1e-5).all() and (changed[2:] > 1e-3).all(), "latents of the segment before, and only those"
    assert torch.allclose(example.target[0], clean[:, -2:], atol=1e-5), "what is learned stays true"
    known = asked[-1][0]
    assert np.array_equal(known.pixels(24), pixels_of(seen[24:])[0].numpy()), "the warp carries what was predicted"
    assert np.abs(known.pixels(8) - pixels_of(seen[8:9])[0].numpy()).max() == 0, "the whole decoded window is copied"
    assert torch.equal(example.image[0], maker.network.images.encode(pixels_of(seen[24:])[0]))
    assert torch.equal(made.latents[0, :, temporal], history)


def test_self_augmentation_uses_the_network_that_is_trained(maker, clip):
    other = LyraTransformer3DModel.from_config(maker.network.transformer.config)
    nets = (maker.network.transformer, maker.network.transformer, other)
    made = [maker.augmented(clip, 1, net, np.random.default_rng(3)).history for net in nets]
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])


def _trainer(out, recipe: Recipe = FAST, **kwargs) -> Trainer:
    return Trainer(_maker(), ProceduralClips(1, frames=65, size=(32, 48)), recipe, out, **kwargs)


@pytest.mark.parametrize("kind", ["clean", "augmented"])
def test_the_loss_of_a_repeated_batch_falls_by_half(tmp_path, clip, kind):
    trainer = _trainer(tmp_path)
    rng = np.random.default_rng(1)
    if kind == "clean":
        example = trainer.maker.clean(clip, 3, rng)
    else:
        example = trainer.maker.augmented(clip, 2, trainer.net, rng)
    losses = [trainer.update([(example, np.random.default_rng(7))]) for _ in range(12)]
    assert losses[-1] < 0.5 * losses[0]


def test_the_frozen_part_stays_and_all_of_the_rest_moves(tmp_path):
    trainer = _trainer(tmp_path)
    before = {name: p.detach().clone() for name, p in trainer.net.named_parameters()}
    for _ in range(2):
        trainer.step()
    for name, parameter in trainer.net.named_parameters():
        assert torch.equal(parameter, before[name]) != bool(LEARNS.match(name)), name


def test_checkpointed_and_kept_activations_give_the_same_gradient(tmp_path, clip):
    gradients = []
    for checkpointing in (True, False):
        trainer = _trainer(tmp_path, Recipe(lr=1.0, weight_decay=0.0, warm_up=1), checkpointing=checkpointing)
        trainer.update([(trainer.maker.clean(clip, 0, np.random.default_rng(1)), np.random.default_rng(2))])
        gradients.append(trainer.net.patch_embedding.weight.detach().clone())
    assert torch.allclose(*gradients, atol=1e-6)


def test_accumulated_clips_make_one_step_of_their_mean(tmp_path, clip):
    trainer = _trainer(tmp_path, replace(FAST, accumulate=2))
    batch = [trainer.maker.clean(clip, k, np.random.default_rng(k)) for k in range(2)]
    both = trainer.update([(example, np.random.default_rng(9)) for example in batch])
    alone = [_trainer(tmp_path).update([(example, np.random.default_rng(9))]) for example in batch]
    assert both == pytest.approx(np.mean(alone), rel=1e-4) and trainer.done == 1


def test_a_run_that_is_resumed_goes_on_as_it_would_have(tmp_path):
    kinds = {plan(FAST, step, 8).kind for step in range(4)}
    assert kinds == {"clean", "augmented", "image"}, "of every kind one step at least"
    lines = []
    _trainer(tmp_path / "whole").run(4, save_every=100, say=lines.append)
    _trainer(tmp_path / "parts").run(2, save_every=1, say=lines.append)
    assert sorted(p.name for p in (tmp_path / "parts").glob("step-*")) == ["step-0000001", "step-0000002"]
    (tmp_path / "parts" / "step-0000003.partial").mkdir()
    resumed = _trainer(tmp_path / "parts")
    assert resumed.done == 2
    resumed.run(4, save_every=100, say=lines.append)
    whole, parts = (
        LyraTransformer3DModel.from_pretrained(tmp_path / name / "transformer").state_dict()
        for name in ("whole", "parts")
    )
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    logs = [
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("whole", "parts")
    ]
    assert [(line["step"], line["kind"], line["loss"]) for line in logs[0]] == [
        (line["step"], line["kind"], line["loss"]) for line in logs[1]
    ]
    assert lines[0].startswith("1/4  clean") and "loss" in lines[0] and lines[0].endswith("left")
    again = _trainer(tmp_path / "parts")
    again.run(4, say=lines.append)
    assert again.done == 4 and len(lines) == 8, "nothing is left to do"


def test_too_short_clips_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="9 frames"):
        Trainer(_maker(), ProceduralClips(1, frames=8, size=(32, 48)), FAST, tmp_path)


def test_the_command_trains_on_a_walk(tmp_path, capsys):
    scene = make_flat(7, rooms=2)
    write_walk(tmp_path / "walk", scene, walk_cameras(scene, 0, 12), pinhole(72, 64, 70.0))
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump({"explore": {"generator": GENERATOR}}))
    arguments = [str(tmp_path / "walk"), "--config", str(config), "--out", str(tmp_path / "run"), "--frames", "17"]
    assert main([*arguments, "--steps", "2"]) == 0
    assert "2/2" in capsys.readouterr().err
    assert (tmp_path / "run" / "transformer" / "config.json").is_file()
    asked = parser().parse_args([*arguments, "--set", "explore.generator.way=none"])
    assert trainer(asked).maker.way == "none", "an ablation is trained as it generates"
    assert main([*arguments[:1], *arguments[3:], "--config", "default"]) == 2
    assert "lyra2" in capsys.readouterr().err
