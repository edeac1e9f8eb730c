"""What a camera on the floor would newly see of the floor, and how much of its picture is already known.

Both are asked for all headings at once, in bins of azimuth: the value of a heading is the sum or mean over the bins
that its picture spans. Floor counts where the line of sight to it meets no occupied voxel; unknown voxels may turn out
to hide it, so each on the way makes it count less.
"""

import numpy as np
from jaxtyping import Float, Float32
from numba import njit

from lyra_sim.trajectory.voxels import BLOCK, OCCUPIED, UNKNOWN, VOXEL_M, VoxelMap, expected_at

BINS = 120
"""Of azimuth, 3 degrees each."""
BIN_RAD = 2 * np.pi / BINS
THROUGH = 0.95
"""Chance that an unknown voxel is free."""
FAR_M = 5.8
"""Floor farther away is not seen well enough to count."""
OPEN_M = 5.0
ELEVATIONS = np.radians(np.array([-22.0, -14.0, -7.0, -1.0, 5.0, 12.0]))
"""Rays of one azimuth that tell whether it is known: rows of a picture that looks slightly down."""


def new_floor(
    space: VoxelMap,
    eye: Float[np.ndarray, "3"],
    unseen: Float32[np.ndarray, "X Y"],
    origin_m: Float[np.ndarray, "2"],
    cell_m: float,
    steepest_rad: float,
    flattest_rad: float = 0.0,
) -> Float[np.ndarray, "120"]:
    """Square metres of unseen floor by azimuth.

    Args:
        unseen: weight of each cell, 0 where the floor was seen or where there is none.
        steepest_rad: how far below the horizon the lower edge of the picture lies.
        flattest_rad: how far below it the upper edge lies, where it does.
    """
    out, reach = np.zeros(BINS), _reach(eye, steepest_rad, flattest_rad)
    where = (np.asarray(eye, np.float64), space.origin_m)
    _new_floor(*where, space.columns(), unseen, origin_m, cell_m, reach, out, 0, BINS, 0.0)
    return out


def expect(
    space: VoxelMap,
    eye: Float[np.ndarray, "3"],
    unseen: Float32[np.ndarray, "X Y"],
    origin_m: Float[np.ndarray, "2"],
    cell_m: float,
    steepest_rad: float,
    heading: float,
    hfov_rad: float,
    trust: float = 1.0,
    flattest_rad: float = 0.0,
) -> None:
    """Lower `unseen` in place where a view is expected to see: to nothing, or with less `trust` in part."""
    reach = _reach(eye, steepest_rad, flattest_rad)
    middle, half = bin_of(heading), round(hfov_rad / 2 / BIN_RAD)
    bins = (middle - half + BINS, middle + half + 1 + BINS)
    where = (np.asarray(eye, np.float64), space.origin_m)
    _new_floor(*where, space.columns(), unseen, origin_m, cell_m, reach, np.zeros(BINS), *bins, trust)


def _reach(eye: np.ndarray, steepest_rad: float, flattest_rad: float) -> np.ndarray:
    """From where to where a picture shows floor, metres; nowhere for a camera on or below it."""
    if eye[2] < VOXEL_M:
        return np.array([1.0, 0.0])
    return np.array([eye[2] / np.tan(steepest_rad), min(eye[2] / np.tan(max(flattest_rad, 1e-3)), FAR_M)])


def bin_of(heading: float) -> int:
    """The bin of azimuth that a heading lies in."""
    return int(np.floor((np.angle(np.exp(1j * heading)) + np.pi) / BIN_RAD)) % BINS


def known_share(space: VoxelMap, eye: Float[np.ndarray, "3"], down_rad: float = 0.0) -> Float[np.ndarray, "120"]:
    """Share of the rays of each azimuth that, through known air or where pixels without depth looked, reach a known
    surface or go on for 5 m.

    Args:
        down_rad: how much lower than a walking camera it looks.
    """
    out = np.zeros(BINS)
    _known_share(np.asarray(eye, np.float64), *arrays(space), ELEVATIONS - down_rad, OPEN_M, out)
    return out


