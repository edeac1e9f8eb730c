"""Where a robot-sized camera may go: floor that was really seen, with distance kept from everything else."""

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float64, UInt8
from numba import njit

from lyra_sim.core.record import record
from lyra_sim.core.records import Frames, Intrinsics, Label, PixelOrigin

CELL_M = 0.05
LOW_M = 0.08
ALL_AIR = 0b111
_LAYER_M = 0.1
_FAR_M = 16.0
"""Rays that end in the sky are followed this far."""
RELIEF_M = 0.25
"""Floor that is labelled so may lie this much higher or lower: pavements, thresholds, ramps."""
_STANDS, _LOW, _RAISED, _LEVEL = 1, 2, 4, 8
_EDGE = 2
"""Cells between the edge of raised floor and where it is seen first."""
_NO_SURFACE, _SURFACE, _FLOOR, _SKY, _UNLABELLED = 0, 1, 2, 3, 4


@record
class FreeMap:
    """Cells in the plane; cell (i, j) covers `origin_m + [i, j] * CELL_M` and one cell on."""

    origin_m: Float64[np.ndarray, "2"]
    known: Bool[np.ndarray, "X Y"]
    """Seen floor with nothing on it."""
    distance_m: Float64[np.ndarray, "X Y"]
    """From a cell's centre to the nearest centre of a cell that is not known free floor."""
    free: Bool[np.ndarray, "X Y"]
    """Known, and at least the clearance from anything that is not."""

    def cell(self, point: Float[np.ndarray, "D"]) -> tuple[int, int]:
        """Cell of a point (its x and y), clamped to the map."""
        i, j = np.clip(np.floor((point[:2] - self.origin_m) / CELL_M).astype(int), 0, np.array(self.free.shape) - 1)
        return int(i), int(j)

    def centre(self, cells: np.ndarray) -> np.ndarray:
        """x, y of the centres of cells (N, 2)."""
        return self.origin_m + (np.asarray(cells) + 0.5) * CELL_M

    def line_is_free(self, a: np.ndarray, b: np.ndarray) -> bool:
        """Does the straight walk from `a` to `b` stay in free cells?"""
        n = max(2, int(np.ceil(np.linalg.norm(b[:2] - a[:2]) / (CELL_M / 4))))
        points = a[:2] + np.linspace(0, 1, n + 1)[:, None] * (b[:2] - a[:2])
        ij = np.floor((points - self.origin_m) / CELL_M).astype(int)
        if (ij < 0).any() or (ij >= self.free.shape).any():
            return False
        return bool(self.free[ij[:, 0], ij[:, 1]].all())


View = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Depth (0: none), kind of each pixel, fx, fy, cx and cy, and cam_to_world."""


def views_of(frames: Frames) -> list[View]:
    """All frames, thinned to about 480 columns. FILLED pixels count as not seen; where frames are labelled only pixels
    labelled FLOOR are floor, else every surface at height 0."""
    labelled = bool((frames.label != Label.UNKNOWN).any())
    step = max(1, frames.intrinsics.width // 480)
    views = []
    for t in range(len(frames)):
        label = frames.label[t, ::step, ::step]
        valid = (frames.valid & (frames.origin != PixelOrigin.FILLED))[t, ::step, ::step]
        kind = np.where(valid, _SURFACE, _NO_SURFACE).astype(np.uint8)
        kind[valid & (label == Label.FLOOR)] = _FLOOR
        if not labelled:
            kind[valid] = _UNLABELLED
        kind[~valid & (label == Label.SKY)] = _SKY
        depth = np.where(valid, frames.depth_m[t, ::step, ::step], 0).astype(np.float64)
        views.append((depth, kind, _lens(frames.intrinsics, step), frames.cam_to_world[t].astype(np.float64)))
    return views


def map_of(
    origin_m: Float[np.ndarray, "2"],
    floor: Bool[np.ndarray, "X Y"],
    blocked: Bool[np.ndarray, "X Y"],
    clearance_m: float,
) -> FreeMap:
    """The map of cells in which floor was seen, and of cells in which something stands."""
    known = closed(floor, 2) & ~blocked
    known[[0, -1]] = known[:, [0, -1]] = False
    distance = depth_in(known)
    return FreeMap(
        origin_m=origin_m,
        known=known,
        distance_m=distance,
        free=known & (distance >= clearance_m),
    )


def blocked(things: UInt8[np.ndarray, "X Y"]) -> Bool[np.ndarray, "X Y"]:
    """Cells in which something stands, by the bits of `see_obstacles` and `see_floor`; low things do not where level
    and raised floor meet: kerbs, edges of steps. Less than 25 x 25 cm of raised floor is taken for an error."""
    around = np.ones((2 * _EDGE + 1, 2 * _EDGE + 1), np.uint8)
    raised = cv2.morphologyEx(closed(things & _RAISED > 0, _EDGE).astype(np.uint8), cv2.MORPH_OPEN, around)
    edge = (cv2.dilate(raised, around) > 0) & (cv2.dilate(things & _LEVEL, around) > 0)
    return (things & _STANDS > 0) | ((things & _LOW > 0) & ~edge)


def closed(mask: Bool[np.ndarray, "X Y"], cells: int) -> Bool[np.ndarray, "X Y"]:
    """The mask with its gaps of up to twice so many cells filled."""
    square = np.ones((2 * cells + 1, 2 * cells + 1), np.uint8)
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, square).astype(bool)


def depth_in(mask: Bool[np.ndarray, "X Y"]) -> Float64[np.ndarray, "X Y"]:
    """Metres from the centre of each cell of a mask to the nearest centre of one that is not in it; 0 for the others.
    The exact Euclidean distance of Felzenszwalb and Huttenlocher (2012)."""
    cells = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return cells.astype(np.float64) * CELL_M


def _lens(camera: Intrinsics, step: int) -> np.ndarray:
    """fx, fy, cx, cy of every step-th pixel (their centres stay where they are, hence the shift)."""
    half = (step - 1) / 2
    return np.array([camera.fx / step, camera.fy / step, (camera.cx + half) / step, (camera.cy + half) / step])


@njit(cache=True)
def see_floor(depth, kind, lens, pose, inverse, origin, reach, floor, things):
    """Mark cells whose centre, on the floor, is the very surface a view shows there; set a bit where it is level."""
    for i in range(floor.shape[0]):
        x = origin[0] + (i + 0.5) * CELL_M
        for j in range(floor.shape[1]):
            if not floor[i, j]:
                y = origin[1] + (j + 0.5) * CELL_M
                known, up = _floor_at(x, y, 0.0, depth, kind, lens, pose, inverse, reach)
                if not known and abs(up) < RELIEF_M:  # what is seen there is labelled floor, but higher or lower
                    known, _ = _floor_at(x, y, up, depth, kind, lens, pose, inverse, reach)
                elif known:
                    things[i, j] |= _LEVEL
                floor[i, j] = known


@njit(cache=True)
def _floor_at(x, y, height, depth, kind, lens, pose, inverse, reach):
    """Whether a view shows floor at a point; the height of the labelled floor in that direction, inf where none is."""
    z = inverse[2, 0] * x + inverse[2, 1] * y + inverse[2, 2] * height + inverse[2, 3]
    if not 0.1 <= z <= reach:
        return False, np.inf
    u = (inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2] * height + inverse[0, 3]) / z * lens[0] + lens[2]
    v = (inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2] * height + inverse[1, 3]) / z * lens[1] + lens[3]
    if not (0 <= u < depth.shape[1] and 0 <= v < depth.shape[0]):
        return False, np.inf
    seen = kind[int(v), int(u)]
    if seen != _FLOOR and seen != _UNLABELLED:
        return False, np.inf
    d = depth[int(v), int(u)]
    a, b = (int(u) + 0.5 - lens[2]) / lens[0], (int(v) + 0.5 - lens[3]) / lens[1]
    up = (pose[2, 0] * a + pose[2, 1] * b + pose[2, 2]) * d + pose[2, 3]
    known = abs(up - height) < 0.03 + 0.01 * z and abs(d - z) < 0.1 + 0.05 * z
    return known, up if seen == _FLOOR else np.inf


@njit(cache=True)
def see_obstacles(depth, kind, lens, pose, origin, high, reach, things, floor, near):
    """Set bits of cells above which a surface was seen lower than `high`; raised floor is floor, of which a view of the
    floor below it may show the edge only."""
    for v in range(depth.shape[0]):
        b = (v + 0.5 - lens[3]) / lens[1]
        for u in range(depth.shape[1]):
            if kind[v, u] == _NO_SURFACE or kind[v, u] == _SKY:
                continue
            a, d = (u + 0.5 - lens[2]) / lens[0], depth[v, u]
            z = (pose[2, 0] * a + pose[2, 1] * b + pose[2, 2]) * d + pose[2, 3]
            if not LOW_M < z < high:
                continue
            x = (pose[0, 0] * a + pose[0, 1] * b + pose[0, 2]) * d + pose[0, 3]
            y = (pose[1, 0] * a + pose[1, 1] * b + pose[1, 2]) * d + pose[1, 3]
            i, j = int(np.floor((x - origin[0]) / CELL_M)), int(np.floor((y - origin[1]) / CELL_M))
            if 0 <= i < things.shape[0] and 0 <= j < things.shape[1]:
                raised = kind[v, u] == _FLOOR and z < RELIEF_M
                if not raised:
                    things[i, j] |= _LOW if z < RELIEF_M else _STANDS
                elif d <= reach:
                    things[i, j] |= _RAISED
                floor[i, j] |= raised
                near[i, j] |= raised and d <= reach


@njit(cache=True)
def see_air(depth, kind, lens, pose, origin, height, air):
    """Set a bit in each cell through which a ray passes in one of three layers of 10 cm about a height."""
    for v in range(depth.shape[0]):
        b = (v + 0.5 - lens[3]) / lens[1]
        for u in range(depth.shape[1]):
            if kind[v, u] == _NO_SURFACE:
                continue
            a, d = (u + 0.5 - lens[2]) / lens[0], depth[v, u] if kind[v, u] != _SKY else _FAR_M
            x = pose[0, 0] * a + pose[0, 1] * b + pose[0, 2]
            y = pose[1, 0] * a + pose[1, 1] * b + pose[1, 2]
            z = pose[2, 0] * a + pose[2, 1] * b + pose[2, 2]
            low = (height - 1.5 * _LAYER_M - pose[2, 3]) / z if z != 0 else -np.inf
            high = (height + 1.5 * _LAYER_M - pose[2, 3]) / z if z != 0 else np.inf
            t, end = max(min(low, high), 0.0), min(max(low, high), d)
            step = CELL_M / 2 / np.sqrt(x * x + y * y)
            while t < end:
                layer = int((pose[2, 3] + z * t - height) / _LAYER_M + 1.5)
                i, j = int((pose[0, 3] + x * t - origin[0]) / CELL_M), int((pose[1, 3] + y * t - origin[1]) / CELL_M)
                if 0 <= layer < 3 and 0 <= i < air.shape[0] and 0 <= j < air.shape[1]:
                    air[i, j] |= 1 << layer
                t += step
