"""A remembered depth image as a sheet of small quads, and the rasteriser that shows it from another camera.

Splatting single pixels leaves cracks wherever the new camera is nearer than the old one; quads between neighbouring
pixels of one surface do not. Quads across a depth edge are left out, quads seen from behind too.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numba import njit

from lyra_sim.core.record import record
from lyra_sim.core.records import Intrinsics, Label, PixelOrigin
from lyra_sim.geometry.camera import invert
from lyra_sim.worldgen.fill import push_pull
from lyra_sim.worldgen.request import View

_NEAR_M = 0.05
_SKY_M = 500.0
_EDGE_SHARE = 0.03


@record
class Sheet:
    """One view, ready to be shown from elsewhere."""

    image: UInt8[np.ndarray, "H W 3"]
    label: UInt8[np.ndarray, "H W"]
    depth_m: Float32[np.ndarray, "H W"]
    """Known everywhere; guessed from its surroundings where the view has no valid depth, far away in the sky."""
    known: Bool[np.ndarray, "Q R"]
    """Quads (one less each way) whose four corners are valid depth on one surface."""
    guess: Bool[np.ndarray, "Q R"]
    """Quads with a guessed corner, for colour only."""
    intrinsics: Intrinsics
    world_to_cam: np.ndarray


@record
class Shown:
    """A sheet seen from a target camera; depth 0 where nothing was hit."""

    image: UInt8[np.ndarray, "H W 3"]
    depth_m: Float32[np.ndarray, "H W"]
    label: UInt8[np.ndarray, "H W"]


def make_sheet(view: View, height: int) -> Sheet:
    """Prepare a view; it is first shrunk until it has at most about twice `height` rows."""
    step = max(1, round(view.intrinsics.height / (2 * height)))
    rows, cols = view.intrinsics.height // step, view.intrinsics.width // step
    middle = slice(step // 2, None, step)

    def thin(pixels: np.ndarray) -> np.ndarray:
        return pixels[middle, middle][:rows, :cols]

    image = view.image[: rows * step, : cols * step]
    if step > 1:
        image = cv2.resize(image, (cols, rows), interpolation=cv2.INTER_AREA)
    usable = thin(view.origin) != PixelOrigin.FILLED
    valid, label = thin(view.valid) & usable & (thin(view.depth_m) > 0), thin(view.label)
    inverse = np.where(valid, 1.0 / np.maximum(thin(view.depth_m), 1e-3), 0.0).astype(np.float32)
    known = _quads(valid) & _smooth(inverse)
    sky = (label == Label.SKY) & ~valid
    inverse[sky] = 1.0 / _SKY_M
    inverse = push_pull(inverse[..., None], valid | sky)[..., 0]
    coloured = usable & (thin(view.origin) != PixelOrigin.NONE)
    guess = _quads(coloured) & ~_quads(valid)
    return Sheet(
        image=np.ascontiguousarray(image),
        label=label,
        depth_m=(1.0 / np.maximum(inverse, 1.0 / _SKY_M)).astype(np.float32),
        known=known,
        guess=guess,
        intrinsics=_thinned(view.intrinsics, step, cols, rows),
        world_to_cam=invert(view.cam_to_world),
    )


def _thinned(camera: Intrinsics, step: int, width: int, height: int) -> Intrinsics:
    """The camera whose pixel centres are those of every step-th pixel. Depth is exact there; colour, averaged over
    step x step pixels, is half a pixel of the original beside it where step is even."""
    shift = step // 2 + 0.5
    return Intrinsics(
        fx=camera.fx / step,
        fy=camera.fy / step,
        cx=(camera.cx - shift) / step + 0.5,
        cy=(camera.cy - shift) / step + 0.5,
        width=width,
        height=height,
    )


def _quads(pixels: np.ndarray) -> np.ndarray:
    return pixels[:-1, :-1] & pixels[1:, :-1] & pixels[:-1, 1:] & pixels[1:, 1:]


def _smooth(inverse: np.ndarray) -> np.ndarray:
    """Quads without a depth edge. On a plane inverse depth is linear in the pixel, so a step counts as an edge when it
    is more than a share of the depth and much larger than the steps on either side of it."""
    edges = []
    for axis in (0, 1):
        value = np.moveaxis(inverse, axis, 0)
        jump = np.abs(np.diff(value, axis=0))
        before = np.concatenate([jump[1:2], jump[:-1]])
        after = np.concatenate([jump[1:], jump[-2:-1]])
        if len(jump) < 2:
            before = after = np.zeros_like(jump)
        share = _EDGE_SHARE * np.minimum(value[1:], value[:-1])
        edges.append(np.moveaxis(jump <= np.maximum(share, 2.0 * np.minimum(before, after)), 0, axis))
    down, right = edges
    return down[:, :-1] & down[:, 1:] & right[:-1] & right[1:]


def show(sheet: Sheet, quads: np.ndarray, target_c2w: np.ndarray, camera: Intrinsics) -> Shown:
    """The chosen quads of a sheet from `target_c2w` (4, 4), nearest first."""
    T = invert(target_c2w) @ invert(sheet.world_to_cam)
    corners = _project(sheet.depth_m, _numbers(sheet.intrinsics), T[:3, :3].copy(), T[:3, 3].copy(), _numbers(camera))
    image = np.zeros((camera.height, camera.width, 3), np.uint8)
    nearness = np.zeros((camera.height, camera.width))
    label = np.zeros((camera.height, camera.width), np.uint8)
    _raster(corners, sheet.image, sheet.label, quads, image, nearness, label)
    with np.errstate(divide="ignore"):
        depth = np.where(nearness > 0, 1.0 / nearness, 0.0).astype(np.float32)
    return Shown(image=image, depth_m=depth, label=label)


def _numbers(camera: Intrinsics) -> np.ndarray:
    return np.array([camera.fx, camera.fy, camera.cx, camera.cy])


@njit(cache=True)
def _project(depth, source, R, t, target):
    """Target pixel and inverse depth of every source pixel; inverse depth 0 where it is not in front."""
    height, width = depth.shape
    out = np.zeros((height, width, 3))
    for v in range(height):
        b = (v + 0.5 - source[3]) / source[1]
        for u in range(width):
            a = (u + 0.5 - source[2]) / source[0]
            d = depth[v, u]
            z = (R[2, 0] * a + R[2, 1] * b + R[2, 2]) * d + t[2]
            if z < _NEAR_M:
                continue
            x = (R[0, 0] * a + R[0, 1] * b + R[0, 2]) * d + t[0]
            y = (R[1, 0] * a + R[1, 1] * b + R[1, 2]) * d + t[1]
            out[v, u, 0] = x / z * target[0] + target[2]
            out[v, u, 1] = y / z * target[1] + target[3]
            out[v, u, 2] = 1.0 / z
    return out


@njit(cache=True)
def _raster(corners, colours, labels, quads, image, nearness, label):
    height, width = nearness.shape
    for v in range(quads.shape[0]):
        for u in range(quads.shape[1]):
            if not quads[v, u]:
                continue
            for half in range(2):  # (v,u) (v+1,u) (v,u+1) and (v+1,u+1) (v,u+1) (v+1,u): same turning sense
                va, ub = v + half, u + half
                vb, uc = v + 1 - half, u + 1 - half
                xa, ya, ia = corners[va, ub]
                xb, yb, ib = corners[vb, ub]
                xc, yc, ic = corners[va, uc]
                if ia == 0.0 or ib == 0.0 or ic == 0.0:
                    continue
                area = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
                if area >= -1e-9:  # seen from behind or edge on
                    continue
                x0 = max(int(np.ceil(min(xa, xb, xc) - 0.5)), 0)
                x1 = min(int(np.floor(max(xa, xb, xc) - 0.5)), width - 1)
                y0 = max(int(np.ceil(min(ya, yb, yc) - 0.5)), 0)
                y1 = min(int(np.floor(max(ya, yb, yc) - 0.5)), height - 1)
                for j in range(y0, y1 + 1):
                    for i in range(x0, x1 + 1):
                        px, py = i + 0.5, j + 0.5
                        wb = ((px - xa) * (yc - ya) - (xc - xa) * (py - ya)) / area
                        wc = ((xb - xa) * (py - ya) - (px - xa) * (yb - ya)) / area
                        wa = 1.0 - wb - wc
                        if wa < -1e-9 or wb < -1e-9 or wc < -1e-9:
                            continue
                        near = wa * ia + wb * ib + wc * ic
                        if near <= nearness[j, i]:
                            continue
                        nearness[j, i] = near
                        for c in range(3):
                            mixed = wa * ia * colours[va, ub, c] + wb * ib * colours[vb, ub, c]
                            mixed = (mixed + wc * ic * colours[va, uc, c]) / near
                            image[j, i, c] = np.uint8(min(max(mixed + 0.5, 0.0), 255.0))
                        if wa >= wb and wa >= wc:
                            label[j, i] = labels[va, ub]
                        elif wb >= wc:
                            label[j, i] = labels[vb, ub]
                        else:
                            label[j, i] = labels[va, uc]
