"""Text and image tokens: oracles are transformers itself and slow forwards under Wan's original names."""

import gc
import re
import weakref

import pytest
import torch
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel

from lyra_sim.core.errors import ConfigError, ResourceError
from lyra_sim.worldgen.lyra2.encoders import (
    ImageEncoder,
    TextEncoder,
    Texts,
    byte_tokenizer,
    cleaned,
    load_image_encoder,
    load_text_encoder,
    load_tokenizer,
    read_embedding,
)

TEXT = UMT5Config(
    vocab_size=len(byte_tokenizer()), d_model=12, d_kv=4, d_ff=20, num_layers=2, num_heads=2,
    feed_forward_proj="gated-gelu",
)  # fmt: skip
IMAGE = CLIPVisionConfig(
    hidden_size=12, intermediate_size=20, num_hidden_layers=3, num_attention_heads=2, image_size=28, patch_size=14,
    hidden_act="gelu",
)  # fmt: skip


@pytest.fixture(scope="module")
def umt5() -> UMT5EncoderModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = UMT5EncoderModel(TEXT).eval()
        for parameter in model.parameters():  # norms and biases are not to be one and nought
            parameter.data += 0.1 * torch.randn(parameter.shape)
        return model


@pytest.fixture(scope="module")
def clip() -> CLIPVisionModel:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = CLIPVisionModel(IMAGE).eval()
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn(parameter.shape)
        return model


@pytest.fixture
def text_folders(tmp_path, umt5):
    umt5.save_pretrained(tmp_path / "text_encoder")
    byte_tokenizer().save_pretrained(tmp_path / "tokenizer")
    return tmp_path / "text_encoder", tmp_path / "tokenizer"


@torch.no_grad()
def test_text_is_what_transformers_makes_of_it_without_padding(text_folders, umt5):
    encoder = load_text_encoder(*text_folders, dtype=torch.float32)
    ids = torch.tensor([byte_tokenizer()("a red door").input_ids])
    assert ids.shape == (1, 11) and ids[0, -1] == byte_tokenizer().eos_token_id
    tokens = encoder.encode("a red door")
    assert tokens.shape == (512, 12) and not tokens[11:].any()
    assert torch.allclose(tokens[:11], umt5(ids).last_hidden_state[0], atol=1e-5)
    assert encoder.encode("x" * 600).shape == (512, 12)
    assert load_text_encoder(*text_folders).encode("a").dtype == torch.bfloat16


def test_text_is_cleaned_first(text_folders):
    encoder = load_text_encoder(*text_folders, dtype=torch.float32)
    dirty = "  doors &amp;amp; windows\n\t of a  caf\u00c3\u00a9 "
    assert torch.equal(encoder.encode(dirty), encoder.encode("doors & windows of a café"))


@given(st.text(alphabet=st.one_of(st.characters(codec="utf-8"), st.sampled_from(" \t\n&;<amp#39"))))
def test_cleaning_is_that_of_diffusers_pipeline(text):
    assert cleaned(text) == prompt_clean(text)


def _umt5_wan(model: UMT5EncoderModel) -> dict[str, Tensor]:
    """The state under the names of Wan's text encoder."""
    out = {}
    for name, tensor in model.state_dict().items():
        name = name.replace("encoder.block.", "blocks.").replace("encoder.final_layer_norm", "norm")
        name = name.replace("shared", "token_embedding")
        name = re.sub(r"layer\.0\.SelfAttention\.relative_attention_bias", "pos_embedding.embedding", name)
        name = name.replace("layer.0.SelfAttention", "attn")
        name = name.replace("layer.0.layer_norm", "norm1").replace("layer.1.layer_norm", "norm2")
        for ours, wan in (("wi_0", "gate.0"), ("wi_1", "fc1"), ("wo", "fc2")):
            name = name.replace(f"layer.1.DenseReluDense.{ours}", f"ffn.{wan}")
        out[name] = tensor.clone()
    out.pop("encoder.embed_tokens.weight", None)
    return out


