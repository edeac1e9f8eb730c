"""Chooses the observe backend that a configuration names."""

from collections.abc import Callable
from functools import partial

from lyra_sim.config.observe import DepthConfig, GroundConfig, SensorConfig
from lyra_sim.core.records import Capture, PosedFrames


def build(config: DepthConfig) -> Callable[[Capture], PosedFrames]:
    """The function that observes a capture with this backend.

    The function raises SceneError where no honest metric frame can be found, InputError where the capture lacks what
    the backend needs.
    """
    match config:
        case SensorConfig():
            from lyra_sim.depth.sensor import observe_sensor

            return partial(observe_sensor, config=config)
        case GroundConfig():
            from lyra_sim.depth.ground import observe_photo

            return partial(observe_photo, config=config)
