"""The files beside the USD layers: splats, points, mesh, cameras, pictures and the licence chain."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lyra_sim.collision.describe import describe
from lyra_sim.core.records import Colliders, Frames, Provenance, Surface, World
from lyra_sim.io.images import write_png
from lyra_sim.io.meshes import write_glb, write_points_ply, write_splats_ply
from lyra_sim.io.video import write_mp4
from usd_export.reader import read_scene
from usd_export.render import render_overview

_PREVIEW_PX = 960, 540


def write_side_files(
    folder: Path, *, surface: Surface, colliders: Colliders, world: World, provenance: Provenance, name: str
) -> None:
    """Everything in a world folder that describes the scene and is not USD."""
    _write_trajectory(folder / "trajectory.npz", world)  # first: only one thread may read stored segments at a time
    with ThreadPoolExecutor(1) as beside:  # the encoder is a process of its own
        walk = beside.submit(_write_walk, folder / "walk.mp4", world)
        _write_json(folder / "ATTRIBUTION.json", attribution(provenance, name))
        _write_json(folder / "colliders.json", describe(colliders))
        write_glb(folder / "mesh.glb", surface.visual, name=name)
        write_points_ply(folder / "points.ply", surface.near.vertices, surface.near.vertex_color)
        write_splats_ply(folder / "splats.ply", surface.splats)
        write_png(folder / "preview.png", render_overview(read_scene(folder / "scene.usda"), *_PREVIEW_PX))
        walk.result()


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


def _write_walk(path: Path, world: World) -> None:
    """All images in the order they were seen or generated, in the size of the last (generated images are smaller than
    photos)."""
    last = world.segments[-1].frames if len(world.segments) else world.start.frames
    size = last.intrinsics.width, last.intrinsics.height
    write_mp4(path, (_sized(image, size) for frames in frames_of(world) for image in frames.images))


def _sized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if image.shape[1::-1] == size:
        return image
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
