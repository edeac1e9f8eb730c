"""The collide stage: every configured backend is built and measured, and the numbers choose."""

import numpy as np

from lyra_sim.collision.hulls import spans_volume
from lyra_sim.collision.measure import View, blocked_share, depth_distance, measured_views, seen_in, surface_distance
from lyra_sim.collision.static_mesh import static_mesh_parts
from lyra_sim.config.geometry3d import CollideConfig, ColliderConfig, ConvexConfig, StaticMeshConfig
from lyra_sim.core.errors import SceneError
from lyra_sim.core.records import ColliderPart, Colliders, Fused, Surface, World

MOST_BLOCKED = 0.01


def collide(surface: Surface, world: World, fused: Fused, config: CollideConfig) -> Colliders:
    """Build the colliders of every backend in `config`, measure them, and keep the best.

    Backends that block more than 1 % of the free rays lose to those that do not; then the smaller 95th percentile of
    the distance to the surface (to the nearest 2 mm) wins, then the earlier in the configuration.

    Raises:
        SceneError: no backend made any collider.
    """
    views = measured_views(world)
    made = {backend.backend: parts for backend in config.backends if (parts := build(backend, surface, fused))}
    measured = {name: measure(parts, surface, fused, views) for name, parts in made.items()}
    if not made:
        raise SceneError(
            "collide",
            expected="at least one collider",
            got="an empty near field",
            todo="Look at the surface stage: nothing solid was left after cleaning.",
        )
    order = list(made)
    best = min(order, key=lambda name: (*_rank(measured[name]), order.index(name)))
    return Colliders(
        backend="convex" if best == "convex" else "static_mesh",
        parts=made[best],
        measured=measured[best],
        alternatives=measured,
        others={name: parts for name, parts in made.items() if name != best},
    )


def _rank(figures: dict[str, float]) -> tuple[bool, int]:
    return figures["free_blocked_share"] > MOST_BLOCKED, round(min(figures["surface_p95_m"], 1e6) / 0.002)


def build(config: ColliderConfig, surface: Surface, fused: Fused) -> tuple[ColliderPart, ...]:
    """The collider parts of one backend."""
    match config:
        case StaticMeshConfig():
            return static_mesh_parts(surface, fused.space, config)
        case ConvexConfig():
            from lyra_sim.collision.convex import convex_parts

            return tuple(part for part in convex_parts(surface, fused.space, config) if spans_volume(part.vertices))


def measure(
    parts: tuple[ColliderPart, ...], surface: Surface, fused: Fused, views: tuple[View, ...]
) -> dict[str, float]:
    """Figures of one set of parts: distances to the surface and to measured points in metres, share of the seen rays
    that it blocks, counts."""
    vertices, faces = merged(parts)
    near = surface.near
    apart = surface_distance(vertices, faces, near.vertices, near.faces, seed=0, seen=seen_in(fused.space))
    return {
        "surface_median_m": apart["median_m"],
        "surface_p95_m": apart["p95_m"],
        "surface_max_m": apart["max_m"],
        "depth_p95_m": depth_distance(vertices, faces, views)["p95_m"],
        "free_blocked_share": blocked_share(vertices, faces, views),
        "parts": float(len(parts)),
        "triangles": float(len(faces)),
    }


def merged(parts: tuple[ColliderPart, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of all parts as one mesh."""
    start = np.cumsum([0, *(len(part.vertices) for part in parts)])
    vertices = np.concatenate([part.vertices for part in parts])
    return vertices, np.concatenate([part.faces + n for part, n in zip(parts, start, strict=False)])
