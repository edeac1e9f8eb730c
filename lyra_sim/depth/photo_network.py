"""One photo to metric depth by a network: gravity from lines, then from the floor of the predicted depth; sky, edges
and what is far have no depth."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8

from lyra_sim.config.depth_network import LearnedDepth
from lyra_sim.core.errors import ConfigError, SceneError
from lyra_sim.core.licence import Licence
from lyra_sim.core.records import Capture, Frames, Intrinsics, Label, PixelOrigin, PosedFrames, Provenance, WorldFrame
from lyra_sim.depth.camera_height import GIVEN_SIGMA
from lyra_sim.depth.frame import place_origin
from lyra_sim.depth.gravity import Ground, find_ground
from lyra_sim.depth.networks.prediction import DepthNetwork
from lyra_sim.depth.photo_view import PhotoView, insist_on_one, view_photo
from lyra_sim.depth.scale_cues import ScaleCue, combine
from lyra_sim.depth.sensor import clean_depth, sample_surface
from lyra_sim.geometry.camera import pixel_rays, transform
from lyra_sim.geometry.slopes import pixel_normals

_MIN_VALID_SHARE = 0.05
_DISAGREE_RAD = math.radians(15.0)
"""Floor of the predicted depth against the lines: beyond this and beyond three sigmas of theirs it is distorted."""
_CLEAR_LINES = 8.0
"""Support of a gravity vote from which lines may contradict the depth."""
_LEVEL, _FLOOR_M, _FLOOR_SHARE = math.cos(math.radians(35.0)), 0.04, 0.015
"""A floor pixel is level to 35 degrees and on the floor to 4 cm or 1.5 % of its depth."""
_CEILING_M = 1.8


def observe_with_network(
    capture: Capture, config: LearnedDepth, network_for: Callable[[str], DepthNetwork]
) -> PosedFrames:
    """Depth, gravity and scale of one photo.

    The scale is the network's, with the configured `scale_sigma`, weighed against the camera's height where that is
    given (`scale_cues.combine`).

    Args:
        network_for: the network for "indoor" or "outdoor".

    Raises:
        InputError: the capture is not one photo.
        ConfigError: the network tells no metres and no camera height is given.
        SceneError: hardly any depth, no floor below the camera, or a floor that contradicts the lines.
    """
    insist_on_one(capture)
    camera = capture.intrinsics
    view = view_photo(capture.images[0], capture.image_valid[0], camera)
    network = network_for("outdoor" if view.outdoor else "indoor")
    _insist_on_metres(network, capture)
    depth, ground = _depth_and_ground(capture, config, network, view)
    scale = combine(capture.name, _cues(capture, config, network, ground))
    depth = depth * np.float32(scale.factor)
    ground = dataclasses.replace(ground, floor_height_m=ground.floor_height_m * scale.factor)
    valid = (depth > 0) & (depth <= config.max_range_m)
    depth = np.where(valid, depth, np.float32(0))
    points = pixel_rays(camera)[valid] * depth[valid][:, None].astype(np.float64)
    T_world_cam = place_origin(points, ground.up, ground.floor_height_m, np.eye(4))
    return PosedFrames(
        frames=Frames(
            images=capture.images,
            depth_m=depth[None],
            valid=valid[None],
            origin=np.where(capture.image_valid, PixelOrigin.MEASURED, PixelOrigin.NONE).astype(np.uint8),
            label=_label(depth, view, camera, T_world_cam)[None],
            cam_to_world=T_world_cam[None],
            intrinsics=camera,
        ),
        frame=WorldFrame(
            metric=scale.source,
            gravity="planes",
            gravity_sigma_rad=_doubt(ground, view),
            scale_sigma=scale.sigma,
            T_world_source=T_world_cam,
        ),
        environment="outdoor" if view.outdoor else "indoor",
        notes={"scale": scale.notes},
        provenance=_provenance(capture.provenance, str(getattr(config, "backend", "network")), network),
    )


def _cues(capture: Capture, config: LearnedDepth, network: DepthNetwork, ground: Ground) -> list[ScaleCue]:
    cues = [ScaleCue("network", 0.0, config.scale_sigma)] if network.metric else []
    if capture.camera_height_m is not None:
        factor = capture.camera_height_m / -ground.floor_height_m
        cues.append(ScaleCue("camera_height_given", math.log(factor), GIVEN_SIGMA))
    return cues


def _insist_on_metres(network: DepthNetwork, capture: Capture) -> None:
    if not network.metric and capture.camera_height_m is None:
        raise ConfigError(
            "observe.photo",
            expected="a network that tells metres, or the camera's height",
            got=network.name,
            todo="Take a metric network, or state capture.camera_height_m.",
        )


def _depth_and_ground(
    capture: Capture, config: LearnedDepth, network: DepthNetwork, view: PhotoView
) -> tuple[np.ndarray, Ground]:
    """(H, W) depth, 0 where there is none, and its floor; the camera is the origin. The range is not limited yet."""
    camera = capture.intrinsics
    K = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1.0]])
    made = network.predict(capture.images, None, K[None])
    valid = made.valid[0] & capture.image_valid[0] & ~view.full(view.sky, camera)
    valid = clean_depth(made.depth[0], valid, config.edge_ratio)
    if valid.mean() < _MIN_VALID_SHARE:
        raise SceneError(
            capture.name,
            expected=f"depth from {network.name} on at least {_MIN_VALID_SHARE:.0%} of the photo",
            got=f"{valid.mean():.1%} (sky, edges and what is beyond its range left out)",
            todo="Use a photo that shows more of what is near.",
        )
    depth = np.where(valid, made.depth[0], np.float32(0))
    points, normals = sample_surface(depth[None], valid[None], np.eye(4)[None], camera, capture.name)
    ground = find_ground(points, normals, np.zeros((1, 3)), -view.gravity.down_cam)
    apart = _angle(ground, view)
    if view.gravity.support > _CLEAR_LINES and apart > max(_DISAGREE_RAD, 3 * view.gravity.sigma_rad):
        raise SceneError(
            capture.name,
            expected=f"a floor that is level by the photo's lines to {math.degrees(_DISAGREE_RAD):.0f} degrees",
            got=f"one that {network.name} sees tilted by {math.degrees(apart):.0f} degrees",
            todo="Try the backend 'ground', or another network.",
        )
    return depth, ground


def _angle(ground: Ground, view: PhotoView) -> float:
    return math.acos(float(np.clip(-ground.up @ view.gravity.down_cam, -1, 1)))


def _doubt(ground: Ground, view: PhotoView) -> float:
    """One sigma of the tilt: what the floor's fit says; no less than how far clear lines are from it."""
    apart = _angle(ground, view) if view.gravity.support > _CLEAR_LINES else 0.0
    return max(ground.sigma_rad, apart)


