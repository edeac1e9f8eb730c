"""Whose weights a configuration uses: files, hashes, licences and whether those are accepted. Loads nothing."""

import os
from pathlib import Path

from lyra_sim.config.lyra2 import LICENCE, LICENCE_URL, Lyra2Config
from lyra_sim.core.errors import ConfigError
from lyra_sim.core.licence import Licence
from lyra_sim.sources.digests import Digests

RANDOM = Licence(
    subject="weights of the video generator",
    name="none applies: random numbers",
    holder="none",
    source="random weights (explore.generator.random_weights): what was generated means nothing",
)


def accept(config: Lyra2Config) -> None:
    """
    Raises:
        ConfigError: the licence of the weights is not accepted in the configuration.
    """
    if config.random_weights is None and config.accept_licence != LICENCE:
        raise ConfigError(
            "explore.generator.accept_licence",
            expected=f"{LICENCE!r}, the licence of the released weights ({LICENCE_URL})",
            got=repr(config.accept_licence),
            todo="Read it; write its name there if you accept it: internal research and development only.",
        )


def weight_files(config: Lyra2Config) -> dict[str, Path]:
    """Part -> where it lies, whether or not anything lies there.

    Raises:
        ConfigError: a part that is needed is named nowhere.
    """
    parts = ("transformer", "vae", "text_encoder", "tokenizer", "image_encoder", "negative_embedding")
    files = {part: path for part in parts if (path := config.weights.file(part)) is not None}
    for part in parts[:-1]:
        if part not in files:
            raise ConfigError(
                f"explore.generator.weights.{part}",
                expected="a path",
                got="none",
                todo="Name it, or `release`, or `wan`.",
            )
    return {part: path.expanduser() for part, path in files.items()}


def licences(config: Lyra2Config) -> tuple[Licence, ...]:
    """Who allows what, for every world made with these weights."""
    if config.random_weights is not None:
        return (RANDOM,)
    adapters = [f", LoRA {path.stem} x {weight:g}" for path, weight in config.lora_files()]
    return (
        Licence(
            subject="weights of the video generator: Lyra 2.0" + "".join(adapters),
            name=LICENCE,
            holder="NVIDIA CORPORATION & AFFILIATES",
            source=f"accepted in the configuration; {LICENCE_URL}",
        ),
        Licence(
            subject="weights of the video generator: VAE, text and image encoder of Wan 2.1",
            name="Apache-2.0",
            holder="Wan Team, Alibaba",
            source="model card of Wan-AI/Wan2.1-I2V-14B-480P",
        ),
    )


def manifest(config: Lyra2Config) -> dict[str, str]:
    """`<part>/<file>` -> sha256 of every file that is read; hashes are remembered by size and time of change."""
    if config.random_weights is not None:
        return {"random": f"seed {config.random_weights.seed}"}
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digests = Digests(cache / "lyra-sim" / "digests.json")
    parts = weight_files(config) | {f"lora_{k}": path for k, (path, _) in enumerate(config.lora_files())}
    out = {}
    for part, path in sorted(parts.items()):
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        out |= {f"{part}/{file.relative_to(path.parent).as_posix()}": digests.of(file) for file in files}
    digests.save()
    return out
