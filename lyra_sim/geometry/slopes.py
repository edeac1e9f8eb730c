"""Surface direction per pixel of a depth image: a plane fitted to inverse depth around every pixel."""

import math

import numpy as np
from jaxtyping import Bool, Float32
from numba import njit, prange

from lyra_sim.core.records import Intrinsics


def pixel_normals(
    depth_m: Float32[np.ndarray, "H W"],
    valid: Bool[np.ndarray, "H W"],
    camera: Intrinsics,
    *,
    radius: int = 3,
    stride: int = 1,
) -> Float32[np.ndarray, "H W 3"]:
    """Unit normals in the camera frame, turned towards the camera; zero where too few neighbours lie on one surface.

    A plane has inverse depth affine in the ray coordinates (x/z, y/z), so the fit is a linear least-squares problem
    that is exact for planes at any slant. Neighbours in a (2 radius + 1) window count when their inverse depth is
    within 10 % of the centre's. With a stride only every so-many-th row and column is fitted (and the rest zero).
    """
    out = np.zeros((*depth_m.shape, 3), np.float32)
    inverse = np.divide(1.0, depth_m, out=np.zeros(depth_m.shape), where=valid)
    _fit(inverse, camera.fx, camera.fy, camera.cx, camera.cy, radius, stride, out)
    return out


@njit(cache=True, parallel=True)
def _fit(inverse, fx, fy, cx, cy, radius, stride, out):
    height, width = inverse.shape
    enough = (2 * radius + 1) * (radius + 1)
    for row in prange((height + stride - 1) // stride):
        v = row * stride
        for u in range(0, width, stride):
            centre = inverse[v, u]
            if centre == 0.0:
                continue
            n = su = sv = suu = svv = suv = sw = suw = svw = 0.0
            for dv in range(max(-radius, -v), min(radius, height - 1 - v) + 1):
                for du in range(max(-radius, -u), min(radius, width - 1 - u) + 1):
                    w = inverse[v + dv, u + du] - centre
                    if abs(w) > 0.1 * centre:  # pixels without depth too
                        continue
                    n += 1.0
                    su += du
                    sv += dv
                    suu += du * du
                    svv += dv * dv
                    suv += du * dv
                    sw += w
                    suw += du * w
                    svw += dv * w
            if n < enough:
                continue
            cuu, cvv, cuv = suu - su * su / n, svv - sv * sv / n, suv - su * sv / n
            cuw, cvw = suw - su * sw / n, svw - sv * sw / n
            det = cuu * cvv - cuv * cuv
            if det <= 1e-6 * cuu * cvv:
                continue
            du_w, dv_w = (cuw * cvv - cvw * cuv) / det, (cvw * cuu - cuw * cuv) / det
            a, b = du_w * fx, dv_w * fy
            c = centre + (sw - du_w * su - dv_w * sv) / n - a * (u + 0.5 - cx) / fx - b * (v + 0.5 - cy) / fy
            length = math.sqrt(a * a + b * b + c * c)
            out[v, u, 0] = -a / length
            out[v, u, 1] = -b / length
            out[v, u, 2] = -c / length
