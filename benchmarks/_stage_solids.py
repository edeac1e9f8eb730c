"""The colliders of a written stage, read with pxr alone, and boxes among them by Embree and exact tests.

Nothing here is used by the package or uses any of it. A box meets a collider where (a) an edge of the box or a line of
a fine lattice through it crosses a triangle (rays, Embree), (b) an edge of a triangle passes through the box (exact),
or (c) the box lies inside a hull or a closed mesh without touching its surface. Edges of triangles and edges of the
box are enough to find every triangle that meets a box; the lattice is a second opinion.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh
from pxr import Usd, UsdGeom, UsdPhysics
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull, cKDTree

TOUCH_M = 1e-4
"""Boxes are smaller by this on every side: to touch is not to overlap."""
LATTICE_M = 0.025
_PIECE_M = 0.2
_RAYS = 4_000_000
_CORNERS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
_EDGES = [(a, b) for a in range(8) for b in range(a + 1, 8) if (_CORNERS[a] != _CORNERS[b]).sum() == 1]
_CUBE = [(0, 2, 1), (1, 2, 3), (4, 5, 6), (5, 7, 6), (0, 1, 4), (1, 5, 4), (2, 6, 3), (3, 6, 7), (0, 4, 2), (2, 4, 6),
         (1, 3, 5), (3, 7, 5)]  # fmt: skip


@dataclass(frozen=True)
class Boxes:
    """Upright boxes in the world frame, metres and radians."""

    centre: np.ndarray
    """(N, 3)."""
    yaw: np.ndarray
    """(N,)."""
    half: np.ndarray
    """(3,) half length, width and height, of all of them."""


class Solids:
    """The colliders that the stage of a scene selects.

    Args:
        scene: Z up, in metres.

    Raises:
        ValueError: the stage has other units, or a collider that this cannot build as an engine would.
    """

    def __init__(self, scene: Path) -> None:
        stage = Usd.Stage.Open(str(scene))
        if UsdGeom.GetStageUpAxis(stage) != "Z" or UsdGeom.GetStageMetersPerUnit(stage) != 1:
            raise ValueError(f"{scene}: not Z up in metres")
        xforms, soups, self.hulls, closed = UsdGeom.XformCache(), [np.zeros((0, 3, 3))], [], [np.zeros((0, 3, 3))]
        for prim in stage.Traverse(Usd.TraverseInstanceProxies(Usd.PrimDefaultPredicate)):
            if not prim.HasAPI(UsdPhysics.CollisionAPI):
                continue
            points, faces, hull = _shape(prim)
            matrix = np.array(xforms.GetLocalToWorldTransform(prim))
            points = points @ matrix[:3, :3] + matrix[3, :3]
            if hull:
                found = ConvexHull(points)
                faces = found.simplices
                self.hulls.append(found.equations)
            else:
                closed.append(_closed_parts(points, faces))
            soups.append(points[faces])
        self.triangles = np.concatenate(soups)
        self.closed = np.concatenate(closed)
        self._scene = rtcore_scene.EmbreeScene()
        self._mesh = TriangleMesh(self._scene, self.triangles.astype(np.float32))
        self._a, self._b = _pieces(self.triangles)
        self._tree = cKDTree((self._a + self._b) / 2)

    def hit(self, boxes: Boxes, lattice_m: float = LATTICE_M, *, exact: bool = True) -> np.ndarray:
        """(N,) bool: which boxes meet a collider. Without `exact` (b) is left out, which takes longest."""
        half = boxes.half - TOUCH_M
        found = self._crossed(boxes, half, lattice_m)
        for k in np.flatnonzero(~found) if exact else ():
            found[k] = self._pierced(boxes, half, k)
        for k in np.flatnonzero(~found):
            found[k] = self._inside(boxes.centre[k])
        return found

    def drop(self, points: np.ndarray) -> np.ndarray:
        """(N,) heights of the first collider below (N, 3) points, nan where there is none."""
        down = np.tile(np.float32([0, 0, -1]), (len(points), 1))
        far = np.full(len(points), 100, np.float32)
        depth = self._scene.run(points.astype(np.float32), down, dists=far, query="DISTANCE")
        return np.where(depth < 100, points[:, 2] - depth, np.nan)

    def stand(self, pose: np.ndarray, size: tuple[float, float], step_m: float, slope: float) -> float:
        """Height of the highest collider under a rectangle at (x, y, z, yaw) to which one gets from its centre, at
        height z, over no rise of more than a step from one point to the next, 2.5 cm away, on a slope of `slope`."""
        u, v = (np.linspace(-n / 2, n / 2, int(np.ceil(n / LATTICE_M)) + 1) for n in size)
        flat = np.stack(np.meshgrid(u, v, indexing="ij"), -1)
        c, s = np.cos(pose[3]), np.sin(pose[3])
        at = flat @ np.array([[c, s], [-s, c]]) + pose[:2]
        top = pose[2] + step_m + slope * float(np.hypot(*size))
        height = self.drop(np.column_stack([at.reshape(-1, 2), np.full(flat.size // 2, top)])).reshape(flat.shape[:2])
        number, rise = np.arange(height.size).reshape(height.shape), step_m + slope * LATTICE_M + 1e-4
        along, across = np.abs(np.diff(height, axis=0)) <= rise, np.abs(np.diff(height, axis=1)) <= rise
        a = np.concatenate([number[:-1][along], number[:, :-1][across]])
        b = np.concatenate([number[1:][along], number[:, 1:][across]])
        _, part = connected_components(coo_matrix((np.ones(len(a)), (a, b)), shape=(height.size, height.size)), False)
        start = int(np.argmin(np.hypot(*flat.reshape(-1, 2).T)))
        return float(np.nanmax(np.append(height.ravel()[part == part[start]], pose[2])))

    def _crossed(self, boxes: Boxes, half: np.ndarray, lattice_m: float) -> np.ndarray:
        lines = _lines(half, lattice_m)
        found, step = np.zeros(len(boxes.yaw), bool), max(_RAYS // len(lines), 1)
        for first in range(0, len(found), step):
            part = slice(first, first + step)
            c, s = np.cos(boxes.yaw[part]), np.sin(boxes.yaw[part])
            turn = np.zeros((len(c), 3, 3))
            turn[:, 0, 0], turn[:, 0, 1], turn[:, 1, 0], turn[:, 1, 1], turn[:, 2, 2] = c, -s, s, c, 1
            ends = np.einsum("nij,lkj->nlki", turn, lines) + boxes.centre[part][:, None, None]
            start, way = ends[:, :, 0].reshape(-1, 3), (ends[:, :, 1] - ends[:, :, 0]).reshape(-1, 3)
            length = np.linalg.norm(way, axis=1)
            struck = self._scene.run(
                start.astype(np.float32), (way / length[:, None]).astype(np.float32),
                dists=length.astype(np.float32), query="OCCLUDED",
            )  # fmt: skip
            found[part] = (struck >= 0).reshape(len(c), len(lines)).any(1)
        return found

    def _pierced(self, boxes: Boxes, half: np.ndarray, k: int) -> bool:
        near = self._tree.query_ball_point(boxes.centre[k], float(np.linalg.norm(half)) + _PIECE_M / 2)
        c, s = np.cos(boxes.yaw[k]), np.sin(boxes.yaw[k])
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        a, b = ((ends[near] - boxes.centre[k]) @ turn for ends in (self._a, self._b))
        enter, leave = np.zeros(len(a)), np.ones(len(a))
        with np.errstate(divide="ignore", invalid="ignore"):
            for axis in range(3):
                way = b[:, axis] - a[:, axis]
                at = np.stack([(-half[axis] - a[:, axis]) / way, (half[axis] - a[:, axis]) / way])
                level, within = way == 0, np.abs(a[:, axis]) < half[axis]
                enter = np.where(level, np.where(within, enter, 2), np.maximum(enter, at.min(0)))
                leave = np.where(level, leave, np.minimum(leave, at.max(0)))
        return bool((enter < leave).any())

    def _inside(self, point: np.ndarray) -> bool:
        if any((planes[:, :3] @ point + planes[:, 3]).max() < 0 for planes in self.hulls):
            return True
        low, high = self.closed[..., :2].min(1), self.closed[..., :2].max(1)
        x, y = point[0] + 1.1e-5, point[1] + 0.7e-5  # off edges
        a, b, c = self.closed[(low <= (x, y)).all(1) & (high >= (x, y)).all(1)].transpose(1, 0, 2)
        area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
        a, b, c, area = (v[np.abs(area) > 1e-12] for v in (a, b, c, area))
        u = ((x - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (y - a[:, 1])) / area
        v = ((b[:, 0] - a[:, 0]) * (y - a[:, 1]) - (x - a[:, 0]) * (b[:, 1] - a[:, 1])) / area
        height = a[:, 2] + u * (b[:, 2] - a[:, 2]) + v * (c[:, 2] - a[:, 2])
        above = (u >= 0) & (v >= 0) & (u + v <= 1) & (height > point[2])
        return int(np.sign(area[above]).sum()) != 0


def _shape(prim: Usd.Prim) -> tuple[np.ndarray, np.ndarray, bool]:
    """Points, triangles, and whether an engine makes a hull of them."""
    if prim.IsA(UsdGeom.Cube):
        return _CORNERS * UsdGeom.Cube(prim).GetSizeAttr().Get() / 2, np.array(_CUBE), True
    kind = UsdPhysics.MeshCollisionAPI(prim).GetApproximationAttr().Get()
    if not prim.IsA(UsdGeom.Mesh) or kind not in ("none", "convexHull"):
        raise ValueError(f"{prim.GetPath()}: {prim.GetTypeName()} with approximation {kind}")
    mesh = UsdGeom.Mesh(prim)
    if set(mesh.GetFaceVertexCountsAttr().Get()) != {3}:
        raise ValueError(f"{prim.GetPath()}: faces that are no triangles")
    faces = np.array(mesh.GetFaceVertexIndicesAttr().Get(), np.int64).reshape(-1, 3)
    return np.array(mesh.GetPointsAttr().Get(), np.float64), faces, kind == "convexHull"


def _closed_parts(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Corners of the faces of all parts every edge of which has two faces."""
    _, same = np.unique(points.round(6), axis=0, return_inverse=True)
    faces, corners = same.ravel()[faces], points[faces]
    size = int(faces.max(initial=-1)) + 1
    joined = coo_matrix((np.ones(2 * len(faces)), (faces[:, :2].ravel(), faces[:, 1:].ravel())), shape=(size, size))
    _, part = connected_components(joined, directed=False)
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    _, which, count = np.unique(edges, axis=0, return_inverse=True, return_counts=True)
    open_ = part[edges[count[which.ravel()] != 2, 0]]
    return corners[~np.isin(part[faces[:, 0]], open_)]


