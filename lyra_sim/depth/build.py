"""Chooses the observe backend that a configuration names."""

from collections.abc import Callable
from functools import partial

from lyra_sim.config.depth_network import Da3Config, LearnedDepth
from lyra_sim.config.observe import DepthConfig, GroundConfig, SensorConfig
from lyra_sim.core.records import Capture, PosedFrames


def build(config: DepthConfig) -> Callable[[Capture], PosedFrames]:
    """The function that observes a capture with this backend.

    The function raises SceneError where no honest metric frame can be found, InputError where the capture lacks what
    the backend needs, and ResourceError where a network's weights or package are missing.
    """
    match config:
        case SensorConfig():
            from lyra_sim.depth.sensor import observe_sensor

            return partial(observe_sensor, config=config)
        case GroundConfig():
            from lyra_sim.depth.ground import observe_photo

            return partial(observe_photo, config=config)
        case LearnedDepth():
            from lyra_sim.depth.networks.build import open_network
            from lyra_sim.depth.photo_network import observe_with_network

            resting = config.model_copy(update={"rests": True}) if isinstance(config, Da3Config) else config
            network_for = partial(open_network, resting, setting="observe.photo")
            return partial(observe_with_network, config=config, network_for=network_for)
