"""Observe for RGB-D walks: clean the measured depth, leave out what moved, even out exposure, refine the poses, find
gravity and the floor, place the world frame."""

import dataclasses
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, UInt8
from numba import njit

from lyra_sim.config.observe import SensorConfig
from lyra_sim.core.errors import InputError, SceneError
from lyra_sim.core.records import Capture, Frames, Intrinsics, Label, PixelOrigin, PosedFrames, WorldFrame
from lyra_sim.depth.doors import door_heights
from lyra_sim.depth.exposure import evened, find_gains
from lyra_sim.depth.frame import place_origin
from lyra_sim.depth.gravity import Ground, find_ground
from lyra_sim.depth.movers import find_movers
from lyra_sim.depth.overlap import coarse_walk
from lyra_sim.depth.refine import refine_poses
from lyra_sim.depth.walk_scale import decide_scale, height_notes, in_metres, rescaled, unit_source
from lyra_sim.geometry.camera import pixel_rays, transform
from lyra_sim.geometry.slopes import pixel_normals

_SAMPLES = 400_000
"""Pixels of the whole walk that gravity and the frame are found from."""
_MIN_VALID_PIXELS = 1000


def observe_sensor(capture: Capture, config: SensorConfig) -> PosedFrames:
    """Metric, gravity-aligned frames of a posed RGB-D walk.

    Raises:
        InputError: the capture has no depth or no poses.
        SceneError: hardly any depth, no floor below the cameras, or no free floor.
    """
    if capture.depth_m is None or capture.depth_valid is None or capture.cam_to_world is None:
        raise InputError(
            capture.name,
            expected="depth images and poses for every frame",
            got="a capture without them",
            todo="Give an RGB-D walk, or choose the backend 'ground' for photos.",
        )
    capture, cues = in_metres(capture)
    assert capture.depth_m is not None and capture.depth_valid is not None and capture.cam_to_world is not None
    measured = _believed(capture, config)
    valid = measured & (capture.depth_m <= config.max_depth_m)
    images, moving, poses, notes = _settled(capture, measured, valid, refine=config.refine_poses)
    capture = dataclasses.replace(capture, cam_to_world=poses)
    assert capture.depth_m is not None and capture.depth_valid is not None
    valid &= ~moving
    depth = np.where(valid, capture.depth_m, np.float32(0))
    points, normals = sample_surface(depth, valid, poses, capture.intrinsics, capture.name)
    ground = find_ground(points, normals, poses[:, :3, 3], -poses[:, :3, 1].mean(0))
    scale = decide_scale(capture, cues, ground)
    doors_m = door_heights(points, normals, ground.up, ground.floor_height_m)
    notes |= {"scale": scale.notes} | height_notes(ground, doors_m, scale)
    depth, poses = rescaled(depth, poses, scale.factor)
    height_m = ground.floor_height_m * scale.factor
    T_world_source = place_origin(points * scale.factor, ground.up, height_m, poses[0])
    shown = (valid | capture.image_valid) & ~moving
    origin = np.where(shown, PixelOrigin.MEASURED, PixelOrigin.NONE).astype(np.uint8)
    return PosedFrames(
        frames=Frames(
            images=images,
            depth_m=depth,
            valid=valid,
            origin=origin,
            label=np.full(valid.shape, Label.UNKNOWN, np.uint8),
            cam_to_world=T_world_source @ poses,
            intrinsics=capture.intrinsics,
        ),
        frame=WorldFrame(
            metric=unit_source(cues),
            gravity="planes",
            gravity_sigma_rad=ground.sigma_rad,
            scale_sigma=scale.sigma,
            T_world_source=T_world_source,
        ),
        environment=_environment(ground, capture.depth_m[capture.depth_valid]),
        provenance=dataclasses.replace(capture.provenance, backend="sensor", version="6"),
        notes=notes,
    )


def _believed(capture: Capture, config: SensorConfig) -> Bool[np.ndarray, "T H W"]:
    """Pixels with depth that is not flying, however far. Raises SceneError where hardly any are near enough."""
    assert capture.depth_m is not None and capture.depth_valid is not None
    measured = np.stack(
        [
            clean_depth(depth, known & shown, config.edge_ratio)
            for depth, known, shown in zip(capture.depth_m, capture.depth_valid, capture.image_valid, strict=True)
        ]
    )
    near = int((measured & (capture.depth_m <= config.max_depth_m)).sum())
    if near < _MIN_VALID_PIXELS:
        raise SceneError(
            capture.name,
            expected=f"at least {_MIN_VALID_PIXELS} pixels with depth up to {config.max_depth_m} m",
            got=str(near),
            todo="Check depth_scale in camera.json, and raise observe.rgbd.max_depth_m for far scenes.",
        )
    return measured


