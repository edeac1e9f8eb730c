"""One photo to metric depth without weights: gravity from lines, floor from the foreground, upright structure where
the floor ends. Everything it is not sure of is an obstacle or has no depth; it is never floor."""

import dataclasses
import math
from dataclasses import dataclass

import cv2
import numpy as np

from lyra_sim.config.observe import GroundConfig
from lyra_sim.core.errors import SceneError
from lyra_sim.core.records import Capture, Frames, Intrinsics, Label, PixelOrigin, PosedFrames, WorldFrame
from lyra_sim.depth.camera_height import CameraHeight, find_height
from lyra_sim.depth.floor import FloorRegion, decide, grow
from lyra_sim.depth.floor_cues import edge_kinds, patch_cues
from lyra_sim.depth.floor_patches import Patches, cut_patches
from lyra_sim.depth.frame import place_origin
from lyra_sim.depth.layout import Cylinder, Layout, cut_behind, make_cylinder, stand_up
from lyra_sim.depth.lines import GravityVote, heading_axes, normalised
from lyra_sim.depth.photo_doubt import floor_doubt, horizon_doubt
from lyra_sim.depth.photo_view import insist_on_one, view_photo
from lyra_sim.geometry.camera import pixel_rays

_CEILING_M = 2.5
_MIN_CORE_INDOOR, _MIN_CORE_OUTDOOR = 0.025, 0.012
_MIN_PLAUSIBLE = 3.5
_GAP_PX = 5
_LABELS = np.array([Label.UNKNOWN, Label.FLOOR, Label.OBSTACLE, Label.CEILING], np.uint8)


@dataclass(frozen=True)
class Sight:
    """What was read from the photo before anything was measured in metres; for pictures and tests."""

    gravity: GravityVote
    camera: Intrinsics
    """At working size."""
    sky: np.ndarray
    region: FloorRegion
    patches: Patches


def observe_photo(capture: Capture, config: GroundConfig) -> PosedFrames:
    """Depth, gravity and scale of one photo.

    Raises:
        InputError: the capture is not one photo.
        SceneError: no floor that a robot could stand on was found.
    """
    insist_on_one(capture)
    sight = look(capture.images[0], capture.image_valid[0], capture.intrinsics)
    height = find_height(
        capture.images[0],
        capture.image_valid[0],
        capture.intrinsics,
        sight.gravity.down_cam,
        config,
        capture.camera_height_m,
    )
    layout = _measure(sight, capture, height.height_m, config.max_range_m)
    return _posed(capture, sight, layout, height)


def look(image: np.ndarray, image_valid: np.ndarray, camera: Intrinsics) -> Sight:
    """Gravity, sky and floor region of one photo ((H, W, 3) uint8 sRGB, (H, W) bool)."""
    view = view_photo(image, image_valid, camera)
    gravity, work, lab, rays, elevation = view.gravity, view.camera, view.lab, view.rays, view.elevation
    lines, upright = _draw_lines(view.segments, camera, work, gravity.down_cam)
    patches = cut_patches(lab, elevation < -0.03, upright, lines, spacing_px=9)
    growth = grow(patches, outdoor=view.outdoor)
    ahead, left = heading_axes(gravity.down_cam)
    c, s = math.cos(gravity.yaw_rad), math.sin(gravity.yaw_rad)
    kinds = edge_kinds(lab, rays, gravity.down_cam, np.stack([c * ahead + s * left, c * left - s * ahead]))
    cues = patch_cues(patches, lab, kinds, elevation, growth.core, growth.cost, growth.rival)
    region = decide(patches, growth, cues, view.valid & ~view.sky & (elevation < -0.02))
    region = _in_front(region, make_cylinder(work, gravity.down_cam))
    return Sight(gravity=gravity, camera=work, sky=view.sky, region=region, patches=patches)


def _in_front(region: FloorRegion, cylinder: Cylinder) -> FloorRegion:
    """The region, at every chance, without what is seen past an obstacle."""
    mask = cut_behind(cylinder, region.mask, region.sure, gap_px=_GAP_PX)
    chance = cut_behind(cylinder, region.chance, region.sure, gap_px=_GAP_PX)
    return dataclasses.replace(region, mask=mask, chance=chance)