def _label(
    depth: Float[np.ndarray, "H W"], view: PhotoView, camera: Intrinsics, T_world_cam: np.ndarray
) -> UInt8[np.ndarray, "H W"]:
    """Floor where the depth lies on the floor's plane and is level; every other surface is an obstacle or ceiling."""
    valid = depth > 0
    height = transform(T_world_cam, pixel_rays(camera) * depth[..., None].astype(np.float64))[..., 2]
    upward = pixel_normals(depth, valid, camera) @ T_world_cam[2, :3]
    label = np.where(valid, np.uint8(Label.OBSTACLE), np.uint8(Label.UNKNOWN))
    label[valid & (np.abs(height) < np.maximum(_FLOOR_M, _FLOOR_SHARE * depth)) & (upward > _LEVEL)] = Label.FLOOR
    label[valid & (height > _CEILING_M) & (upward < -_LEVEL)] = Label.CEILING
    label[~valid & view.full(view.sky, camera)] = Label.SKY
    return label


def _provenance(made: Provenance, backend: str, network: DepthNetwork) -> Provenance:
    licences: tuple[Licence, ...] = (*made.licences, *network.licences)
    inputs = (*made.inputs, *network.hashes.values())
    return dataclasses.replace(made, backend=backend, version="2", inputs=inputs, licences=licences)
