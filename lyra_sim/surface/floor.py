"""Finds the floor in a fused mesh and repairs it: noise flattened, holes closed, thin things on it left alone."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from lyra_sim.config.geometry3d import SurfaceConfig
from lyra_sim.core.errors import SceneError
from lyra_sim.core.records import FloorGrid, SpaceGrid, TriMesh
from lyra_sim.surface.clean import face_normals_areas
from lyra_sim.surface.floor_fill import Column, closing_candidates, fillable
from lyra_sim.surface.floor_ramps import Ramp, find_ramps
from lyra_sim.surface.floor_relief import low_tops
from lyra_sim.surface.heightmap import connected_levels, lowest_surface, window_medians
from lyra_sim.surface.linear import robust_plane

CELL_M = 0.025
UP_FACING = 0.75
"""Least upward component of the normal of a floor face; noise of 2 cm fusion tilts real floors by up to 20 degrees."""
WINDOW_CELLS = 20
"""Half a metre: a thing narrower than half of this window does not move the window's median, so it is not floor."""
NODE_CELLS = 10
"""A floor that is no plane is interpolated between medians every quarter metre."""
LEVEL_FIT_M = 0.025
"""A patch is made level (or one plane) when 95 % of its half-metre tiles have their median this close to it; the
gate on the fit is 0.03."""
EXACT_FIT_M = 0.004
"""Within this much of all tiles a level is no worse than a plane, and a plane better than a level beyond it: gravity is
known to a tenth of a degree, which lifts the ends of a street by centimetres."""
STEP_M = 0.02
"""Largest change of height from cell to cell within one patch."""
MOST_MOVE_M = 0.03
"""Cells whose surroundings would be moved further than this by the repair stay as they were measured."""
SAME_LEVEL_M = 0.02
"""Patches that do not touch are one floor when their medians agree this well with the main floor's plane."""


BROAD_M2, DECK_M2 = 0.5, 0.15
"""Least area of another level, and of one that a ramp leads to."""
RAMP_SIDE_CELLS, RAMP_END_CELLS = 3, 16
"""Levels are told apart without the cells this near to a ramp, and then go on until they meet it."""


@dataclass(frozen=True)
class Patch:
    """One connected floor level. `height` (X, Y) is its repaired height at every cell, extended beyond its cells;
    `local` (X, Y) is the smooth measured floor it was made from."""

    cells: Bool[np.ndarray, "X Y"]
    height: Float[np.ndarray, "X Y"]
    local: Float[np.ndarray, "X Y"]
    shape: Literal["level", "plane", "surface"]


@dataclass(frozen=True)
class Floor:
    """The repaired floor as a grid, and which patch each cell belongs to (-1 where there is no floor)."""

    grid: FloorGrid
    patch: Int[np.ndarray, "X Y"]
    patches: tuple[Patch, ...]
    relief_m: Float[np.ndarray, "X Y"]
    """Height above the repaired floor of low flat things that wheels roll over: to be seen, not to be felt."""

    def sample(self, xy: Float[np.ndarray, "N 2"]) -> tuple[Int[np.ndarray, "N"], Int[np.ndarray, "N 2"]]:
        """Patch (-1 where none) and cell of points in the plane."""
        cell = np.floor((xy - self.grid.origin_m) / self.grid.cell_m).astype(np.int64)
        inside = ((cell >= 0) & (cell < np.array(self.patch.shape))).all(axis=1)
        cell = np.clip(cell, 0, np.array(self.patch.shape) - 1)
        return np.where(inside, self.patch[cell[:, 0], cell[:, 1]], -1), cell


