"""How far colliders are from what was measured, and how much free space they block: pure functions of triangles,
rays and points, so that the same figures can be taken from a written scene."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int
from numba import njit

from lyra_sim.core.records import Intrinsics, Label, PixelOrigin, SpaceGrid, World
from lyra_sim.geometry.cells import cells_of
from lyra_sim.geometry.rays import RayScene

SAMPLES = 100_000
EVERY_PIXEL = 10
EARLY_M = 0.05
"""A ray that meets a collider further than this before its end was stopped early."""
NEAR_POINT_M = 0.05
"""... unless the spot is this close to a measured point: grazing rays run along surfaces."""


@dataclass(frozen=True)
class View:
    """The measured pixels of one frame."""

    depth_m: Float32[np.ndarray, "H W"]
    measured: Bool[np.ndarray, "H W"]
    camera: Intrinsics
    T_world_cam: Float64[np.ndarray, "4 4"]

    @property
    def origin(self) -> Float[np.ndarray, "3"]:
        """Camera position in the world."""
        return self.T_world_cam[:3, 3]

    def points(self, every: int = 1) -> Float[np.ndarray, "N 3"]:
        """World points of every n-th measured pixel, row-major, float64."""
        index = np.flatnonzero(self.measured)[::every]
        v, u = np.divmod(index, self.camera.width)
        z = self.depth_m.ravel()[index].astype(np.float64)
        x = (u + 0.5 - self.camera.cx) / self.camera.fx * z
        y = (v + 0.5 - self.camera.cy) / self.camera.fy * z
        R = self.T_world_cam[:3, :3]
        return np.stack([R[k, 0] * x + R[k, 1] * y + R[k, 2] * z + self.origin[k] for k in range(3)], axis=1)


def floor_views(world: World) -> tuple[View, ...]:
    """The input frames with the pixels that may show floor: those the observer calls floor, where it tells (photos),
    else all measured ones."""
    frames = world.start.frames
    floor = frames.label == Label.FLOOR
    if not floor.any():
        return measured_views(world)
    views = measured_views(world)
    return tuple(replace(view, measured=view.measured & floor[t]) for t, view in enumerate(views))


def measured_views(world: World) -> tuple[View, ...]:
    """The input frames with their measured pixels.

    Sensor walks and photos alike keep their inputs in `world.start`; generated frames are not measurements.
    """
    frames = world.start.frames
    return tuple(
        View(
            depth_m=frames.depth_m[t],
            measured=frames.valid[t] & (frames.origin[t] == PixelOrigin.MEASURED),
            camera=frames.intrinsics,
            T_world_cam=frames.cam_to_world[t],
        )
        for t in range(len(frames))
    )


def area_samples(
    vertices: Float[np.ndarray, "N 3"], faces: Int[np.ndarray, "M 3"], count: int, seed: int
) -> Float[np.ndarray, "K 3"]:
    """`count` points spread uniformly over the area of the triangles (none when there is no area)."""
    corner = vertices[faces].astype(np.float64)
    area = 0.5 * np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1)
    if not len(faces) or area.sum() <= 0:
        return np.zeros((0, 3))
    rng = np.random.default_rng(seed)
    total = np.cumsum(area)
    pick = np.minimum(np.searchsorted(total, rng.random(count) * total[-1], side="right"), len(faces) - 1)
    r, s = np.sqrt(rng.random(count)), rng.random(count)
    weight = np.stack([1 - r, r * (1 - s), r * s], axis=1)
    return (corner[pick] * weight[:, :, None]).sum(axis=1)


def in_state(space: SpaceGrid, *states: int) -> Callable[[np.ndarray], Bool[np.ndarray, "N"]]:
    """A test whether points lie in voxels of these states (1 free, 2 at a surface); outside the grid none do."""

    def test(points: np.ndarray) -> Bool[np.ndarray, "N"]:
        found, cell = cells_of(points, space.origin_m, space.voxel_m, space.state.shape)
        out = np.zeros(len(points), bool)
        out[found] = np.isin(space.state[tuple(cell)], states)
        return out

    return test


def seen_in(space: SpaceGrid) -> Callable[[np.ndarray], Bool[np.ndarray, "N"]]:
    """A test whether points lie in the seen region: in space that rays passed, or at a surface they met."""
    return in_state(space, 1, 2)


def surface_distance(
    collider_v: Float[np.ndarray, "N 3"],
    collider_f: Int[np.ndarray, "M 3"],
    surface_v: Float[np.ndarray, "P 3"],
    surface_f: Int[np.ndarray, "Q 3"],
    seed: int,
    *,
    samples: int = SAMPLES,
    seen: Callable[[np.ndarray], np.ndarray] | None = None,
) -> dict[str, float]:
    """Two-sided distance between collider and surface: `median_m`, `p95_m`, `max_m`, of both ways the larger.

    Args:
        seen: which points lie in the seen region; samples on the collider elsewhere (the hidden side of a slab) do
            not count. None counts all.
    """
    if len(collider_f) == 0 or len(surface_f) == 0:
        return {"median_m": np.inf, "p95_m": np.inf, "max_m": np.inf}
    on_collider = area_samples(collider_v, collider_f, samples, seed)
    if seen is not None:
        on_collider = on_collider[seen(on_collider)]
    on_surface = area_samples(surface_v, surface_f, samples, seed + 1)
    ways = [RayScene(surface_v, surface_f).distance(on_collider), RayScene(collider_v, collider_f).distance(on_surface)]
    ways = [way for way in ways if len(way)]
    return {
        "median_m": max(float(np.median(way)) for way in ways),
        "p95_m": max(float(np.percentile(way, 95)) for way in ways),
        "max_m": max(float(way.max()) for way in ways),
    }


def depth_distance(
    collider_v: Float[np.ndarray, "N 3"], collider_f: Int[np.ndarray, "M 3"], views: Sequence[View]
) -> dict[str, float]:
    """Distance of every 10th measured point to the nearest collider: `median_m`, `p95_m`, `p99_m`."""
    scene = RayScene(collider_v, collider_f)
    points = np.concatenate([np.zeros((0, 3)), *(view.points(EVERY_PIXEL) for view in views)])
    if not len(points):
        return {"median_m": np.inf, "p95_m": np.inf, "p99_m": np.inf}
    median, p95, p99 = (float(q) for q in np.percentile(scene.distance(points), (50, 95, 99)))
    return {"median_m": median, "p95_m": p95, "p99_m": p99}


def blocked_share(
    collider_v: Float[np.ndarray, "N 3"], collider_f: Int[np.ndarray, "M 3"], views: Sequence[View]
) -> float:
    """Share of the rays to every 10th measured point that a collider blocks.

    Blocked: the ray meets a collider more than 5 cm before its end, at a spot more than 5 cm from every measured
    point of every frame. 1.0 where there are no rays.
    """
    scene = RayScene(collider_v, collider_f)
    spots: list[np.ndarray] = []
    rays = 0
    for view in views:
        end = view.points(EVERY_PIXEL)
        along = end - view.origin
        rays += len(end)
        if len(end) == 0:
            continue
        t, _, _ = scene.cast(np.broadcast_to(view.origin, end.shape), along)
        early = np.isfinite(t) & ((1.0 - t) * np.linalg.norm(along, axis=1) > EARLY_M)
        spots.append(view.origin + along[early] * t[early, None])
    if rays == 0:
        return 1.0
    return float(far_from_all(np.concatenate(spots), views).sum() / rays)


BUCKETS = 1 << 20


def far_from_all(spots: Float[np.ndarray, "K 3"], views: Sequence[View]) -> Bool[np.ndarray, "K"]:
    """Whether each spot is further than NEAR_POINT_M from every measured point.

    Each spot is entered in the hash buckets of the 27 grid cells around it, so that each of the many points looks
    into one bucket only.
    """
    far = np.ones(len(spots), bool)
    if len(spots) == 0:
        return far
    around = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    cells = (np.floor(spots / NEAR_POINT_M).astype(np.int64)[:, None] + around).reshape(-1, 3)
    bucket = _buckets(cells)
    order = np.argsort(bucket, kind="stable")
    start = np.searchsorted(bucket[order], np.arange(BUCKETS + 1))
    owner = order // 27
    for view in views:
        _mark_near(view.points(), start, owner, spots, NEAR_POINT_M, far)
    return far


@njit(cache=True)
def _buckets(cells):  # pragma: no cover - compiled
    out = np.empty(len(cells), np.int64)
    for n in range(len(cells)):
        out[n] = _bucket(cells[n, 0], cells[n, 1], cells[n, 2])
    return out


@njit(cache=True)
def _bucket(i, j, k):  # pragma: no cover - compiled
    """Hash of a grid cell; two cells in one bucket cost time only."""
    return (i * 73856093 ^ j * 19349663 ^ k * 83492791) & (BUCKETS - 1)


@njit(cache=True)
def _mark_near(points, start, owner, spots, radius, far):  # pragma: no cover - compiled
    for n in range(len(points)):
        i = int(np.floor(points[n, 0] / radius))
        j = int(np.floor(points[n, 1] / radius))
        k = int(np.floor(points[n, 2] / radius))
        s = _bucket(i, j, k)
        for m in range(start[s], start[s + 1]):
            p = owner[m]
            if far[p]:
                dx = spots[p, 0] - points[n, 0]
                dy = spots[p, 1] - points[n, 1]
                dz = spots[p, 2] - points[n, 2]
                if dx * dx + dy * dy + dz * dz <= radius * radius:
                    far[p] = False