def _umt5_slowly(w: dict[str, Tensor], ids: Tensor) -> Tensor:
    """Wan's text encoder on at most 8 tokens (so near that every distance has a bucket of its own)."""

    def norm(x: Tensor, name: str) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * w[f"{name}.weight"]

    x = w["token_embedding.weight"][ids]
    away = torch.arange(len(ids))[None] - torch.arange(len(ids))[:, None]
    for i in range(2):
        p = f"blocks.{i}"
        bias = w[f"{p}.pos_embedding.embedding.weight"][away.abs() + 16 * (away > 0)].permute(2, 0, 1)
        y = norm(x, f"{p}.norm1")
        q, k, v = ((y @ w[f"{p}.attn.{n}.weight"].T).unflatten(1, (2, 4)).transpose(0, 1) for n in "qkv")
        y = ((q @ k.transpose(1, 2) + bias).softmax(-1) @ v).transpose(0, 1).flatten(1)
        x = x + y @ w[f"{p}.attn.o.weight"].T
        y = norm(x, f"{p}.norm2")
        gate = functional.gelu(y @ w[f"{p}.ffn.gate.0.weight"].T, approximate="tanh")
        x = x + (y @ w[f"{p}.ffn.fc1.weight"].T * gate) @ w[f"{p}.ffn.fc2.weight"].T
    return norm(x, "norm")


def test_text_encoder_from_a_file_of_the_release(tmp_path, text_folders, umt5):
    saved = _umt5_wan(umt5)
    torch.save(saved, tmp_path / "encoder.pth")
    encoder = load_text_encoder(tmp_path / "encoder.pth", text_folders[1], config=TEXT, dtype=torch.float32)
    tokens = encoder.encode("a door")[:7]
    assert torch.allclose(tokens, _umt5_slowly(saved, torch.tensor(byte_tokenizer()("a door").input_ids)), atol=1e-5)
    torch.save(saved | {"blocks.9.attn.q.weight": torch.zeros(2)}, tmp_path / "encoder.pth")
    with pytest.raises(ConfigError, match=r"1 unexpected: encoder\.block\.9"):
        load_text_encoder(tmp_path / "encoder.pth", text_folders[1], config=TEXT)


def _clip_wan(model: CLIPVisionModel) -> dict[str, Tensor]:
    """The state under the names of Wan's CLIP, with the half that is not used."""
    state = {name.removeprefix("vision_model."): t for name, t in model.state_dict().items()}
    out = {
        "visual.cls_embedding": state["embeddings.class_embedding"][None, None],
        "visual.pos_embedding": state["embeddings.position_embedding.weight"][None],
        "visual.patch_embedding.weight": state["embeddings.patch_embedding.weight"],
        "visual.head": torch.zeros(12, 6),
        "textual.token_embedding.weight": torch.zeros(3, 3),
        "log_scale": torch.zeros(()),
    }
    for kind in ("weight", "bias"):
        out |= {f"visual.pre_norm.{kind}": state[f"pre_layrnorm.{kind}"]}
        out |= {f"visual.post_norm.{kind}": state[f"post_layernorm.{kind}"]}
        for i in range(3):
            ours, wan = f"encoder.layers.{i}", f"visual.transformer.{i}"
            qkv = torch.cat([state[f"{ours}.self_attn.{n}_proj.{kind}"] for n in "qkv"])
            out[f"{wan}.attn.to_qkv.{kind}"] = qkv
            for a, b in (("self_attn.out_proj", "attn.proj"), ("mlp.fc1", "mlp.0"), ("mlp.fc2", "mlp.2")):
                out[f"{wan}.{b}.{kind}"] = state[f"{ours}.{a}.{kind}"]
            for n in "12":
                out[f"{wan}.norm{n}.{kind}"] = state[f"{ours}.layer_norm{n}.{kind}"]
    return out


def _clip_slowly(w: dict[str, Tensor], frame: Tensor) -> Tensor:
    """Wan's image encoder without its last block."""

    def norm(x: Tensor, name: str) -> Tensor:
        return functional.layer_norm(x, (12,), w[f"visual.{name}.weight"], w[f"visual.{name}.bias"])

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ w[f"visual.{name}.weight"].T + w[f"visual.{name}.bias"]

    x = functional.interpolate(frame[None], (28, 28), mode="bicubic") * 0.5 + 0.5
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    x = (x - mean[:, None, None]) / std[:, None, None]
    x = functional.conv2d(x, w["visual.patch_embedding.weight"], stride=14)[0].flatten(1).T
    x = norm(torch.cat([w["visual.cls_embedding"][0], x]) + w["visual.pos_embedding"][0], "pre_norm")
    for i in range(2):
        p = f"transformer.{i}"
        q, k, v = (
            part.unflatten(1, (2, 6)).transpose(0, 1)
            for part in linear(norm(x, f"{p}.norm1"), f"{p}.attn.to_qkv").chunk(3, 1)
        )
        x = x + linear(functional.scaled_dot_product_attention(q, k, v).transpose(0, 1).flatten(1), f"{p}.attn.proj")
        x = x + linear(functional.gelu(linear(norm(x, f"{p}.norm2"), f"{p}.mlp.0")), f"{p}.mlp.2")
    return x


