"""The transformer from a released or converted checkpoint, and its conversion to safetensors.

Source: names and layouts of the public release (nvidia/Lyra-2.0): a distributed checkpoint with `net.` before every
name, or a flat torch file. Beside the parameters there are four counters and states of fused attention modules.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from safetensors.torch import save_file

from lyra_sim.core.errors import ConfigError
from lyra_sim.sources.digests import Digests
from lyra_sim.worldgen.lyra2.transformer import LyraTransformer3DModel
from lyra_sim.worldgen.lyra2.weights import Weights, batches, check_names, fill, open_weights

COUNTERS = {
    "accum_video_sample_counter",
    "accum_image_sample_counter",
    "accum_iteration",
    "accum_train_in_hours",
}
_STEM = "diffusion_pytorch_model"
_SHARD_BYTES = 4 << 30
Progress = Callable[[float, str], None]


def empty_transformer(sizes: Mapping[str, Any]) -> LyraTransformer3DModel:
    """The network without values (parameters on the meta device); `sizes` as its constructor takes them."""
    with init_empty_weights():
        return LyraTransformer3DModel(**sizes)


def load_transformer(
    source: Path,
    *,
    sizes: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.bfloat16,
    device: torch.device | str = "cpu",
) -> LyraTransformer3DModel:
    """The transformer with the weights at `source`, ready to run.

    Args:
        source: any layout of `weights.open_weights`; a folder that diffusers saved brings its own sizes.
        sizes: what differs from the released network.
        dtype: of all parameters but those of the time (`_keep_in_fp32_modules`), which stay float32.

    Raises:
        ResourceError: nothing is there.
        ConfigError: names that are missing or unexpected, or other shapes; says which and how many.
    """
    weights = transformer_weights(source)
    net = empty_transformer(_sizes_at(source, sizes))
    fill(net, weights, lambda name: kept_dtype(name, dtype), device)
    return net.eval()


def transformer_weights(source: Path) -> Weights:
    """What a checkpoint of the transformer holds, under plain names and without what is no parameter."""
    return open_weights(source).stripped("net.").without(_ignored)


def kept_dtype(name: str, dtype: torch.dtype) -> torch.dtype:
    """float32 for the parameters of the time embedding and modulation, else `dtype`."""
    return torch.float32 if set(name.split(".")) & set(LyraTransformer3DModel._keep_in_fp32_modules) else dtype


def _ignored(name: str) -> bool:
    last = name.rpartition(".")[2]
    return last == "_extra_state" or last in COUNTERS


def _sizes_at(source: Path, sizes: Mapping[str, Any] | None) -> dict[str, Any]:
    file = source.expanduser() / "config.json"
    if not file.is_file():
        return dict(sizes or {})
    try:
        config = {k: v for k, v in json.loads(file.read_text()).items() if not k.startswith("_")}
        empty_transformer(config)
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            file, expected="the sizes of a LyraTransformer3DModel", got=str(error), todo="Convert the weights again."
        ) from error
    other = {name: config.get(name, size) for name, size in (sizes or {}).items() if config.get(name, size) != size}
    if other:
        raise ConfigError(
            file, expected=f"what is configured: { {name: (sizes or {})[name] for name in other} }", got=str(other),
            todo="Configure the packing that the weights were trained with.",
        )  # fmt: skip
    return config


def convert_transformer(
    source: Path,
    out: Path,
    *,
    sizes: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.bfloat16,
    progress: Progress = lambda _share, _what: None,
    shard_bytes: int = _SHARD_BYTES,
) -> dict[str, str]:
    """Write any accepted layout as sharded safetensors that `from_pretrained` reads, with `manifest.json`.

    `out` appears when it is complete: until then it is `out` with `.partial`, which the next run starts anew.

    Returns:
        sha256 of every written file.

    Raises:
        ResourceError, ConfigError: as `load_transformer`; also where `out` exists.
    """
    if out.exists():
        raise ConfigError(out, expected="a new folder", got="one that exists", todo="Choose another, or remove it.")
    weights = transformer_weights(source)
    net = empty_transformer(_sizes_at(source, sizes))
    wanted = {name: tuple(tensor.shape) for name, tensor in net.named_parameters()}
    check_names(weights, wanted)
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    net.save_config(partial)
    shards = list(batches(wanted, shard_bytes, dtype.itemsize))
    held: dict[str, str] = {}
    for k, names in enumerate(shards):
        name = f"{_STEM}-{k + 1:05}-of-{len(shards):05}.safetensors" if len(shards) > 1 else f"{_STEM}.safetensors"
        progress(k / len(shards), name)
        tensors = weights.read(names, lambda parameter: kept_dtype(parameter, dtype))
        save_file(tensors, str(partial / name), metadata={"format": "pt"})
        held |= dict.fromkeys(names, name)
    if len(shards) > 1:
        size = sum(file.stat().st_size for file in partial.glob("*.safetensors"))
        index = {"metadata": {"total_size": size}, "weight_map": held}
        (partial / f"{_STEM}.safetensors.index.json").write_text(json.dumps(index, indent=1))
    progress(0.99, "hashing")
    digests = {file.name: Digests().of(file) for file in sorted(partial.iterdir())}
    manifest = {"made_from": source.name, "dtype": str(dtype).removeprefix("torch."), "sha256": digests}
    (partial / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True))
    partial.rename(out)
    progress(1.0, str(out))
    return digests