def _draw_lines(
    segments: np.ndarray, camera: Intrinsics, work: Intrinsics, down: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Images at working size: all segments, and those that stand upright."""
    lines = np.zeros((work.height, work.width), np.float32)
    upright = np.zeros_like(lines)
    scale = np.array([work.width / camera.width, work.height / camera.height] * 2)
    mid, along, _ = normalised(segments, camera)
    toward = down[:2] - mid * down[2]
    toward /= np.maximum(np.linalg.norm(toward, axis=1, keepdims=True), 1e-9)
    askew = np.abs(toward[:, 0] * along[:, 1] - toward[:, 1] * along[:, 0])
    for segment, sine in zip(segments * scale, askew, strict=True):
        if np.hypot(segment[2] - segment[0], segment[3] - segment[1]) < 14:
            continue
        x0, y0, x1, y1 = (round((v - 0.5) * 16) for v in segment)
        cv2.line(lines, (x0, y0), (x1, y1), 1.0, 1, cv2.LINE_AA, 4)
        if sine < 0.06:
            cv2.line(upright, (x0, y0), (x1, y1), 1.0, 2, cv2.LINE_AA, 4)
    return lines, upright


def _measure(sight: Sight, capture: Capture, height_m: float, reach_m: float) -> Layout:
    camera = capture.intrinsics
    size = (camera.width, camera.height)

    def grown(image: np.ndarray) -> np.ndarray:
        return cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_NEAREST)

    floor, sky = grown(sight.region.mask) > 0.5, grown(sight.sky) > 0.5
    patch = grown(sight.patches.index).astype(np.int64)
    seen = capture.image_valid[0]
    return stand_up(
        make_cylinder(camera, sight.gravity.down_cam),
        floor & seen,
        sky | ~seen,
        patch,
        height_m=height_m,
        reach_m=reach_m,
        ceiling_m=None if _outdoor(sight) else max(_CEILING_M, height_m + 0.6),
    )


def _outdoor(sight: Sight) -> bool:
    return bool(sight.sky.mean() > 0.02)


def _posed(capture: Capture, sight: Sight, layout: Layout, height: CameraHeight) -> PosedFrames:
    up = -sight.gravity.down_cam
    points = pixel_rays(capture.intrinsics)[layout.valid] * layout.depth_m[layout.valid][:, None]
    _insist_on_floor(capture.name, sight, layout)
    T_world_cam = place_origin(points, up, -height.height_m, np.eye(4))
    return PosedFrames(
        frames=Frames(
            images=capture.images,
            depth_m=layout.depth_m[None].astype(np.float32),
            valid=layout.valid[None],
            origin=np.where(capture.image_valid, PixelOrigin.MEASURED, PixelOrigin.NONE).astype(np.uint8),
            label=_label(sight, layout, capture)[None],
            cam_to_world=T_world_cam[None],
            intrinsics=capture.intrinsics,
        ),
        frame=WorldFrame(
            metric=height.source,
            gravity="lines" if sight.gravity.support > 8 else "prior",
            gravity_sigma_rad=float(min(sight.gravity.sigma_rad, math.pi / 4)),
            scale_sigma=_scale_sigma(sight, capture, layout, height),
            T_world_source=T_world_cam,
        ),
        environment="outdoor" if _outdoor(sight) else "indoor",
        provenance=dataclasses.replace(capture.provenance, backend="ground", version="5"),
    )


def _insist_on_floor(name: str, sight: Sight, layout: Layout) -> None:
    """Raise SceneError where the foreground is not floor with enough confidence."""
    region = sight.region
    smallest = _MIN_CORE_OUTDOOR if _outdoor(sight) else _MIN_CORE_INDOOR
    share = float((layout.valid & (layout.kind == 1)).mean())
    if region.core_share == 0 or share < 0.002:
        got = "nothing in the foreground that could be floor (too dark, cut by edges, or above the horizon)"
    elif region.core_share < smallest:
        got = f"a foreground whose even part covers {region.core_share:.1%} of the photo, less than {smallest:.1%}"
    elif region.plausible < _MIN_PLAUSIBLE:
        got = f"a foreground that looks more like a table, a worktop or a wall (log odds {region.plausible:.1f})"
    else:
        return
    raise SceneError(
        name,
        expected=f"floor in the lower part of the photo, sure to log odds {_MIN_PLAUSIBLE}",
        got=got,
        todo="Use a photo that shows more of the floor in front of the camera.",
    )


def _scale_sigma(sight: Sight, capture: Capture, layout: Layout, height: CameraHeight) -> float:
    """One sigma of ln(scale): the height's, the horizon's, and the floor's end's."""
    size = (capture.intrinsics.width, capture.intrinsics.height)
    chance = cv2.resize(sight.region.chance, size, interpolation=cv2.INTER_NEAREST)
    down = pixel_rays(capture.intrinsics) @ sight.gravity.down_cam
    floor = layout.valid & (layout.kind == 1)
    return math.hypot(
        height.sigma,
        horizon_doubt(capture.intrinsics, sight.gravity, floor),
        floor_doubt(layout, chance, down, height.height_m),
    )


def _label(sight: Sight, layout: Layout, capture: Capture) -> np.ndarray:
    label = _LABELS[layout.kind]
    size = (capture.intrinsics.width, capture.intrinsics.height)
    sky = cv2.resize(sight.sky.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
    return np.where(sky & ~layout.valid, np.uint8(Label.SKY), label)
