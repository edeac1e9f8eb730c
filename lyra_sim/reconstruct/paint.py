"""Colours of the fused surface: the mean of the pixels that see each vertex."""

import numpy as np
from scipy.spatial import cKDTree

from lyra_sim.core.records import Frames, PixelOrigin, World
from lyra_sim.geometry.camera import invert, project, transform
from lyra_sim.reconstruct.volume import all_frames, evidence

_GENERATED_WEIGHT = 1e-3
"""Generated colour shows only where no measured pixel sees the vertex."""


def vertex_colors(vertices: np.ndarray, world: World, *, tolerance_m: float, max_depth_m: float) -> np.ndarray:
    """(N, 3) uint8. A pixel sees a vertex when its depth agrees within the tolerance; near pixels weigh more (1/z^2).
    Vertices that no pixel sees take the colour of the nearest that is seen."""
    total = np.zeros((len(vertices), 3))
    weight = np.zeros(len(vertices))
    for frames in all_frames(world):
        for i in range(len(frames)):
            _add(vertices, frames, i, tolerance_m, max_depth_m, total, weight)
    seen = weight > 0
    color = np.full((len(vertices), 3), 127.0)
    color[seen] = total[seen] / weight[seen, None]
    if seen.any() and not seen.all():
        color[~seen] = color[seen][cKDTree(vertices[seen]).query(vertices[~seen])[1]]
    return np.clip(np.rint(color), 0, 255).astype(np.uint8)


def _add(
    vertices: np.ndarray,
    frames: Frames,
    index: int,
    tolerance_m: float,
    max_depth_m: float,
    total: np.ndarray,
    weight: np.ndarray,
) -> None:
    camera = frames.intrinsics
    uv, z = project(transform(invert(frames.cam_to_world[index]), vertices), camera)
    inside = (z > 0.05) & (uv >= 0.5).all(1) & (uv[:, 0] < camera.width - 0.5) & (uv[:, 1] < camera.height - 0.5)
    who = np.flatnonzero(inside)
    u, v = np.floor(uv[who]).astype(np.int64).T
    strength = np.zeros(len(who))
    for origin, share in ((PixelOrigin.MEASURED, 1.0), (PixelOrigin.GENERATED, _GENERATED_WEIGHT)):
        told = evidence(frames, index, origin, max_depth_m)
        agrees = (told[v, u] > 0) & (np.abs(frames.depth_m[index][v, u] - z[who]) < tolerance_m)
        strength[agrees] = share / z[who][agrees] ** 2
    chosen = strength > 0
    who, strength = who[chosen], strength[chosen]
    total[who] += strength[:, None] * _bilinear(frames.images[index], uv[who] - 0.5)
    weight[who] += strength


def _bilinear(image: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Colours at (N, 2) positions counted from the centre of the top-left pixel."""
    low = np.minimum(np.floor(at).astype(np.int64), np.array([image.shape[1] - 2, image.shape[0] - 2]))
    a, b = (at - low).T[:, :, None]
    u, v = low.T
    top = image[v, u] * (1 - a) + image[v, u + 1] * a
    return top * (1 - b) + (image[v + 1, u] * (1 - a) + image[v + 1, u + 1] * a) * b
