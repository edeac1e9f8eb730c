"""What is true about a procedural place: where a robot fits, how high the floor is, how far a point is from a surface.

Free space is exact: distances from cell centres to the triangles themselves, cut to the height band of the robot, not
to a raster of them.
"""

import functools

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
from jaxtyping import Bool, Float, Float64
from numba import njit
from trimesh.triangles import closest_point

from lyra_sim.core.records import FloorGrid, Label
from lyra_sim.procedural.render import face_normals, ray_scene
from lyra_sim.procedural.scene import ProceduralScene

SLAB_M = (0.01, 0.55)
"""Height above the local floor in which things stand in a robot's way."""


def floor_height(scene: ProceduralScene, xy: Float[np.ndarray, "N 2"]) -> Float64[np.ndarray, "N"]:
    """Height of the ground at points of the plane, metres; NaN where there is none."""
    z = np.full(len(xy), np.nan)
    for (x0, y0, x1, y1), height in zip(scene.floor_rect_m[::-1], scene.floor_z_m[::-1], strict=True):
        z[(xy[:, 0] >= x0) & (xy[:, 0] <= x1) & (xy[:, 1] >= y0) & (xy[:, 1] <= y1)] = height
    for change in scene.level_changes:
        on = ((xy >= change.rect_m[:2]) & (xy <= change.rect_m[2:])).all(1)
        z[on] = change.z_m + (xy[on] - change.rect_m[:2]) @ change.rise
    return z


def _rises(scene: ProceduralScene, xy: np.ndarray) -> Float64[np.ndarray, "N 2"]:
    """Slope of the ground at points of the plane."""
    rise = np.zeros((len(xy), 2))
    for change in scene.level_changes:
        rise[((xy >= change.rect_m[:2]) & (xy <= change.rect_m[2:])).all(1)] = change.rise
    return rise


def truth_free(
    scene: ProceduralScene,
    xy: Float[np.ndarray, "N 2"],
    radius_m: float,
    *,
    slab_m: tuple[float, float] = SLAB_M,
) -> Bool[np.ndarray, "N"]:
    """Whether a disc of `radius_m` standing on the ground at each point touches nothing.

    True where the point has ground under it, no triangle between `slab_m[0]` and `slab_m[1]` above that ground comes
    nearer than the radius in the plane, and the point is not inside a solid. On a ramp, heights are taken
    above the ramp's plane. The disc may reach over the edge of a kerb or step it stands on: drops are not judged.
    """
    xy = np.asarray(xy, float)
    z = floor_height(scene, xy)
    free = np.isfinite(z)
    corners = scene.vertices[scene.faces].astype(np.float64)
    rise = _rises(scene, xy)
    ground = np.column_stack([rise, (z - (xy * rise).sum(1)).round(9)])  # z = rise . xy + offset
    for plane in np.unique(ground[free], axis=0):
        here = np.nonzero(free & (ground == plane).all(1))[0]
        level = corners.copy()
        level[:, :, 2] -= corners[:, :, :2] @ plane[:2] + plane[2]  # sheared until this ground is z = 0
        free[here] = ~_touched(xy[here], level, slab_m[0], slab_m[1], radius_m)
    standing = np.nonzero(free)[0]
    start = np.column_stack([xy[standing], z[standing] + slab_m[0] + 1e-4])
    free[standing[_inside_solid(scene, start)]] = False
    return free


