"""Settings of the Lyra 2.0 video generator: where its weights lie, how it samples, what it runs on."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from lyra_sim.config.depth_network import Da3Config, DepthNetworkConfig
from lyra_sim.config.model import Config

LICENCE = "NVIDIA Internal Scientific Research and Development Model License"
"""Name of the licence of the released weights, as their model card has it."""
LICENCE_URL = (
    "https://www.nvidia.com/en-us/agreements/enterprise-software/"
    "nvidia-internal-scientific-research-and-development-model-license/"
)


class LoraConfig(Config):
    """One low-rank adapter of the transformer."""

    path: Path
    """Its safetensors file; a relative path starts at `weights.release`, where one is named."""
    weight: float = 1.0
    """How much of it is added."""


class Lyra2Weights(Config):
    """Where the weights lie; only `release` and `tokenizer` are needed where the release was downloaded whole."""

    release: Path | None = None
    """Folder that nvidia/Lyra-2.0 was downloaded into (it holds `checkpoints/`)."""
    wan: Path | None = None
    """Folder of a diffusers-format Wan 2.1 I2V repository; what is not named one by one below is taken from it."""
    transformer: Path | None = None
    """Transformer: distributed checkpoint, torch file, safetensors, or a converted folder."""
    vae: Path | None = None
    """VAE: a diffusers folder, or Wan's torch file."""
    text_encoder: Path | None = None
    """UMT5-XXL: a diffusers folder, or Wan's torch file."""
    tokenizer: Path | None = None
    """Folder of the UMT5 tokenizer; the release has none."""
    image_encoder: Path | None = None
    """CLIP ViT-H/14: a diffusers folder, or Wan's torch file."""
    negative_embedding: Path | None = None
    """Stored text tokens of the negative prompt (`negative_prompt.pt`); else `negative_prompt` is encoded."""

    def file(self, part: str) -> Path | None:
        """Where a part lies: named itself, else below `wan`, else below `release`; None where neither has it."""
        named: Path | None = getattr(self, part)
        if named is not None:
            return named
        if self.wan is not None and part in _IN_WAN:
            return self.wan / part
        return self.release / _IN_RELEASE[part] if self.release is not None and part in _IN_RELEASE else None


_IN_WAN = {"vae", "text_encoder", "tokenizer", "image_encoder"}
_IN_RELEASE = {
    "transformer": "checkpoints/model/model",
    "vae": "checkpoints/vae/vae.pth",
    "text_encoder": "checkpoints/text_encoder/encoder.pth",
    "image_encoder": "checkpoints/image_encoder/model.pth",
    "negative_embedding": "checkpoints/text_encoder/negative_prompt.pt",
}


class RandomWeights(Config):
    """A network of these sizes with random weights: for tests of everything around it; what it draws means nothing."""

    seed: int = Field(default=0, ge=0)
    """Seed of the weights."""
    dim: int = Field(default=48, ge=12)
    """Model dimension."""
    ffn_dim: int = Field(default=96, ge=1)
    """Inner dimension of the feed-forward layers."""
    num_heads: int = Field(default=2, ge=1)
    """Attention heads."""
    num_layers: int = Field(default=2, ge=1)
    """Blocks."""
    freq_dim: int = Field(default=32, ge=2, multiple_of=2)
    """Sines and cosines of the time."""
    text_dim: int = Field(default=24, ge=8)
    """Channels of text tokens."""
    image_dim: int = Field(default=16, ge=8, multiple_of=2)
    """Channels of image tokens."""
    image_px: int = Field(default=28, ge=14, multiple_of=14)
    """Side of the image that the image encoder sees."""
    buffer_mlp_squeeze_dim: int = Field(default=8, ge=1)
    """Narrow side of the correspondence encoder."""
    vae_dim: int = Field(default=4, ge=2)
    """Channels of the VAE's first layer."""

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.dim % (2 * self.num_heads):
            raise ValueError("dim has to be a multiple of 2 num_heads")
        return self


class Lyra2Config(Config):
    """Lyra 2.0: a video transformer with packed history and spatial memory; needs its weights and a GPU."""

    backend: Literal["lyra2"] = "lyra2"
    weights: Lyra2Weights = Lyra2Weights()
    """Where the weights lie; nothing is ever downloaded."""
    loras: tuple[LoraConfig, ...] = ()
    """Low-rank adapters of the transformer."""
    accept_licence: str = ""
    """Name of the weights' licence, written out by who accepts it; it travels into every world made with them."""
    random_weights: RandomWeights | None = None
    """Random weights instead of files."""
    steps: int = Field(default=35, ge=1, le=1000)
    """Steps of the sampler (4 where it is `distilled`)."""
    sampler: Literal["unipc", "distilled"] = "unipc"
    """UniPC on the flow, or the distilled network's few steps without guidance."""
    guidance: float = Field(default=5.0, ge=1.0)
    """Weight of the prompt against the negative prompt; `distilled` has none."""
    shift: float = Field(default=5.0, gt=0)
    """Shift of the noise schedule."""
    packing: str = "f1k1f4s2f1s1f16k4f2k2f1k1_g20"
    """How the window packs its latents; weights belong to one packing."""
    retrieval_views: int = Field(default=1, ge=1, le=20)
    """Target views whose union the remembered frames have to cover."""
    way: Literal["memory", "hard_warp", "global_cloud", "none"] = "memory"
    """How the past reaches the network: remembered views with correspondences (Lyra 2.0); only their warped pixels (as
    GEN3C); as `memory` but fused into one cloud; or not at all beyond the last frame and recent history."""
    geometry: Literal["numpy", "torch"] = "torch"
    """What computes warps: numpy in double precision, or torch in single precision on `device`."""
    prompt: str | None = None
    """Text for every segment; else what lies beside the input, else a default sentence."""
    negative_prompt: str = ""
    """What is guided away from; used where no negative embedding is stored."""
    device: str = "cuda"
    """Device as torch names it; `cpu` only for tiny networks."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Type of the transformer, VAE and text encoder."""
    memory: Literal["plain", "offload", "offload_fp8"] = "plain"
    """All on the device; or blocks fetched from main memory as they are needed; or those kept in 8 bits as well."""
    attention: str = "native"
    """Attention backend, as diffusers names it (`_native_cudnn` where cuDNN's is faster than torch's choice)."""
    compile: bool = False
    """Blocks compiled by torch (Inductor), which fuses what is not a matrix product; the first pass takes minutes then,
    and a C++ compiler is needed."""
    height_px: int = Field(default=480, ge=32, multiple_of=16)
    """Height of generated frames."""
    width_px: int = Field(default=832, ge=32, multiple_of=16)
    """Width of generated frames."""
    depth: DepthNetworkConfig = Da3Config()
    """Network that tells the depth of new frames."""
    vae_tiling: bool = False
    """Whole clips go through the VAE in tiles; a stream never does."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.random_weights is not None and (self.loras or self.weights != Lyra2Weights()):
            raise ValueError("random_weights or weights, not both")
        if self.sampler == "distilled" and self.steps != 4:
            raise ValueError("the distilled sampler has 4 steps")
        return self

    def lora_files(self) -> tuple[tuple[Path, float], ...]:
        """(file, weight) of every adapter."""
        base = self.weights.release or Path()
        return tuple((base.expanduser() / lora.path.expanduser(), lora.weight) for lora in self.loras)
