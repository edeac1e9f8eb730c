"""What the transformer reads beside latents: text tokens (UMT5-XXL) and tokens of one frame (CLIP ViT-H/14).

Networks: transformers' UMT5EncoderModel and CLIPVisionModel, from a diffusers folder of Wan 2.1 or from torch files
under Wan's original names, as the Lyra 2.0 release has them. Source of cleaning, lengths and layer: Wan 2.1.
"""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import ftfy
import torch
from accelerate import init_empty_weights
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoTokenizer,
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedTokenizerFast,
    UMT5Config,
    UMT5EncoderModel,
)

from lyra_sim.core.errors import ConfigError, ResourceError
from lyra_sim.worldgen.lyra2.weights import Weights, fill, of_tensors, open_weights, read_torch

_Network = TypeVar("_Network", UMT5EncoderModel, CLIPVisionModel)
TEXT_TOKENS = 512
CLIP_PX = 224
_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
UMT5_XXL = UMT5Config(
    vocab_size=256384, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64, feed_forward_proj="gated-gelu",
    relative_attention_num_buckets=32, relative_attention_max_distance=128, layer_norm_epsilon=1e-6,
)  # fmt: skip
CLIP_VIT_H = CLIPVisionConfig(
    hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=16, patch_size=14,
    image_size=CLIP_PX, hidden_act="gelu", layer_norm_eps=1e-5, projection_dim=1024,
)  # fmt: skip


def cleaned(text: str) -> str:
    """Broken encodings and HTML entities repaired, every run of white space one blank; as Wan cleans prompts."""
    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split())