def _inside_solid(scene: ProceduralScene, points: np.ndarray) -> np.ndarray:
    """Which points lie inside a piece of furniture, a car or the like: straight up, more tops are met than undersides.
    Walls, floors and ceilings have one side only and are not counted, nor are bodies that begin above the point: a
    plate on a table has no underside."""
    normal_z = face_normals(scene)[:, 2]
    counts = np.sign(np.where(np.abs(normal_z) < 1e-6, 0, normal_z)).astype(np.int64)
    counts[~np.isin(scene.face_label, (int(Label.OBJECT), int(Label.OBSTACLE)))] = 0
    lowest = _lowest_of_body(scene)
    at, inside = points.copy(), np.zeros(len(points), np.int64)
    left = np.arange(len(points))
    while len(left):
        t, hit, _ = ray_scene(scene).cast(at[left], np.broadcast_to([0.0, 0.0, 1.0], (len(left), 3)))
        met = hit >= 0
        left, t, hit = left[met], t[met], hit[met]
        inside[left] += np.where(lowest[hit] <= points[left, 2], counts[hit], 0)
        at[left, 2] += t + 1e-4
    return inside > 0


@functools.lru_cache(maxsize=4)
def _lowest_of_body(scene: ProceduralScene) -> Float64[np.ndarray, "M"]:
    """For each face, the lowest point of the body it belongs to: faces that share corners."""
    _, corner = np.unique(scene.vertices.round(5), axis=0, return_inverse=True)
    faces = corner.reshape(-1)[scene.faces]
    count = int(faces.max()) + 1
    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    links = scipy.sparse.coo_matrix((np.ones(len(edges), bool), edges.T), shape=(count, count))
    _, body = scipy.sparse.csgraph.connected_components(links, directed=False)
    lowest = np.full(int(body.max()) + 1, np.inf)
    np.minimum.at(lowest, body[faces].ravel(), scene.vertices[scene.faces][..., 2].astype(np.float64).ravel())
    return lowest[body[faces[:, 0]]]


def free_mask(
    scene: ProceduralScene,
    origin_m: Float[np.ndarray, "2"],
    shape: tuple[int, int],
    cell_m: float,
    radius_m: float,
    *,
    slab_m: tuple[float, float] = SLAB_M,
) -> Bool[np.ndarray, "X Y"]:
    """`truth_free` at the centres of a grid whose cell (i, j) covers `origin_m + [i, j] * cell_m` and one cell on."""
    i, j = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    xy = np.stack([i.ravel(), j.ravel()], 1) * cell_m + (np.asarray(origin_m, float) + cell_m / 2)
    return truth_free(scene, xy, radius_m, slab_m=slab_m).reshape(shape)


def truth_distance(scene: ProceduralScene, points: Float[np.ndarray, "N 3"]) -> Float64[np.ndarray, "N"]:
    """Unsigned distance of points to the nearest true surface, metres.

    The nearest triangle is found in float32, the distance to it computed in float64: float32 alone is wrong by
    millimetres on a kerb's triangles (4 m long, 0.12 m high, 20 m from the origin).
    """
    points = np.asarray(points, np.float64)
    if not len(points):
        return np.zeros(0)
    _, face = ray_scene(scene).closest(points)
    nearest = closest_point(scene.vertices[scene.faces[face]].astype(np.float64), points)
    return np.linalg.norm(nearest - points, axis=1)


def bounds(scene: ProceduralScene, cell_m: float, margin_m: float = 0.0) -> tuple[np.ndarray, tuple[int, int]]:
    """(origin, shape) of a grid over all ground of the scene."""
    low = scene.floor_rect_m[:, :2].min(0) - margin_m
    high = scene.floor_rect_m[:, 2:].max(0) + margin_m
    nx, ny = np.ceil((high - low) / cell_m - 1e-9).astype(int).tolist()
    return low, (nx, ny)


def true_floor(scene: ProceduralScene, cell_m: float = 0.025) -> FloorGrid:
    """The ground of the scene as the floor of a walk that saw all there is to see: none inside solids."""
    origin, shape = bounds(scene, cell_m)
    points = origin + (np.indices(shape).reshape(2, -1).T + 0.5) * cell_m
    height = floor_height(scene, points)
    ground = np.flatnonzero(np.isfinite(height))
    hidden = ground[_inside_solid(scene, np.column_stack([points, height + 1e-3])[ground])]
    height[hidden] = np.nan
    seen = np.isfinite(height)
    return FloorGrid(
        origin_m=np.array(origin, float), cell_m=cell_m, state=seen.astype(np.uint8).reshape(shape),
        height_m=np.where(seen, height, 0).astype(np.float32).reshape(shape),
    )  # fmt: skip


