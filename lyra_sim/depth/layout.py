"""From a floor mask to depth: upright structure stands where the floor ends, ceilings lie flat above it.

Everything is worked out in a levelled cylinder round the camera (azimuth by elevation), where whatever stands upright
is one column. The floor's end in a column is the foot of what stands there ("stixels", Badino et al. 2009).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from numba import njit

from lyra_sim.core.records import Intrinsics
from lyra_sim.depth.fronts import fit_fronts
from lyra_sim.depth.lines import heading_axes
from lyra_sim.geometry.camera import pixel_rays

_HIDDEN_FOOT = 0.65
"""What is cut off by the lower image edge stands nearer than the floor behind that edge: a thing as high as a third of
the camera's height shows its top there at two thirds of the floor's range."""
_MOST_FEET = 4


@dataclass(frozen=True)
class Cylinder:
    """Levelled panorama patch: column = azimuth, row = elevation from the top down."""

    map_x: Float[np.ndarray, "R C"]
    map_y: Float[np.ndarray, "R C"]
    inside: Bool[np.ndarray, "R C"]
    tan_down: Float[np.ndarray, "R"]
    """Tangent of the angle below the horizon of each row."""
    azimuth: Float[np.ndarray, "C"]
    row_of: Float[np.ndarray, "H W"]
    """Row and column in the cylinder of each image pixel."""
    column_of: Float[np.ndarray, "H W"]
    flat: Float[np.ndarray, "H W"]
    """Horizontal length of the ray with z = 1: range = depth * flat."""
    heading: Float[np.ndarray, "H W"]
    """Azimuth of each image pixel."""
    down: Float[np.ndarray, "H W"]
    """Downward component of the ray with z = 1."""

    def unroll(self, image: np.ndarray) -> np.ndarray:
        """Nearest-pixel resampling of an image quantity into the cylinder (0 outside)."""
        source = image.astype(np.uint8) if image.dtype == bool else image
        out = cv2.remap(source, self.map_x, self.map_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
        return out.astype(bool) if image.dtype == bool else out

    def roll_back(self, panorama: np.ndarray) -> np.ndarray:
        """Nearest resampling of a cylinder quantity into the image."""
        rows = np.clip(np.rint(self.row_of).astype(np.int64), 0, panorama.shape[0] - 1)
        columns = np.clip(np.rint(self.column_of).astype(np.int64), 0, panorama.shape[1] - 1)
        return panorama[rows, columns]


def make_cylinder(camera: Intrinsics, down: np.ndarray) -> Cylinder:
    """The cylinder that covers the whole image at about its own resolution."""
    ahead, left = heading_axes(down)
    rays = pixel_rays(camera)
    x, y, z = rays @ ahead, rays @ left, rays @ down
    flat = np.maximum(np.hypot(x, y), 1e-9)
    azimuth, below = np.arctan2(y, x), np.arctan2(z, flat)
    step = 1.0 / camera.fx
    wide = float(min(np.abs(azimuth).max(), 2.6))
    columns = max(int(np.ceil(2 * wide / step)), 8)
    top, bottom = float(below.min()), float(below.max())
    rows = max(int(np.ceil((bottom - top) / step)), 8)
    column_azimuth = wide - (np.arange(columns) + 0.5) * (2 * wide / columns)
    row_below = top + (np.arange(rows) + 0.5) * ((bottom - top) / rows)
    ray = (
        np.cos(column_azimuth)[None, :, None] * ahead
        + np.sin(column_azimuth)[None, :, None] * left
        + np.tan(row_below)[:, None, None] * down
    )
    front = ray[..., 2] > 1e-3
    depth = np.where(front, ray[..., 2], 1.0)
    u, v = ray[..., 0] / depth * camera.fx + camera.cx - 0.5, ray[..., 1] / depth * camera.fy + camera.cy - 0.5
    inside = front & (u > -0.5) & (u < camera.width - 0.5) & (v > -0.5) & (v < camera.height - 0.5)
    return Cylinder(
        map_x=np.where(inside, u, -9).astype(np.float32),
        map_y=np.where(inside, v, -9).astype(np.float32),
        inside=inside,
        tan_down=np.tan(row_below),
        azimuth=column_azimuth,
        row_of=(below - top) / (bottom - top) * rows - 0.5,
        column_of=(wide - azimuth) / (2 * wide) * columns - 0.5,
        flat=flat,
        heading=azimuth,
        down=z,
    )


@njit(cache=True)
def _feet(
    floor: np.ndarray, solid: np.ndarray, inside: np.ndarray, tan_down: np.ndarray, height: float, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Inverse range (F, C) of the feet in each column, from below, and which of them (R, C) each solid pixel stands
    on; -1 where none."""
    rows, columns = floor.shape
    inverse = np.zeros((_MOST_FEET, columns))
    foot_of = np.full((rows, columns), -1)
    for c in range(columns):
        foot, last = -1, 0.0
        for r in range(rows - 1, -1, -1):
            if not inside[r, c]:
                continue
            here = max(tan_down[r] / height, 1.0 / reach)
            if floor[r, c]:
                last = here
            elif solid[r, c]:
                if last > 0.0 or foot < 0:
                    foot = min(foot + 1, _MOST_FEET - 1)
                    inverse[foot, c] = last if last > 0.0 else here / _HIDDEN_FOOT
                    last = 0.0
                foot_of[r, c] = foot
    return inverse, foot_of


