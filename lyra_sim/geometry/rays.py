"""Ray casting and point-to-surface distance against triangles: the one place that knows Open3D.

Open3D's RaycastingScene (Embree) gives both; it was 2.5 times faster than trimesh with embreex on this job.
"""

import ctypes
from typing import Any

import libusb_package
import numpy as np
from jaxtyping import Float, Int

from lyra_sim.geometry.triangles import nearest_points, split_long

_NO_HIT = 0xFFFFFFFF
_LONGEST_M = 1.0
"""Longer edges are halved for distance queries."""


def _open3d() -> Any:
    """Open3D links against libusb, which bare machines lack; the wheel `libusb-package` carries it."""
    ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
    import open3d

    return open3d


class RayScene:
    """Triangles that can be asked for ray hits and distances.

    Args:
        vertices: (N, 3) metres.
        faces: (M, 3) indices; M may be 0, then nothing is ever hit.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        self.empty = len(faces) == 0
        if not self.empty:
            self._tensor = _open3d().core.Tensor
            self._corners = np.asarray(vertices, np.float64)[faces]
            self._middle = (self._corners.min(axis=(0, 1)) + self._corners.max(axis=(0, 1))) / 2
            self._scene = self._scene_of(vertices, faces)
            self._near: tuple[Any, np.ndarray, np.ndarray] | None = None
            """Scene for distances, its triangles and which face each belongs to; made when first asked for."""

    def cast(
        self, origins: Float[np.ndarray, "N 3"], directions: Float[np.ndarray, "N 3"]
    ) -> tuple[Float[np.ndarray, "N"], Int[np.ndarray, "N"], Float[np.ndarray, "N 2"]]:
        """First hit of each ray: distance in units of |direction| (inf where none), face index (-1 where none) and
        barycentric (u, v) of vertices 1 and 2 of that face."""
        if self.empty:
            n = len(origins)
            return np.full(n, np.inf), np.full(n, -1), np.zeros((n, 2))
        rays = np.concatenate([origins, directions], 1).astype(np.float32)
        hit = self._scene.cast_rays(self._tensor(rays))
        face = hit["primitive_ids"].numpy().astype(np.int64)
        face[face == _NO_HIT] = -1
        return hit["t_hit"].numpy().astype(np.float64), face, hit["primitive_uvs"].numpy().astype(np.float64)

    def distance(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N"]:
        """Unsigned distance of points to the nearest triangle, metres (inf for an empty scene)."""
        if self.empty:
            return np.full(len(points), np.inf)
        nearest, _ = self.closest(points)
        return np.linalg.norm(nearest - points, axis=1)

    def closest(self, points: Float[np.ndarray, "N 3"]) -> tuple[Float[np.ndarray, "N 3"], Int[np.ndarray, "N"]]:
        """Nearest point on the triangles and the face it lies on. The scene must not be empty.

        Open3D answers in float32, which puts the nearest point centimetres off on long thin triangles. So it is asked
        about short pieces of them, near its origin, and the point itself is computed anew in float64.
        """
        assert not self.empty
        if self._near is None:
            pieces, parent = split_long(self._corners, _LONGEST_M)
            self._near = (
                self._scene_of(pieces.reshape(-1, 3) - self._middle, np.arange(3 * len(pieces))),
                pieces,
                parent,
            )
        scene, pieces, parent = self._near
        found = scene.compute_closest_points(self._tensor((points - self._middle).astype(np.float32)))
        piece = found["primitive_ids"].numpy().astype(np.int64)
        return nearest_points(points, pieces[piece]), parent[piece]

    def _scene_of(self, vertices: np.ndarray, faces: np.ndarray) -> Any:
        scene = _open3d().t.geometry.RaycastingScene(nthreads=0)
        scene.add_triangles(
            self._tensor(np.ascontiguousarray(vertices, np.float32)),
            self._tensor(np.ascontiguousarray(faces.reshape(-1, 3), np.uint32)),
        )
        return scene