def _pieces(triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of pieces, at most 0.2 m long, of every edge of the triangles."""
    ends = triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2, 3)
    way = ends[:, 1] - ends[:, 0]
    lead = np.take_along_axis(way, (way != 0).argmax(1)[:, None], 1)[:, 0]
    ends[lead < 0] = ends[lead < 0, ::-1]  # an edge of two triangles once
    a, b = np.split(np.unique(ends.reshape(-1, 6), axis=0), 2, axis=1)
    parts = np.maximum(np.ceil(np.linalg.norm(b - a, axis=1) / _PIECE_M), 1).astype(int)
    of = np.repeat(np.arange(len(a)), parts)
    k = np.arange(len(of)) - np.repeat(np.cumsum(parts) - parts, parts)
    way = (b - a)[of] / parts[of, None]
    return a[of] + k[:, None] * way, a[of] + (k + 1)[:, None] * way


def _lines(half: np.ndarray, lattice_m: float) -> np.ndarray:
    """(L, 2, 3) lines through a box: its edges, and parallel to them a lattice."""
    lines = [_CORNERS[list(edge)] * half for edge in _EDGES]
    for axis in range(3):
        u, v = (k for k in range(3) if k != axis)
        at = [np.linspace(-half[k], half[k], max(int(np.ceil(2 * half[k] / lattice_m)), 1) + 1)[1:-1] for k in (u, v)]
        for x, y in np.stack(np.meshgrid(*at), -1).reshape(-1, 2):
            ends = np.zeros((2, 3))
            ends[:, u], ends[:, v], ends[:, axis] = x, y, (-half[axis], half[axis])
            lines.append(ends)
    return np.array(lines)
