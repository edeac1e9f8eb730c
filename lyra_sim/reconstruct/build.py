"""Chooses the reconstruction backend that a configuration names."""

from collections.abc import Callable
from functools import partial

from lyra_sim.config.geometry3d import FeedforwardConfig, ReconstructConfig, TsdfConfig
from lyra_sim.core.records import Fused, World
from lyra_sim.reconstruct.tsdf import fuse


def build(config: ReconstructConfig) -> Callable[[World], Fused]:
    """The function that fuses a world.

    It raises SceneError where nothing can be fused, ResourceError where a network's weights or package are missing, and
    ConfigError where they are of another kind.
    """
    match config:
        case TsdfConfig():
            return partial(fuse, config=config)
        case FeedforwardConfig():
            return partial(_feedforward, config=config)


def _feedforward(world: World, config: FeedforwardConfig) -> Fused:
    from lyra_sim.depth.networks.build import open_network
    from lyra_sim.depth.networks.da3 import DepthAnything3
    from lyra_sim.reconstruct.feedforward import add_splats

    fused = fuse(world, config)
    network = open_network(config.network, "indoor", setting="reconstruct")
    assert isinstance(network, DepthAnything3)
    return add_splats(fused, world, config, network)
