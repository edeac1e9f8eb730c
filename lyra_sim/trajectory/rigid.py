"""Whether matrices from a file are camera poses."""

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from lyra_sim.core.errors import InputError

_FARTHEST_M = 1e6
_TOLERANCE = 1e-3
"""Entries of R R^T may be off by this much: numbers written with four digits pass, scaled axes do not."""


def rigid(matrices: np.ndarray, where: object) -> Float64[np.ndarray, "N 4 4"]:
    """The same poses with rotations made exactly orthonormal.

    Args:
        matrices: what should be rotations and translations (N, 4, 4).
        where: of them, for the message.
    Raises:
        InputError: numbers that are not finite, or matrices that scale, mirror, shear or project; names the first one.
    """
    if matrices.ndim != 3 or matrices.shape[1:] != (4, 4) or not len(matrices):
        raise InputError(where, expected="poses (N, 4, 4)", got=str(matrices.shape), todo="Check how it was written.")
    finite = np.isfinite(matrices).all((1, 2)) & (np.abs(matrices).max((1, 2)) < _FARTHEST_M)
    R = np.where(finite[:, None, None], matrices[:, :3, :3], 0)
    off = np.abs(R @ np.swapaxes(R, 1, 2) - np.eye(3)).max((1, 2))
    last = np.abs(np.where(finite[:, None], matrices[:, 3], 0) - [0, 0, 0, 1]).max(1)
    good = finite & (off <= _TOLERANCE) & (last <= _TOLERANCE) & (np.linalg.det(R) > 0)
    if not good.all():
        k = int(np.argmin(good))
        got = "a number that is not finite, or beyond 1000 km"
        if finite[k]:
            got = f"R R^T off the identity by {off[k]:.2g}, det R {np.linalg.det(R[k]):.3g}, last row {matrices[k, 3]}"
        raise InputError(
            where,
            expected="rigid poses: a rotation, a translation, last row 0 0 0 1",
            got=f"pose {k}: {got}",
            todo="Check axes (OpenCV: x right, y down, z forward), scale and order of the numbers.",
        )
    out = np.tile(np.eye(4), (len(matrices), 1, 1))
    out[:, :3, :3] = Rotation.from_matrix(R).as_matrix()
    out[:, :3, 3] = matrices[:, :3, 3]
    return out
