"""What Lyra 2.0 needs of a machine, part by part: packages, weights and their licence, disk, memory, GPU.

Loads no network. Memory is computed from parameter counts (constants here, which a test compares with the network) and
the tokens of the configured packing and size; `benchmarks/gpu` measures it where there is a GPU.
"""

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import psutil

from lyra_sim.config.depth_network import Da3Config
from lyra_sim.config.lyra2 import LICENCE, LICENCE_URL, Lyra2Config
from lyra_sim.core.packages import GET_NETWORKS, NETWORKS, installed
from lyra_sim.depth.networks.requirements import device_of, device_there
from lyra_sim.memory.packing import Packing

PARAMETERS = {
    "transformer": 17_029_871_424, "block": 418_256_384, "text_encoder": 5_680_910_336, "vae": 126_892_531,
    "image_encoder": 630_766_080,
}  # fmt: skip
RELEASE, WAN = "nvidia/Lyra-2.0", "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers"
_GB = 1e9
_DOWNLOAD_GB = {
    "transformer": 68.2, "vae": 0.5, "text_encoder": 11.4, "tokenizer": 0.02, "image_encoder": 4.8,
    "negative_embedding": 0.01, "lora": 0.7,
}  # fmt: skip
"""Sizes of the released files (the transformer's are float32); of what is not listed publicly, a bound."""
_TOKEN_BYTES, _VAE_BYTES_PER_PIXEL = 240_000, 10_200
"""Most that is live at one time in a forward pass, per token of the window, and in decoding four frames, per pixel; in
16 bits. Counted tensor by tensor in a run on fake tensors (7.6 GiB and 0.9 GiB of input; 3.8 GiB)."""

_KEPT_BYTES_PER_PIXEL = 12_300
"""Alive while a block computes: features of the VAE's stream (2.8 GiB at 480 x 832, counted on fake tensors), condition
and correspondences in float32."""
_DA3_WEIGHTS, _DA3_BYTES_PER_PIXEL = 5.6e9, 650
"""Depth Anything 3, nested giant: its 1.4 billion parameters in float32; and a guess from what must be live at least,
features of four layers, 39 output channels and the Gaussians of every pixel of every view."""
_DEPTH_VIEWS = 10

Beside = Sequence[tuple[Da3Config, int]]


@dataclasses.dataclass(frozen=True)
class Requirement:
    """One line of `lyra-sim check`."""

    what: str
    ok: bool
    why: str
    """Where it is not met, also how to get it."""
    of_machine: bool = False
    """About memory and devices: asked of the machine that generates, which need not be the one that starts it."""


def requirements(config: Lyra2Config, *, beside: Beside = (), workers: int = 1) -> list[Requirement]:
    """All lines, met or not.

    Args:
        beside: networks for photos and splats that the same worker keeps, resting in main memory, and how many views
            they see at once.
        workers: how many on this machine hold the networks, each with a GPU of its own.
    """
    rows = [Requirement(f"package {name}", installed(name), GET_NETWORKS) for name in NETWORKS]
    if config.random_weights is not None:
        why = "for tests: what it draws means nothing"
        return [*rows, Requirement("random weights", True, why), _device(config, 0.0)]
    need = device_bytes(config, beside)
    return [*rows, _licence(config), *_weights(config), *_machine(config, need, len(beside), workers)]


def device_bytes(config: Lyra2Config, beside: Beside = ()) -> dict[str, float]:
    """Memory mode -> bytes on the device at the peak; `beside` as in `requirements`."""
    item = 4 if config.dtype == "float32" else 2
    count = PARAMETERS
    outside = count["transformer"] - 40 * count["block"]
    pixels = config.height_px * config.width_px
    always = item * count["vae"] + 4 * count["image_encoder"] + pixels * _KEPT_BYTES_PER_PIXEL
    depth = config.depth
    da3 = 0.0
    if isinstance(depth, Da3Config) and depth.device == config.device:
        da3 = _da3_bytes(depth, _DEPTH_VIEWS)
    drawing = max(tokens(config) * _TOKEN_BYTES, pixels * _VAE_BYTES_PER_PIXEL) * item / 2  # a block, decoding
    others = max([0.0, *(_da3_bytes(*other) for other in beside if other[0].device == config.device)])
    # a depth network comes when the blocks are gone; the text encoder stays in main memory
    apart = max(drawing, da3, others)
    peaks = {
        "plain": da3 + max(drawing, item * count["text_encoder"], others),  # prompts are encoded before a walk begins
        "offload": apart,
        "offload_fp8": apart,
    }
    weights = {
        "plain": item * count["transformer"],
        "offload": item * (outside + 2 * count["block"]),  # one computes, the next is on its way
        "offload_fp8": item * (outside + 5120 * 13824) + 2 * count["block"],  # one layer at a time is cast back
    }
    return {mode: size + always + peaks[mode] for mode, size in weights.items()}


