"""Gates of any USD scene, whoever made it: the rules, colliders under the feet, and on request the drop test."""

from pathlib import Path

import numpy as np

from lyra_sim.core.records import Gate
from lyra_sim.geometry.rays import RayScene
from usd_export.reader import read_scene
from usd_export.records import SceneGeometry
from usd_export.validate.drop import DROP_M, RADIUS_M, drop_balls
from usd_export.validate.limits import ANY, SENSOR, judged, not_computed
from usd_export.validate.rules import scene_problems

_SHOWN = 5
_UP = np.array([0.0, 0.0, 1.0])
_CANDIDATES = 4000
_SPAWNS = 24
_APART_M = 0.25
_LEVEL_M = 0.05
"""Heights this close count as one storey."""
_DEADLINE_S = 600.0


def validate_any(path: Path, *, physics: bool = False) -> tuple[Gate, ...]:
    """Judge any USD scene.

    Args:
        path: .usd, .usda, .usdc or .usdz.
        physics: also drop balls on the sampled spawns (Newton; the first run compiles for a minute).

    Returns:
        `usd_errors`, `collider_count`, `floor_under_spawns` and, with `physics`, `drop_rest_share`. Spawns are sampled
        over the visible meshes' ground plan, so that visible floor without a collider is found.

    Raises:
        InputError: not a readable USD file.
    """
    problems = scene_problems(path)
    told = "; ".join(problems[:_SHOWN]) + (f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else "")
    found = [judged("usd_errors", SENSOR["usd_errors"], float(len(problems)), told)]
    scene = read_scene(path, textures=False)
    count = sum(len(shape.faces) > 0 for shape in scene.colliders)
    found.append(judged("collider_count", ANY["collider_count"], float(count), "nothing to stand on"))
    points, share = _spawns(scene)
    limit = ANY["floor_under_spawns"]
    if share is None:
        found.append(not_computed("floor_under_spawns", limit, "there is no level free floor to spawn on"))
    else:
        found.append(judged("floor_under_spawns", limit, share, f"a collider under {share:.0%} of the visible floor"))
    if physics:
        found.append(_dropped(scene, points))
    return tuple(found)


def _dropped(scene: SceneGeometry, points: np.ndarray) -> Gate:
    limit = SENSOR["drop_rest_share"]
    if len(points) == 0:
        return not_computed("drop_rest_share", limit, "there is no level free floor to spawn on")
    try:
        drops = drop_balls(scene, points, _DEADLINE_S)
    except (TimeoutError, ChildProcessError) as error:
        return not_computed("drop_rest_share", limit, str(error))
    told = f"{len(drops.faults)} of {len(points)} balls, {'; '.join(drops.faults[:3])}"
    return judged("drop_rest_share", limit, float(drops.rested.mean()), told)


def _spawns(scene: SceneGeometry) -> tuple[np.ndarray, float | None]:
    """Spots (x, y, height) on the main level of the floor that can be seen (or, with nothing visible, stood on), and
    the share of them that has a collider within 5 cm of that height."""
    shown, colliders = RayScene(*scene.visual_mesh()), RayScene(*scene.collider_mesh())
    vertices, faces = scene.visual_mesh() if scene.visuals else scene.collider_mesh()
    ground = RayScene(vertices, faces)
    if len(faces) == 0:
        return np.zeros((0, 3)), None
    spots = _level_spots(ground, vertices, faces)
    origins = spots + _UP * (RADIUS_M + DROP_M)
    clear = np.minimum(shown.distance(origins), colliders.distance(origins)) > RADIUS_M + 0.02
    spots = _apart(spots[clear])
    if len(spots) == 0:
        return spots, None
    below = colliders.cast(spots + _UP * _LEVEL_M, np.broadcast_to(-_UP, spots.shape))[0]
    return spots, float((below <= 2 * _LEVEL_M).mean())


def _level_spots(ground: RayScene, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
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
    spots = spots[np.abs(spots[:, 2] - main) <= _LEVEL_M]
    above = ground.cast(spots + _UP * 1e-3, np.broadcast_to(_UP, spots.shape))[0]
    return spots[above > 2 * RADIUS_M + DROP_M]


def _apart(spots: np.ndarray) -> np.ndarray:
    """The first spots, in order, that keep their distance from each other."""
    kept: list[np.ndarray] = []
    for spot in spots:
        if all(np.hypot(*(spot - other)[:2]) >= _APART_M for other in kept):
            kept.append(spot)
        if len(kept) == _SPAWNS:
            break
    return np.array(kept).reshape(-1, 3)
