"""Camera poses of a walk from their text file, checked to be rigid."""

from pathlib import Path

import numpy as np
from jaxtyping import Float64

from lyra_sim.core.errors import InputError
from lyra_sim.sources.names import printable

RIGID_TOLERANCE = 0.01
"""Largest deviation of R^T R from the identity that still counts as rounding; it is then removed."""
MAX_BYTES = 64 << 20
TODO = "One row of 16 numbers per frame: 4x4 camera to world, row by row, OpenCV axes, metres; # starts a comment."


def read_poses(path: Path, *, frames: int) -> Float64[np.ndarray, "T 4 4"]:
    """Read `frames` poses (camera to world, metres), row N for frame N. Rotations are made orthonormal (nearest
    rotation, by SVD).

    Raises:
        InputError: no such file, wrong count, a row that is not 16 finite numbers, or not a rigid motion.
    """
    where = printable(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(where, expected="a text file of poses", got="more than 64 MB", todo=TODO)
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        got = error.strerror or str(error)
        raise InputError(where, expected="a readable poses.txt", got=got, todo=TODO) from error
    rows: list[list[float]] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.split("#")[0].replace(",", " ").split()
        if line:
            rows.append(_numbers(f"{where}, row {number}", line))
    if len(rows) != frames:
        todo = "Each frame of color/ needs one row, in the order of the frames' names."
        raise InputError(where, expected=f"{frames} poses, one per frame", got=f"{len(rows)}", todo=todo)
    poses = np.array(rows, np.float64).reshape(-1, 4, 4)
    for index, pose in enumerate(poses):
        _check_rigid(f"{where}, pose {index}", pose)
    u, _, vt = np.linalg.svd(poses[:, :3, :3])
    poses[:, :3, :3] = u @ vt
    poses[:, 3] = (0.0, 0.0, 0.0, 1.0)
    return poses


def _numbers(where: str, words: list[str]) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise InputError(where, expected="16 numbers", got=str(error), todo=TODO) from error
    if len(values) != 16:
        hint = " (the TUM format's time, position and quaternion?)" if len(values) == 8 else ""
        raise InputError(where, expected="16 numbers", got=f"{len(values)}{hint}", todo=TODO)
    if not np.isfinite(values).all():
        todo = "A tracker lost itself here: remove the frame from color/, depth/ and poses.txt."
        raise InputError(where, expected="finite numbers", got="nan or inf", todo=todo)
    return values


def _check_rigid(where: str, pose: np.ndarray) -> None:
    R = pose[:3, :3]
    off = float(np.abs(R.T @ R - np.eye(3)).max())
    if np.abs(pose[3] - (0, 0, 0, 1)).max() > 1e-4:
        got = f"last row {' '.join(f'{v:g}' for v in pose[3])}"
        raise InputError(where, expected="0 0 0 1 as the last row (row-major 4x4)", got=got, todo=TODO)
    if off > RIGID_TOLERANCE or np.linalg.det(R) < 0:
        got = "a mirroring" if off <= RIGID_TOLERANCE else f"R^T R off the identity by {off:.2g} (scaled or sheared)"
        raise InputError(where, expected="a rotation in the upper left 3x3", got=got, todo=TODO)
