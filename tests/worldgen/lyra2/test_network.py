"""The whole bundle from a configuration: from tiny files, or with random weights; what `check` says of it."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lyra_sim.config.depth_network import Da3Config
from lyra_sim.config.lyra2 import LICENCE, LoraConfig, Lyra2Config, Lyra2Weights, RandomWeights
from lyra_sim.core.errors import ConfigError, ResourceError
from lyra_sim.memory.packing import RELEASED
from lyra_sim.worldgen.lyra2.encoders import CLIP_VIT_H, UMT5_XXL
from lyra_sim.worldgen.lyra2.network import Lyra2Network, build_network, torch_dtype, transformer_sizes
from lyra_sim.worldgen.lyra2.provenance import manifest, weight_files
from lyra_sim.worldgen.lyra2.requirements import PARAMETERS, device_bytes, requirements, tokens
from tests.worldgen.lyra2.tiny import given, velocity

SMALL = RandomWeights(dim=24, ffn_dim=32, freq_dim=16, text_dim=8, image_dim=12, buffer_mlp_squeeze_dim=4)
PACKING = "f1k1f2s2f1s1f4k2f1k1_g2"


def _config(**fields: object) -> Lyra2Config:
    return Lyra2Config.model_validate({"device": "cpu", "dtype": "float32", "packing": PACKING} | fields)


@pytest.fixture(scope="module")
def random() -> Lyra2Network:
    return build_network(_config(random_weights=SMALL))


@pytest.fixture
def files(tmp_path, random, monkeypatch) -> Lyra2Weights:
    """The random network as files: Wan's repository beside a converted transformer."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    wan = tmp_path / "wan"
    encoder = random.texts._open()
    random.transformer.save_pretrained(tmp_path / "transformer")
    random.vae.model.save_pretrained(wan / "vae")
    random.images.model.save_pretrained(wan / "image_encoder")
    encoder.model.save_pretrained(wan / "text_encoder")
    encoder.tokenizer.save_pretrained(wan / "tokenizer")
    return Lyra2Weights(wan=wan, transformer=tmp_path / "transformer")


def test_random_weights_depend_on_their_seed_only(random):
    torch.manual_seed(123)
    again, other = (build_network(_config(random_weights=SMALL.model_copy(update={"seed": s}))) for s in (0, 1))
    assert torch.equal(velocity(again.transformer), velocity(random.transformer))
    assert torch.equal(again.negative, random.negative)
    assert not torch.allclose(velocity(other.transformer), velocity(random.transformer), atol=1e-3)
    assert random.manifest == {"random": "seed 0"} and "random weights" in random.licences[0].source


def test_the_same_network_from_its_files(files, random):
    config = _config(weights=files, accept_licence=LICENCE)
    network = build_network(config)
    assert torch.equal(velocity(network.transformer), velocity(random.transformer))
    assert torch.equal(network.texts(["a door"]), random.texts(["a door"]))
    assert torch.equal(network.negative, random.negative)
    frame = given()[0][0, :3, 0]
    assert torch.equal(network.images.encode(frame), random.images.encode(frame))
    clip = torch.zeros(5, 3, 16, 16)
    assert torch.equal(network.vae.encode(clip), random.vae.encode(clip))
    assert [line.name for line in network.licences] == [LICENCE, "Apache-2.0"]


def test_the_manifest_has_the_hash_of_every_file_and_follows_its_changes(files):
    config = _config(weights=files, accept_licence=LICENCE)
    before = manifest(config)
    assert files.wan is not None and files.transformer is not None
    read = [p for folder in (files.wan, files.transformer) for p in folder.rglob("*") if p.is_file()]
    assert sorted(before.values()) == sorted(hashlib.sha256(p.read_bytes()).hexdigest() for p in read)
    changed = files.transformer / "config.json"
    changed.write_text(changed.read_text() + " ")
    after = manifest(config)
    assert {name for name in before if before[name] != after[name]} == {"transformer/transformer/config.json"}


def test_the_licence_has_to_be_accepted_by_its_name(files):
    for wrong in ("", "yes", LICENCE.lower()):
        with pytest.raises(ConfigError, match=r"accept_licence.*agreements"):
            build_network(_config(weights=files, accept_licence=wrong))


