"""The network that training starts from: Wan 2.1 (image to video) with the parts of Lyra 2.0 added.

    python -m lyra_sim.training.start Wan2.1-I2V-14B-480P weights/start [--seed 0]

The folder holds Wan's transformer under its original names. Camera and correspondence encoders get small random
weights, patch embeddings of the history those of new latents. Source: Lyra 2.0 (nv-tlabs/lyra, networks and
scripts/convert_wan_checkpoint.py, as described publicly). Needs 70 GB of main memory at the released size.
"""

from lyra_sim.core.packages import exit_without_networks

if __name__ == "__main__":  # before what needs them is imported
    exit_without_networks("lyra_sim.training.start")

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lyra_sim.core.errors import ConfigError, LyraError
from lyra_sim.worldgen.lyra2.transformer import PATCH, LyraTransformer3DModel
from lyra_sim.worldgen.lyra2.weights import batches, check_names, open_weights

ADDED = re.compile(r"^clean_patch_embeddings\.|^blocks\.\d+\.(cam_encoder|buffer_encoder)\.")
"""Parameters that Wan does not have."""
_CONVOLUTION = "patch_embedding.weight"


def start_from_wan(
    source: Path, out: Path, *, sizes: Mapping[str, Any] | None = None, seed: int = 0
) -> LyraTransformer3DModel:
    """Write the network to start with to `out`, as `from_pretrained` reads it, in float32.

    Args:
        source: Wan's transformer under its original names, in any layout of `weights.open_weights`.
        sizes: what differs from the released network.
        seed: of the random weights.

    Raises:
        ResourceError: nothing is there.
        ConfigError: names that are missing or unexpected, or other shapes; also where `out` exists.
    """
    if out.exists():
        raise ConfigError(out, expected="a new folder", got="one that exists", todo="Choose another, or remove it.")
    weights = open_weights(source)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = LyraTransformer3DModel(**(sizes or {}))
    shapes = {name: tuple(p.shape) for name, p in net.named_parameters() if not ADDED.match(name)}
    flat = shapes[_CONVOLUTION]
    shapes[_CONVOLUTION] = (flat[0], flat[1] // (PATCH[0] * PATCH[1] * PATCH[2]), *PATCH)
    check_names(weights, shapes)
    for names in batches(shapes):
        tensors = weights.read(names, lambda _name: torch.float32)
        if _CONVOLUTION in tensors:
            tensors[_CONVOLUTION] = tensors[_CONVOLUTION].flatten(1)
        net.load_state_dict(tensors, strict=False)
    start_clean_embeddings(net)
    net.save_pretrained(out)
    return net


@torch.no_grad()
def start_clean_embeddings(net: LyraTransformer3DModel) -> None:
    """Patch embeddings of the history from that of new latents: each of its weights repeated over the larger patch and
    divided by how often, so that a history that is constant over every such block is embedded alike."""
    base = net.patch_embedding
    for run, embedding in zip(net.packing.history, net.clean_patch_embeddings, strict=True):
        assert isinstance(embedding, nn.Linear)
        weight = base.weight.reshape(len(base.weight), -1, *PATCH)
        for axis, times in enumerate(run.stretch):
            weight = weight.repeat_interleave(times, 2 + axis) / times
        embedding.weight.copy_(weight.flatten(1))
        embedding.bias.copy_(base.bias)


def main(arguments: list[str] | None = None) -> int:
    """Make the start; the exit code is that of `lyra-sim`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wan", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    try:
        start_from_wan(args.wan, args.out, seed=args.seed)
    except LyraError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