def find_floor(
    mesh: TriMesh,
    may_be_floor: Bool[np.ndarray, "M"],
    space: SpaceGrid,
    environment: Literal["indoor", "outdoor"],
    config: SurfaceConfig,
    foot: Float[np.ndarray, "K 3 2"],
) -> Floor:
    """Measure the floor on a 2.5 cm grid, flatten its noise and close its holes.

    Args:
        may_be_floor: False where an observer saw that a face is something else.
        foot: triangles in the plane between the camera's foot and the first floor seen (photos); filled where
            nothing stands there.

    Raises:
        SceneError: there is no level surface near z = 0.
    """
    origin, height = _candidate_heights(mesh, may_be_floor, environment)
    patches = _patches(height, environment, config.snap_m)
    owner = _owners(height, patches, config.snap_m)
    patches, owner, relief = _with_tops(height, patches, owner, config.snap_m)
    state = (owner >= 0).astype(np.uint8)
    column = Column(space=space, mesh=mesh, origin=origin, cell_m=CELL_M)
    radius = 0.5 * config.fill_hole_m / CELL_M
    for number, patch in enumerate(patches):
        by_foot = _inside_triangles(foot, origin, height.shape) & (state == 0) if number == 0 else state > 3
        by_foot = fillable(column, by_foot, patch.height, seen_free=False)
        wanted = closing_candidates((owner == number) | by_foot, radius) & (state == 0)
        fill = by_foot | fillable(column, wanted, patch.height, seen_free=True)
        state[fill], owner[fill] = 2, number
    final = np.zeros(height.shape, np.float32)
    for number, patch in enumerate(patches):
        final[owner == number] = patch.height[owner == number]
    grid = FloorGrid(origin_m=origin, cell_m=CELL_M, state=state, height_m=final)
    return Floor(grid=grid, patch=owner, patches=tuple(patches), relief_m=np.where(state == 1, relief, 0.0))


def _patches(height: Float[np.ndarray, "X Y"], environment: str, snap_m: float) -> list[Patch]:
    """Repaired levels, the main one first, then the ramps between them."""
    ramps = find_ramps(height, CELL_M)
    cut = np.zeros(height.shape, bool)
    for ramp in ramps:
        cut |= _grown(ramp.core, RAMP_SIDE_CELLS)
    patches = []
    for cells in _levels(np.where(cut, np.nan, height), environment, cut):
        patch = _repair(np.where(cells, height, np.nan), snap_m)
        back = cut & _grown(patch.cells, RAMP_END_CELLS)
        near = np.abs(height - patch.height) <= snap_m
        patches.append(replace(patch, cells=patch.cells | (back & near)))
    return patches + [_ramp_patch(ramp, height, snap_m) for ramp in ramps]


def _ramp_patch(ramp: Ramp, height: Float[np.ndarray, "X Y"], snap_m: float) -> Patch:
    cells = ramp.around & (np.abs(height - ramp.height) <= snap_m)
    return Patch(cells=cells, height=ramp.height, local=ramp.height, shape="plane")


def _owners(height: Float[np.ndarray, "X Y"], patches: list[Patch], snap_m: float) -> Int[np.ndarray, "X Y"]:
    """Number of the patch that each cell fits best, -1 where it belongs to none."""
    owner = np.full(height.shape, -1, np.int64)
    best = np.full(height.shape, np.inf)
    for number, patch in enumerate(patches):
        off = np.abs(height - patch.local)
        better = patch.cells & (off < best)
        owner[better], best[better] = number, off[better]
    return owner


def _with_tops(
    height: Float[np.ndarray, "X Y"], patches: list[Patch], owner: Int[np.ndarray, "X Y"], snap_m: float
) -> tuple[list[Patch], Int[np.ndarray, "X Y"], Float[np.ndarray, "X Y"]]:
    """Patches and owners with the low tops that are higher than `snap_m` as patches of their own, and the height of
    the lower ones."""
    nearest = ndimage.distance_transform_edt(owner < 0, return_distances=False, return_indices=True)
    on = owner[tuple(np.asarray(nearest))]
    base = np.select([on == number for number in range(len(patches))], [patch.height for patch in patches])
    relief = np.zeros(height.shape)
    patches, owner = list(patches), owner.copy()
    for top in low_tops(height - base, CELL_M):
        if top.rise_m <= snap_m:
            relief[top.cells] = top.rise_m
            continue
        level = base + top.rise_m
        owner[top.cells] = len(patches)
        patches.append(Patch(cells=top.cells, height=level, local=level, shape="surface"))
    return patches, owner, relief


