"""Which way is down in a walk, and where the floor is: from the level surfaces and the walls that the sensor saw."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from lyra_sim.core.errors import SceneError
from lyra_sim.depth.planes import PlaneFit, fit_plane, patch_cloud

PATCH_M = 0.04
"""Surface is counted in patches of this size, so that what was seen often or from near weighs no more."""
_CONE_DEG = 48.0
_FLOOR_TILT_SIGMA_RAD = 0.0015
_WALL_TILT_SIGMA_RAD = 0.008
"""How level real floors and how plumb real walls are; a robot cares for the floor, so walls decide only where the
seen floor is too small to."""
_MIN_FLOOR_M2 = 0.3
_STRONG_SHARE = 0.12
_ON_PLANE_M = 0.015


@dataclass(frozen=True)
class Ground:
    """Up (unit vector, source frame), `up @ p` of the floor's points, one sigma of the tilt, seen floor area."""

    up: np.ndarray
    floor_height_m: float
    sigma_rad: float
    area_m2: float
    ceiling_m2: float
    """Area of level surface that faces down, between 1.8 and 6 m above the floor."""
    ceiling_m: float | None = None
    """Height of the largest such level above the floor, where it is larger than a table's underside (1 m2)."""
    ceiling_sigma_m: float = 0.0
    """Spread of that level's points."""


def find_ground(
    points: Float[np.ndarray, "N 3"],
    normals: Float[np.ndarray, "N 3"],
    cameras: Float[np.ndarray, "T 3"],
    prior_up: Float[np.ndarray, "3"],
) -> Ground:
    """Gravity and floor of what a walk saw.

    The direction within 48 degrees of the prior that explains most surface (level patches, and walls upright to it)
    is taken, then the floor as the lowest strong level below the cameras (table tops may be larger than the seen
    floor), then the tilt is fitted to the floor plane and, weakly, to the walls.

    Args:
        points: surface points in the source frame, any density.
        normals: unit normals turned towards the cameras.
        cameras: camera centres.
        prior_up: rough up direction, such as the mean of the cameras' -y axes; up to about 40 degrees wrong.

    Raises:
        SceneError: no level surface below the cameras.
    """
    points, normals = patch_cloud(points, normals, PATCH_M)
    up = _dominant_up(normals, prior_up / np.linalg.norm(prior_up))
    flat = normals @ up > np.cos(np.radians(15))
    for blur_m in (0.1, 0.05):
        level = _floor_level(points, normals, cameras, up, blur_m=blur_m)
        near = points[flat & (np.abs(points @ up - level) < 0.06 + blur_m)]
        floor = fit_plane(_on_one_plane(near, up), PATCH_M, band_m=0.03)
        walls = _walls(points, normals, up)
        up, sigma = _combine(up, floor, walls)
    heights = points @ up
    near = (normals @ up > np.cos(np.radians(20))) & (np.abs(heights - floor.centre @ up) < 0.04)
    ceiling = (normals @ up < -np.cos(np.radians(15))) & (np.abs(heights - floor.centre @ up - 3.9) < 2.1)
    level = float(np.median(heights[near]))
    ceiling_m, ceiling_sigma_m = _ceiling_level(heights[ceiling] - level)
    return Ground(
        up=up,
        floor_height_m=level,
        sigma_rad=sigma,
        area_m2=float(near.sum()) * PATCH_M**2,
        ceiling_m2=float(ceiling.sum()) * PATCH_M**2,
        ceiling_m=ceiling_m,
        ceiling_sigma_m=ceiling_sigma_m,
    )


def _ceiling_level(heights: np.ndarray) -> tuple[float | None, float]:
    """Median and spread of the points within 10 cm of the level that holds most; None where that is below 1 m2."""
    if not len(heights):
        return None, 0.0
    counts, edges = np.histogram(heights, bins=np.arange(1.8, 6.1, 0.1))
    centre = edges[int(np.argmax(counts))] + 0.05
    there = heights[np.abs(heights - centre) < 0.1]
    if len(there) * PATCH_M**2 < 1.0:
        return None, 0.0
    middle = float(np.median(there))
    return middle, 1.48 * float(np.median(np.abs(there - middle)))


