"""Makes the generator a configuration asks for."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from lyra_sim.config.explore import GeneratorConfig, ReprojectConfig
from lyra_sim.config.lyra2 import Lyra2Config
from lyra_sim.core.records import Intrinsics
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


def frame_size(
    config: GeneratorConfig,
    start: Intrinsics,
    height_px: int,
    *,
    source: Path | None = None,
    T_world_source: Float[np.ndarray, "4 4"] | None = None,
) -> tuple[Intrinsics, int | None]:
    """`camera` and `frames` of the generator that `build` makes; of a network without its weights or torch.

    Raises:
        ConfigError: this backend cannot work on this input.
    """
    if isinstance(config, Lyra2Config):
        from lyra_sim.worldgen.lyra2.frame_size import framed_camera, frames_at_once

        return framed_camera(start, config.height_px, config.width_px), frames_at_once(config)
    generator = build(config, source=source, T_world_source=T_world_source)
    return generator.camera(start, height_px), generator.frames
