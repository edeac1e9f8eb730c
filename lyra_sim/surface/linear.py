"""Many points times one small matrix, and planes through points, without BLAS: its rounding may depend on the number of
threads, and a world must not."""

import numpy as np
from jaxtyping import Float


def turned(points: Float[np.ndarray, "*N K"], matrix: Float[np.ndarray, "J K"]) -> Float[np.ndarray, "*N J"]:
    """`points @ matrix.T`."""
    return np.einsum("...k,jk->...j", points, matrix)


def moved(T_b_a: Float[np.ndarray, "4 4"], points_a: Float[np.ndarray, "*N 3"]) -> Float[np.ndarray, "*N 3"]:
    """Points of frame a in frame b."""
    return turned(points_a, T_b_a[:3, :3]) + T_b_a[:3, 3]


def fit_plane(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> Float[np.ndarray, "3"]:
    """Least-squares plane z = a x + b y + c through points (N,); level across a direction the points do not span."""
    if np.ptp(z) == 0.0:
        return np.array([0.0, 0.0, z[0]])
    mx, my, mz = x.mean(), y.mean(), z.mean()
    xx, xy, yy = ((x - mx) ** 2).sum(), ((x - mx) * (y - my)).sum(), ((y - my) ** 2).sum()
    xz, yz = ((x - mx) * (z - mz)).sum(), ((y - my) * (z - mz)).sum()
    det = xx * yy - xy * xy
    if det > 1e-6:
        a, b = (xz * yy - yz * xy) / det, (yz * xx - xz * xy) / det
    elif xx >= yy:
        a, b = (xz / xx if xx > 0 else 0.0), 0.0
    else:
        a, b = 0.0, yz / yy
    return np.array([a, b, mz - a * mx - b * my])


def robust_plane(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> Float[np.ndarray, "3"]:
    """The same plane, refitted twice without the worst residuals."""
    keep = np.ones(len(z), bool)
    plane = np.zeros(3)
    for _ in range(3):
        plane = fit_plane(x[keep].astype(np.float64), y[keep].astype(np.float64), z[keep])
        residual = np.abs(plane[0] * x + plane[1] * y + plane[2] - z)
        keep = residual <= max(2.5 * float(np.median(residual)), 0.005)
    return plane
