"""Makes the generator a configuration asks for."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from lyra_sim.config.explore import GeneratorConfig, ReprojectConfig
from lyra_sim.config.lyra2 import Lyra2Config
from lyra_sim.worldgen.request import Generator


def build(
    config: GeneratorConfig, *, source: Path | None = None, T_world_source: Float[np.ndarray, "4 4"] | None = None
) -> Generator:
    """The generator behind `config.backend`; heavy imports happen here.

    Args:
        source: the input being explored; only `truth` reads it.
        T_world_source: maps the input's own frame to the world; only `truth` needs it.

    Raises:
        ConfigError: this backend cannot work on this input.
        ResourceError: its weights or its device are missing.
    """
    if isinstance(config, ReprojectConfig):
        from lyra_sim.worldgen.reproject import Reproject

        return Reproject(config)
    if isinstance(config, Lyra2Config):
        from lyra_sim.worldgen.lyra2.generator import Lyra2, open_network

        return Lyra2(config, open_network(config))
    from lyra_sim.worldgen.truth import Truth

    return Truth(config, source, np.eye(4) if T_world_source is None else T_world_source)
