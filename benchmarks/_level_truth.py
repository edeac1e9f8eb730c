"""Changes of floor level in a mesh, held against their exact size, where the walk's cameras saw them."""

from dataclasses import dataclass

import numpy as np

from lyra_sim.geometry.rays import RayScene
from lyra_sim.procedural.scene import LevelChange, ProceduralScene
from lyra_sim.procedural.truth import floor_height

SEEN_CELL_M = 0.05
LEAST_SEEN = 0.5
"""A change counts as seen when measured pixels lie in so many of its cells of 5 cm, and on the ground beside it."""
RING_M = (0.03, 0.25)
"""Distance from the change at which the ground beside it is taken."""
ABOVE_M = 0.08
ON_TOP_M = 0.001
KEPT_M = 0.01
MOST_POINTS = 4000


@dataclass(frozen=True)
class Kept:
    """One change in one mesh; NaN in all where it was not seen."""

    error_m: float
    """Median height on the change less that of the ground beside it, less the same in truth; inf where most is open."""
    kept: float
    """Share of the seen points on it whose height above the ground beside it is right within 1 cm."""
    slope_error_deg: float
    """Angle between the plane through those points and the true one."""


def kept(change: LevelChange, scene: ProceduralScene, seen: np.ndarray, rays: RayScene) -> Kept:
    """What a mesh makes of a change.

    Args:
        seen: (N, 3) true points behind the pixels with measured depth.
        rays: the mesh, in the scene's frame.
    """
    top, ground = _seen_spots(change, scene, seen)
    if len(ground) < 20:
        return Kept(np.nan, np.nan, np.nan)
    heights, base = _height_at(top, rays), _height_at(ground, rays)
    level = float(np.nanmedian(base - ground[:, 2])) if np.isfinite(base).any() else np.inf
    off = heights - top[:, 2] - level
    error = float(np.median(np.where(np.isnan(off), np.inf, off)))
    return Kept(error, float((np.abs(off) <= KEPT_M).mean()), _angle(top, heights))


def _seen_spots(change: LevelChange, scene: ProceduralScene, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Seen points on the change, and on the ground beside it; none where too little of it was seen."""
    low, high = change.rect_m[:2], change.rect_m[2:]
    away = np.maximum(low - seen[:, :2], seen[:, :2] - high).max(1)
    near = seen[away <= RING_M[1]].astype(np.float64)
    away = away[away <= RING_M[1]]
    lowest = np.abs(near[:, 2] - floor_height(scene, near[:, :2])) <= ON_TOP_M
    top = near[lowest & (away <= 0)]
    ground = near[lowest & (away >= RING_M[0]) & (np.abs(near[:, 2] - change.base_m) <= ON_TOP_M)]
    count = np.maximum(np.round((high - low) / SEEN_CELL_M), 1)
    cell = np.minimum((top[:, :2] - low) / (high - low) * count, count - 1).astype(int)
    if len(np.unique(cell, axis=0)) < LEAST_SEEN * count.prod():
        return top[:0], ground[:0]
    rng = np.random.default_rng(0)
    some = (x[rng.permutation(len(x))[:MOST_POINTS]] for x in (top, ground))
    return next(some), next(some)


def _height_at(points: np.ndarray, rays: RayScene) -> np.ndarray:
    """Height of the mesh at points, NaN where none lies within 8 cm."""
    start = points + np.array([0.0, 0.0, ABOVE_M])
    depth, _, _ = rays.cast(start, np.broadcast_to([0.0, 0.0, -1.0], start.shape))
    return np.where(depth <= 2 * ABOVE_M, start[:, 2] - depth, np.nan)


def _angle(top: np.ndarray, heights: np.ndarray) -> float:
    """Degrees between the planes through the true and the mesh's heights."""
    good = np.isfinite(heights)
    if good.sum() < 20:
        return np.inf
    plan = np.column_stack([top[good, :2] - top[good, :2].mean(0), np.ones(good.sum())])
    fits = [np.linalg.lstsq(plan, z[good], rcond=None)[0] for z in (top[:, 2], heights)]
    normals = [np.array([-a, -b, 1.0]) / np.sqrt(a * a + b * b + 1) for a, b, _ in fits]
    return float(np.degrees(np.arccos(min(normals[0] @ normals[1], 1.0))))
