"""The repaired floor as triangles: cells merged into rectangles, up-facing."""

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numba import njit
from scipy import ndimage

from lyra_sim.core.records import FloorGrid
from lyra_sim.surface.floor_fill import closing_candidates
from lyra_sim.surface.heightmap import connected_levels
from lyra_sim.surface.linear import fit_plane

SHEET_STEP_M = 0.006
"""Cells whose heights differ by less belong to one sheet (a slope of 13 degrees)."""
SIDE_M = 0.03
"""Between cells whose heights differ by more than this the side of the step is left to the rest of the mesh."""
PEEL_SHARE = 0.1
"""A plane that holds this share of a sheet's cells is a sheet of its own."""
LEAST_PLANE_CELLS = 16
GAP_M = 0.15
"""Gaps up to this width let balls and feet through, and are no stairs."""
EXACT_M = 1e-4


@njit(cache=True)
def _merge(key, most, out):  # pragma: no cover - compiled
    """Greedy rectangles of equal key >= 0; `most` limits the side and aligns rectangles to its lattice (0: none)."""
    nx, ny = key.shape
    used = np.zeros((nx, ny), np.bool_)
    count = 0
    for i in range(nx):
        for j in range(ny):
            k = key[i, j]
            if k < 0 or used[i, j]:
                continue
            end_i = nx if most == 0 else min(nx, (i // most + 1) * most)
            end_j = ny if most == 0 else min(ny, (j // most + 1) * most)
            w = j + 1
            while w < end_j and key[i, w] == k and not used[i, w]:
                w += 1
            h = i + 1
            while h < end_i:
                fits = True
                for b in range(j, w):
                    if key[h, b] != k or used[h, b]:
                        fits = False
                        break
                if not fits:
                    break
                h += 1
            used[i:h, j:w] = True
            out[count, 0], out[count, 1], out[count, 2], out[count, 3] = i, j, h, w
            count += 1
    return count


def merged_rectangles(key: Int[np.ndarray, "X Y"], most_cells: int = 0) -> Int[np.ndarray, "R 4"]:
    """Rectangles (i0, j0, i1, j1; ends excluded) of equal key >= 0 that cover every such cell once.

    Args:
        most_cells: largest side; rectangles then do not cross the lattice of that pitch. 0 for no limit.
    """
    out = np.empty((int((key >= 0).sum()), 4), np.int64)
    return out[: _merge(np.ascontiguousarray(key), most_cells, out)]


def merged_squares(key: Int[np.ndarray, "X Y"], most_cells: int = 0) -> Int[np.ndarray, "R 4"]:
    """Squares (i0, j0, i1, j1; ends excluded) of equal key >= 0 that cover every such cell once, large ones inside and
    small ones along the border, each on the lattice of its own size.

    Args:
        most_cells: largest side; 0 for 64 cells.
    """
    left, found = key.copy(), []
    side = most_cells or 64
    while side >= 1:
        nx, ny = left.shape[0] // side, left.shape[1] // side
        blocks = left[: nx * side, : ny * side].reshape(nx, side, ny, side)
        whole = (blocks.min(axis=(1, 3)) == blocks.max(axis=(1, 3))) & (blocks.min(axis=(1, 3)) >= 0)
        corner = np.argwhere(whole) * side
        found.append(np.concatenate([corner, corner + side], axis=1))
        blocks[np.broadcast_to(whole[:, None, :, None], blocks.shape)] = -1
        left[: nx * side, : ny * side] = blocks.reshape(nx * side, ny * side)
        side //= 2
    return np.concatenate(found)


def floor_quads(
    grid: FloorGrid, most_cells: int = 0, *, squares: bool = False, within_m: float = 0.0
) -> tuple[Float[np.ndarray, "R 4 3"], UInt8[np.ndarray, "R"]]:
    """Rectangles that cover all seen and filled cells once, counter-clockwise seen from above, and the state (1 seen,
    2 filled) of each.

    Level and plane sheets are exact, with rectangles as large as they come, or squares. A sheet of interpolated heights
    is cut at a lattice of 10 cells and each rectangle takes the plane through its cells, so that neighbours meet within
    millimetres. Steps stay open: see `floor_sides`.

    Args:
        most_cells: largest side in cells; 0 for no limit.
        squares: more and better shaped pieces. Balls and wheels creep where a contact meets many edges of long thin
            triangles at once.
        within_m: connected cells of a block of `most_cells` (at least 4) become one level or else one plane where they
            stay this near to it. Else a floor that waves by millimetres is cut along all its contours.
    """
    height = np.where(grid.state > 0, grid.height_m.astype(np.float64), np.nan)
    sheet = _sheets(height)
    flat, planes = _planar_sheets(sheet, height)
    if within_m > 0:
        _even_blocks(sheet, flat, planes, height, most_cells, within_m)
    key = np.where(sheet >= 0, sheet * 4 + grid.state, -1)
    merge = merged_squares if squares else merged_rectangles
    boxes = [
        merge(np.where(flat, key, -1), most_cells),
        merge(np.where(flat, -1, key), min(most_cells, 10) if most_cells else 10),
    ]
    quads = np.concatenate([_on_planes(boxes[0], planes), _corners(boxes[1], height)])
    state = np.concatenate([grid.state[some[:, 0], some[:, 1]] for some in boxes])
    quads[..., :2] = grid.origin_m + quads[..., :2] * grid.cell_m
    return quads, state


def floor_sides(grid: FloorGrid) -> tuple[Float[np.ndarray, "R 4 3"], UInt8[np.ndarray, "R"]]:
    """The upright sides of steps of 6 to 30 mm between neighbouring cells, seen from the lower one, and the state of
    the higher cell. Those of higher steps (kerbs) belong to the rest of the mesh."""
    height = np.where(grid.state > 0, grid.height_m.astype(np.float64), np.nan)
    found: list[np.ndarray] = [np.zeros((0, 4, 3))]
    states = [np.zeros(0, np.uint8)]
    for axis in (0, 1):
        z = np.moveaxis(height, axis, 0)
        i, j = np.nonzero((np.abs(z[1:] - z[:-1]) >= SHEET_STEP_M) & (np.abs(z[1:] - z[:-1]) <= SIDE_M))
        first, second = z[i, j], z[i + 1, j]
        low, high = np.minimum(first, second), np.maximum(first, second)
        turned = (second > first) == (axis == 0)
        a, b = np.where(turned, j + 1, j), np.where(turned, j, j + 1)
        quad = np.stack(
            [np.stack([i + 1.0, along, up], 1) for along, up in ((a, low), (b, low), (b, high), (a, high))], 1
        )
        if axis == 1:
            quad = quad[..., [1, 0, 2]]
        found.append(quad)
        upper = i + (second > first)
        states.append(np.moveaxis(grid.state, axis, 0)[upper, j])
    quads = np.concatenate(found)
    quads[..., :2] = grid.origin_m + quads[..., :2] * grid.cell_m
    return quads, np.concatenate(states)


def solid_floor(grid: FloorGrid) -> FloorGrid:
    """What stops things from falling: seen and filled floor alike (fewer rectangles), and its narrow gaps closed at
    the height beside them. What stands in such a gap is there still; what falls into it is lost."""
    floor = grid.state > 0
    state = floor | closing_candidates(floor, 0.5 * GAP_M / grid.cell_m)
    nearest = np.asarray(ndimage.distance_transform_edt(~floor, return_distances=False, return_indices=True))
    return FloorGrid(
        origin_m=grid.origin_m,
        cell_m=grid.cell_m,
        state=state.astype(np.uint8),
        height_m=np.where(state, grid.height_m[tuple(nearest)], grid.height_m),
    )


def floor_triangles(
    grid: FloorGrid, most_cells: int = 0
) -> tuple[Float[np.ndarray, "N 3"], Int[np.ndarray, "M 3"], UInt8[np.ndarray, "M"]]:
    """The squares of `floor_quads` and the low steps between them as triangles that face free space: vertices, faces
    and the state of each face."""
    parts = floor_quads(grid, most_cells, squares=True), floor_sides(grid)
    quads, state = (np.concatenate(both) for both in zip(*parts, strict=True))
    vertices, index = np.unique(np.round(quads.reshape(-1, 3), 6), axis=0, return_inverse=True)
    index = index.reshape(-1, 4)
    faces = np.stack([index[:, [0, 1, 2]], index[:, [0, 2, 3]]], axis=1).reshape(-1, 3)
    return vertices, faces, np.repeat(state, 2)


def _sheets(height: Float[np.ndarray, "X Y"]) -> Int[np.ndarray, "X Y"]:
    """Number of the sheet of each cell, -1 for NaN: connected cells, with the planes that hold much of them apart from
    the rest, so that a ramp does not make one curved sheet of the floors it joins."""
    sheet, left, count = np.full(height.shape, -1, np.int64), height.copy(), 0
    while not np.isnan(left).all():
        step = np.full((2, *height.shape), np.nan)
        step[0, :-1], step[1, :, :-1] = np.diff(left, axis=0), np.diff(left, axis=1)
        for i, j in _members(connected_levels(left, SHEET_STEP_M)):
            on = _on_common_plane(i, j, height[i, j], step[:, i, j])
            part = on if on.sum() >= max(PEEL_SHARE * len(i), LEAST_PLANE_CELLS) else np.ones(len(i), bool)
            sheet[i[part], j[part]] = count
            left[i[part], j[part]] = np.nan
            count += 1
    return sheet


def _members(label: Int[np.ndarray, "X Y"]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows and columns of the cells of each label >= 0."""
    i, j = np.nonzero(label >= 0)
    order = np.argsort(label[i, j], kind="stable")
    cuts = np.nonzero(np.diff(label[i, j][order]))[0] + 1
    return [(i[part], j[part]) for part in np.split(order, cuts) if len(part)]


def _on_common_plane(
    i: Int[np.ndarray, "K"], j: Int[np.ndarray, "K"], z: Float[np.ndarray, "K"], step: Float[np.ndarray, "2 K"]
) -> Bool[np.ndarray, "K"]:
    """Which cells lie exactly on the plane whose steps to the next row and column are the most frequent."""
    bins = np.round(step / 1e-5)
    whole = np.nonzero(np.isfinite(bins).all(axis=0) & (np.abs(step) <= SHEET_STEP_M).all(axis=0))[0]
    if not len(whole):
        return np.zeros(len(i), bool)
    _, kind, count = np.unique(bins[0, whole] * 4096 + bins[1, whole], return_inverse=True, return_counts=True)
    most = whole[kind == count.argmax()]
    a, b = step[:, most].mean(axis=1)
    off = z - a * i - b * j
    return np.abs(off - np.median(off[most])) <= EXACT_M


def _planar_sheets(
    sheet: Int[np.ndarray, "X Y"], height: Float[np.ndarray, "X Y"]
) -> tuple[Bool[np.ndarray, "X Y"], Float[np.ndarray, "X Y 3"]]:
    """Cells of sheets that are one plane within 0.1 mm, and that plane (a, b, c): height = a i + b j + c."""
    flat, planes = np.zeros(sheet.shape, bool), np.zeros((*sheet.shape, 3))
    for i, j in _members(sheet):
        plane = fit_plane(i + 0.5, j + 0.5, height[i, j])
        fitted = plane[0] * (i + 0.5) + plane[1] * (j + 0.5) + plane[2]
        flat[i, j] = np.abs(fitted - height[i, j]).max() <= EXACT_M
        planes[i, j] = plane
    return flat, planes


def _even_blocks(
    sheet: Int[np.ndarray, "X Y"],
    flat: Bool[np.ndarray, "X Y"],
    planes: Float[np.ndarray, "X Y 3"],
    height: Float[np.ndarray, "X Y"],
    side: int,
    within_m: float,
) -> None:
    """Make, in place, planar sheets of what in each block of the lattice is connected and nearly even; where it is not,
    of halves and quarters of the block."""
    label, count = connected_levels(height, SHEET_STEP_M), sheet.max(initial=-1) + 1
    for size in (side, side // 2, side // 4):
        for a, b in np.ndindex(-(-height.shape[0] // size), -(-height.shape[1] // size)):
            block = slice(a * size, (a + 1) * size), slice(b * size, (b + 1) * size)
            done = flat[block] | (label[block] < 0)
            if done.all() and len(np.unique(sheet[block][label[block] >= 0])) <= 1:
                continue
            for rows, columns in _members(label[block]):
                i, j = rows + a * size, columns + b * size
                z = height[i, j]
                plane = np.array([0.0, 0.0, (z.min() + z.max()) / 2])
                if np.ptp(z) > 2 * within_m:
                    plane = fit_plane(i + 0.5, j + 0.5, z)
                if np.abs(plane[0] * (i + 0.5) + plane[1] * (j + 0.5) + plane[2] - z).max() <= within_m:
                    sheet[i, j], flat[i, j], planes[i, j] = count, True, plane
                    label[i, j] = -1
                    count += 1


def _on_planes(boxes: Int[np.ndarray, "R 4"], planes: Float[np.ndarray, "X Y 3"]) -> Float[np.ndarray, "R 4 3"]:
    """Corners of rectangles in cell coordinates, counter-clockwise seen from above, on their sheets' planes."""
    xy = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]].astype(np.float64)
    a, b, c = planes[boxes[:, 0], boxes[:, 1]].T[:, :, None]
    return np.concatenate([xy, (a * xy[..., 0] + b * xy[..., 1] + c)[..., None]], axis=2)


def _corners(boxes: Int[np.ndarray, "R 4"], height: Float[np.ndarray, "X Y"]) -> Float[np.ndarray, "R 4 3"]:
    """Corners of rectangles in cell coordinates, counter-clockwise seen from above, on the plane of their cells."""
    out = np.empty((len(boxes), 4, 3))
    for n, (i0, j0, i1, j1) in enumerate(boxes):
        z = height[i0:i1, j0:j1]
        corner = np.array([[i0, j0], [i1, j0], [i1, j1], [i0, j1]], np.float64)
        x, y = np.meshgrid(np.arange(i0, i1) + 0.5, np.arange(j0, j1) + 0.5, indexing="ij")
        a, b, c = fit_plane(x.ravel(), y.ravel(), z.ravel())
        out[n, :, :2] = corner
        out[n, :, 2] = a * corner[:, 0] + b * corner[:, 1] + c
    return out
