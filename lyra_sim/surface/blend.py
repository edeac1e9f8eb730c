"""Colours of surface points, blended from all images that show them.

Every image counts by the resolution at which it shows the point, hardly at silhouettes, where the surface may be a
pixel off, and less where it shows what most others do not (passers-by, glare): a mean reweighted after Cauchy (Holland
and Welsch 1977). The weights depend on the point alone, so that there are no seams between parts of a texture.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from numba import njit, prange
from scipy import ndimage

from lyra_sim.core.records import PixelOrigin
from lyra_sim.geometry.camera import invert, pixel_rays
from lyra_sim.geometry.rays import RayScene
from lyra_sim.surface.linear import turned
from lyra_sim.surface.views import View

ROUNDS = 2
SPREAD = 25.0
"""Colour distance (0..255) from the mean at which a view counts half."""
GENERATED = 1e-3
"""Generated colour shows only where no input does."""
SILHOUETTE = 0.02
SLACK_M, SLACK_SHARE = 0.02, 0.01
"""Depths that differ by less (and by what a slanted surface adds within a pixel) are the same surface."""
MIN_COS = 0.1


@dataclass(frozen=True)
class Witness:
    """A view with the depth at which it sees the mesh."""

    view: View
    nearest_m: Float32[np.ndarray, "H W"]
    """Least z-depth of the mesh in the 3 x 3 pixels around; inf where there is nothing."""
    depth_m: Float32[np.ndarray, "H W"]
    farthest_m: Float32[np.ndarray, "H W"]


def witness(scene: RayScene, view: View) -> Witness:
    """Look at the mesh through every pixel of a view."""
    directions = turned(pixel_rays(view.camera).reshape(-1, 3), view.cam_to_world[:3, :3])
    t, _, _ = scene.cast(np.broadcast_to(view.cam_to_world[:3, 3], directions.shape), directions)
    depth = t.astype(np.float32).reshape(view.camera.height, view.camera.width)
    return Witness(view, ndimage.minimum_filter(depth, 3), depth, ndimage.maximum_filter(depth, 3))


def blend(
    points: Float[np.ndarray, "P 3"], normals: Float[np.ndarray, "P 3"], witnesses: list[Witness]
) -> tuple[Float32[np.ndarray, "P 3"], Float32[np.ndarray, "P"]]:
    """Colour (0..255) of each point, and the weight of the views that show it, 0 where none does."""
    points, normals = np.ascontiguousarray(points, np.float64), np.ascontiguousarray(normals, np.float64)
    mean = np.zeros((len(points), 3))
    mass = np.zeros(len(points))
    for turn in range(ROUNDS):
        total, mass = np.zeros((len(points), 3)), np.zeros(len(points))
        for one in witnesses:
            camera, pose = one.view.camera, one.view.cam_to_world
            trust = np.zeros(len(PixelOrigin))
            trust[PixelOrigin.MEASURED], trust[PixelOrigin.GENERATED] = 1.0, GENERATED
            _add(
                points, normals, invert(pose), np.ascontiguousarray(pose[:3, 3]),
                np.array([camera.fx, camera.fy, camera.cx, camera.cy]), one.view.image, trust[one.view.origin],
                one.view.depth_m, one.nearest_m, one.depth_m, one.farthest_m, mean, turn > 0, total, mass,
            )  # fmt: skip
        mean = np.divide(total, mass[:, None], out=np.zeros_like(total), where=mass[:, None] > 0)
    return mean.astype(np.float32), mass.astype(np.float32)


@njit(cache=True, parallel=True)
def _add(
    points, normals, T, centre, lens, image, trust, measured, nearest, depth, farthest, mean, robust, total, mass
):  # fmt: skip
    height, width = trust.shape
    for n in prange(len(points)):
        p, q = points[n], normals[n]
        z = T[2, 0] * p[0] + T[2, 1] * p[1] + T[2, 2] * p[2] + T[2, 3]
        if z < 0.05:
            continue
        x = (T[0, 0] * p[0] + T[0, 1] * p[1] + T[0, 2] * p[2] + T[0, 3]) / z * lens[0] + lens[2]
        y = (T[1, 0] * p[0] + T[1, 1] * p[1] + T[1, 2] * p[2] + T[1, 3]) / z * lens[1] + lens[3]
        if x < 1.0 or y < 1.0 or x > width - 1.0 or y > height - 1.0:
            continue
        dx, dy, dz = centre[0] - p[0], centre[1] - p[1], centre[2] - p[2]
        away = (dx * dx + dy * dy + dz * dz) ** 0.5
        cosine = (q[0] * dx + q[1] * dy + q[2] * dz) / away
        u, v = int(x), int(y)
        if cosine < MIN_COS or trust[v, u] == 0.0:
            continue
        slope = z / lens[0] * (1.0 / (cosine * cosine) - 1.0) ** 0.5
        slack = SLACK_M + SLACK_SHARE * z + slope
        if depth[v, u] < z - slack:
            continue
        if measured[v, u] > 0.0 and abs(measured[v, u] - z) > slack + SLACK_SHARE * z:
            continue
        w = trust[v, u] * (lens[0] * cosine / max(away, 0.2)) ** 2
        if nearest[v, u] < z - slack - 2.0 * slope or farthest[v, u] > z + slack + 2.0 * slope:
            w *= SILHOUETTE
        i, j = min(int(x - 0.5), width - 2), min(int(y - 0.5), height - 2)
        a, b = x - 0.5 - i, y - 0.5 - j
        apart = 0.0
        color = np.empty(3)
        for k in range(3):
            top = image[j, i, k] * (1 - a) + image[j, i + 1, k] * a
            bottom = image[j + 1, i, k] * (1 - a) + image[j + 1, i + 1, k] * a
            color[k] = top * (1 - b) + bottom * b
            apart += (color[k] - mean[n, k]) ** 2
        if robust:
            w /= 1.0 + apart / (SPREAD * SPREAD)
        for k in range(3):
            total[n, k] += w * color[k]
        mass[n] += w
