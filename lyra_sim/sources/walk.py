"""A posed RGB-D walk, or a single RGB-D frame, as a capture: checked poses, z-depth in metres, one camera."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import lyra_sim
from lyra_sim.config.capture import CaptureConfig
from lyra_sim.core.errors import InputError
from lyra_sim.core.licence import Licence
from lyra_sim.core.records import Capture, Intrinsics, Provenance
from lyra_sim.geometry.camera import scaled
from lyra_sim.io.decode import DecodedImage, decode_depths, decode_images
from lyra_sim.sources.discover import Source
from lyra_sim.sources.fixes import local_fixes
from lyra_sim.sources.layout import CAMERA, COLOR_FOLDER, DEPTH_FOLDER, POSES, WalkLayout, walk_layout
from lyra_sim.sources.licences import licence_of
from lyra_sim.sources.names import printable
from lyra_sim.sources.poses import read_poses
from lyra_sim.sources.sidecar import CameraFile, read_camera_file

PLAUSIBLE_MEDIAN_M = (0.05, 150.0)
FORMAT = "See the README's section on inputs for the RGB-D folder format."
FOREIGN_POSES = ("opengl", "world_to_cam", "world-to-cam", "w2c")


def read_walk(source: Source, config: CaptureConfig, *, config_hash: str = "", seed: int = 0) -> Capture:
    """Read an RGB-D folder: camera.json, poses.txt, color/ and depth/ paired by name, or one rgb.* with depth.png.

    The principal point of camera.json counts from the centre of the top-left pixel; 0.5 is added here. Poses are
    camera to world with OpenCV axes; small numeric noise in rotations is removed. Depth is z-depth, metres = value /
    depth_scale, 0 (or "depth_invalid") = not measured. "metric": false says that depth and poses have one unknown unit,
    which GPS positions in the colour images' EXIF must tell then. A single frame gets the identity as its pose. Walks
    of more than `config.rgbd_max_frames` frames are thinned evenly, which `facts` states.

    Raises:
        InputError: a file is missing, broken or contradicts another.
    """
    layout = walk_layout(source.path)
    if layout is None:
        got = "no poses.txt, camera.json, color/ and depth/"
        raise InputError(printable(source.path), expected="an RGB-D folder", got=got, todo=FORMAT)
    camera, depth_scale, no_depth = _read_camera(layout)
    pairs = _paired(layout)
    poses = np.eye(4)[None] if layout.single else read_poses(layout.folder / POSES, frames=len(pairs))
    keep = _thinned(len(pairs), config.rgbd_max_frames)
    images, image_valid, values, full, fixes = _read_frames([pairs[i] for i in keep], camera, config)
    depth_valid = (values > 0) & (values != no_depth)
    depth_m = np.where(depth_valid, values / np.float32(depth_scale), np.float32(0)).astype(np.float32)
    unit_known = camera.rest.get("metric", True)
    _check_depth(layout, depth_m, depth_valid, config, unit_known=unit_known)
    height, width = values.shape[1:]
    whole = camera.width or full[0]
    facts: dict[str, Any] = {"frames_in_source": len(pairs), "full_size_px": list(full)}
    if len(keep) < len(pairs):
        facts["frames_used"] = [int(i) for i in keep]
    if fixes is not None:
        facts["fixes_m"] = fixes
    if not unit_known:
        facts["unit_known"] = False
    return Capture(
        kind="rgbd",
        name=source.name,
        images=images,
        image_valid=image_valid,
        intrinsics=scaled(_intrinsics(camera, full, whole), width, height),
        focal_source="given",
        depth_m=depth_m,
        depth_valid=depth_valid,
        cam_to_world=poses[keep],
        camera_height_m=camera.camera_height_m,
        facts=facts,
        provenance=Provenance(
            backend="rgbd",
            version=lyra_sim.__version__,
            config_hash=config_hash,
            seed=seed,
            inputs=(source.digest,),
            licences=(_licence(source, config, camera),),
        ),
    )


def _licence(source: Source, config: CaptureConfig, camera: CameraFile) -> Licence:
    return licence_of(source.name, configured=config.licence, beside=source.notice, exif={}, stated=camera.licence)


def _read_camera(layout: WalkLayout) -> tuple[CameraFile, float, int]:
    path = layout.folder / CAMERA
    if not path.is_file():
        raise InputError(printable(layout.folder), expected=CAMERA, got="no such file", todo=FORMAT)
    camera = read_camera_file(path, allow=None)
    missing = [key for key in ("fx", "fy", "cx", "cy") if getattr(camera, key) is None]
    missing += [] if "depth_scale" in camera.rest else ["depth_scale"]
    if missing:
        expected = "fx, fy, cx, cy (pixels) and depth_scale (metres = value / depth_scale)"
        raise InputError(printable(path), expected=expected, got=f"no {', '.join(missing)}", todo=FORMAT)
    scale, no_depth = camera.rest["depth_scale"], camera.rest.get("depth_invalid", 0)
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale < 1e9:
        todo = "1000 for millimetres, 5000 for TUM data."
        raise InputError(printable(path), expected="depth_scale above 0", got=repr(scale)[:60], todo=todo)
    if isinstance(no_depth, bool) or not isinstance(no_depth, int):
        expected = "depth_invalid as a whole number"
        raise InputError(printable(path), expected=expected, got=repr(no_depth)[:60], todo=FORMAT)
    metric = camera.rest.get("metric", True)
    if not isinstance(metric, bool):
        todo = "true where depth and poses are in metres, false where they have one unknown unit."
        raise InputError(printable(path), expected="metric as true or false", got=repr(metric)[:60], todo=todo)
    convention = str(camera.rest.get("pose_convention", "")).lower()
    if any(word in convention for word in FOREIGN_POSES):
        todo = "Convert the poses: camera to world, x right, y down, z forward, metres."
        expected = "poses camera to world with OpenCV axes"
        raise InputError(printable(path), expected=expected, got=f"pose_convention {convention!r}"[:120], todo=todo)
    _check_undistorted(path, camera)
    return camera, float(scale), no_depth


def _check_undistorted(path: Path, camera: CameraFile) -> None:
    for key in ("k1", "k2", "k3", "p1", "p2", "distortion", "dist_coeffs"):
        value = camera.rest.get(key)
        parts = value if isinstance(value, list) else [value]
        if any(isinstance(part, int | float) and part != 0 for part in parts):
            todo = "Undistort colour and depth first (for example cv2.undistort), then set the distortion to 0."
            raise InputError(printable(path), expected="a pinhole camera", got=f"distortion {key} = {value}", todo=todo)


def _paired(layout: WalkLayout) -> list[tuple[Path, Path]]:
    if layout.single:
        return [(layout.color[0], layout.depth[0])]
    where = printable(layout.folder)
    for name, files in ((COLOR_FOLDER, layout.color), (DEPTH_FOLDER, layout.depth)):
        if not files:
            raise InputError(where, expected=f"images in {name}/", got="none", todo=FORMAT)
        for first, second in itertools.pairwise(files):
            if first.stem == second.stem:
                got = f"{printable(first.name)} and {printable(second.name)}"
                raise InputError(where, expected=f"one image per name in {name}/", got=got, todo="Remove one of them.")
    depth_of = {path.stem: path for path in layout.depth}
    color_stems = {path.stem for path in layout.color}
    alone = [f"{COLOR_FOLDER}/{p.name} without depth" for p in layout.color if p.stem not in depth_of]
    alone += [f"{DEPTH_FOLDER}/{p.name} without colour" for p in layout.depth if p.stem not in color_stems]
    if alone:
        more = f" and {len(alone) - 3} more" if len(alone) > 3 else ""
        got = printable(", ".join(alone[:3])) + more
        todo = "Add the missing images, or remove the frame from color/, depth/ and poses.txt."
        raise InputError(where, expected="a depth image of the same name for each colour image", got=got, todo=todo)
    return [(path, depth_of[path.stem]) for path in layout.color]


def _thinned(count: int, most: int) -> np.ndarray:
    """Indices of at most `most` frames, evenly spread, the first and the last among them."""
    if count <= most:
        return np.arange(count)
    return np.unique(np.rint(np.linspace(0, count - 1, most)).astype(int))


def _read_frames(
    pairs: Sequence[tuple[Path, Path]], camera: CameraFile, config: CaptureConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int], list[list[float] | None] | None]:
    """Images (T, H, W, 3), their masks, raw depth values (T, H, W) uint16, the size (width, height) as stored, and
    where GPS saw the frames, as from `local_fixes`."""
    side, limits = config.rgbd_max_side_px, config.limits
    images = values = image_valid = np.empty(0)
    full = (camera.width or 0, camera.height or 0)
    exifs: list[dict[str, Any]] = []
    colors = decode_images([color for color, _ in pairs], limits, max_side_px=side)
    for i, (image, (path, _)) in enumerate(zip(colors, pairs, strict=True)):
        full = _check_color(path, image, full, camera, config)
        if i == 0:
            images = np.empty((len(pairs), *image.rgb.shape), np.uint8)
            image_valid = np.empty(images.shape[:3], bool)
            values = np.empty(images.shape[:3], np.uint16)
        images[i], image_valid[i] = image.rgb, image.valid
        exifs.append(image.exif)
    for i, value in enumerate(decode_depths([depth for _, depth in pairs], limits, max_side_px=0)):
        values[i] = _depth_like(pairs[i][1], value, full, values.shape[1:])
    return images, image_valid, values, full, local_fixes(exifs)


def _check_color(
    path: Path, image: DecodedImage, full: tuple[int, int], camera: CameraFile, config: CaptureConfig
) -> tuple[int, int]:
    size = image.full_size
    if min(size) < config.min_side_px:
        expected = f"images of at least {config.min_side_px} pixels on both sides"
        raise InputError(printable(path), expected=expected, got=f"{size[0]}x{size[1]}", todo="Give larger frames.")
    expected_size = (full[0] or size[0], full[1] or size[1])
    if size != expected_size:
        said = "camera.json" if camera.width or camera.height else "the first frame"
        expected = f"{expected_size[0]}x{expected_size[1]} as in {said}"
        todo = "All frames must have the size that fx, fy, cx, cy in camera.json belong to."
        raise InputError(printable(path), expected=expected, got=f"{size[0]}x{size[1]}", todo=todo)
    return size


def _depth_like(path: Path, value: np.ndarray, full: tuple[int, int], shape: tuple[int, ...]) -> np.ndarray:
    """Depth in the shape of the colour frames as kept: sampled at their pixel centres where they were scaled down."""
    height, width = value.shape
    if (width, height) != full:
        todo = (
            "Colour and depth must show the same view at the same size. If they do except for the size, scale colour "
            "to the depth's size and fx, fy, cx, cy with it; if they are two cameras, register depth to colour first."
        )
        expected = f"{full[0]}x{full[1]} like its colour image"
        raise InputError(printable(path), expected=expected, got=f"{width}x{height}", todo=todo)
    rows = ((np.arange(shape[0]) + 0.5) * height / shape[0]).astype(int)
    columns = ((np.arange(shape[1]) + 0.5) * width / shape[1]).astype(int)
    return value if value.shape == shape else value[np.ix_(rows, columns)]


def _intrinsics(camera: CameraFile, full: tuple[int, int], whole: int) -> Intrinsics:
    fx, fy, cx, cy = camera.fx, camera.fy, camera.cx, camera.cy
    assert fx is not None and fy is not None and cx is not None and cy is not None and whole == full[0]
    if not (0 < cx < full[0] and 0 < cy < full[1]):
        expected = f"cx, cy inside the image of {full[0]}x{full[1]}"
        todo = "Give the intrinsics of the frames as stored."
        raise InputError(printable(camera.path), expected=expected, got=f"{cx - 0.5:g}, {cy - 0.5:g}", todo=todo)
    return Intrinsics(fx=fx, fy=fy, cx=cx, cy=cy, width=full[0], height=full[1])


def _check_depth(
    layout: WalkLayout, depth_m: np.ndarray, valid: np.ndarray, config: CaptureConfig, *, unit_known: bool
) -> None:
    where = printable(layout.folder / DEPTH_FOLDER if not layout.single else layout.depth[0])
    share = float(valid.mean())
    if share < config.min_depth_share:
        expected = f"depth at {100 * config.min_depth_share:g} % of the pixels or more"
        todo = "Sparse depth (LiDAR points) is not enough for a surface; give the colour image alone, as a photo."
        raise InputError(where, expected=expected, got=f"{100 * share:.2g} %", todo=todo)
    low, high = PLAUSIBLE_MEDIAN_M
    median = float(np.median(depth_m[valid]))
    if unit_known and not low < median < high:
        todo = "Check depth_scale in camera.json: metres = value / depth_scale."
        raise InputError(where, expected=f"a median depth of {low:g} to {high:g} m", got=f"{median:.3g} m", todo=todo)
