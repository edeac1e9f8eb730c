"""Spots on verified floor where something may be put down: spawns for simulators, drop points for the physics gate."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64
from numba import njit

from lyra_sim.config.tasks import RobotConfig
from lyra_sim.geometry.rays import RayScene
from robot_tasks.colliders import Nearby, Soup, rays_of, together
from robot_tasks.geodesic import sample
from robot_tasks.islands import Space
from robot_tasks.navmap import Ground, NavMap, Slab
from robot_tasks.raster import band_distance

DROP_SLAB = Slab(low_m=0.01, high_m=0.55, step_m=0.01, slope_deg=5.0)
"""Heights over the floor in which every collider counts, whatever the robot's height: a ball dropped here starts at
0.3 to 0.5 m and rolls off anything above a centimetre."""
CLEARANCE_M = 0.15
SPACINGS_M = (0.4, 0.25)
ENOUGH = 24
_CANDIDATES = 20_000
"""Of larger islands so many random places are looked at; 80 a square metre in 250 m2."""
_PROBE_M = 0.1
_LEVEL_M, _LEVEL_DEG = 0.005, 0.3
_EDGE_M = 0.015
"""Balls that land this near an inner triangle edge may creep in one engine; such spots are used last."""


def find_free_points(
    soups: Sequence[Soup], ground: Ground, band: NavMap, space: Space, robot: RobotConfig, seed: int
) -> Float64[np.ndarray, "N 2"]:
    """Poisson-disc points on level floor of the largest island, rounded to millimetres.

    Each is at least max(robot radius, 0.15) m from every collider face between 0.01 and 0.55 m above the floor and
    from the floor's border, and 0.4 m from the others (0.25 m where that gives fewer than 24).

    Args:
        soups: variants of the colliders; all of this holds on each of them.
        band: map of `DROP_SLAB`, of all variants together.
        space: where the robot's centre may be.
    """
    need = max(robot.radius_m, CLEARANCE_M) + 1e-3
    cells = np.argwhere(space.main)
    if len(cells) > _CANDIDATES:
        cells = cells[np.random.default_rng([seed, 2]).choice(len(cells), _CANDIDATES, replace=False)]
    points = np.round(space.centre(cells), 3)
    points = points[sample(band.clearance_m, band.origin_m, band.fine_m, points) >= need]
    if len(points) == 0:
        return np.zeros((0, 2))
    level, quiet = np.ones((2, len(points)), bool)
    floor_m = np.zeros(len(points))
    for soup in reversed(soups):
        flat, off_edges, floor_m = _level(soup, rays_of(soup), ground, points)
        level, quiet = level & flat, quiet & off_edges
    nearby = Nearby(together(soups).triangles)
    order = np.random.default_rng(seed).permutation(len(points))
    order = np.concatenate([order[(level & quiet)[order]], order[(level & ~quiet)[order]]])
    chosen = np.zeros(0, np.int64)
    for spacing in SPACINGS_M:
        chosen = _poisson(points, order, spacing + 1e-3)
        low, high = floor_m + DROP_SLAB.low_m, floor_m + DROP_SLAB.high_m
        exact = [
            band_distance(
                nearby.around(float(points[k, 0]), float(points[k, 1]), need),
                points[k],
                float(low[k]),
                float(high[k]),
                need,
            )
            for k in chosen
        ]
        chosen = chosen[np.array(exact, float) >= need - 1e-9]
        if len(chosen) >= ENOUGH:
            break
    return points[chosen]


def _level(
    soup: Soup, rays: RayScene, ground: Ground, points: np.ndarray
) -> tuple[Bool[np.ndarray, "N"], Bool[np.ndarray, "N"], Float64[np.ndarray, "N"]]:
    """Per point: does a level collider lie within 5 mm of the recorded floor there and around, is no triangle edge
    close by, and the collider's height."""
    turn = np.arange(8) * np.pi / 4
    ring = np.concatenate([[[0.0, 0.0]], _PROBE_M * np.column_stack([np.cos(turn), np.sin(turn)])])
    cell = np.floor((points - ground.origin_m) / ground.cell_m).astype(int)
    top = ground.height_m[cell[:, 0], cell[:, 1]].astype(np.float64) + DROP_SLAB.low_m
    starts = np.column_stack([(points[:, None] + ring).reshape(-1, 2), np.repeat(top, len(ring))])
    depth, face, _ = rays.cast(starts, np.broadcast_to([0.0, 0.0, -1.0], starts.shape))
    height = (starts[:, 2] - depth).reshape(-1, len(ring))
    known = np.isfinite(height)
    height = np.where(known, height, 1e3)
    recorded = (top - DROP_SLAB.low_m)[:, None]
    level = known.all(1) & (np.abs(height - recorded) <= _LEVEL_M).all(1)
    level &= _open_above(soup, rays, starts[:: len(ring)])
    corners = soup.triangles[face.reshape(-1, len(ring))[:, 0]]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    tilt = np.arctan2(np.hypot(normal[:, 0], normal[:, 1]), np.abs(normal[:, 2]))
    edge = np.full(len(points), np.inf)
    for k in range(3):
        side = (corners[:, (k + 1) % 3] - corners[:, k])[:, :2]
        off = points - corners[:, k, :2]
        gap = np.abs(side[:, 0] * off[:, 1] - side[:, 1] * off[:, 0]) / np.maximum(np.hypot(*side.T), 1e-9)
        edge = np.minimum(edge, gap)
    return level & (np.degrees(tilt) <= _LEVEL_DEG), edge >= _EDGE_M, height[:, 0]


def _open_above(soup: Soup, rays: RayScene, starts: np.ndarray) -> Bool[np.ndarray, "N"]:
    """False where the first face overhead looks up: inside something solid, or under a thing whose underside nobody
    has seen."""
    _, face, _ = rays.cast(starts, np.broadcast_to([0.0, 0.0, 1.0], starts.shape))
    corners = soup.triangles[face]
    (ax, ay), (bx, by) = ((corners[:, k] - corners[:, 0])[:, :2].T for k in (1, 2))
    return (face < 0) | (ax * by - ay * bx <= 0)


@njit(cache=True)
def _poisson(points, order, spacing):
    """Greedy Poisson-disc choice in the given order."""
    low = np.array([points[:, 0].min(), points[:, 1].min()])
    nx = int((points[:, 0].max() - low[0]) / spacing) + 1
    ny = int((points[:, 1].max() - low[1]) / spacing) + 1
    first, following = np.full((nx + 2, ny + 2), -1), np.full(len(points), -1)
    chosen = np.empty(len(order), np.int64)
    count = 0
    for k in order:
        i, j = int((points[k, 0] - low[0]) / spacing) + 1, int((points[k, 1] - low[1]) / spacing) + 1
        near = False
        for a in range(i - 1, i + 2):
            for b in range(j - 1, j + 2):
                m = first[a, b]
                while m >= 0 and not near:
                    near = np.hypot(points[k, 0] - points[m, 0], points[k, 1] - points[m, 1]) < spacing
                    m = following[m]
        if not near:
            following[k], first[i, j] = first[i, j], k
            chosen[count] = k
            count += 1
    return chosen[:count]


def write_free_points(points: Float64[np.ndarray, "N 2"], path: Path) -> None:
    """`free_points.csv`: no header, one `x,y` per line, metres, world frame."""
    path.write_text("".join(f"{x:.3f},{y:.3f}\n" for x, y in points))
