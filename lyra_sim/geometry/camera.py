"""Pinhole cameras: rays, projection and back-projection. Pixel centres at (0.5, 0.5), OpenCV axes."""

import numpy as np
from jaxtyping import Float

from lyra_sim.core.records import Intrinsics


def scaled(camera: Intrinsics, width: int, height: int) -> Intrinsics:
    """The same camera at another image size."""
    sx, sy = width / camera.width, height / camera.height
    return Intrinsics(
        fx=camera.fx * sx, fy=camera.fy * sy, cx=camera.cx * sx, cy=camera.cy * sy, width=width, height=height
    )


def pixel_rays(camera: Intrinsics) -> Float[np.ndarray, "H W 3"]:
    """Camera-frame rays through all pixel centres with z = 1, so that `depth * ray` is the 3-D point."""
    u = (np.arange(camera.width) + 0.5 - camera.cx) / camera.fx
    v = (np.arange(camera.height) + 0.5 - camera.cy) / camera.fy
    rays = np.ones((camera.height, camera.width, 3))
    rays[..., 0] = u[None, :]
    rays[..., 1] = v[:, None]
    return rays


def project(
    points_cam: Float[np.ndarray, "N 3"], camera: Intrinsics
) -> tuple[Float[np.ndarray, "N 2"], Float[np.ndarray, "N"]]:
    """Pixel coordinates (u, v) and z-depth of camera-frame points; meaningless where z <= 0."""
    z = points_cam[:, 2]
    safe = np.where(np.abs(z) < 1e-12, 1e-12, z)
    uv = np.stack([points_cam[:, 0] / safe * camera.fx + camera.cx, points_cam[:, 1] / safe * camera.fy + camera.cy], 1)
    return uv, z


def transform(T_b_a: Float[np.ndarray, "4 4"], points_a: Float[np.ndarray, "*N 3"]) -> Float[np.ndarray, "*N 3"]:
    """Points of frame a in frame b."""
    return points_a @ T_b_a[:3, :3].T + T_b_a[:3, 3]


def invert(T_b_a: Float[np.ndarray, "*N 4 4"]) -> Float[np.ndarray, "*N 4 4"]:
    """Inverse of rigid transforms."""
    R = np.swapaxes(T_b_a[..., :3, :3], -1, -2)
    out = np.zeros_like(T_b_a)
    out[..., :3, :3] = R
    out[..., :3, 3] = -(R @ T_b_a[..., :3, 3:])[..., 0]
    out[..., 3, 3] = 1.0
    return out


def backproject(
    depth_m: np.ndarray, valid: np.ndarray, camera: Intrinsics, T_world_cam: np.ndarray
) -> Float[np.ndarray, "N 3"]:
    """World points (float64) of the valid pixels of one depth image (H, W), in row-major pixel order."""
    points = pixel_rays(camera)[valid] * depth_m[valid][:, None].astype(np.float64)
    return transform(T_world_cam, points)
