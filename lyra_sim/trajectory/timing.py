"""When the camera is where: a curve is driven as fast as the limits of step and turn allow, from rest to rest."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

from lyra_sim.core.errors import ConfigError
from lyra_sim.core.record import record
from lyra_sim.trajectory.motion import Leg

EASE_FRAMES = 8
"""Frames from rest to full speed: speed changes by at most 1/8 of the limit per frame."""
_MOST_FRAMES = 10_000
_DENSE = 20
"""Points on the curve per frame; speed is limited at each of them."""
_FULL_SPEED = 0.99
"""Of the limits: what is left over is for the bends between two points."""


@record
class Curve:
    """Where the camera passes, without time."""

    at: Callable[[np.ndarray], Leg]
    """Cameras at shares (N,) of the way, 0 to 1. Headings do not jump by whole turns."""
    length_m: float
    """At least the length of the way, ..."""
    turned_rad: float
    """... and at least all the turning on it."""


def timed(curve: Curve, step_m: float, turn_rad: float) -> Leg:
    """Cameras of the frames after the curve's beginning, up to its end.

    The fastest speed along a given way under limits of speed and acceleration: one pass forward, one backward (Bobrow,
    Dubowsky and Gibson 1985); in turn for the speed in metres and for whichever of moving and turning takes longer,
    until both keep their limits.

    Args:
        step_m: farthest the camera moves between two frames.
        turn_rad: farthest it turns.
    Raises:
        ConfigError: more frames than any walk has.
    """
    rough = curve.length_m / step_m + curve.turned_rad / turn_rad
    if rough > _MOST_FRAMES:
        raise ConfigError(
            "explore.path",
            expected=f"a path of at most {_MOST_FRAMES} frames",
            got=f"about {rough:.0f}",
            todo="Make it shorter, or raise explore.step_m and explore.turn_deg.",
        )
    share = np.linspace(0, 1, int(np.ceil(_DENSE * rough)) + 2)
    dense = curve.at(share)
    steps = np.linalg.norm(np.diff(dense.position, axis=0), axis=1) / step_m
    # Heading turns about the vertical and pitch about a level axis: at right angles, so their speeds add as squares.
    turns = np.hypot(np.diff(dense.heading), np.diff(dense.pitch)) / turn_rad
    least = np.maximum(steps, turns)
    steps = np.maximum(steps, 1e-6 * least)  # one that only turns moves a little, so that nothing is divided by 0
    speed, slower = np.full(len(share), np.inf), np.full(len(share), _FULL_SPEED)
    ratio = _at_nodes(least / steps)
    while (speed - slower).max() > 1e-3:
        speed, slower = slower, _eased(least, _eased(steps, slower / ratio) * ratio)
    clock = np.append(0, np.cumsum(least / (slower[1:] + slower[:-1]) * 2))
    count = int(np.ceil(clock[-1] - 1e-9))
    return curve.at(np.append(np.interp(np.arange(1, count) * clock[-1] / count, clock, share), 1.0))


def _at_nodes(limit: Float64[np.ndarray, "N"]) -> Float64[np.ndarray, "N+1"]:
    """What holds on both pieces beside each node."""
    return np.minimum(np.append(limit, np.inf), np.append(np.inf, limit))


def _eased(way: Float64[np.ndarray, "N"], limit: Float64[np.ndarray, "N+1"]) -> Float64[np.ndarray, "N+1"]:
    """Speed at the nodes of a way, from rest to rest: at most `limit`, changed by at most 1 / EASE_FRAMES a frame."""
    fastest = limit**2
    fastest[[0, -1]] = 0.0
    rise = 2 / EASE_FRAMES * np.append(0, np.cumsum(way))  # v^2 grows by twice the acceleration times the way
    square = np.minimum.accumulate(fastest - rise) + rise
    square = np.minimum.accumulate((square + rise)[::-1])[::-1] - rise
    return np.sqrt(np.maximum(square, 0))
