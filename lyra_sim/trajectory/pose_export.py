"""Camera poses for other programs: TUM trajectories and COLMAP text models."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from lyra_sim.core.records import Intrinsics
from lyra_sim.geometry.camera import invert


def save_tum(path: Path, cam_to_world: Float[np.ndarray, "N 4 4"], fps: float) -> None:
    """Lines of `timestamp tx ty tz qx qy qz qw`: seconds, camera to world, metres, as the TUM RGB-D benchmark has them
    (Sturm et al. 2012)."""
    times = np.arange(len(cam_to_world)) / fps
    turns = Rotation.from_matrix(cam_to_world[:, :3, :3]).as_quat(canonical=True)
    rows = np.column_stack([times, cam_to_world[:, :3, 3], turns])
    np.savetxt(path, rows, fmt="%.9f", header="timestamp tx ty tz qx qy qz qw")


def save_colmap(
    folder: Path, cam_to_world: Float[np.ndarray, "N 4 4"], camera: Intrinsics, names: Sequence[str]
) -> None:
    """A sparse model without points: `cameras.txt`, `images.txt` and an empty `points3D.txt` (Schoenberger and Frahm
    2016; https://colmap.github.io/format.html).

    COLMAP's cameras have our axes, and its pixels our centres: (0.5, 0.5) is the middle of the first one.

    Args:
        names: image file of each pose, without spaces.
    """
    assert len(names) == len(cam_to_world) and all(name.split() == [name] for name in names)
    folder.mkdir(parents=True, exist_ok=True)
    lens = " ".join(f"{v:.17g}" for v in (camera.fx, camera.fy, camera.cx, camera.cy))
    (folder / "cameras.txt").write_text(
        f"# CAMERA_ID MODEL WIDTH HEIGHT fx fy cx cy\n1 PINHOLE {camera.width} {camera.height} {lens}\n"
    )
    w2c = invert(np.asarray(cam_to_world, np.float64))
    turns = Rotation.from_matrix(w2c[:, :3, :3]).as_quat(canonical=True, scalar_first=True)
    lines = ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME (world to camera), then POINTS2D, of which there are none"]
    for number, (turn, move, name) in enumerate(zip(turns, w2c[:, :3, 3], names, strict=True), 1):
        lines += [f"{number} {' '.join(f'{v:.17g}' for v in (*turn, *move))} 1 {name}", ""]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    (folder / "points3D.txt").write_text("# POINT3D_ID X Y Z R G B ERROR TRACK[]: none\n")
