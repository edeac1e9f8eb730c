"""What a robot's sensors point at."""

import numpy as np
from jaxtyping import Float64

from lyra_sim.config.tasks import CameraConfig


def camera_rays(camera: CameraConfig) -> Float64[np.ndarray, "H W 3"]:
    """Directions through the pixels' centres in the robot's frame (x ahead, y left, z up), 1 long along x: hit
    distances in units of them are z-depth. Pixels are square; row 0 looks up."""
    focal = camera.width / 2 / np.tan(np.radians(camera.hfov_deg) / 2)
    right = (np.arange(camera.width) + 0.5 - camera.width / 2) / focal
    down = (np.arange(camera.height) + 0.5 - camera.height / 2) / focal
    ahead = np.ones((camera.height, camera.width))
    return np.stack([ahead, -right * ahead, -down[:, None] * ahead], -1)