def arrays(space: VoxelMap) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What `expected_at` needs."""
    return space.origin_m, space.index, space.passed, space.hits, space.blind


def over_pictures(values: Float[np.ndarray, "120"], hfov_rad: float) -> Float[np.ndarray, "120"]:
    """Sum over the picture whose middle is each bin."""
    half = round(hfov_rad / 2 / BIN_RAD)
    around = np.concatenate([[0.0], np.cumsum(np.concatenate([values[-half:], values, values[:half]]))])
    return around[2 * half + 1 :] - around[: -2 * half - 1]


@njit(cache=True)
def _new_floor(eye, origin, columns, unseen, corner, cell, reach, out, first, end, trust):
    step, count = VOXEL_M, int(reach[1] / VOXEL_M)
    levels = min(int(eye[2] / VOXEL_M) + 1, 64)
    above = ~np.uint64(3) & (~np.uint64(0) >> np.uint64(64 - levels))  # up to 15 cm may be floor
    middle = np.uint64(1) << np.uint64(levels // 2)
    width = 2 * np.pi / len(out)
    touched = np.zeros(unseen.shape if trust > 0 else (1, 1), np.bool_)
    hidden = np.zeros(count + 1, np.bool_)
    for b in range(first, end):
        angle = ((b % len(out)) + 0.5) * width - np.pi
        c, s = np.cos(angle), np.sin(angle)
        clear = 1.0
        hidden[:] = False
        for n in range(1, count + 1):
            r = n * step
            x, y = eye[0] + r * c, eye[1] + r * s
            solid, dark = _column(x, y, origin, columns)
            solid &= above
            if solid == above:
                break
            if solid:
                _hide(hidden, n, solid, levels, eye[2] / VOXEL_M)
            if dark & middle:
                clear *= THROUGH
            if r < reach[0] or hidden[n]:
                continue
            i, j = int((x - corner[0]) / cell), int((y - corner[1]) / cell)
            if not (0 <= i < unseen.shape[0] and 0 <= j < unseen.shape[1]) or unseen[i, j] <= 0:
                continue
            out[b % len(out)] += unseen[i, j] * clear * r * width * step
            if trust > 0:
                _lower(unseen, touched, eye, corner, cell, r, step, angle, width, trust * clear)


@njit(cache=True)
def _column(x, y, origin, columns):
    """Bits of the occupied and of the unknown voxels above the floor at a place."""
    i, j = int((x - origin[0]) / VOXEL_M), int((y - origin[1]) / VOXEL_M)
    a, b = i // BLOCK, j // BLOCK
    if x >= origin[0] and y >= origin[1] and a < columns.index.shape[0] and b < columns.index.shape[1]:
        at = columns.index[a, b]
        if at >= 0:
            return columns.occupied[at, i % BLOCK, j % BLOCK], columns.unknown[at, i % BLOCK, j % BLOCK]
    return np.uint64(0), ~np.uint64(0)


@njit(cache=True)
def _hide(hidden, m, solid, levels, height):
    """Mark the places n on the floor to which the line from an eye, `height` voxels up, passes a solid one of column m:
    at m it is height * (1 - m / n) up."""
    for k in range(2, levels):
        if solid >> np.uint64(k) & np.uint64(1):
            low, high = 1 - (k - 0.5) / height, 1 - (k + 0.5) / height
            begin = int(np.ceil(m / low)) if low > 0 else len(hidden)
            end = int(np.ceil(m / high)) if high > 0 and k < levels - 1 else len(hidden)
            hidden[begin : min(end, len(hidden))] = True


@njit(cache=True)
def _lower(unseen, touched, eye, corner, cell, r, step, angle, width, share):
    """All cells of the patch around a sample, each once."""
    rows, columns = int(2 * step / cell) + 1, int(2 * r * width / cell) + 1
    for a in range(rows):
        for b in range(columns):
            d, turn = r + ((a + 0.5) / rows - 0.5) * step, angle + ((b + 0.5) / columns - 0.5) * width
            i, j = (
                int((eye[0] + d * np.cos(turn) - corner[0]) / cell),
                int((eye[1] + d * np.sin(turn) - corner[1]) / cell),
            )
            if 0 <= i < unseen.shape[0] and 0 <= j < unseen.shape[1] and not touched[i, j]:
                touched[i, j] = True
                unseen[i, j] *= 1 - share


@njit(cache=True)
def _known_share(eye, origin, index, passed, hits, blind, elevations, reach, out):
    for b in range(len(out)):
        angle = (b + 0.5) * 2 * np.pi / len(out) - np.pi
        for elevation in elevations:
            c, s = np.cos(angle) * np.cos(elevation), np.sin(angle) * np.cos(elevation)
            up = np.sin(elevation)
            known = True
            for n in range(2, int(reach / VOXEL_M)):
                r = n * VOXEL_M
                x, y, z = eye[0] + r * c, eye[1] + r * s, eye[2] + r * up
                state = expected_at(x, y, z, origin, index, passed, hits, blind)
                known = state != UNKNOWN or n <= 3
                if state == OCCUPIED or not known:
                    break
            if known:
                out[b] += 1.0 / len(elevations)