def tokens(config: Lyra2Config) -> int:
    """Length of the sequence of one window."""
    sides = (config.height_px // 8, config.width_px // 8)
    return sum(run.tokens(sides) for run in Packing.parse(config.packing).runs)


def _licence(config: Lyra2Config) -> Requirement:
    return Requirement(
        f"licence of the weights accepted: {LICENCE}",
        config.accept_licence == LICENCE,
        f"internal research and development only, no redistribution, no production; read {LICENCE_URL} and write its "
        "name into explore.generator.accept_licence",
    )


def _weights(config: Lyra2Config) -> list[Requirement]:
    needed = ["transformer", "vae", "text_encoder", "tokenizer", "image_encoder"]
    if config.weights.file("negative_embedding") is not None:
        needed.append("negative_embedding")
    files = [(part, config.weights.file(part)) for part in needed]
    files += [("lora", path) for path, _ in config.lora_files()]
    rows, missing_gb = [], 0.0
    for part, path in files:
        there = path is not None and path.expanduser().exists()
        size = _DOWNLOAD_GB[part]
        missing_gb += 0 if there else size
        where = path if path is not None else f"explore.generator.weights.{part} not set"
        rows.append(Requirement(f"weights {part}: {where}", there, f"{size:g} GB; {_how(part, config)}"))
    place = (config.weights.release or Path()).expanduser().absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / _GB
    rows.append(
        Requirement(
            f"disk for what is missing: {missing_gb:.0f} GB needed, {free:.0f} GB free at {place}",
            free >= missing_gb,
            "a bf16 copy by `lyra-sim convert-weights` takes 34 GB more and loads faster",
        )
    )
    return rows


def _how(part: str, config: Lyra2Config) -> str:
    release = config.weights.release or Path("weights/Lyra-2.0")
    if part == "tokenizer" or (config.weights.wan is not None and part != "transformer"):
        wan = config.weights.wan or Path("weights") / WAN.partition("/")[2]
        return f'hf download {WAN} --include "{part}/*" --local-dir {wan} (Apache-2.0)'
    if part == "lora":
        return f'hf download {RELEASE} --include "checkpoints/lora/*" --local-dir {release} ({LICENCE})'
    folder = {"transformer": "model", "negative_embedding": "text_encoder"}.get(part, part)
    return f'hf download {RELEASE} --include "checkpoints/{folder}/*" --local-dir {release} ({LICENCE})'


def _machine(config: Lyra2Config, need: dict[str, float], resting: int, workers: int) -> list[Requirement]:
    item = 4 if config.dtype == "float32" else 2  # in 8 bits only once it is loaded
    kept = 2.4 * PARAMETERS["transformer"] + PARAMETERS["text_encoder"]  # pinned beside the unpinned
    offloaded = config.memory != "plain"
    resting += offloaded and isinstance(config.depth, Da3Config)
    main = workers * (item * kept * offloaded + resting * _DA3_WEIGHTS + 4 * _GB)
    free = psutil.virtual_memory().available
    modes = ", ".join(f"{mode} {size / 2**30:.0f} GiB" for mode, size in need.items())
    how = (
        f"computed: {PARAMETERS['transformer'] / 1e9:.2f} B parameters in {config.dtype} (offload: two of 40 blocks "
        "and what lies outside them; fp8: blocks in 8 bits), VAE and its features, image encoder, "
        f"{tokens(config)} tokens in a block; plain: the depth network beside these, or the text encoder if larger"
    )
    return [
        Requirement(
            f"memory: {free / 2**30:.0f} GiB free, {main / 2**30:.0f} GiB needed",
            free >= main,
            f"{config.memory}, workers with a GPU: {workers}",
            True,
        ),
        Requirement(f"device memory for each memory mode: {modes}", True, how),
        _device(config, need[config.memory]),
    ]


def _device(config: Lyra2Config, need: float) -> Requirement:
    wanted = f"{need / 2**30:.0f} GiB for memory mode {config.memory}"
    if not installed("torch"):
        return Requirement(f"device {config.device} (no torch to ask)", False, f"{wanted}; {GET_NETWORKS}", True)
    import torch

    device = device_of(config.device, "explore.generator")
    build = f"torch {torch.__version__}, CUDA {torch.version.cuda or 'not built in'}"
    if not device_there(device):
        how = f"{wanted}; an NVIDIA GPU and its driver, or another explore.generator.device"
        return Requirement(f"device {config.device} ({build}, not found)", False, how, True)
    if device.type != "cuda":
        free = psutil.virtual_memory().available
        return Requirement(f"device {config.device} ({build})", free >= need, wanted, True)
    numbers = range(torch.cuda.device_count()) if device.index is None else [device.index]
    card = min(map(torch.cuda.get_device_properties, numbers), key=lambda card: card.total_memory)
    what = f"{card.name} with {card.total_memory / 2**30:.0f} GiB ({build})"
    return Requirement(what, card.total_memory >= need, f"{wanted}; choose another explore.generator.memory", True)


def _da3_bytes(network: Da3Config, views: int) -> float:
    return _DA3_WEIGHTS + views * 0.75 * network.side_px**2 * _DA3_BYTES_PER_PIXEL
