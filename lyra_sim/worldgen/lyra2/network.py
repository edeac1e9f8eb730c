"""What Lyra 2.0 has weights of, loaded as a configuration asks: transformer, VAE, encoders; licences and hashes.

Start reading at `build_network`.
"""

import dataclasses
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel

from lyra_sim.config.lyra2 import Lyra2Config, RandomWeights
from lyra_sim.core.errors import ConfigError, ResourceError
from lyra_sim.core.licence import Licence
from lyra_sim.memory.packing import Packing
from lyra_sim.worldgen.lyra2.checkpoint import kept_dtype, load_transformer
from lyra_sim.worldgen.lyra2.encoders import (
    ImageEncoder,
    TextEncoder,
    Texts,
    byte_tokenizer,
    load_image_encoder,
    load_text_encoder,
    read_embedding,
)
from lyra_sim.worldgen.lyra2.lora import load_loras
from lyra_sim.worldgen.lyra2.provenance import accept, licences, manifest, weight_files
from lyra_sim.worldgen.lyra2.transformer import LyraTransformer3DModel
from lyra_sim.worldgen.lyra2.vae import WanVae, load_vae

_RANDOM_SIZES = (
    "dim", "ffn_dim", "num_heads", "num_layers", "freq_dim", "text_dim", "image_dim", "buffer_mlp_squeeze_dim",
)  # fmt: skip
BUFFER_CHANNELS = 256
"""Correspondence channels of one memory slot on the latent grid."""


@dataclasses.dataclass(frozen=True)
class Lyra2Network:
    """The loaded networks of one configuration."""

    transformer: LyraTransformer3DModel
    vae: WanVae
    texts: Texts
    images: ImageEncoder
    negative: Tensor
    """(512, channels) tokens of the negative prompt, on the CPU."""
    licences: tuple[Licence, ...]
    manifest: dict[str, str]
    """Part and file -> sha256, for the provenance."""


def build_network(config: Lyra2Config) -> Lyra2Network:
    """Load it; minutes and tens of gigabytes for the release, a second for random weights.

    Raises:
        ConfigError: the licence is not accepted, a part is not named, or a file is not what it should be.
        ResourceError: a file is not there, or the device is not.
    """
    if torch.device(config.device).type == "cuda" and not torch.cuda.is_available():
        raise ResourceError(
            "explore.generator.device",
            expected="an NVIDIA GPU and a torch with CUDA",
            got=f"none found by torch {torch.__version__}",
            todo="`lyra-sim check` says what is needed.",
        )
    if config.random_weights is not None:
        return _random(config, config.random_weights)
    accept(config)
    files = weight_files(config)
    dtype = torch_dtype(config)
    device = torch.device(config.device)
    transformer = load_transformer(
        files["transformer"],
        sizes=transformer_sizes(config),
        dtype=dtype,
        device=device if config.memory == "plain" else "cpu",
    )
    load_loras(transformer, config.lora_files())
    reader = device if config.memory == "plain" else torch.device("cpu")  # slower, but once a walk, and 11 GB less
    texts = Texts(lambda: load_text_encoder(files["text_encoder"], files["tokenizer"], dtype=dtype, device=reader))
    stored = files.get("negative_embedding")
    return Lyra2Network(
        transformer=place(transformer, config),
        vae=_vae(load_vae(files["vae"], dtype=dtype, device=device), config),
        texts=texts,
        images=load_image_encoder(files["image_encoder"], device=device),
        negative=texts([config.negative_prompt])[0] if stored is None else read_embedding(stored),
        licences=licences(config),
        manifest=manifest(config),
    )


def place(net: LyraTransformer3DModel, config: Lyra2Config) -> LyraTransformer3DModel:
    """Put the transformer where `config.memory` says, with the attention that was asked for; compiled if asked for.

    Raises:
        ConfigError: no such attention backend.
    """
    try:
        net.set_attention_backend(config.attention)
    except (ValueError, RuntimeError, ImportError) as error:
        raise ConfigError(
            "explore.generator.attention", expected="an attention backend of diffusers that works here",
            got=f"{config.attention!r}: {error}", todo="Use 'native'.",
        ) from error  # fmt: skip
    device = torch.device(config.device)
    if config.memory == "plain":
        nn.Module.to(net, device)
    elif config.memory == "offload_fp8":
        net.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch_dtype(config))
    if config.memory != "plain":
        net.enable_group_offload(
            onload_device=device,
            offload_device=torch.device("cpu"),
            offload_type="block_level",
            num_blocks_per_group=1,
            use_stream=device.type == "cuda",
        )
    if config.compile:
        net.compile_repeated_blocks(fullgraph=config.memory == "plain")  # fetching a block cannot be traced
    return net


def _vae(vae: WanVae, config: Lyra2Config) -> WanVae:
    if config.vae_tiling:
        vae.model.enable_tiling()
    return vae


def transformer_sizes(config: Lyra2Config) -> dict[str, Any]:
    """In what the transformer differs from the released one: the packing, or all sizes of a random one."""
    packing = Packing.parse(config.packing)
    sizes: dict[str, Any] = {
        "framepack_type": config.packing,
        "buffer_in_dim": BUFFER_CHANNELS * packing.spatial_slots,
    }
    if config.random_weights is not None:
        sizes |= {name: getattr(config.random_weights, name) for name in _RANDOM_SIZES}
    return sizes


def torch_dtype(config: Lyra2Config) -> torch.dtype:
    return getattr(torch, config.dtype)


def _random(config: Lyra2Config, sizes: RandomWeights) -> Lyra2Network:
    """Random values from the seed, drawn on the CPU, so that every device gets the same."""
    dtype, device = torch_dtype(config), torch.device(config.device)
    tokenizer = byte_tokenizer()
    text = UMT5Config(
        vocab_size=len(tokenizer), d_model=sizes.text_dim, d_kv=8, d_ff=2 * sizes.text_dim, num_layers=2, num_heads=2,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    image = CLIPVisionConfig(
        hidden_size=sizes.image_dim, intermediate_size=2 * sizes.image_dim, num_hidden_layers=2, num_attention_heads=2,
        image_size=sizes.image_px, patch_size=14, hidden_act="gelu",
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sizes.seed)
        net = LyraTransformer3DModel(**transformer_sizes(config))
        vae = AutoencoderKLWan(base_dim=sizes.vae_dim, num_res_blocks=1)
        encoder, clip = UMT5EncoderModel(text), CLIPVisionModel(image)
    for name, parameter in net.named_parameters():
        parameter.data = parameter.data.to(kept_dtype(name, dtype))
    for module, kind in ((vae, dtype), (encoder, dtype), (clip, torch.float32)):
        nn.Module.to(module.eval(), device, kind)
    texts = Texts(lambda: TextEncoder(encoder, tokenizer))
    return Lyra2Network(
        transformer=place(net.eval(), config),
        vae=_vae(WanVae(vae), config),
        texts=texts,
        images=ImageEncoder(clip),
        negative=texts([config.negative_prompt])[0],
        licences=licences(config),
        manifest=manifest(config),
    )