def _candidate_heights(
    mesh: TriMesh, may_be_floor: Bool[np.ndarray, "M"], environment: str
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "X Y"]]:
    """Lowest up-facing surface per cell, within what a floor through the origin can reach."""
    normal, _ = face_normals_areas(mesh.vertices, mesh.faces)
    up = (normal[:, 2] >= UP_FACING) & may_be_floor
    slope = 0.12 if environment == "outdoor" else 0.03
    centre = mesh.vertices[mesh.faces].mean(axis=1).astype(np.float64)
    reach = np.minimum(0.25 + slope * np.linalg.norm(centre[:, :2], axis=1), 1.5)
    faces = mesh.faces[up & (np.abs(centre[:, 2]) <= reach)]
    if len(faces) == 0:
        raise _no_floor("no up-facing surface near z = 0")
    points = mesh.vertices[faces].reshape(-1, 3)[:, :2].astype(np.float64)
    margin = 24  # cells; room for closing and for the camera's foot
    foot_reach = np.minimum(points.min(axis=0), -0.5), np.maximum(points.max(axis=0), 0.5)
    low_cell = np.floor(foot_reach[0] / CELL_M).astype(np.int64) - margin
    shape = np.ceil(foot_reach[1] / CELL_M).astype(np.int64) + margin - low_cell
    origin = low_cell * CELL_M
    bounds = np.full(tuple(shape), 2.0)
    height, _ = lowest_surface(mesh.vertices, faces, origin, CELL_M, -bounds, bounds)
    return origin, height


def _no_floor(got: str) -> SceneError:
    return SceneError(
        "floor",
        expected="a connected level floor near the camera's foot",
        got=got,
        todo="Use an image or a walk that shows the ground; for a photo, give camera_height_m where you know it.",
    )


def _levels(
    height: Float[np.ndarray, "X Y"], environment: str, ramp: Bool[np.ndarray, "X Y"]
) -> list[Bool[np.ndarray, "X Y"]]:
    """Cells of the main floor and of other levels, largest first: broad ones (a pavement beside the road), and those
    that a ramp leads to."""
    label = connected_levels(height, STEP_M)
    count = np.bincount(label[label >= 0])
    near_zero = np.bincount(label[label >= 0], weights=np.abs(height[label >= 0]) < 0.1) > 0
    main = int(np.argmax(np.where(near_zero, count, 0)))
    if not near_zero[main] or count[main] * CELL_M**2 < 0.05:
        raise _no_floor(f"the largest level patch near z = 0 has {count.max(initial=0) * CELL_M**2:.2f} m2")
    i, j = np.nonzero(label >= 0)
    z = height[i, j]
    expected = _main_plane(label == main, height, i, j)
    offset = np.array([np.median(v) for v in np.split(*_by_label(z - expected, label[i, j]))])
    same = np.abs(offset) <= SAME_LEVEL_M
    same[main] = True
    limit = 0.35 if environment == "outdoor" else 0.12
    groups = [np.isin(label, np.nonzero(same)[0])]
    reached = np.unique(label[(label >= 0) & _grown(ramp, 2)])
    area = count * CELL_M**2
    broad = (np.abs(offset) <= limit) & (area >= BROAD_M2)
    led_to = (np.abs(offset) <= 0.35) & (area >= DECK_M2) & np.isin(np.arange(len(count)), reached)
    for k in sorted(np.nonzero(~same & (broad | led_to))[0], key=lambda k: (-count[k], k)):
        cells = label == k
        if np.asarray(ndimage.distance_transform_edt(cells)).max() * CELL_M >= 0.2:
            groups.append(cells)
    return groups


def _grown(cells: Bool[np.ndarray, "X Y"], by: int) -> Bool[np.ndarray, "X Y"]:
    return np.asarray(ndimage.binary_dilation(cells, iterations=by), bool)