@njit(cache=True)
def _in_front(floor: np.ndarray, sure: np.ndarray, inside: np.ndarray, gap: int) -> np.ndarray:
    """Floor without what lies behind the first thing in its column, unless it is sure."""
    rows, columns = floor.shape
    out = np.zeros((rows, columns), np.bool_)
    for c in range(columns):
        run, hidden = 0, False
        for r in range(rows - 1, -1, -1):
            if not inside[r, c]:
                continue
            if floor[r, c]:
                run = 0
                if sure[r, c]:
                    hidden = False
                out[r, c] = not hidden
            else:
                run += 1
                hidden = hidden or run >= gap
    return out


def cut_behind(
    cylinder: Cylinder, floor: Shaped[np.ndarray, "H W"], sure: Bool[np.ndarray, "H W"], *, gap_px: int
) -> Shaped[np.ndarray, "H W"]:
    """Drop floor that is seen past an obstacle in the same upright column and is not sure on its own.

    Args:
        floor: a mask, or the chance of being floor, which is cut at each of its values.
        sure: floor that needs no such check, and behind which the count starts again.
        gap_px: what is not floor over this many rows is an obstacle.
    """
    panorama, certain = cylinder.unroll(floor), cylinder.unroll(sure)
    front = np.zeros_like(panorama)
    for level in np.unique(panorama[panorama > 0]):
        front[_in_front(panorama >= level, certain, cylinder.inside, gap_px)] = level
    return np.minimum(floor, cylinder.roll_back(front))


@dataclass(frozen=True)
class Layout:
    """Depth and meaning of each pixel of the photo."""

    depth_m: Float[np.ndarray, "H W"]
    valid: Bool[np.ndarray, "H W"]
    kind: Int[np.ndarray, "H W"]
    """0 nothing, 1 floor, 2 upright, 3 ceiling."""


def stand_up(
    cylinder: Cylinder,
    floor: Bool[np.ndarray, "H W"],
    sky: Bool[np.ndarray, "H W"],
    patch: Int[np.ndarray, "H W"],
    *,
    height_m: float,
    reach_m: float,
    ceiling_m: float | None,
) -> Layout:
    """Depth of floor, upright structure and ceiling.

    Args:
        floor: floor pixels; exactly on the plane afterwards.
        sky: pixels without depth.
        patch: superpixel of each pixel; one superpixel stands at one range.
        height_m: camera above the floor.
        reach_m: nothing stands farther than this.
        ceiling_m: ceiling above the floor; None outdoors.
    """
    solid = ~floor & ~sky
    pano_floor, pano_solid = cylinder.unroll(floor), cylinder.unroll(solid)
    inverse, foot_of = _feet(pano_floor, pano_solid, cylinder.inside, cylinder.tan_down, height_m, reach_m)
    step = abs(float(cylinder.azimuth[1] - cylinder.azimuth[0]))
    fronts = fit_fronts(inverse, cylinder.azimuth, step / height_m)
    column = np.arange(foot_of.shape[1])
    front = cylinder.roll_back(np.where(foot_of >= 0, fronts.of_column[foot_of, column], -1))
    front = _one_per_patch(front, patch, solid)
    ranges = np.where(front >= 0, 1.0 / np.maximum(fronts.inverse_range(front, cylinder.heading), 1.0 / reach_m), 0.0)
    plane = np.where(cylinder.down > 1e-6, height_m / np.maximum(cylinder.down, 1e-6), np.inf)
    depth = np.where(floor, plane, np.minimum(ranges / cylinder.flat, plane))  # nothing is seen through the floor
    kind = np.where(floor, 1, np.where(solid, 2, 0))
    if ceiling_m is not None:
        rise = -cylinder.down * depth
        high = solid & (rise > ceiling_m - height_m) & (cylinder.down < -1e-3)
        depth[high] = (ceiling_m - height_m) / -cylinder.down[high]
        kind[high] = 3
    valid = (kind > 0) & (depth > 0.05) & (depth * cylinder.flat < reach_m - 1e-6)
    return Layout(depth_m=np.where(valid, depth, 0.0), valid=valid, kind=np.where(valid, kind, 0))


def _one_per_patch(
    front: Int[np.ndarray, "H W"], patch: Int[np.ndarray, "H W"], solid: Bool[np.ndarray, "H W"]
) -> Int[np.ndarray, "H W"]:
    """The front that most pixels of a superpixel stand on, for all its solid pixels, so that it does not break into
    stripes; -1 where none stands on one."""
    where = solid & (front >= 0)
    fronts = int(front.max(initial=0)) + 1
    votes = np.bincount(patch[where] * fronts + front[where], minlength=(int(patch.max()) + 1) * fronts)
    votes = votes.reshape(-1, fronts)
    best = np.where(votes.max(axis=1) > 0, votes.argmax(axis=1), -1)
    return np.where(solid, best[patch], -1)
