"""Camera paths as files: one npz with `w2c` (N, 4, 4), `intrinsics` (N, 3, 3), `image_height` and `image_width`.

The layout is the one Lyra 2.0 reads; cx and cy in the file are for integer pixel centres, half a pixel below ours. A
world's `trajectory.npz` and JSON keyframes (`keyframes.py`) are read too. All lengths are metres.
"""

from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float, Float64

from lyra_sim.core.errors import InputError
from lyra_sim.core.records import Intrinsics
from lyra_sim.geometry.camera import invert
from lyra_sim.trajectory.keyframes import load_keyframes
from lyra_sim.trajectory.rigid import rigid


def save_path(path: Path, cam_to_world: Float[np.ndarray, "N 4 4"], camera: Intrinsics) -> None:
    """Write a path in Lyra 2.0's layout; all frames have the same camera."""
    K = np.array([[camera.fx, 0, camera.cx - 0.5], [0, camera.fy, camera.cy - 0.5], [0, 0, 1]])
    np.savez(
        path,
        w2c=invert(np.asarray(cam_to_world, np.float64)),
        intrinsics=np.repeat(K[None], len(cam_to_world), 0),
        image_height=np.int32(camera.height),
        image_width=np.int32(camera.width),
    )


def load_path(path: Path) -> tuple[Float64[np.ndarray, "N 4 4"], Intrinsics | None]:
    """Poses (camera to world) and the camera of the first of them; None where the file states none (keyframes).

    Of a world's `trajectory.npz` the poses begin at the last frame of its start, from where the walk went on.

    Raises:
        InputError: not such a file.
    """
    if path.suffix.lower() == ".json":
        return load_keyframes(path), None
    if path.suffix.lower() != ".npz":
        raise InputError(
            path,
            expected="a path file, .npz or .json",
            got=repr(path.suffix),
            todo="Write it with save_path or as keyframes.",
        )
    try:
        with np.load(path, allow_pickle=False) as stored:
            poses, camera = _of_world(stored) if "cam_to_world" in stored else _of_lyra(stored)
    except (OSError, KeyError, ValueError, TypeError, IndexError, EOFError, BadZipFile) as error:
        raise InputError(
            path,
            expected="npz with w2c (N, 4, 4), intrinsics (N, 3, 3), image_height, image_width",
            got=f"{type(error).__name__}: {error}",
            todo="Write it with save_path, or leave the path out to have one planned.",
        ) from error
    poses = rigid(poses, path)
    numbers = [camera.fx, camera.fy, camera.width, camera.height]
    if not np.isfinite([*numbers, camera.cx, camera.cy]).all() or min(numbers) <= 0:
        raise InputError(
            path, expected="a pinhole camera", got=str(vars(camera)), todo="Check the intrinsics in the file."
        )
    return poses, camera


def _of_lyra(stored: Mapping[str, np.ndarray]) -> tuple[np.ndarray, Intrinsics]:
    w2c, K = stored["w2c"].astype(np.float64), stored["intrinsics"].astype(np.float64)
    if w2c.ndim != 3 or w2c.shape[1:] != (4, 4) or K.shape != (len(w2c), 3, 3):
        raise ValueError(f"w2c {w2c.shape} and intrinsics {K.shape}")
    camera = Intrinsics(
        fx=float(K[0, 0, 0]),
        fy=float(K[0, 1, 1]),
        cx=float(K[0, 0, 2]) + 0.5,
        cy=float(K[0, 1, 2]) + 0.5,
        width=int(stored["image_width"]),
        height=int(stored["image_height"]),
    )
    return invert(w2c), camera


def _of_world(stored: Mapping[str, np.ndarray]) -> tuple[np.ndarray, Intrinsics]:
    """As `usd_export.side_files` writes it."""
    poses, K, segment = stored["cam_to_world"].astype(np.float64), stored["intrinsics"], stored["segment"]
    if poses.ndim != 3 or K.shape != (len(poses), 6) or segment.shape != (len(poses),):
        raise ValueError(f"cam_to_world {poses.shape}, intrinsics {K.shape} and segment {segment.shape}")
    first = max(int((segment < 0).sum()) - 1, 0)
    fx, fy, cx, cy, width, height = (float(v) for v in K[first])
    camera = Intrinsics(fx=fx, fy=fy, cx=cx, cy=cy, width=int(width), height=int(height))
    return poses[first:], camera
