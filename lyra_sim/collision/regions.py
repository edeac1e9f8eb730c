"""Cuts a surface into nearly plane regions by region growing (Besl and Jain 1988) on its faces."""

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from lyra_sim.surface.clean import face_vectors

LEAST_COS = 0.82
"""A face belongs to a region if its normal is within 35 degrees of the region's, ..."""
OFF_PLANE_M = 0.012
"""... and its centre this near to the region's plane."""
SMOOTHINGS = 3
LEAST_FACES = 24
"""Smaller regions are scraps."""


def plane_regions(vertices: Float[np.ndarray, "N 3"], faces: Int[np.ndarray, "M 3"]) -> Int[np.ndarray, "M"]:
    """Number of the region of each face, -1 for faces of regions that are too small. Regions grow from the flattest
    places first, over faces that share an edge; their plane is fitted anew while they grow."""
    cross = face_vectors(vertices, faces)
    area = 0.5 * np.linalg.norm(cross, axis=1)
    neighbour = _neighbours(faces)
    normal, flatness = _smoothed(cross, neighbour)
    centre = vertices[faces].astype(np.float64).mean(axis=1)
    order = np.argsort(-flatness, kind="stable")
    region = _grow(centre, normal, area, neighbour, order, LEAST_COS, OFF_PLANE_M)
    count = np.bincount(region)
    large = count >= LEAST_FACES
    number = np.where(large, np.cumsum(large) - 1, -1)
    return number[region]


def _neighbours(faces: Int[np.ndarray, "M 3"]) -> Int[np.ndarray, "M 3"]:
    """The face across each edge, -1 at borders; edges have at most two faces."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1).astype(np.int64)
    key = edges[:, 0] * (int(faces.max(initial=0)) + 1) + edges[:, 1]
    order = np.argsort(key, kind="stable")
    same = np.nonzero(key[order][1:] == key[order][:-1])[0]
    a, b = order[same], order[same + 1]
    out = np.full(3 * len(faces), -1, np.int64)
    out[a], out[b] = b % len(faces), a % len(faces)
    return out.reshape(3, -1).T.copy()


def _smoothed(
    cross: Float[np.ndarray, "M 3"], neighbour: Int[np.ndarray, "M 3"]
) -> tuple[Float[np.ndarray, "M 3"], Float[np.ndarray, "M"]]:
    """Unit normals averaged by area over the neighbours, and how well these agreed (0..1)."""
    total, weight = cross, np.linalg.norm(cross, axis=1)
    for _ in range(SMOOTHINGS):
        total, weight = _averaged(total, neighbour), _averaged(weight[:, None], neighbour)[:, 0]
    length = np.linalg.norm(total, axis=1)
    return total / np.maximum(length, 1e-20)[:, None], length / np.maximum(weight, 1e-20)


@njit(cache=True)
def _averaged(values, neighbour):  # pragma: no cover - compiled
    out = values.copy()
    for f in range(len(values)):
        for k in range(3):
            if neighbour[f, k] >= 0:
                out[f] += values[neighbour[f, k]]
    return out


@njit(cache=True)
def _grow(centre, normal, area, neighbour, order, least_cos, off_plane):  # pragma: no cover - compiled
    region = np.full(len(centre), -1, np.int64)
    queue = np.empty(len(centre), np.int64)
    count = 0
    for seed in order:
        if region[seed] >= 0:
            continue
        axis, middle = normal[seed].copy(), centre[seed].copy()
        mass, first, second, turn = 0.0, np.zeros(3), np.zeros((3, 3)), np.zeros(3)
        head, tail, refit = 0, 1, 16
        queue[0], region[seed] = seed, count
        while head < tail:
            f = queue[head]
            head += 1
            mass += area[f]
            turn += area[f] * normal[f]
            away = centre[f] - centre[seed]
            first += area[f] * away
            second += area[f] * np.outer(away, away)
            if head >= refit and mass > 0:
                refit *= 2
                mean = first / mass
                middle = centre[seed] + mean
                _, vectors = np.linalg.eigh(second / mass - np.outer(mean, mean))
                axis = vectors[:, 0].copy()
                if np.dot(axis, turn) < 0:
                    axis = -axis
            for k in range(3):
                g = neighbour[f, k]
                if g < 0 or region[g] >= 0 or np.dot(normal[g], axis) < least_cos:
                    continue
                if abs(np.dot(centre[g] - middle, axis)) <= off_plane:
                    region[g] = count
                    queue[tail] = g
                    tail += 1
        count += 1
    return region