class TextEncoder:
    """Prompts to tokens."""

    def __init__(self, model: UMT5EncoderModel, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer

    @torch.no_grad()
    def encode(self, text: str) -> Tensor:
        """(512, channels): zero after the last token of the text, in the type of the network."""
        given = self.tokenizer(
            cleaned(text), max_length=TEXT_TOKENS, truncation=True, return_tensors="pt", padding="max_length"
        ).to(self.model.device)
        tokens = self.model(given["input_ids"], given["attention_mask"]).last_hidden_state[0]
        return tokens * given["attention_mask"][0, :, None].to(tokens.dtype)


class Texts:
    """Prompts to tokens, each computed once; the encoder is in memory only while something new is asked for.

    Args:
        open_encoder: loads it.
        known: text -> tokens that need no encoder.
    """

    def __init__(self, open_encoder: Callable[[], TextEncoder], known: Mapping[str, Tensor] | None = None) -> None:
        self._open, self._known = open_encoder, dict(known or {})

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """(texts, 512, channels), on the CPU."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            encoder = self._open()
            self._known |= {text: encoder.encode(text).cpu() for text in new}
            del encoder
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        return torch.stack([self._known[text] for text in texts])


class ImageEncoder:
    """One frame to tokens: the output of the last layer but one, class token first."""

    def __init__(self, model: CLIPVisionModel) -> None:
        self.model = model

    @torch.no_grad()
    def encode(self, frame_CHW: Tensor) -> Tensor:
        """(257, 1280) float32 of a frame in -1..1; squeezed to 224 x 224, bicubic, no smoothing, as Wan does."""
        side = self.model.config.image_size
        assert isinstance(side, int)
        x = frame_CHW[None].to(self.model.device, torch.float32)
        x = functional.interpolate(x, (side, side), mode="bicubic", align_corners=False) / 2 + 0.5
        mean, std = (torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (_CLIP_MEAN, _CLIP_STD))
        x = ((x - mean) / std).to(self.model.dtype)
        states = self.model(x, output_hidden_states=True).hidden_states
        return states[-2][0].float()


def load_text_encoder(
    source: Path,
    tokenizer: Path,
    *,
    config: UMT5Config = UMT5_XXL,
    dtype: torch.dtype = torch.bfloat16,
    device: torch.device | str = "cpu",
) -> TextEncoder:
    """From `text_encoder/` and `tokenizer/` of a diffusers folder; `source` may also be the release's `encoder.pth`.

    Args:
        config: sizes for a torch file; a folder brings its own.

    Raises:
        ResourceError, ConfigError: not there, or not such a network.
    """
    model, weights = _open(source, UMT5EncoderModel, config, umt5_tensors)
    weights = weights.without(lambda name: name == "encoder.embed_tokens.weight")
    model.set_input_embeddings(model.shared)  # one table under two names
    fill(model, weights, lambda _name: dtype, device)
    return TextEncoder(model.eval(), load_tokenizer(tokenizer))


def load_image_encoder(
    source: Path, *, config: CLIPVisionConfig = CLIP_VIT_H, device: torch.device | str = "cpu"
) -> ImageEncoder:
    """From `image_encoder/` of a diffusers folder, or the release's `model.pth`; float32, for it sees few frames.

    Raises:
        ResourceError, ConfigError: not there, or not such a network.
    """
    model, weights = _open(source, CLIPVisionModel, config, clip_tensors)
    weights = weights.without(lambda name: name == "visual_projection.weight" or name.endswith("position_ids"))
    weights = weights.stripped("vision_model.")  # versions of transformers differ in it
    fill(dict(model.named_children()).get("vision_model", model), weights, lambda _name: torch.float32, device)
    nn.Module.to(model, device)  # the buffer of positions
    return ImageEncoder(model.eval())


def load_tokenizer(folder: Path) -> Any:
    """
    Raises:
        ResourceError, ConfigError: not there, or no tokenizer.
    """
    folder = folder.expanduser()
    if not folder.is_dir():
        raise ResourceError(
            folder, expected="a tokenizer", got="nothing there", todo="`lyra-sim check` says how to get it."
        )
    try:
        return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ConfigError(
            folder, expected="a tokenizer", got=str(error).splitlines()[0], todo="Download it again."
        ) from error


def read_embedding(file: Path) -> Tensor:
    """(512, channels) of a stored text embedding (`negative_prompt.pt` of the release), zero-padded.

    Raises:
        ResourceError, ConfigError: not there, or no embedding.
    """
    key = "t5_text_embeddings"
    weights = open_weights(file)
    shape = weights.shapes.get(key)
    if shape is None or len(shape) not in (2, 3) or shape[-2] > TEXT_TOKENS or shape[:-2] not in ((), (1,)):
        raise ConfigError(
            file, expected=f"`{key}` of at most {TEXT_TOKENS} tokens", got=str(dict(weights.shapes))[:200],
            todo="Name the release's negative_prompt.pt.",
        )  # fmt: skip
    tokens = weights.read([key], lambda _name: torch.bfloat16)[key].reshape(shape[-2:])
    return functional.pad(tokens, (0, 0, 0, TEXT_TOKENS - len(tokens)))


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of bytes, for networks with random weights; needs no file."""
    special = ["<pad>", "</s>", "<unk>"]
    vocabulary = {token: k for k, token in enumerate([*special, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])  # pyright: ignore[reportAttributeAccessIssue]
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def _open(
    source: Path, network: type[_Network], config: Any, renamed: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
) -> tuple[_Network, Weights]:
    """A network without values and the weights for it, under transformers' names.

    Args:
        config: where the source brings none.
        renamed: tensors of a torch file under those names.
    """
    source = source.expanduser()
    with init_empty_weights(include_buffers=False):
        model = network(_config_at(source, config))
    if source.is_file() and source.suffix != ".safetensors":
        return model, of_tensors(source, renamed(read_torch(source)))
    return model, open_weights(source)


def _config_at(source: Path, default: Any) -> Any:
    if not source.exists():
        raise ResourceError(
            source, expected="weights", got="nothing there", todo="`lyra-sim check` says how to get them."
        )
    if not (source / "config.json").is_file():
        return default
    try:
        return type(default).from_pretrained(str(source), local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            source / "config.json", expected=f"a {type(default).__name__}", got=str(error), todo="Download it again."
        ) from error


_UMT5 = (
    (r"^token_embedding\.", "shared."),
    (r"^norm\.", "encoder.final_layer_norm."),
    (r"^blocks\.(\d+)\.norm1\.", r"encoder.block.\1.layer.0.layer_norm."),
    (r"^blocks\.(\d+)\.norm2\.", r"encoder.block.\1.layer.1.layer_norm."),
    (r"^blocks\.(\d+)\.attn\.", r"encoder.block.\1.layer.0.SelfAttention."),
    (r"^blocks\.(\d+)\.pos_embedding\.embedding\.", r"encoder.block.\1.layer.0.SelfAttention.relative_attention_bias."),
    (r"^blocks\.(\d+)\.ffn\.gate\.0\.", r"encoder.block.\1.layer.1.DenseReluDense.wi_0."),
    (r"^blocks\.(\d+)\.ffn\.fc1\.", r"encoder.block.\1.layer.1.DenseReluDense.wi_1."),
    (r"^blocks\.(\d+)\.ffn\.fc2\.", r"encoder.block.\1.layer.1.DenseReluDense.wo."),
)
_CLIP = (
    (r"^patch_embedding\.", "embeddings.patch_embedding."),
    (r"^pre_norm\.", "pre_layrnorm."),
    (r"^post_norm\.", "post_layernorm."),
    (r"^transformer\.(\d+)\.norm1\.", r"encoder.layers.\1.layer_norm1."),
    (r"^transformer\.(\d+)\.norm2\.", r"encoder.layers.\1.layer_norm2."),
    (r"^transformer\.(\d+)\.attn\.proj\.", r"encoder.layers.\1.self_attn.out_proj."),
    (r"^transformer\.(\d+)\.mlp\.0\.", r"encoder.layers.\1.mlp.fc1."),
    (r"^transformer\.(\d+)\.mlp\.2\.", r"encoder.layers.\1.mlp.fc2."),
)


def umt5_tensors(saved: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """transformers' names for Wan's text encoder; an unknown name stays as it is."""
    return {_renamed(name, _UMT5): tensor for name, tensor in saved.items()}


def clip_tensors(saved: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """transformers' names for the vision half of Wan's CLIP; the text half and the projection are left out."""
    out: dict[str, Tensor] = {}
    for name, tensor in saved.items():
        half, _, plain = name.partition(".")
        if half != "visual" or plain == "head":
            continue
        joint = re.fullmatch(r"transformer\.(\d+)\.attn\.to_qkv\.(weight|bias)", plain)
        if joint:
            for letter, part in zip("qkv", tensor.chunk(3), strict=True):
                out[f"encoder.layers.{joint[1]}.self_attn.{letter}_proj.{joint[2]}"] = part
        elif plain == "cls_embedding":
            out["embeddings.class_embedding"] = tensor.flatten()
        elif plain == "pos_embedding":
            out["embeddings.position_embedding.weight"] = tensor.squeeze(0)
        else:
            out[_renamed(plain, _CLIP)] = tensor
    return out


def _renamed(name: str, rules: Sequence[tuple[str, str]]) -> str:
    for pattern, replacement in rules:
        new, count = re.subn(pattern, replacement, name)
        if count:
            return new
    return name
