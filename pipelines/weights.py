"""What `lyra-sim convert-weights` does: one checkpoint in, safetensors and their hashes out; the licence is shown."""

import sys
from pathlib import Path

from lyra_sim.config.lyra2 import LICENCE, LICENCE_URL, Lyra2Config
from lyra_sim.config.world import WorldConfig
from lyra_sim.core.errors import ConfigError


def convert(source: Path, out: Path, config: WorldConfig) -> None:
    """Convert with the type and packing that the configuration has.

    Raises:
        ResourceError, ConfigError: see `lyra_sim.worldgen.lyra2.checkpoint.convert_transformer`.
    """
    generator = config.explore.generator
    if not isinstance(generator, Lyra2Config):
        raise ConfigError(
            "--config", expected="one whose generator is lyra2", got=generator.backend, todo="Leave it away."
        )
    from lyra_sim.worldgen.lyra2.checkpoint import convert_transformer
    from lyra_sim.worldgen.lyra2.network import torch_dtype, transformer_sizes

    print(f"the released weights stay under the {LICENCE}: {LICENCE_URL}", file=sys.stderr)
    digests = convert_transformer(
        source,
        out,
        sizes=transformer_sizes(generator),
        dtype=torch_dtype(generator),
        progress=lambda share, what: print(f"{share:4.0%}  {what}", file=sys.stderr, flush=True),
    )
    for name, digest in digests.items():
        print(f"{digest}  {name}")
