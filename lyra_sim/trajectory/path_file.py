"""Camera paths as files: one npz with `w2c` (N, 4, 4), `intrinsics` (N, 3, 3), `image_height` and `image_width`.

The layout is the one Lyra 2.0 reads; cx and cy in the file are for integer pixel centres, half a pixel below ours.
"""

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float, Float64

from lyra_sim.core.errors import InputError
from lyra_sim.core.records import Intrinsics
from lyra_sim.geometry.camera import invert


def save_path(path: Path, cam_to_world: Float[np.ndarray, "N 4 4"], camera: Intrinsics) -> None:
    """Write a path; all frames have the same camera."""
    K = np.array([[camera.fx, 0, camera.cx - 0.5], [0, camera.fy, camera.cy - 0.5], [0, 0, 1]])
    np.savez(
        path,
        w2c=invert(np.asarray(cam_to_world, np.float64)),
        intrinsics=np.repeat(K[None], len(cam_to_world), 0),
        image_height=np.int32(camera.height),
        image_width=np.int32(camera.width),
    )


def load_path(path: Path) -> tuple[Float64[np.ndarray, "N 4 4"], Intrinsics]:
    """Poses (camera to world) and the camera of the first frame.

    Raises:
        InputError: not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            w2c, K = stored["w2c"].astype(np.float64), stored["intrinsics"][0].astype(np.float64)
            height, width = int(stored["image_height"]), int(stored["image_width"])
    except (OSError, KeyError, ValueError, IndexError, BadZipFile) as error:
        raise InputError(
            path,
            expected="npz with w2c (N, 4, 4), intrinsics (N, 3, 3), image_height, image_width",
            got=f"{type(error).__name__}: {error}",
            todo="Write it with save_path, or leave the path out to have one planned.",
        ) from error
    if w2c.ndim != 3 or w2c.shape[1:] != (4, 4) or K.shape != (3, 3) or not np.isfinite(w2c).all():
        raise InputError(
            path,
            expected="finite w2c of shape (N, 4, 4) and intrinsics of shape (N, 3, 3)",
            got=f"{w2c.shape} and {K.shape}",
            todo="Check how the file was written.",
        )
    camera = Intrinsics(
        fx=float(K[0, 0]),
        fy=float(K[1, 1]),
        cx=float(K[0, 2]) + 0.5,
        cy=float(K[1, 2]) + 0.5,
        width=width,
        height=height,
    )
    return invert(w2c), camera