def test_image_tokens_from_both_kinds_of_file(tmp_path, clip):
    frame = torch.rand((3, 40, 64), generator=torch.Generator().manual_seed(2)) * 2 - 1
    saved = _clip_wan(clip)
    expected = _clip_slowly(saved, frame)
    torch.save(saved, tmp_path / "model.pth")
    clip.save_pretrained(tmp_path / "image_encoder")
    for encoder in (
        ImageEncoder(clip),
        load_image_encoder(tmp_path / "image_encoder"),
        load_image_encoder(tmp_path / "model.pth", config=IMAGE),
    ):
        tokens = encoder.encode(frame)
        assert tokens.shape == (5, 12) and torch.allclose(tokens, expected, atol=1e-5)
    del saved["visual.transformer.1.attn.to_qkv.bias"]
    torch.save(saved, tmp_path / "model.pth")
    with pytest.raises(ConfigError, match=r"3 missing: encoder\.layers\.1\.self_attn\.k_proj\.bias"):
        load_image_encoder(tmp_path / "model.pth", config=IMAGE)


def test_an_image_encoder_saved_by_an_older_transformers_loads(tmp_path, clip):
    from safetensors.torch import save_file

    clip.config.save_pretrained(tmp_path)
    plain = {name.removeprefix("vision_model."): tensor for name, tensor in clip.state_dict().items()}
    save_file({f"vision_model.{name}": tensor for name, tensor in plain.items()}, tmp_path / "model.safetensors")
    frame = torch.zeros(3, 28, 28)
    assert torch.equal(load_image_encoder(tmp_path).encode(frame), ImageEncoder(clip).encode(frame))


def test_texts_are_encoded_once_and_the_encoder_is_freed(umt5):
    opened: list[weakref.ref[TextEncoder]] = []

    def open_encoder() -> TextEncoder:
        encoder = TextEncoder(umt5, byte_tokenizer())
        opened.append(weakref.ref(encoder))
        return encoder

    texts = Texts(open_encoder, {"stored": torch.ones(512, 12)})
    assert torch.equal(texts(["stored"])[0], torch.ones(512, 12)) and not opened
    first = texts(["a", "b", "a"])
    gc.collect()
    assert first.shape == (3, 512, 12) and torch.equal(first[0], first[2]) and opened[0]() is None
    assert torch.equal(texts(["b", "a"]), first[[1, 0]]) and len(opened) == 1


def test_a_stored_embedding_is_padded(tmp_path):
    stored = torch.randn(1, 7, 12).bfloat16()
    torch.save({"t5_text_embeddings": stored}, tmp_path / "negative_prompt.pt")
    tokens = read_embedding(tmp_path / "negative_prompt.pt")
    assert tokens.shape == (512, 12) and torch.equal(tokens[:7], stored[0]) and not tokens[7:].any()
    torch.save({"embeddings": stored}, tmp_path / "other.pt")
    with pytest.raises(ConfigError, match="t5_text_embeddings"):
        read_embedding(tmp_path / "other.pt")


def test_missing_files_are_missing_resources(tmp_path):
    (tmp_path / "empty").mkdir()
    for load in (
        lambda: load_text_encoder(tmp_path / "none", tmp_path),
        lambda: load_image_encoder(tmp_path / "none"),
        lambda: load_tokenizer(tmp_path / "none"),
        lambda: read_embedding(tmp_path / "none.pt"),
    ):
        with pytest.raises(ResourceError):
            load()
    with pytest.raises(ConfigError, match="a tokenizer"):
        load_tokenizer(tmp_path / "empty")
