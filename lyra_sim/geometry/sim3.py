"""Similarity transforms between two frames of one scene, and their least-squares fit to pairs of points."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Sim3:
    """`target = scale * rotation @ source + translation`."""

    scale: float
    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]

    def apply(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """Source points in the target frame."""
        return self.scale * points @ self.rotation.T + self.translation


def umeyama(source: Float[np.ndarray, "N 3"], target: Float[np.ndarray, "N 3"]) -> Sim3 | None:
    """The similarity that takes `source` to `target` with the least squared error; no reflection.

    Source: Umeyama 1991, "Least-squares estimation of transformation parameters between two point patterns", equations
    34 to 43.

    Returns:
        None where the covariance has fewer than two singular values above the float64 epsilon (not relative to the
        largest, as the trajectory package evo has it): then the rotation is not determined.
    """
    around, across = source - source.mean(0), target - target.mean(0)
    covariance = np.einsum("ni,nj->ij", across, around) / len(source)  # not BLAS: its sums depend on threads
    left, spread, right = np.linalg.svd(covariance)
    if (spread > _EPSILON).sum() < 2:
        return None
    sign = np.array([1.0, 1.0, 1.0 if np.linalg.det(left) * np.linalg.det(right) > 0 else -1.0])
    rotation = (left * sign) @ right
    scale = float(spread @ sign / np.square(around).sum(1).mean())
    return Sim3(scale, rotation, target.mean(0) - scale * rotation @ source.mean(0))
