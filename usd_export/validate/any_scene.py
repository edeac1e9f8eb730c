"""Verdict on any USD scene, whoever made it: findings of the rules, colliders under the feet, and on request the drop
test. Without the latter no package for physics, ray casting or networks is imported."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lyra_sim.core.records import Gate
from usd_export.reader import open_stage, read_scene
from usd_export.records import SceneGeometry
from usd_export.validate.columns import Columns
from usd_export.validate.foreign_rules import sky_meshes
from usd_export.validate.limits import ANY, DROP_M, RADIUS_M, SENSOR, judged, not_computed
from usd_export.validate.rule_table import Finding
from usd_export.validate.rules import scene_findings

_SHOWN = 5
_UP = np.array([0.0, 0.0, 1.0])
_CANDIDATES = 4000
_SPAWNS = 24
_BATCH = 128
_APART_M = 0.25
_LEVEL_M = 0.05
"""Heights this close count as one storey."""
_CLEAR_M = RADIUS_M + 0.02
_HEADROOM_M = 2 * RADIUS_M + DROP_M
_DEADLINE_S = 600.0
_UNREADABLE = ("LYRA-COL-006", "LYRA-MSH-002", "LYRA-MSH-003", "LYRA-MSH-004")
"""Findings after which the triangles of a scene mean nothing."""


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a scene, and what was measured of it."""

    findings: tuple[Finding, ...]
    gates: tuple[Gate, ...]

    @property
    def ok(self) -> bool:
        """Whether no finding is an error and every gate is kept."""
        return all(gate.ok for gate in self.gates) and all(f.rule.severity != "error" for f in self.findings)


def validate_any(path: Path, *, physics: bool = False) -> Verdict:
    """Judge any USD scene.

    Args:
        path: .usd, .usda, .usdc or .usdz.
        physics: also drop balls on the sampled spawns (Newton; the first run compiles for a minute).

    Returns:
        Every finding, and the gates `usd_errors` (findings that are errors), `collider_count`, `floor_under_spawns`
        and, with `physics`, `drop_rest_share`. Spawns are sampled over the visible meshes' ground plan, so that
        visible floor without a collider is found.

    Raises:
        InputError: not a readable USD file.
    """
    stage = open_stage(path)
    findings = scene_findings(stage)
    errors = [found.what for found in findings if found.rule.severity == "error"]
    told = "; ".join(errors[:_SHOWN]) + (f" and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else "")
    gates = [judged("usd_errors", SENSOR["usd_errors"], float(len(errors)), told)]
    if any(found.rule.id in _UNREADABLE for found in findings):
        why = "the meshes cannot be read"
        gates += [not_computed(name, limit, why) for name, limit in ANY.items()]
        return Verdict(findings, tuple(gates))
    skies = {str(prim.GetPath()) for prim in sky_meshes(stage, drawn=True)}
    scene = read_scene(path, textures=False)
    scene = replace(scene, visuals=tuple(visual for visual in scene.visuals if visual.path not in skies))
    count = sum(len(shape.faces) > 0 for shape in scene.colliders)
    gates.append(judged("collider_count", ANY["collider_count"], float(count), "nothing to stand on"))
    points, share = _spawns(scene)
    limit = ANY["floor_under_spawns"]
    if share is None:
        gates.append(not_computed("floor_under_spawns", limit, "there is no level free floor to spawn on"))
    else:
        gates.append(judged("floor_under_spawns", limit, share, f"a collider under {share:.0%} of the visible floor"))
    if physics:
        gates.append(_dropped(scene, points))
    return Verdict(findings, tuple(gates))


def _dropped(scene: SceneGeometry, points: np.ndarray) -> Gate:
    from usd_export.validate.drop import drop_balls

    limit = SENSOR["drop_rest_share"]
    if len(points) == 0:
        return not_computed("drop_rest_share", limit, "there is no level free floor to spawn on")
    try:
        (drops,) = drop_balls([scene], points, _DEADLINE_S)
    except (TimeoutError, ChildProcessError) as error:
        return not_computed("drop_rest_share", limit, str(error))
    told = f"{len(drops.faults)} of {len(points)} balls, {'; '.join(drops.faults[:3])}"
    return judged("drop_rest_share", limit, float(drops.rested.mean()), told)


def _spawns(scene: SceneGeometry) -> tuple[np.ndarray, float | None]:
    """Spots (x, y, height) on the main level of the floor that can be seen (or, with nothing visible, stood on), and
    the share of them that has a collider within 5 cm of that height."""
    vertices, faces = scene.visual_mesh() if scene.visuals else scene.collider_mesh()
    if len(faces) == 0:
        return np.zeros((0, 3)), None
    colliders = Columns(*scene.collider_mesh())
    ground = Columns(vertices, faces)
    spots = _free_spots(ground, colliders, _level_spots(vertices, faces))
    if len(spots) == 0:
        return spots, None
    below = colliders.below(spots + _UP * _LEVEL_M)
    return spots, float((below <= 2 * _LEVEL_M).mean())


def _level_spots(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Random spots on upward faces of the lowest level that holds a fair share of all upward faces."""
    rng = np.random.default_rng(0)
    corners = vertices[faces].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1) / 2
    flat = np.flatnonzero(normal[:, 2] > 0.98 * np.maximum(2 * area, 1e-12))
    if len(flat) == 0:
        return np.zeros((0, 3))
    pick = rng.choice(flat, _CANDIDATES, p=area[flat] / area[flat].sum())
    r, s = np.sqrt(rng.random((_CANDIDATES, 1))), rng.random((_CANDIDATES, 1))
    a, b, c = corners[pick, 0], corners[pick, 1], corners[pick, 2]
    spots = (1 - r) * a + r * (1 - s) * b + r * s * c
    level = np.round(spots[:, 2] / _LEVEL_M).astype(int)
    values, count = np.unique(level, return_counts=True)
    main = values[count >= 0.5 * count.max()][0] * _LEVEL_M
    return spots[np.abs(spots[:, 2] - main) <= _LEVEL_M]


def _free_spots(ground: Columns, colliders: Columns, spots: np.ndarray) -> np.ndarray:
    """The first spots, in order, that have headroom and a clear start for a ball, and keep apart from each other."""
    kept: list[np.ndarray] = []
    for first in range(0, len(spots), _BATCH):
        some = spots[first : first + _BATCH]
        some = some[ground.above(some + _UP * 1e-3) > _HEADROOM_M]
        starts = some + _UP * (RADIUS_M + DROP_M)
        some = some[~(ground.touched(starts, _CLEAR_M) | colliders.touched(starts, _CLEAR_M))]
        for spot in some:
            if all(np.hypot(*(spot - other)[:2]) >= _APART_M for other in kept):
                kept.append(spot)
            if len(kept) == _SPAWNS:
                return np.array(kept)
    return np.array(kept).reshape(-1, 3)
