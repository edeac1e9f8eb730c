"""The carpenter: boxes, cylinders, ellipsoids, extrusions and walls with openings, collected into one triangle mesh."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from lyra_sim.core.records import Label
from lyra_sim.procedural.scene import Paints, Pattern

Color = Sequence[float]
MAX_SIDE_M = 4.0
_QUAD = np.array([[0, 1, 2], [0, 2, 3]])


def linear(rgb: str) -> tuple[float, float, float]:
    """Linear RGB of a colour written as six hexadecimal digits of sRGB."""
    values = np.array([int(rgb[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    r, g, b = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).tolist()
    return r, g, b


class MeshBuilder:
    """Collects painted triangles. `at` gives a local frame to build an object in."""

    def __init__(self) -> None:
        self.vertices: list[np.ndarray] = []
        self.normals: list[np.ndarray] = []
        self.faces: list[np.ndarray] = []
        self.labels: list[np.ndarray] = []
        self.face_paint: list[np.ndarray] = []
        self._count = 0
        self._paints: list[tuple] = []

    def paint(
        self,
        pattern: Pattern,
        a: Color,
        b: Color | None = None,
        *,
        scale: float = 0.1,
        origin: Color = (0, 0, 0),
        yaw: float = 0.0,
    ) -> int:
        """Register a paint and return its index; its own seed is its index."""
        self._paints.append((int(pattern), tuple(a), tuple(a if b is None else b), scale, tuple(origin), yaw))
        return len(self._paints) - 1

    def add(self, vertices: np.ndarray, normals: np.ndarray, faces: np.ndarray, label: int, paint: int) -> None:
        """Append triangles: (N, 3) vertices and unit normals, (M, 3) faces."""
        self.vertices.append(np.asarray(vertices, float))
        self.normals.append(np.asarray(normals, float))
        self.faces.append(np.asarray(faces, np.int64) + self._count)
        self.labels.append(np.full(len(faces), int(label), np.uint8))
        self.face_paint.append(np.full(len(faces), paint, np.int32))
        self._count += len(vertices)

    def at(self, x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw: float = 0.0) -> "Placed":
        """A local frame at (x, y, z), turned by yaw about Z."""
        return Placed(self, np.array([x, y, z], float), yaw)

    def mesh(self) -> dict[str, np.ndarray]:
        """The arrays of a `ProceduralScene`: vertices, vertex_normal, faces, face_label, face_paint."""
        return {
            "vertices": np.concatenate(self.vertices).astype(np.float32),
            "vertex_normal": np.concatenate(self.normals).astype(np.float32),
            "faces": np.concatenate(self.faces).astype(np.int32),
            "face_label": np.concatenate(self.labels),
            "face_paint": np.concatenate(self.face_paint),
        }

    def paints(self) -> Paints:
        """All registered paints."""
        pattern, a, b, scale, origin, yaw = zip(*self._paints, strict=True)
        return Paints(
            pattern=np.array(pattern, np.int32),
            color_a=np.array(a, np.float32),
            color_b=np.array(b, np.float32),
            scale_m=np.array(scale, np.float32),
            origin_m=np.array(origin, np.float32),
            yaw_rad=np.array(yaw, np.float32),
            seed=np.arange(len(pattern), dtype=np.int32),
        )


class Placed:
    """A local frame of a `MeshBuilder`: everything built here is turned and moved with it."""

    def __init__(self, builder: MeshBuilder, origin: np.ndarray, yaw: float) -> None:
        self.builder, self.origin, self.yaw = builder, origin, yaw
        c, s = np.cos(yaw), np.sin(yaw)
        self.rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])

    def at(self, x: float, y: float, z: float = 0.0, yaw: float = 0.0) -> "Placed":
        """A frame inside this frame."""
        return Placed(self.builder, self.origin + self.rotation @ np.array([x, y, z], float), self.yaw + yaw)

    def paint(self, pattern: Pattern, a: Color, b: Color | None = None, *, scale: float = 0.1) -> int:
        """A paint that turns with this frame."""
        return self.builder.paint(pattern, a, b, scale=scale, origin=tuple(self.origin), yaw=self.yaw)

    def add(self, vertices: np.ndarray, normals: np.ndarray, faces: np.ndarray, label: int, paint: int) -> None:
        """Append local triangles."""
        self.builder.add(
            vertices @ self.rotation.T + self.origin, normals @ self.rotation.T, np.asarray(faces), label, paint
        )

    def quad(self, corners: Sequence[Color], label: int, paint: int) -> None:
        """A rectangle (or trapezoid); corners counter-clockwise seen from the free side. Cut into pieces of at most
        `MAX_SIDE_M`: on triangles 120 m long and 0.1 m wide, distance queries in float32 are wrong by centimetres."""
        p = np.array(corners, float)
        (ax, ay, az), (bx, by, bz) = (p[1] - p[0]).tolist(), (p[2] - p[0]).tolist()
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx  # np.cross took half of a street's time
        normal = np.array([nx, ny, nz]) / math.sqrt(nx * nx + ny * ny + nz * nz)
        nu = math.ceil(math.dist(corners[1], corners[0]) / MAX_SIDE_M - 1e-9)
        nv = math.ceil(math.dist(corners[3], corners[0]) / MAX_SIDE_M - 1e-9)
        if nu <= 1 and nv <= 1:
            self.add(p, normal.repeat(4).reshape(3, 4).T, _QUAD, label, paint)
            return
        steps = np.meshgrid(np.linspace(0, 1, nv + 1), np.linspace(0, 1, nu + 1), indexing="ij")
        v, u = (x.reshape(-1, 1) for x in steps)
        grid = (1 - v) * ((1 - u) * p[0] + u * p[1]) + v * ((1 - u) * p[3] + u * p[2])
        j, i = (x.ravel() for x in np.meshgrid(np.arange(nv), np.arange(nu), indexing="ij"))
        a = j * (nu + 1) + i
        b, c, d = a + 1, a + nu + 2, a + nu + 1
        faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
        self.add(grid, np.tile(normal, (len(grid), 1)), faces, label, paint)

    def box(self, low: Color, high: Color, label: int, paint: int, *, bottom: bool = True) -> None:
        """An axis-aligned box of this frame; `bottom=False` for boxes that stand on the ground."""
        (x0, y0, z0), (x1, y1, z1) = low, high
        a, b, c, d = (x0, y0, z0), (x1, y0, z0), (x1, y1, z0), (x0, y1, z0)
        e, f, g, h = (x0, y0, z1), (x1, y0, z1), (x1, y1, z1), (x0, y1, z1)
        sides = [(a, b, f, e), (b, c, g, f), (c, d, h, g), (d, a, e, h), (e, f, g, h)]
        for side in [*sides, (d, c, b, a)] if bottom else sides:
            self.quad(side, label, paint)

    def cylinder(
        self,
        base: Color,
        height: float,
        radius: float,
        label: int,
        paint: int,
        *,
        top: float | None = None,
        n: int = 20,
    ) -> None:
        """An upright cylinder or cone frustum (radius `radius` at the base, `top` at the top) with its two caps."""
        angle = np.arange(n) * (2 * np.pi / n)
        ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(n)], 1)
        top = radius if top is None else top
        low, high = ring * radius + base, ring * top + np.array(base) + [0, 0, height]
        slope = np.array([0, 0, (radius - top) / height])
        normal = (ring + slope) / np.linalg.norm(ring + slope, axis=1, keepdims=True)
        i, j = np.arange(n), (np.arange(n) + 1) % n
        side = np.concatenate([np.stack([i, j, j + n], 1), np.stack([i, j + n, i + n], 1)])
        self.add(np.concatenate([low, high]), np.concatenate([normal, normal]), side, label, paint)
        fan = np.stack([np.zeros(n - 2, int), np.arange(1, n - 1), np.arange(2, n)], 1)
        up = np.tile([0.0, 0, 1], (n, 1))
        self.add(high, up, fan, label, paint)
        self.add(low, -up, fan[:, ::-1], label, paint)

    def wheel(self, center: Color, width: float, radius: float, label: int, paint: int, *, n: int = 20) -> None:
        """A cylinder lying along y."""
        angle = np.arange(n) * (2 * np.pi / n)
        ring = np.stack([np.cos(angle), np.zeros(n), np.sin(angle)], 1)
        half = np.array([0, width / 2, 0])
        left, right = ring * radius + center + half, ring * radius + center - half
        i, j = np.arange(n), (np.arange(n) + 1) % n
        side = np.concatenate([np.stack([i, i + n, j + n], 1)[:, ::-1], np.stack([i, j + n, j], 1)[:, ::-1]])
        self.add(np.concatenate([right, left]), np.concatenate([ring, ring]), side[:, ::-1], label, paint)
        fan = np.stack([np.zeros(n - 2, int), np.arange(1, n - 1), np.arange(2, n)], 1)
        y = np.tile([0.0, 1, 0], (n, 1))
        self.add(left, y, fan[:, ::-1], label, paint)
        self.add(right, -y, fan, label, paint)

    def ellipsoid(self, center: Color, radii: Color, label: int, paint: int, *, n: int = 18) -> None:
        """An ellipsoid of n by n/2 patches."""
        rows = max(n // 2, 4)
        lat = np.linspace(-np.pi / 2, np.pi / 2, rows + 1)
        lon = np.arange(n) * (2 * np.pi / n)
        unit = np.stack(
            [
                np.outer(np.cos(lat), np.cos(lon)),
                np.outer(np.cos(lat), np.sin(lon)),
                np.repeat(np.sin(lat)[:, None], n, 1),
            ],
            2,
        ).reshape(-1, 3)
        normal = unit / np.array(radii)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        r, c = (v.ravel() for v in np.meshgrid(np.arange(rows), np.arange(n), indexing="ij"))
        right = (c + 1) % n
        a, b, e, d = r * n + c, r * n + right, (r + 1) * n + right, (r + 1) * n + c
        lower = np.stack([a, b, e], 1)[r > 0]  # at the poles one of the two triangles has no area
        upper = np.stack([a, e, d], 1)[r < rows - 1]
        self.add(unit * radii + center, normal, np.concatenate([lower, upper]), label, paint)

    def extrude(self, profile: Sequence[Sequence[float]], y0: float, y1: float, label: int, paint: int) -> None:
        """A convex profile of (x, z) points, counter-clockwise seen from -y, drawn out from y0 to y1."""
        p = np.array(profile, float)
        n = len(p)
        near = np.stack([p[:, 0], np.full(n, y0), p[:, 1]], 1)
        far = near + np.array([0, y1 - y0, 0])
        for i in range(n):
            j = (i + 1) % n
            self.quad([near[j], near[i], far[i], far[j]], label, paint)
        fan = np.stack([np.zeros(n - 2, int), np.arange(1, n - 1), np.arange(2, n)], 1)
        y = np.tile([0.0, 1, 0], (n, 1))
        self.add(near, -y, fan, label, paint)
        self.add(far, y, fan[:, ::-1], label, paint)

    def frustum(
        self, low: Sequence[float], high: Sequence[float], z0: float, z1: float, label: int, sides: int, top: int
    ) -> None:
        """A block between two rectangles (x0, y0, x1, y1) at heights z0 and z1, without an underside."""
        a, b, c, d = ((low[i], low[j], z0) for i, j in ((0, 1), (2, 1), (2, 3), (0, 3)))
        e, f, g, h = ((high[i], high[j], z1) for i, j in ((0, 1), (2, 1), (2, 3), (0, 3)))
        for side in ((a, b, f, e), (b, c, g, f), (c, d, h, g), (d, a, e, h)):
            self.quad(side, label, sides)
        self.quad((e, f, g, h), label, top)

    def wall(self, length: float, height: float, openings: Sequence[Sequence[float]], paint: int) -> None:
        """The plane y = 0 from x = 0 to `length`, free side -y, without the rectangles (x0, z0, x1, z1)."""
        xs = np.unique([0.0, length, *(v for o in openings for v in (o[0], o[2]))])
        zs = np.unique([0.0, height, *(v for o in openings for v in (o[1], o[3]))])
        for x0, x1 in pairwise(xs.tolist()):
            for z0, z1 in pairwise(zs.tolist()):
                x, z = (x0 + x1) / 2, (z0 + z1) / 2
                if not any(o[0] < x < o[2] and o[1] < z < o[3] for o in openings):
                    self.quad([(x0, 0, z0), (x1, 0, z0), (x1, 0, z1), (x0, 0, z1)], Label.WALL, paint)
