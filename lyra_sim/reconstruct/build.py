"""Chooses the reconstruction backend that a configuration names."""

from collections.abc import Callable
from functools import partial

from lyra_sim.config.geometry3d import ReconstructConfig
from lyra_sim.core.records import Fused, World
from lyra_sim.reconstruct.tsdf import fuse


def build(config: ReconstructConfig) -> Callable[[World], Fused]:
    """The function that fuses a world; it raises SceneError where nothing can be fused."""
    return partial(fuse, config=config)
