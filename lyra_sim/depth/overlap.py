"""Posed depth images on a coarse grid, and which frames look at the same places: what frames can ask of each other."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int
from scipy import ndimage

from lyra_sim.core.records import Intrinsics
from lyra_sim.geometry.camera import invert, pixel_rays, transform

GRID_CELLS = 20_000
"""Cells of the coarse grid of one frame, about."""
PARTNERS = 48
"""Each frame is compared with at most so many others."""
_PROBES = 64
_LEAST_PROBES = 4


@dataclass(frozen=True)
class CoarseWalk:
    """All frames of a walk at `step` pixels per cell."""

    step: int
    depth_m: Float32[np.ndarray, "T h w"]
    """At the middle of each cell; 0 where there is none."""
    near_m: Float32[np.ndarray, "T h w"]
    """Least depth of the 3 x 3 cells around; 0 where the cell has none."""
    far_m: Float32[np.ndarray, "T h w"]
    """Greatest depth of them; 0 where none of the 3 x 3 has any."""
    camera: Intrinsics
    T_world_cam: Float64[np.ndarray, "T 4 4"]
    T_cam_world: Float64[np.ndarray, "T 4 4"]
    partners: Int[np.ndarray, "T K"]
    """Other frames that see something of what each frame sees, evenly spread over the walk; -1 fills up."""

    @property
    def lens(self) -> Float64[np.ndarray, "4"]:
        """fx, fy, cx, cy of the coarse camera."""
        return np.array([self.camera.fx, self.camera.fy, self.camera.cx, self.camera.cy])


def coarse_walk(
    depth_m: Float32[np.ndarray, "T H W"],
    valid: Bool[np.ndarray, "T H W"],
    T_world_cam: Float64[np.ndarray, "T 4 4"],
    camera: Intrinsics,
) -> CoarseWalk:
    """The walk on its coarse grid; rows and columns beyond the last whole cell are left out."""
    step = max(1, round((camera.width * camera.height / GRID_CELLS) ** 0.5))
    h, w = camera.height // step, camera.width // step
    middle, near, far = (np.zeros((len(depth_m), h, w), np.float32) for _ in range(3))
    for t, (depth, known) in enumerate(zip(depth_m, valid, strict=True)):
        cells = np.where(known, depth, 0)[: h * step, : w * step].reshape(h, step, w, step)
        middle[t] = cells[:, step // 2, :, step // 2]
        least = np.where(cells > 0, cells, np.inf).min((1, 3))
        has = np.isfinite(least)
        near[t] = np.where(has, ndimage.minimum_filter(least, 3), 0)
        far[t] = ndimage.maximum_filter(cells.max((1, 3)), 3)
    small = _coarse(camera, step)
    T_world_cam = np.ascontiguousarray(T_world_cam, np.float64)
    T_cam_world = invert(T_world_cam)
    return CoarseWalk(
        step=step, depth_m=middle, near_m=near, far_m=far, camera=small, T_world_cam=T_world_cam,
        T_cam_world=T_cam_world, partners=_partners(middle, small, T_world_cam, T_cam_world),
    )  # fmt: skip


def _coarse(camera: Intrinsics, step: int) -> Intrinsics:
    return Intrinsics(
        fx=camera.fx / step, fy=camera.fy / step, cx=camera.cx / step, cy=camera.cy / step,
        width=camera.width // step, height=camera.height // step,
    )  # fmt: skip


def _partners(
    depth_m: np.ndarray, camera: Intrinsics, T_world_cam: np.ndarray, T_cam_world: np.ndarray
) -> Int[np.ndarray, "T K"]:
    """Frames in whose view at least a few of a frame's points lie, hidden or not."""
    rays = pixel_rays(camera).reshape(-1, 3)
    count = len(depth_m)
    out = np.full((count, min(PARTNERS, max(count - 1, 1))), -1)
    for t, depth in enumerate(depth_m.reshape(count, -1)):
        known = np.flatnonzero(depth)
        probes = known[np.linspace(0, len(known) - 1, min(len(known), _PROBES)).astype(int)] if len(known) else known
        points = transform(T_world_cam[t], rays[probes] * depth[probes][:, None].astype(np.float64))
        seen = np.einsum("tij,nj->tni", T_cam_world[:, :3, :3], points) + T_cam_world[:, None, :3, 3]
        z = np.maximum(seen[..., 2], 1e-6)
        u = seen[..., 0] / z * camera.fx + camera.cx
        v = seen[..., 1] / z * camera.fy + camera.cy
        inside = (seen[..., 2] > 0.05) & (u >= 0) & (v >= 0) & (u < camera.width) & (v < camera.height)
        others = np.flatnonzero((inside.sum(1) >= _LEAST_PROBES) & (np.arange(count) != t))
        if len(others) > out.shape[1]:
            others = others[np.linspace(0, len(others) - 1, out.shape[1]).round().astype(int)]
        out[t, : len(others)] = others
    return out