def test_loras_of_the_configuration_are_added_and_named_in_the_licence(files, tmp_path, random):
    weight = random.transformer.blocks[0].self_attn.q.weight
    a, b = torch.randn(2, weight.shape[1]), torch.randn(weight.shape[0], 2)
    name = "diffusion_model.blocks.0.self_attn.q"
    save_file({f"{name}.lora_A.weight": a, f"{name}.lora_B.weight": b}, tmp_path / "style.safetensors")
    plain = _config(weights=files, accept_licence=LICENCE)
    config = plain.model_copy(update={"loras": (LoraConfig(path=tmp_path / "style.safetensors", weight=0.5),)})
    network = build_network(config)
    assert not torch.allclose(velocity(network.transformer), velocity(random.transformer), atol=1e-3)
    assert "LoRA style x 0.5" in network.licences[0].subject
    assert "lora_0/style.safetensors" in network.manifest


def test_what_is_not_named_not_there_or_of_another_packing(files, tmp_path):
    accepted = {"accept_licence": LICENCE}
    with pytest.raises(ConfigError, match=r"weights\.vae"):
        build_network(_config(weights=Lyra2Weights(transformer=tmp_path), **accepted))
    with pytest.raises(ResourceError):
        build_network(_config(weights=files.model_copy(update={"vae": tmp_path / "none"}), **accepted))
    with pytest.raises(ConfigError, match="f1k1f1s1_g2"):
        build_network(_config(weights=files, packing="f1k1f1s1_g2", **accepted))
    if not torch.cuda.is_available():
        with pytest.raises(ResourceError, match="GPU"):
            build_network(_config(random_weights=SMALL, device="cuda"))


def test_files_of_the_release_are_found_where_its_download_puts_them():
    release = Path("somewhere")
    named = Lyra2Weights(release=release, tokenizer=Path("t"))
    files = weight_files(Lyra2Config(weights=named))
    assert files["transformer"] == release / "checkpoints/model/model"
    assert files["negative_embedding"] == release / "checkpoints/text_encoder/negative_prompt.pt"
    both = weight_files(Lyra2Config(weights=Lyra2Weights(release=release, wan=Path("wan"))))
    assert (both["vae"], both["tokenizer"]) == (Path("wan/vae"), Path("wan/tokenizer"))
    lora = Lyra2Config(weights=named, loras=(LoraConfig(path=Path("checkpoints/lora/a.safetensors")),))
    assert lora.lora_files() == ((release / "checkpoints/lora/a.safetensors", 1.0),)


def test_the_defaults_are_the_release():
    config = Lyra2Config()
    assert config.packing == RELEASED
    assert transformer_sizes(config) == {"framepack_type": RELEASED, "buffer_in_dim": 1280}
    assert torch_dtype(config) == torch.bfloat16 and tokens(config) == 38246


def test_parameter_counts_are_those_of_the_networks():
    from accelerate import init_empty_weights
    from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
    from transformers import CLIPVisionModel, UMT5EncoderModel

    with init_empty_weights():
        models = {
            "vae": AutoencoderKLWan(), "image_encoder": CLIPVisionModel(CLIP_VIT_H),
            "text_encoder": UMT5EncoderModel(UMT5_XXL),
        }  # fmt: skip
    models["text_encoder"].set_input_embeddings(models["text_encoder"].shared)
    for name, model in models.items():
        assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


def test_memory_follows_mode_type_and_size():
    beside = Lyra2Config(depth=Da3Config(device="cpu"))
    plain, offload, fp8 = (device_bytes(beside)[mode] for mode in ("plain", "offload", "offload_fp8"))
    assert device_bytes(Lyra2Config())["plain"] > plain + 5e9, "the depth network lies on the same device"
    assert 34e9 < plain < 80e9 and fp8 < offload < 24 * 2**30
    assert device_bytes(Lyra2Config(dtype="float32"))["plain"] > plain + 34e9
    assert device_bytes(Lyra2Config(height_px=1920, width_px=3328))["offload"] > offload


def test_a_machine_that_has_everything_can_run(files):
    rows = requirements(_config(weights=files, accept_licence=LICENCE, height_px=64, width_px=64))
    assert all(row.ok for row in rows if not row.what.startswith(("memory:", "device cpu")))
    assert all(row.ok for row in requirements(_config(random_weights=SMALL)))
