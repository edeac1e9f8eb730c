"""Metres for a posed RGB-D walk: its sensor's, its GPS positions' and its stated camera height's, weighed together."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, Float64

from lyra_sim.core.records import Capture
from lyra_sim.depth.camera_height import GIVEN_SIGMA
from lyra_sim.depth.doors import DOOR_SIGMA_M
from lyra_sim.depth.gps_scale import gps_cue
from lyra_sim.depth.gravity import Ground
from lyra_sim.depth.scale_cues import Scale, ScaleCue, combine

SENSOR_SIGMA = 0.015
"""One sigma of ln(scale): time-of-flight and structured-light cameras are off by 0.5 to 2 % of the distance at room
range, and no pose or picture of the walk can tell."""

USUAL_STOREY_M = (2.4, 3.0)
"""Floor to ceiling in most homes and offices."""
USUAL_DOOR_M = (1.95, 2.15)
"""Clear height of most inner doors: 1.98 to 2.11 m (DIN 18101), 6 ft 8 in (2.03 m) and 2.1 m elsewhere."""


def in_metres(capture: Capture) -> tuple[Capture, list[ScaleCue]]:
    """The walk in metres as far as is known before its floor is, and cues of what is still to be multiplied.

    Where the source says that the unit of its depth and poses is unknown, GPS alone makes it metres.

    Raises:
        SceneError: the unit is unknown and no GPS position tells it.
    """
    poses = capture.cam_to_world
    assert poses is not None
    fixes = capture.facts.get("fixes_m")
    gps = None
    if fixes is not None:
        rows = np.array([[math.nan] * 3 if fix is None else fix for fix in fixes])
        up = -poses[:, :3, 1].mean(0)
        gps = gps_cue(poses[:, :3, 3], up / np.linalg.norm(up), rows)
    found = [] if gps is None else [gps]
    if capture.facts.get("unit_known", True):
        return capture, [ScaleCue("sensor", 0.0, SENSOR_SIGMA), *found]
    factor = combine(capture.name, found).factor
    assert capture.depth_m is not None
    depth, poses = rescaled(capture.depth_m, poses, factor)
    facts = capture.facts | {"unit_m": factor}
    cues = [dataclasses.replace(cue, log_factor=0.0) for cue in found]
    return dataclasses.replace(capture, cam_to_world=poses, depth_m=depth, facts=facts), cues


def rescaled(
    depth_m: Float32[np.ndarray, "T H W"], poses: Float64[np.ndarray, "T 4 4"], factor: float
) -> tuple[Float32[np.ndarray, "T H W"], Float64[np.ndarray, "T 4 4"]]:
    """Depth and poses with all lengths multiplied."""
    return depth_m * np.float32(factor), poses * np.array([[1, 1, 1, factor]] * 3 + [[1, 1, 1, 1]])


def decide_scale(capture: Capture, cues: list[ScaleCue], ground: Ground) -> Scale:
    """All cues together. A stated camera height is that of the middle frame by height; how much the walk's cameras go
    up and down is part of its sigma."""
    if capture.camera_height_m is not None:
        assert capture.cam_to_world is not None
        heights = np.log(np.maximum(capture.cam_to_world[:, :3, 3] @ ground.up - ground.floor_height_m, 0.05))
        sigma = math.hypot(GIVEN_SIGMA, float(heights.std()))
        cue = ScaleCue("camera_height_given", math.log(capture.camera_height_m) - float(np.median(heights)), sigma)
        cues = [*cues, cue]
    scale = combine(capture.name, cues)
    scale.notes.update({"unit_m": capture.facts["unit_m"]} if "unit_m" in capture.facts else {})
    return scale


def height_notes(ground: Ground, doors_m: Sequence[float], scale: Scale) -> dict[str, Any]:
    """Heights of the room and of doors beside usual ones: for people to read, the scale does not follow them.

    Args:
        doors_m: heights of doorways before the scale was decided, see `door_heights`.
    """
    notes: dict[str, Any] = {}
    if ground.ceiling_m is not None:
        notes["storey"] = _beside(ground.ceiling_m, ground.ceiling_sigma_m, scale, USUAL_STOREY_M)
    if doors_m:
        notes["doors"] = _beside(float(np.median(doors_m)), DOOR_SIGMA_M, scale, USUAL_DOOR_M)
        notes["doors"]["heights_m"] = [round(height * scale.factor, 3) for height in doors_m]
    return notes


def _beside(height: float, sigma: float, scale: Scale, usual_m: tuple[float, float]) -> dict[str, Any]:
    """A height in metres, its sigma, and whether it is usual to within two of them."""
    height *= scale.factor
    sigma = math.hypot(height * scale.sigma, sigma * scale.factor)
    off = max(usual_m[0] - height, height - usual_m[1], 0.0)
    return {
        "height_m": round(height, 3),
        "sigma_m": round(sigma, 3),
        "usual_m": list(usual_m),
        "usual": off <= 2 * sigma,
    }


def unit_source(cues: list[ScaleCue]) -> Literal["sensor", "gps"]:
    """What the depth was in metres by, before anything was weighed."""
    return "gps" if cues[0].source == "gps" else "sensor"
