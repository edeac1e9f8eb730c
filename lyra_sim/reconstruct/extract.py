"""The surface of a fused volume as triangles in an order that depends on nothing but their positions."""

import numpy as np
from skimage.measure import marching_cubes

from lyra_sim.reconstruct.volume import BLOCK, Volume

_CARVE = 0.3
"""How much a free ray weighs against surface evidence: one noisy sighting is carved away by a few rays that pass;
a thin thing survives the odd ray that misses it by half a pixel."""
_SHELL = 0.2
"""A voxel that lies deeper than this behind a surface (in truncations) and is carved nevertheless proves that there is
no such surface, not that a new one stands beside it: it is left out, or shells would close round what remains."""
_QUANTUM_VOXELS = 1e-3
_SLAB = 8
"""Layers of blocks whose triangles are made at a time, to have few voxels in memory at once."""


def carved(volume: Volume) -> np.ndarray:
    """Signed distance in units of the truncation with the free rays as evidence for +1; float32 like
    `volume.distance`."""
    free = volume.free * np.float32(_CARVE)
    total = volume.weight + free
    return np.divide(volume.distance * volume.weight + free, total, out=np.ones_like(total), where=total > 0)


def triangles(volume: Volume, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (N, 3) float64 in the world and faces (M, 3) int32, wound counter-clockwise seen from free space.

    Marching cubes (Lewiner et al. 2003) in the cubes all of whose 8 corners saw a surface near by: with fewer, shells
    appear behind every surface and round every silhouette. Empty arrays where there is no surface.

    Args:
        distance: of `carved`.
    """
    overruled = (volume.distance < -_SHELL) & (distance > 0)
    known = (volume.weight > 0) & ~overruled
    values = np.where(np.abs(distance) < 1e-3, np.float32(1e-3), distance)  # no slivers at corners
    vertices, faces, count = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], 0
    for first in range(0, len(volume.slot), _SLAB):
        layers = first, first + _SLAB + 1
        cubes = slice(_SLAB * BLOCK + 1)
        found, wound = _march(volume.dense(values, *layers)[cubes], volume.dense(known, *layers)[cubes])
        vertices.append(found + np.array([first * BLOCK, 0.0, 0.0]))
        faces.append(wound + count)
        count += len(found)
    joined, wound = canonical(np.concatenate(vertices), np.concatenate(faces))
    return volume.origin + (joined + 0.5) * volume.voxel_m, wound


def _march(values: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (N, 3) float64 in voxels and faces (M, 3) of the cubes with eight known corners."""
    whole = known  # scikit-image asks the mask at the last corner of a cube only
    for axis in range(3):
        first, last = [slice(None)] * 3, [slice(None)] * 3
        first[axis], last[axis] = slice(None, -1), slice(1, None)
        shifted = whole[tuple(last)] & whole[tuple(first)]
        whole = np.zeros_like(known)
        whole[tuple(last)] = shifted
    if whole.any() and values[known].min() < 0:
        try:
            vertices, faces, _, _ = marching_cubes(values, 0.0, mask=whole, allow_degenerate=False)
            return vertices.astype(np.float64), faces
        except RuntimeError:  # scikit-image's way to say that no cube of the mask is crossed
            pass
    return np.zeros((0, 3)), np.zeros((0, 3), np.int64)


def canonical(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices sorted by quantised position (equal ones merged), faces rotated to start at their lowest vertex and
    sorted; collapsed and repeated faces and unused vertices left out. Positions in voxels."""
    key = np.rint(vertices / _QUANTUM_VOXELS).astype(np.int64)
    order = np.lexsort((key[:, 2], key[:, 1], key[:, 0]))
    ordered = key[order]
    new = np.ones(len(order), bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(1)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.cumsum(new) - 1
    vertices, faces = vertices[order[new]], rank[faces]
    distinct = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    faces = faces[distinct]
    turn = np.argmin(faces, 1)
    faces = np.stack([faces[np.arange(len(faces)), (turn + i) % 3] for i in range(3)], 1)
    faces = np.unique(faces, axis=0)
    used = np.zeros(len(vertices), bool)
    used[faces] = True
    return vertices[used], (np.cumsum(used) - 1)[faces].astype(np.int32)