def _settled(
    capture: Capture, measured: Bool[np.ndarray, "T H W"], valid: Bool[np.ndarray, "T H W"], *, refine: bool
) -> tuple[UInt8[np.ndarray, "T H W 3"], Bool[np.ndarray, "T H W"], Float64[np.ndarray, "T 4 4"], dict[str, Any]]:
    """Images in common colours, pixels of things that moved, poses (refined where asked and where that makes frames
    agree better; then the rest is found anew), and notes on all. What was `measured` beyond the depth that is `valid`
    as geometry still shows that nothing stood before it."""
    assert capture.depth_m is not None and capture.cam_to_world is not None
    depth_m, poses, camera = capture.depth_m, capture.cam_to_world, capture.intrinsics
    notes: dict[str, Any] = {}
    for again in (False, True):
        moving = find_movers(coarse_walk(depth_m, measured, poses, camera), valid.shape)
        walk = coarse_walk(depth_m, valid & ~moving, poses, camera)
        gains = find_gains(capture.images, walk)
        images = evened(capture.images, gains)
        if again or not refine:
            break
        refined = refine_poses(images, np.where(valid & ~moving, depth_m, np.float32(0)), camera, walk)
        poses, notes["poses"] = refined.T_world_cam, refined.notes()
        if not refined.accepted:
            break
    notes |= {
        "moving_share": float((moving & valid).sum() / valid.sum()),
        "frames_with_movers": int(moving.any((1, 2)).sum()),
        "exposure_gain_range": [float(gains.min()), float(gains.max())],
    }
    return images, moving, poses, notes


def clean_depth(
    depth_m: Float32[np.ndarray, "H W"], valid: Bool[np.ndarray, "H W"], edge_ratio: float
) -> Bool[np.ndarray, "H W"]:
    """Valid pixels without flying ones: those between a near and a far surface, which a sensor blends into one depth.

    A pixel goes when inverse depth jumps by more than `edge_ratio` to one of its 8 neighbours and the jump is not the
    slope of a plane (inverse depth is affine over a plane, so its second difference vanishes there: far floor seen at
    a grazing angle stays). Pixels with fewer than two valid neighbours go too.
    """
    keep = np.zeros(valid.shape, np.bool_)
    known = valid & np.isfinite(depth_m) & (depth_m > 0.05)
    _clean(np.divide(1.0, depth_m, out=np.zeros(depth_m.shape), where=known), edge_ratio, keep)
    return keep


@njit(cache=True)
def _clean(inverse, edge_ratio, keep):
    height, width = inverse.shape
    for v in range(height):
        for u in range(width):
            w = inverse[v, u]
            if w == 0.0:
                continue
            neighbours = 0
            flying = False
            for dv in range(max(-1, -v), min(1, height - 1 - v) + 1):
                for du in range(max(-1, -u), min(1, width - 1 - u) + 1):
                    near = inverse[v + dv, u + du]
                    if near == 0.0 or (dv == 0 and du == 0):
                        continue
                    neighbours += 1
                    if abs(near - w) > edge_ratio * w and abs(_bend(inverse, v, u, dv, du)) > 0.5 * edge_ratio * w:
                        flying = True
            keep[v, u] = neighbours >= 2 and not flying


@njit(cache=True)
def _bend(inverse, v, u, dv, du):
    """Second difference of inverse depth along (dv, du), about the pixel or, where there is a hole on its other side,
    about its neighbour; as large as the value itself where neither exists."""
    height, width = inverse.shape
    w, near = inverse[v, u], inverse[v + dv, u + du]
    if 0 <= v - dv < height and 0 <= u - du < width and inverse[v - dv, u - du] > 0.0:
        return near + inverse[v - dv, u - du] - 2.0 * w
    if 0 <= v + 2 * dv < height and 0 <= u + 2 * du < width and inverse[v + 2 * dv, u + 2 * du] > 0.0:
        return w + inverse[v + 2 * dv, u + 2 * du] - 2.0 * near
    return w


def sample_surface(
    depth_m: Float32[np.ndarray, "T H W"],
    valid: Bool[np.ndarray, "T H W"],
    poses: Float64[np.ndarray, "T 4 4"],
    camera: Intrinsics,
    name: str,
) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, "N 3"]]:
    """Points and camera-facing normals of an even grid of pixels of all frames, in the frame that `poses` lead to.

    Raises:
        SceneError: hardly a pixel has a normal. `name` is the capture's, for the message.
    """
    stride = max(1, int(np.ceil(np.sqrt(valid.size / _SAMPLES))))
    rays = pixel_rays(camera)[::stride, ::stride]
    points, normals = [], []
    for i, T_source_cam in enumerate(poses):
        direction = pixel_normals(depth_m[i], valid[i], camera, stride=stride)[::stride, ::stride]
        chosen = valid[i, ::stride, ::stride] & (direction != 0).any(-1)
        points.append(transform(T_source_cam, rays[chosen] * depth_m[i, ::stride, ::stride][chosen][:, None]))
        normals.append(direction[chosen] @ T_source_cam[:3, :3].T)
    found, facing = np.concatenate(points), np.concatenate(normals)
    if len(found) < 100:
        raise SceneError(
            name,
            expected="smooth surfaces in the depth images",
            got=f"{len(found)} pixels of them",
            todo="Check the depth images and depth_scale.",
        )
    return found, facing


def _environment(ground: Ground, depth_m: np.ndarray) -> Literal["indoor", "outdoor"]:
    """A room has a ceiling, or at least walls near by; a tenth of all depth beyond 8 m means neither."""
    if ground.ceiling_m2 >= 1.0 or np.quantile(depth_m, 0.9) < 8.0:
        return "indoor"
    return "outdoor"
