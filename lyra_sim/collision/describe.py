"""What each collider part is, as plain values for `colliders.json`."""

from typing import Any

import numpy as np

from lyra_sim.core.records import ColliderPart, Colliders, Label
from lyra_sim.geometry.hulls import convex_hull

DIGITS = 4


def describe(colliders: Colliders) -> dict[str, Any]:
    """The chosen backend, and the figures and parts of every backend that was tried."""
    return {
        "backend": colliders.backend,
        "measured": {name: _rounded(figures) for name, figures in sorted(colliders.alternatives.items())},
        "parts": {name: [_part(part) for part in parts] for name, parts in sorted(colliders.variants.items())},
    }


def _part(part: ColliderPart) -> dict[str, Any]:
    """Metres, square and cubic metres; the least width of a hull is that over the normals of its faces."""
    corner = part.vertices[part.faces].astype(np.float64)
    area = 0.5 * np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1).sum()
    figures = {"area_m2": area}
    if part.kind == "hull":
        hull = convex_hull(part.vertices.astype(np.float64))
        reach = hull.equations[:, :3] @ part.vertices.T.astype(np.float64) + hull.equations[:, 3:]
        figures |= {"volume_m3": hull.volume, "least_width_m": (-reach.min(axis=1)).min()}
    return {
        "name": part.name,
        "kind": part.kind,
        "class": Label(part.label).name.lower(),
        "vertices": len(part.vertices),
        "triangles": len(part.faces),
        "low_m": [round(float(x), DIGITS) for x in part.vertices.min(axis=0)],
        "high_m": [round(float(x), DIGITS) for x in part.vertices.max(axis=0)],
        **_rounded(figures),
    }


def _rounded(figures: dict[str, Any]) -> dict[str, float | None]:
    """None for what is not finite: no pixel was measured."""
    return {name: round(float(value), DIGITS) if np.isfinite(value) else None for name, value in figures.items()}
