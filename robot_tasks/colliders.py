"""The colliders of a scene as one bag of triangles, the way a physics engine meets them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int32

from lyra_sim.core.record import record
from lyra_sim.core.records import ColliderPart
from lyra_sim.geometry.rays import RayScene


@record
class Soup:
    """Collider triangles in the world frame, outward winding."""

    triangles: Float64[np.ndarray, "T 3 3"]
    """Corner coordinates, metres."""
    hull: Int32[np.ndarray, "T"]
    """Number of the convex hull a triangle bounds (its inside is solid), -1 for open triangle meshes."""


@record
class Thing:
    """What a label of the scene names: everything visible below the prim that carries it."""

    prim: str
    """Its path."""
    category: str
    """What the label says."""
    triangles: Float64[np.ndarray, "T 3 3"]
    """Corner coordinates in the world frame, metres."""


def soup_of_parts(parts: Iterable[ColliderPart]) -> Soup:
    """The parts of a collider record. A hull part's faces must be those of its convex hull."""
    triangles, hulls = [np.zeros((0, 3, 3))], [np.zeros(0, np.int32)]
    for number, part in enumerate(parts):
        triangles.append(part.vertices[part.faces].astype(np.float64).reshape(-1, 3, 3))
        hulls.append(np.full(len(part.faces), number if part.kind == "hull" else -1, np.int32))
    return Soup(triangles=np.concatenate(triangles), hull=np.concatenate(hulls))


def soup_of_scene(scene: Path) -> Soup:
    """The colliders of a written USD scene as the physics engine sees them: hulls realised, primitives tessellated.

    Raises:
        InputError: the file is not a readable USD scene.
    """
    from usd_export.reader import read_scene

    return soup_of_parts(read_scene(scene, textures=False).colliders)


def soups_of_scene(scene: Path) -> tuple[tuple[Soup, ...], Soup, tuple[Thing, ...]]:
    """The same for every variant of the colliders that the scene offers, the default first; then what is seen, and
    the labelled parts of it in the order of their paths."""
    from usd_export.reader import read_variants

    read = list(read_variants(scene, textures=False).values())
    meshes = [(m, m.vertices.astype(np.float64)[m.faces].reshape(-1, 3, 3)) for m in read[0].visuals]
    corners = np.concatenate([np.zeros((0, 3, 3)), *(triangles for _, triangles in meshes)])
    seen = Soup(triangles=corners, hull=np.full(len(corners), -1, np.int32))
    named: dict[tuple[str, str], list[np.ndarray]] = {}
    for mesh, triangles in meshes:
        if mesh.label and len(triangles):
            named.setdefault((mesh.labelled, mesh.label), []).append(triangles)
    things = [Thing(prim=p, category=c, triangles=np.concatenate(t)) for (p, c), t in sorted(named.items())]
    return tuple(soup_of_parts(variant.colliders) for variant in read), seen, tuple(things)


def together(soups: Sequence[Soup]) -> Soup:
    """The triangles of all soups; each hull stays one of its own."""
    offsets = np.cumsum([0, *(soup.hull.max(initial=-1) + 1 for soup in soups)])
    hulls = [np.where(soup.hull < 0, -1, soup.hull + n) for soup, n in zip(soups, offsets, strict=False)]
    triangles = np.concatenate([soup.triangles for soup in soups])
    return Soup(triangles=triangles, hull=np.concatenate(hulls).astype(np.int32))


def rays_of(soup: Soup) -> RayScene:
    """A ray caster over the soup; face index k is triangle k."""
    count = len(soup.triangles)
    return RayScene(soup.triangles.reshape(-1, 3), np.arange(3 * count, dtype=np.int32).reshape(-1, 3))


_ROUNDED_M = 1e-4
"""Bounds are kept in float32, a little too wide."""


class Nearby:
    """The triangles of a soup by place, in squares seen from above: a flat has 60,000, and a robot meets 50.

    Args:
        triangles: (T, 3, 3) corners, metres.
        side_m: of the squares.
    """

    def __init__(self, triangles: Float64[np.ndarray, "T 3 3"], side_m: float = 0.5) -> None:
        self.triangles, self.side_m = np.ascontiguousarray(triangles), side_m
        low, high = triangles[..., :2].min(1), triangles[..., :2].max(1)
        self.origin = low.min(0) if len(low) else np.zeros(2)
        first, last = ((ends - self.origin) // side_m for ends in (low, high))
        first, last = first.astype(np.int64), last.astype(np.int64)
        self.shape = last.max(0) + 1 if len(low) else np.zeros(2, np.int64)
        squares = (last - first + 1).prod(1)
        owner = np.repeat(np.arange(len(triangles)), squares)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(squares) - squares, squares)
        deep = (last - first + 1)[owner, 1]
        flat = (first[owner, 0] + within // deep) * self.shape[1] + first[owner, 1] + within % deep
        order = np.argsort(flat, kind="stable")
        self.owner = owner[order]
        ends = np.concatenate([triangles.min(1) - _ROUNDED_M, triangles.max(1) + _ROUNDED_M], 1)
        self.boxes = ends.astype(np.float32)[self.owner]
        """(K, 6) lowest and highest x, y, z of the triangles in the order of `owner`, side by side in memory."""
        self.start = np.searchsorted(flat[order], np.arange(self.shape.prod() + 1))

    def around(self, x: float, y: float, reach_m: float) -> Float64[np.ndarray, "K 3 3"]:
        """All triangles that may come within `reach_m` of a vertical line, in their order."""
        spot = np.array([x, y]) - self.origin
        low = np.maximum((spot - reach_m) // self.side_m, 0).astype(np.int64)
        high = np.minimum((spot + reach_m) // self.side_m, self.shape - 1).astype(np.int64)
        rows = [
            self.owner[self.start[i * self.shape[1] + low[1]] : self.start[i * self.shape[1] + high[1] + 1]]
            for i in range(low[0], high[0] + 1)
            if low[1] <= high[1]
        ]
        return self.triangles[np.unique(np.concatenate(rows))] if rows else self.triangles[:0]