def _dominant_up(normals: np.ndarray, prior_up: np.ndarray) -> np.ndarray:
    """The direction near the prior to which most patches are level or upright."""
    directions = _cone(prior_up, _CONE_DEG, 2500)
    sample = normals[:: max(1, len(normals) // 20_000)]
    score = np.empty(len(directions))
    for i, direction in enumerate(directions):
        c = sample @ direction
        score[i] = (np.abs(c) > np.cos(np.radians(5))).sum() + 0.5 * (np.abs(c) < np.sin(np.radians(3))).sum()
    up = directions[int(np.argmax(score))]
    for limit_deg in (8, 6, 4):
        c = normals @ up
        level = np.abs(c) > np.cos(np.radians(limit_deg))
        if level.sum() < 10:
            break
        up = (normals[level] * np.sign(c[level])[:, None]).sum(0)
        up /= np.linalg.norm(up)
    return up


def _cone(axis: np.ndarray, half_angle_deg: float, count: int) -> np.ndarray:
    """`count` directions spread evenly (golden spiral) over a cone; the axis is the first."""
    k = np.arange(count)
    z = 1 - k / count * (1 - np.cos(np.radians(half_angle_deg)))
    r, phi = np.sqrt(1 - z * z), k * np.pi * (3 - np.sqrt(5))
    e1 = np.cross(axis, np.eye(3)[int(np.argmin(np.abs(axis)))])
    e1 /= np.linalg.norm(e1)
    return np.outer(z, axis) + np.outer(r * np.cos(phi), e1) + np.outer(r * np.sin(phi), np.cross(axis, e1))


def _floor_level(
    points: np.ndarray, normals: np.ndarray, cameras: np.ndarray, up: np.ndarray, *, blur_m: float
) -> float:
    """Height of the lowest strong level below the cameras. Raises SceneError where there is none."""
    eye = float(np.median(cameras @ up))
    heights = points[normals @ up > np.cos(np.radians(15))] @ up
    heights = heights[heights < eye - 0.1]
    step = 0.01
    low = eye - 10.0
    counts = np.histogram(heights, bins=1000, range=(low, low + 1000 * step))[0].astype(np.float64)
    width = 2 * round(blur_m / step) + 1
    area = np.convolve(counts, np.ones(width), mode="same") * PATCH_M**2
    strong = area >= max(_MIN_FLOOR_M2, _STRONG_SHARE * area.max())
    if not strong.any():
        raise SceneError(
            "observe",
            expected=f"at least {_MIN_FLOOR_M2} m2 of level floor below the camera",
            got=f"{area.max():.2f} m2 of level surface at one height",
            todo="Show more of the floor in the images: walls and table tops do not tell where a robot can stand.",
        )
    first = int(np.argmax(strong))
    top = first + int(np.argmax(area[first : first + width]))
    return low + (top + 0.5) * step


def _on_one_plane(points: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Those points that lie on the plane that most do: road or pavement, not a slope through both.

    Level planes are tried first; then planes through three random points, tilted up to 4 degrees (Fischler and Bolles
    1981), which must hold clearly more points than a level one: the surface normals said that it is level.
    """
    rng = np.random.default_rng(0)
    sample = points[:: max(1, len(points) // 4000)]
    tries = [(point, up) for point in sample[:: max(1, len(sample) // 50)]]
    for _ in range(300):
        a, b, c = sample[rng.integers(len(sample), size=3)]
        normal = np.cross(b - a, c - a)
        length = float(np.linalg.norm(normal))
        if length > 0.05 and abs(float(normal @ up)) > length * np.cos(np.radians(4)):
            tries.append((a, normal / length))
    best, most = (points[0], up), 0.0
    for i, (through, normal) in enumerate(tries):
        count = float((np.abs((sample - through) @ normal) < _ON_PLANE_M).sum())
        count *= 1.15 if normal is up else 1.0
        if count > most:
            best, most = tries[i], count
    return points[np.abs((points - best[0]) @ best[1]) < _ON_PLANE_M]


def _walls(points: np.ndarray, normals: np.ndarray, up: np.ndarray) -> list[PlaneFit]:
    """Up to eight large upright planes, the largest first; each taken out before the next is looked for."""
    c = normals @ up
    upright = np.abs(c) < np.sin(np.radians(12))
    points, normals = points[upright], normals[upright]
    e1 = np.cross(up, np.eye(3)[int(np.argmin(np.abs(up)))])
    e1 /= np.linalg.norm(e1)
    e2 = np.cross(up, e1)
    walls: list[PlaneFit] = []
    for _ in range(8):
        if len(points) * PATCH_M**2 < 0.5:
            break
        azimuth = np.arctan2(normals @ e2, normals @ e1)
        counts = np.histogram(azimuth, bins=180, range=(-np.pi, np.pi))[0]
        k = int(np.argmax(counts + np.roll(counts, 1) + np.roll(counts, -1)))
        angle = -np.pi + (k + 0.5) * np.pi / 90
        across = np.cos(angle) * e1 + np.sin(angle) * e2
        facing = normals @ across > np.cos(np.radians(8))
        offset = points @ across
        bins = np.histogram(offset[facing], bins=np.arange(offset.min(), offset.max() + 0.12, 0.06))
        centre = bins[1][int(np.argmax(bins[0]))] + 0.03
        inside = facing & (np.abs(offset - centre) < 0.08)
        if inside.sum() * PATCH_M**2 < 0.5:
            points, normals = points[~facing], normals[~facing]
            continue
        plane = fit_plane(points[inside], PATCH_M, band_m=0.04)
        if np.ptp(points[inside] @ up) > 0.5 and abs(plane.normal @ up) < 0.05:
            walls.append(plane)
        points, normals = points[~inside], normals[~inside]
    return walls


def _combine(up: np.ndarray, floor: PlaneFit, walls: list[PlaneFit]) -> tuple[np.ndarray, float]:
    """Least-squares up from the floor's normal and the walls' uprightness, and its sigma (radians).

    Each plane gives, for tilts about its in-plane axes, the angle its noise over its extent allows, plus how true
    such planes are built.
    """
    up = floor.normal * np.sign(floor.normal @ up)
    information = 1e-9 * np.eye(3)
    target = np.zeros(3)
    for axis, sigma in zip(floor.axes, floor.tilt_sigma_rad, strict=True):
        information += np.outer(axis, axis) / (sigma**2 + _FLOOR_TILT_SIGMA_RAD**2)
    for wall in walls:
        across = wall.normal - (wall.normal @ up) * up
        across /= np.linalg.norm(across)
        along = wall.axes @ up
        sigma2 = float((along**2) @ wall.tilt_sigma_rad**2) + _WALL_TILT_SIGMA_RAD**2
        residual = float(wall.normal @ up)
        if abs(residual) > 4 * np.sqrt(sigma2 + 0.01**2):
            continue
        information += np.outer(across, across) / sigma2
        target -= across * residual / sigma2
    tangent = floor.axes
    tilt = np.linalg.solve(tangent @ information @ tangent.T, tangent @ target)
    covariance = np.linalg.inv(tangent @ information @ tangent.T)
    up = up + tangent.T @ tilt
    return up / np.linalg.norm(up), float(np.sqrt(np.linalg.eigvalsh(covariance)[-1]))
