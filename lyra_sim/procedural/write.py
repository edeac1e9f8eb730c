"""Writes procedural places as inputs: posed RGB-D walks and photos as a person would deliver them, with the truth in a
folder beside them that no reader of inputs looks into."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from lyra_sim.core.errors import InputError
from lyra_sim.core.records import Intrinsics, Label
from lyra_sim.geometry.camera import invert, pixel_rays
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.render import Rendered, render
from lyra_sim.procedural.scene import ProceduralScene
from lyra_sim.procedural.street import make_street

LICENCE = "CC0-1.0"
DEPTH_SCALE = 1000
MAX_RANGE_M = 8.0
"""Beyond this a depth sensor reports nothing."""
FILM_DIAGONAL_MM = 43.2666
"""FocalLengthIn35mmFilm compares image diagonals (CIPA DCG-001)."""


@dataclass(frozen=True)
class DepthNoise:
    """Error of a depth sensor: sigma = base + slope * (z - 0.4 m)^2, and no measurement along depth edges.

    The form is that of Nguyen, Izadi and Lovell, "Modeling Kinect sensor noise", 3DIMPVT 2012 (axial part), whose
    slope for the first Kinect is 0.0019; the default is a present-day sensor: 6 mm at 4 m.
    """

    base_m: float = 0.0012
    slope: float = 0.0004
    edge_px: int = 1


def write_walk(
    folder: Path,
    scene: ProceduralScene,
    cameras: Float[np.ndarray, "T 4 4"],
    intrinsics: Intrinsics,
    *,
    depth_noise: DepthNoise | None = None,
    rotate: Float[np.ndarray, "3 3"] | None = None,
    jpeg_quality: int = 90,
    seed: int = 0,
    alter: Callable[[int, Rendered], Rendered] | None = None,
) -> None:
    """Write a posed RGB-D walk: color/, depth/, poses.txt, camera.json and truth/truth.json.

    Args:
        cameras: cam_to_world in the scene's frame.
        depth_noise: None writes exact depth rounded to millimetres.
        rotate: turns the frame the poses are written in, so that gravity is not its z axis.
        seed: of the sensor noise, in colour and depth.
        alter: what the camera sees instead in frame k, such as passers-by or another exposure; the truth stays.
    """
    for part in ("color", "depth", "truth"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for k, pose in enumerate(cameras):
        view = render(scene, pose, intrinsics, noise_seed=1000 * seed + k)
        if alter is not None:
            view = alter(k, view)
        Image.fromarray(view.image).save(folder / "color" / f"{k:06d}.jpg", quality=jpeg_quality)
        depth = _sensor_depth(view, pose, intrinsics, depth_noise, np.random.default_rng([seed, k, 4]))
        Image.fromarray(depth).save(folder / "depth" / f"{k:06d}.png", optimize=True)
    turn = np.eye(4)
    turn[:3, :3] = np.eye(3) if rotate is None else rotate
    rows = [" ".join(f"{v:.9g}" for v in (turn @ pose).ravel()) for pose in cameras]
    head = "# one row per frame: 4x4 camera-to-world, row-major, OpenCV camera (x right, y down, z forward), metres"
    (folder / "poses.txt").write_text("\n".join([head, *rows]) + "\n")
    _write_json(folder / "camera.json", {
        "width": intrinsics.width, "height": intrinsics.height, "fx": intrinsics.fx, "fy": intrinsics.fy,
        "cx": intrinsics.cx - 0.5, "cy": intrinsics.cy - 0.5, "depth_scale": DEPTH_SCALE, "depth_invalid": 0,
        "pose_convention": "camera_to_world, OpenCV axes, metres", "num_frames": len(cameras), "licence": LICENCE,
    })  # fmt: skip
    _write_json(folder / "truth" / "truth.json", _truth(scene, invert(turn)))


def write_photo(
    path: Path,
    scene: ProceduralScene,
    cam_to_world: Float[np.ndarray, "4 4"],
    intrinsics: Intrinsics,
    *,
    state_height_m: float | None = None,
    jpeg_quality: int = 92,
    seed: int = 0,
) -> None:
    """Write a JPEG with its focal length in EXIF, and `<stem>.truth/` with depth.npz and truth.json.

    Args:
        state_height_m: also write `<image>.camera.json` that gives the camera's height, as a user may.
    """
    view = render(scene, cam_to_world, intrinsics, noise_seed=seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "lyra-sim", "procedural camera"
    exif[0x8298] = f"{LICENCE}: no rights reserved"
    diagonal_px = float(np.hypot(intrinsics.width, intrinsics.height))
    exif.get_ifd(0x8769)[0xA405] = round(intrinsics.fx / diagonal_px * FILM_DIAGONAL_MM)
    Image.fromarray(view.image).save(path, quality=jpeg_quality, exif=exif)
    if state_height_m is not None:
        _write_json(path.with_name(path.name + ".camera.json"), {"camera_height_m": state_height_m})
    truth = path.with_name(path.stem + ".truth")
    truth.mkdir(exist_ok=True)
    rounded = np.round(view.depth_m.astype(np.float64), 3).astype(np.float32)  # millimetres; the scene gives the rest
    np.savez_compressed(truth / "depth.npz", depth_m=rounded, valid=view.valid, label=view.label)
    camera = {k: getattr(intrinsics, k) for k in ("fx", "fy", "cx", "cy", "width", "height")}
    _write_json(truth / "truth.json", {**_truth(scene, np.asarray(cam_to_world, float)), "intrinsics": camera})


def scene_of(source: Path) -> tuple[ProceduralScene, Float[np.ndarray, "4 4"]]:
    """Rebuild the place an input was rendered from.

    Args:
        source: the folder of a walk, the file of a photo, or a truth folder itself.

    Returns:
        The scene and `T_world_source`, which maps coordinates of the input's own frame (the poses' frame of a walk,
        the camera of a photo) to the scene's.

    Raises:
        InputError: no truth lies beside this input.
    """
    source = Path(source)
    candidates = (source, source / "truth", source.with_name(source.stem + ".truth"))
    found = next((c / "truth.json" for c in candidates if (c / "truth.json").is_file()), None)
    if found is None:
        raise InputError(
            source,
            expected="an input written by `lyra-sim example`, with truth/truth.json or <stem>.truth/truth.json",
            got="no truth beside it",
            todo="Use the `truth` generator on procedural examples only.",
        )
    try:
        facts = json.loads(found.read_text())
        make = {"flat": make_flat, "street": make_street}[facts["kind"]]
        return make(int(facts["seed"]), **facts["options"]), np.array(facts["T_world_source"], float).reshape(4, 4)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            found,
            expected="kind, seed, options and T_world_source of a procedural scene",
            got=f"{type(error).__name__}: {error}",
            todo="Write the example again with this version of lyra-sim.",
        ) from error


def _truth(scene: ProceduralScene, T_world_source: np.ndarray) -> dict[str, Any]:
    return {
        "kind": scene.kind,
        "seed": scene.seed,
        "options": dict(scene.options),
        "T_world_source": T_world_source.tolist(),
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


def _sensor_depth(
    view: Rendered, pose: np.ndarray, camera: Intrinsics, noise: DepthNoise | None, rng: np.random.Generator
) -> np.ndarray:
    """(H, W) uint16 millimetres as a sensor gives them: nothing beyond its range, nor where a surface is grazed."""
    ray = pixel_rays(camera)
    ray = ray / np.linalg.norm(ray, axis=2, keepdims=True)
    cosine = -(view.normal @ pose[:3, :3] * ray).sum(2)
    z = view.depth_m.astype(np.float64)
    good = view.valid & (z < MAX_RANGE_M) & (z > 0.1) & (cosine > 0.06) & (view.label != int(Label.SKY))
    if noise is not None:
        z = z + rng.standard_normal(z.shape) * (noise.base_m + noise.slope * (z - 0.4) ** 2) * (z > 0)
        good &= ~_at_edges(view.depth_m, noise.edge_px)
    return np.where(good, np.clip(np.rint(z * DEPTH_SCALE), 1, 65535), 0).astype(np.uint16)


def _at_edges(depth: np.ndarray, width: int) -> np.ndarray:
    """Pixels within `width` of a jump in depth of more than 4 %."""
    edge = np.zeros(depth.shape, bool)
    jump = np.abs(np.diff(depth, axis=0)) > 0.04 * np.minimum(depth[1:], depth[:-1]) + 0.02
    edge[1:] |= jump
    edge[:-1] |= jump
    jump = np.abs(np.diff(depth, axis=1)) > 0.04 * np.minimum(depth[:, 1:], depth[:, :-1]) + 0.02
    edge[:, 1:] |= jump
    edge[:, :-1] |= jump
    for _ in range(width - 1):
        grown = edge.copy()
        grown[1:] |= edge[:-1]
        grown[:-1] |= edge[1:]
        grown[:, 1:] |= edge[:, :-1]
        grown[:, :-1] |= edge[:, 1:]
        edge = grown
    return edge
