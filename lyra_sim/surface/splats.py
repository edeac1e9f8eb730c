"""Surfels: one flat Gaussian per small patch of surface, for viewers that draw splats."""

import numpy as np
from jaxtyping import Float

from lyra_sim.core.records import GaussianSplats, TriMesh
from lyra_sim.surface.clean import face_vectors

MOST_SPLATS = 200_000
THICKNESS_M = 0.002
SH_DC = 0.28209479177387814


def surfels(mesh: TriMesh, cell_m: float) -> GaussianSplats:
    """One Gaussian per occupied cell: mean place, normal and colour of the vertices in it, weighted by the area of
    their faces; in the plane as wide as the area it stands for, 2 mm thick. Degree-0 harmonics.

    Args:
        cell_m: first cell size; grown by 1.25 until at most MOST_SPLATS cells are occupied. Surfaces that face opposite
            ways are kept apart by the dominant axis of their normals.
    """
    cross = face_vectors(mesh.vertices, mesh.faces)
    area = np.linalg.norm(cross, axis=1) / 6.0  # a third of each face's area to each corner
    normal = np.zeros((len(mesh.vertices), 3))
    weight = np.zeros(len(mesh.vertices))
    for k in range(3):
        for axis in range(3):
            normal[:, axis] += np.bincount(mesh.faces[:, k], weights=cross[:, axis], minlength=len(normal))
        weight += np.bincount(mesh.faces[:, k], weights=area, minlength=len(weight))
    points = mesh.vertices.astype(np.float64)
    axis = np.abs(normal).argmax(axis=1)
    side = axis * 2 + (normal[np.arange(len(normal)), axis] > 0) if len(normal) else axis
    while True:
        cell = np.concatenate([np.floor(points / cell_m).astype(np.int64), side[:, None]], axis=1)
        _, group = np.unique(cell, axis=0, return_inverse=True)
        group = group.reshape(-1)
        count = int(group.max(initial=-1)) + 1
        if count <= MOST_SPLATS:
            break
        cell_m *= 1.25

    def pooled(values: np.ndarray) -> np.ndarray:
        total = [np.bincount(group, weights=values[:, k] * weight, minlength=count) for k in range(values.shape[1])]
        return np.stack(total, axis=1) / np.maximum(mass, 1e-12)[:, None]

    mass = np.bincount(group, weights=weight, minlength=count)
    direction = pooled(normal / np.maximum(np.linalg.norm(normal, axis=1), 1e-20)[:, None])
    width = np.sqrt(np.maximum(mass, 1e-8) / np.pi) * 0.9
    color = pooled(mesh.vertex_color.astype(np.float64)) / 255.0
    return GaussianSplats(
        means=pooled(points).astype(np.float32),
        quaternions=facing(direction).astype(np.float32),
        scales_m=np.stack([width, width, np.full(count, THICKNESS_M)], axis=1).astype(np.float32),
        opacity=np.full(count, 0.95, np.float32),
        sh=((color - 0.5) / SH_DC).astype(np.float32)[:, None, :],
    )


def facing(direction: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 4"]:
    """Unit quaternions (w, x, y, z) of the shortest turn that takes z to each direction (any length; z for zero)."""
    length = np.linalg.norm(direction, axis=1, keepdims=True)
    d = np.where(length > 1e-12, direction / np.maximum(length, 1e-12), [0.0, 0.0, 1.0])
    quaternion = np.stack([1.0 + d[:, 2], -d[:, 1], d[:, 0], np.zeros(len(d))], axis=1)
    quaternion[d[:, 2] < -1 + 1e-9] = [0.0, 1.0, 0.0, 0.0]
    return quaternion / np.linalg.norm(quaternion, axis=1, keepdims=True)
