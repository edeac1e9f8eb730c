"""The repaired floor as triangles: cells merged into rectangles, up-facing."""

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numba import njit
from scipy import ndimage

from lyra_sim.core.records import FloorGrid
from lyra_sim.surface.heightmap import connected_levels
from lyra_sim.surface.linear import fit_plane

SHEET_STEP_M = 0.006
"""Cells whose heights differ by less belong to one sheet (a slope of 13 degrees)."""
HOLE_M2 = 0.02
"""Enclosed holes up to this size let balls and feet through, and are no stairwell."""


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
    grid: FloorGrid, most_cells: int = 0, *, squares: bool = False
) -> tuple[Float[np.ndarray, "R 4 3"], UInt8[np.ndarray, "R"]]:
    """Rectangles that cover all seen and filled cells once, counter-clockwise seen from above, and the state (1 seen,
    2 filled) of each.

    Level and plane sheets are exact, with rectangles as large as they come, or squares. A sheet of interpolated heights
    is cut at a lattice of 10 cells and each rectangle takes the plane through its cells, so that neighbours meet within
    millimetres. Steps (kerbs) stay open: their face belongs to the rest of the mesh.

    Args:
        most_cells: largest side in cells; 0 for no limit.
        squares: more and better shaped pieces. Balls and wheels creep where a contact meets many edges of long thin
            triangles at once.
    """
    height = np.where(grid.state > 0, grid.height_m.astype(np.float64), np.nan)
    sheet = connected_levels(height, SHEET_STEP_M)
    flat, planes = _planar_sheets(sheet, height)
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


def solid_floor(grid: FloorGrid) -> FloorGrid:
    """What stops things from falling: seen and filled floor alike (fewer rectangles), and small holes that it encloses
    closed at the height beside them. What stands in such a hole is there still; what falls into it is lost."""
    floor = grid.state > 0
    hole = np.asarray(ndimage.label(~floor)[0])
    size = np.bincount(hole.ravel())
    size[np.unique(np.concatenate([hole[0], hole[-1], hole[:, 0], hole[:, -1]]))] = hole.size
    state = floor | ((hole > 0) & (size[hole] * grid.cell_m**2 <= HOLE_M2))
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
    """The squares of `floor_quads` as up-facing triangles: vertices, faces and the state of each face."""
    quads, state = floor_quads(grid, most_cells, squares=True)
    vertices, index = np.unique(np.round(quads.reshape(-1, 3), 6), axis=0, return_inverse=True)
    index = index.reshape(-1, 4)
    faces = np.stack([index[:, [0, 1, 2]], index[:, [0, 2, 3]]], axis=1).reshape(-1, 3)
    return vertices, faces, np.repeat(state, 2)


def _planar_sheets(
    sheet: Int[np.ndarray, "X Y"], height: Float[np.ndarray, "X Y"]
) -> tuple[Bool[np.ndarray, "X Y"], Float[np.ndarray, "X Y 3"]]:
    """Cells of sheets that are one plane within 0.1 mm, and that plane (a, b, c): height = a i + b j + c."""
    flat, planes = np.zeros(sheet.shape, bool), np.zeros((*sheet.shape, 3))
    i, j = np.nonzero(sheet >= 0)
    order = np.argsort(sheet[i, j], kind="stable")
    for part in np.split(order, np.nonzero(np.diff(sheet[i, j][order]))[0] + 1):
        if len(part):
            plane = fit_plane(i[part] + 0.5, j[part] + 0.5, height[i[part], j[part]])
            fitted = plane[0] * (i[part] + 0.5) + plane[1] * (j[part] + 0.5) + plane[2]
            flat[i[part], j[part]] = np.abs(fitted - height[i[part], j[part]]).max() <= 1e-4
            planes[i[part], j[part]] = plane
    return flat, planes


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
