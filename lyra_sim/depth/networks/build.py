"""Makes the depth network that a configuration asks for; heavy imports happen here."""

import functools
from collections.abc import Callable
from typing import Literal

from lyra_sim.config.depth_network import Da3Config, DepthAnythingConfig, DepthNetworkConfig, TinyDepthConfig
from lyra_sim.depth.networks.prediction import DepthNetwork


def build_network(
    config: DepthNetworkConfig, scene: Literal["indoor", "outdoor"], *, setting: str = "depth network"
) -> DepthNetwork:
    """The network behind `config.backend`.

    Args:
        scene: what is seen, where the configuration leaves it to the photo.
        setting: where the user configured it, for messages.

    Raises:
        ResourceError: its package or weights are not on this machine.
        ConfigError: the weights are of another kind.
    """
    match config:
        case DepthAnythingConfig():
            from lyra_sim.depth.networks.depth_anything import DepthAnything

            kind = scene if config.scene == "auto" else config.scene
            return DepthAnything(config.weights(kind), device=config.device, setting=f"{setting}.{kind}")
        case Da3Config():
            from lyra_sim.depth.networks.da3 import DepthAnything3

            return DepthAnything3(
                config.weights,
                side_px=config.side_px,
                device=config.device,
                rests=config.rests,
                setting=f"{setting}.weights",
            )
        case TinyDepthConfig():
            from lyra_sim.depth.networks.tiny import TinyDepth

            return TinyDepth(seed=config.seed, near_m=config.near_m, far_m=config.far_m, device=config.device)


open_network: Callable[..., DepthNetwork] = functools.lru_cache(maxsize=8)(build_network)
"""The same, loaded once: a worker keeps it for its next world."""
