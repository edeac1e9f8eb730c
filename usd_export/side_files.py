"""The files beside the USD layers: texture, splats, points, mesh, cameras, pictures and the licence chain."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lyra_sim.core.records import Frames, Intrinsics, Label, Provenance, Surface, World
from lyra_sim.geometry.camera import invert, project, transform
from usd_export.appearance import Appearance
from usd_export.reader import read_scene

_JPEG_QUALITY = 92
_PREVIEW_PX = 960, 540
_PREVIEW_FROM = np.array([-0.58, -0.46, 0.67])


def write_side_files(folder: Path, *, surface: Surface, world: World, provenance: Provenance, name: str) -> None:
    """Everything in a world folder that describes the scene and is not USD."""
    _write_json(folder / "ATTRIBUTION.json", attribution(provenance, name))
    _write_trajectory(folder / "trajectory.npz", world)
    _write_preview(folder / "preview.png", folder / "scene.usda")


def attribution(provenance: Provenance, name: str) -> dict[str, Any]:
    """The licence chain of a world as JSON values: what it was made from, by what, and on which terms."""
    return {
        "world": name,
        "made_by": f"{provenance.backend} {provenance.version}",
        "config_hash": provenance.config_hash,
        "seed": provenance.seed,
        "inputs": list(provenance.inputs),
        "licences": [
            {"subject": line.subject, "name": line.name, "holder": line.holder, "source": line.source}
            for line in provenance.licences
        ],
    }


def write_texture(path: Path, texture: np.ndarray) -> None:
    """Write the shared texture as JPEG (every USD renderer and the USDZ format read it)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(texture).save(path, format="JPEG", quality=_JPEG_QUALITY, subsampling=0)


def frames_of(world: World) -> Iterator[Frames]:
    """The frames of the start and of each segment, opened one after the other."""
    yield world.start.frames
    for segment in world.segments:
        yield segment.frames


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def _write_trajectory(path: Path, world: World) -> None:
    """All cameras: `cam_to_world` (T, 4, 4), `intrinsics` (T, 6: fx fy cx cy width height), `segment` (T,; -1 is the
    start)."""
    poses, intrinsics, segment = [], [], []
    for number, frames in enumerate(frames_of(world)):
        k = frames.intrinsics
        poses.append(frames.cam_to_world)
        intrinsics.append(np.tile([k.fx, k.fy, k.cx, k.cy, k.width, k.height], (len(frames), 1)))
        segment.append(np.full(len(frames), number - 1, np.int32))
    np.savez(
        path,
        cam_to_world=np.concatenate(poses),
        intrinsics=np.concatenate(intrinsics).astype(np.float64),
        segment=np.concatenate(segment),
    )


def _write_preview(path: Path, scene: Path) -> None:
    """An oblique look from above into the written scene; ceilings and faces turned away are left out."""
    geometry = read_scene(scene)
    shown = [v for v in geometry.visuals if v.label not in (Label.CEILING.name.lower(), Label.SKY.name.lower())]
    points = np.concatenate([v.vertices for v in shown or geometry.visuals]).astype(np.float64)
    low, high = np.percentile(points, 1, axis=0), np.percentile(points, 99, axis=0)
    corners = np.array([[(low, high)[(k >> axis) & 1][axis] for axis in range(3)] for k in range(8)])
    width, height = _PREVIEW_PX
    camera = Intrinsics(fx=1.1 * width, fy=1.1 * width, cx=width / 2, cy=height / 2, width=width, height=height)
    eye, target = _fitting_eye(corners, camera), corners.mean(0)
    seen = type(geometry)(visuals=tuple(shown or geometry.visuals), colliders=())
    color, hit = Appearance(seen, facing=eye).look(camera, look_at(eye, target))
    picture = np.where(hit[..., None], color, 245.0)
    Image.fromarray(np.clip(np.round(picture), 0, 255).astype(np.uint8)).save(path, format="PNG")


def _fitting_eye(corners: np.ndarray, camera: Intrinsics) -> np.ndarray:
    """The nearest eye, going back from the middle of the corners along a fixed oblique direction, that sees them all."""
    middle = corners.mean(0)
    distance = float(np.linalg.norm(corners - middle, axis=1).max()) + 0.1
    while True:
        eye = middle + distance * _PREVIEW_FROM
        uv, z = project(transform(invert(look_at(eye, middle)), corners), camera)
        if z.min() > 0 and (uv > 0).all() and (uv < (camera.width, camera.height)).all():
            return eye
        distance *= 1.05


def look_at(eye: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Camera-to-world (4, 4) of a camera at `eye` that looks at `target`, upright (z up), OpenCV axes."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    T_world_cam = np.eye(4)
    T_world_cam[:3, :3] = np.stack([right, np.cross(forward, right), forward], 1)
    T_world_cam[:3, 3] = eye
    return T_world_cam