def _by_label(values: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(label, kind="stable")
    return values[order], np.nonzero(np.diff(label[order]))[0] + 1


def _main_plane(cells, height, i, j) -> Float[np.ndarray, "K"]:
    """Height at cells (i, j) of the plane through the main patch; level where the patch is too small to tell."""
    a, b = np.nonzero(cells)
    z = height[a, b]
    if len(z) * CELL_M**2 < 1.0:
        return np.full(len(i), np.median(z))
    plane = robust_plane(a, b, z)
    if np.hypot(plane[0], plane[1]) / CELL_M > 0.15:
        return np.full(len(i), np.median(z))
    return plane[0] * i + plane[1] * j + plane[2]


def _repair(height: Float[np.ndarray, "X Y"], snap_m: float) -> Patch:
    """Decide which cells of one level are floor and what height they get.

    A cell is floor where it lies within `snap_m` of the median of the half metre around it. The repaired height is
    one level or else one plane if that stays true to the tiles' medians, first within millimetres, then within what
    the gate allows; else the medians themselves.
    """
    local = _smooth_floor(height, step=4)
    cells = np.abs(height - local) <= snap_m
    kept = np.where(cells, height, np.nan)
    i, j = np.nonzero(cells)
    if len(i) == 0:
        return Patch(cells=cells, height=local, local=local, shape="surface")
    tiles = window_medians(kept, WINDOW_CELLS, WINDOW_CELLS, least=20)
    ti, tj = np.nonzero(~np.isnan(tiles))
    tz = tiles[ti, tj]
    level = float(np.median(height[cells]))
    level = 0.0 if abs(level) <= 0.005 else level
    plane = robust_plane(i, j, height[cells])
    at_tiles = plane[0] * (ti * WINDOW_CELLS - 0.5) + plane[1] * (tj * WINDOW_CELLS - 0.5) + plane[2]
    rows, columns = np.indices(height.shape)
    shapes: dict[Literal["level", "plane"], tuple[np.ndarray, np.ndarray]] = {
        "level": (np.full(height.shape, level), np.abs(tz - level)),
        "plane": (plane[0] * rows + plane[1] * columns + plane[2], np.abs(tz - at_tiles)),
    }
    for most in (EXACT_FIT_M, LEVEL_FIT_M):
        for shape, (flat, off) in shapes.items():
            if len(tz) == 0 or np.percentile(off, 95) <= most:
                return Patch(cells=cells & (np.abs(local - flat) <= MOST_MOVE_M), height=flat, local=local, shape=shape)
    return Patch(cells=cells, height=_smooth_floor(kept, step=NODE_CELLS), local=local, shape="surface")


def _smooth_floor(height: Float[np.ndarray, "X Y"], step: int) -> Float[np.ndarray, "X Y"]:
    """Bilinear surface through the window medians at every `step`-th cell corner, extended by the nearest known."""
    nodes = window_medians(height, step, WINDOW_CELLS, least=40)
    if np.isnan(nodes).all():
        nodes = window_medians(height, step, WINDOW_CELLS, least=1)
    nearest = ndimage.distance_transform_edt(np.isnan(nodes), return_distances=False, return_indices=True)
    nodes = nodes[tuple(np.asarray(nearest))]
    rows, columns = ((np.arange(n) + 0.5) / step for n in height.shape)
    return ndimage.map_coordinates(nodes, np.meshgrid(rows, columns, indexing="ij"), order=1)


def _inside_triangles(triangles: Float[np.ndarray, "K 3 2"], origin, shape) -> Bool[np.ndarray, "X Y"]:
    """Cells whose centre lies in one of the triangles."""
    if len(triangles) == 0:
        return np.zeros(shape, bool)
    vertices = np.concatenate([triangles.reshape(-1, 2), np.zeros((3 * len(triangles), 1))], axis=1)
    faces = np.arange(3 * len(triangles)).reshape(-1, 3)
    bound = np.ones(shape)
    return ~np.isnan(lowest_surface(vertices, faces, origin, CELL_M, -bound, bound)[0])
