"""Size of what the network draws: how many frames at once, and the camera of a picture cut to its shape. No torch."""

from lyra_sim.config.lyra2 import Lyra2Config
from lyra_sim.core.records import Intrinsics
from lyra_sim.geometry.camera import scaled
from lyra_sim.memory.packing import FRAMES_PER_LATENT, Packing


def frames_at_once(config: Lyra2Config) -> int:
    """Frames of every segment."""
    return FRAMES_PER_LATENT * Packing.parse(config.packing).new_latents


def framed_camera(camera: Intrinsics, height: int, width: int) -> Intrinsics:
    """The camera of the framed picture."""
    big = scaled(camera, *covering(camera.width, camera.height, height, width))
    left, top = (big.width - width) // 2, (big.height - height) // 2
    return Intrinsics(fx=big.fx, fy=big.fy, cx=big.cx - left, cy=big.cy - top, width=width, height=height)


def covering(from_width: int, from_height: int, height: int, width: int) -> tuple[int, int]:
    """Width and height of the scaled picture."""
    factor = max(width / from_width, height / from_height)
    return max(width, round(from_width * factor)), max(height, round(from_height * factor))
