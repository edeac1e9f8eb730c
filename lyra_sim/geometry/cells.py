"""Points on a lattice of square or cubic cells."""

import numpy as np
from jaxtyping import Float, Int


def cells_of(
    points: Float[np.ndarray, "N D"], origin: Float[np.ndarray, "D"], size_m: float, shape: tuple[int, ...]
) -> tuple[Int[np.ndarray, "K"], Int[np.ndarray, "D K"]]:
    """Index of the points that lie in a grid of `shape` cells of `size_m` from `origin`, and their cells."""
    cell = np.floor((points - origin) / size_m).astype(np.int64)
    found = np.flatnonzero(((cell >= 0) & (cell < shape)).all(axis=1))
    return found, cell[found].T