def _touched(xy: np.ndarray, corners: np.ndarray, low: float, high: float, radius: float) -> np.ndarray:
    """Which points have a triangle of the band within `radius`, using a coarse hash of the points."""
    z = corners[:, :, 2]
    inside = corners[(z.max(1) > low) & (z.min(1) < high)]
    bin_m = max(0.25, radius)
    origin = xy.min(0) - bin_m
    ij = ((xy - origin) / bin_m).astype(np.int64)
    ny = int(ij[:, 1].max()) + 2
    nx = int(ij[:, 0].max()) + 2
    key = ij[:, 0] * ny + ij[:, 1]
    order = np.argsort(key, kind="stable")
    first = np.searchsorted(key[order], np.arange(nx * ny + 1))
    return _touch_loop(xy, order, first, origin, bin_m, nx, ny, inside, low, high, radius)


@njit(cache=True)
def _touch_loop(xy, order, first, origin, bin_m, nx, ny, corners, low, high, radius):
    touched = np.zeros(len(xy), np.bool_)
    poly = np.empty((8, 3))
    other = np.empty((8, 3))
    for t in range(len(corners)):
        poly[:3] = corners[t]
        n = _clip(poly, 3, other, low, 1.0)
        n = _clip(other, n, poly, high, -1.0)
        if n == 0:
            continue
        x0, y0 = poly[:n, 0].min() - radius, poly[:n, 1].min() - radius
        x1, y1 = poly[:n, 0].max() + radius, poly[:n, 1].max() + radius
        i0, i1 = max(0, int((x0 - origin[0]) / bin_m)), min(nx - 1, int((x1 - origin[0]) / bin_m))
        j0, j1 = max(0, int((y0 - origin[1]) / bin_m)), min(ny - 1, int((y1 - origin[1]) / bin_m))
        for i in range(i0, i1 + 1):
            for j in range(j0, j1 + 1):
                for k in range(first[i * ny + j], first[i * ny + j + 1]):
                    p = order[k]
                    if not touched[p] and _near(poly, n, xy[p, 0], xy[p, 1], radius):
                        touched[p] = True
    return touched


@njit(cache=True)
def _clip(poly, n, out, z, sign):
    """Sutherland-Hodgman against the plane at height z: keeps what is above (sign 1) or below (sign -1)."""
    m = 0
    for i in range(n):
        a, b = poly[i], poly[(i + 1) % n]
        da, db = sign * (a[2] - z), sign * (b[2] - z)
        if da >= 0:
            out[m] = a
            m += 1
        if (da > 0 and db < 0) or (da < 0 and db > 0):
            s = da / (da - db)
            for c in range(3):
                out[m, c] = a[c] + s * (b[c] - a[c])
            m += 1
    return m


@njit(cache=True)
def _near(poly, n, x, y, radius):
    """Whether (x, y) lies in the polygon's outline or within `radius` of it."""
    inside = False
    for i in range(n):
        ax, ay = poly[i, 0], poly[i, 1]
        bx, by = poly[(i + 1) % n, 0], poly[(i + 1) % n, 1]
        dx, dy = bx - ax, by - ay
        length = dx * dx + dy * dy
        s = 0.0 if length < 1e-18 else min(1.0, max(0.0, ((x - ax) * dx + (y - ay) * dy) / length))
        ex, ey = ax + s * dx - x, ay + s * dy - y
        if ex * ex + ey * ey < radius * radius:
            return True
        if (ay > y) != (by > y) and x < ax + (y - ay) / (by - ay) * dx:
            inside = not inside
    return inside
