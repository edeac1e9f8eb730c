"""Faults like those of a video generator, put on rendered frames: what is measured under them holds for real ones.

Everything depends on the number of the frame and a seed alone, so that frames are the same however a walk is cut.
"""

import numpy as np
from jaxtyping import Float, Float32, UInt8
from scipy import ndimage
from scipy.spatial.transform import Rotation

from lyra_sim.config.explore import CorruptionConfig

DRIFT_FRAMES = 80
"""Frames in which colours drift by the configured share."""
_ANCHOR = 16
"""Frames from one pattern of waves in depth to the next."""
_KNOTS = (5, 7)
_PACE = np.array([1.0, 0.8, -0.6])
"""Channels drift apart."""
_GHOST_PX = 0.06
"""Radius of a ghost by the width of the picture."""
_POSE, _WAVES, _NOISE, _GHOSTS = range(4)


class Corruption:
    """Puts faults on frames.

    Args:
        seed: of the place.
    """

    def __init__(self, config: CorruptionConfig, seed: int) -> None:
        self.config, self.seed = config, seed

    def _rng(self, what: int, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, what, number])

    def pose(self, cam_to_world: Float[np.ndarray, "4 4"], number: int) -> Float[np.ndarray, "4 4"]:
        """Where frame `number` is really taken from."""
        rng, out = self._rng(_POSE, number), np.array(cam_to_world, np.float64)
        turn = Rotation.from_rotvec(np.radians(self.config.jitter_deg) * rng.standard_normal(3) / np.sqrt(3))
        out[:3, :3] = out[:3, :3] @ turn.as_matrix()
        out[:3, 3] += self.config.jitter_m * rng.standard_normal(3) / np.sqrt(3)
        return out

    def depth(self, depth_m: Float32[np.ndarray, "H W"], number: int) -> Float32[np.ndarray, "H W"]:
        """Depth times a factor that waves slowly over picture and time, and noise; 0 stays 0."""
        off = self.config.depth_waves * self._waves(depth_m.shape, number)
        off += self.config.depth_noise * self._rng(_NOISE, number).standard_normal(depth_m.shape)
        return (depth_m * np.exp(off)).astype(np.float32)

    def _waves(self, shape: tuple[int, ...], number: int) -> Float[np.ndarray, "H W"]:
        """Unit variance over picture and time."""
        first, share = divmod(number, _ANCHOR)
        weight = np.array([1 - share / _ANCHOR, share / _ANCHOR])
        zoom = [n / k for n, k in zip(shape, _KNOTS, strict=True)]
        out = np.zeros(shape)
        for k in (0, 1):
            knots = self._rng(_WAVES, first + k).standard_normal(_KNOTS)
            pattern = ndimage.zoom(knots, zoom, order=3, mode="nearest", grid_mode=True)
            out += weight[k] * (pattern / pattern.std())
        return out / np.linalg.norm(weight)

    def image(self, image: UInt8[np.ndarray, "H W 3"], number: int) -> UInt8[np.ndarray, "H W 3"]:
        """Blurred, each channel brighter or darker: up to the configured share, and back."""
        swing = (number / DRIFT_FRAMES + 1) % 4
        gain = (1 + self.config.gain_drift) ** (_PACE * (1 - abs(swing - 2)))
        soft = ndimage.gaussian_filter(image.astype(np.float64), (self.config.blur_px, self.config.blur_px, 0))
        return np.clip(np.rint(soft * gain), 0, 255).astype(np.uint8)

    def ghosts(
        self, image: UInt8[np.ndarray, "H W 3"], depth_m: Float32[np.ndarray, "H W"], number: int
    ) -> tuple[UInt8[np.ndarray, "H W 3"], Float32[np.ndarray, "H W"]]:
        """Round things in front of what is there, with colours from elsewhere in the picture."""
        rng, (height, width) = self._rng(_GHOSTS, number), depth_m.shape
        image, depth_m = image.copy(), depth_m.copy()
        v, u = np.mgrid[:height, :width]
        ghost = np.zeros(depth_m.shape, bool)
        while ghost.mean() < self.config.ghost_share:
            y, x = rng.uniform(0, height), rng.uniform(0, width)
            radius = _GHOST_PX * width * rng.uniform(0.5, 1.0)
            # The last one only as large as is still missing.
            missing = (self.config.ghost_share - ghost.mean()) * ghost.size
            there = np.hypot(v - y, u - x) < min(radius, np.sqrt(missing / np.pi) + 1)
            behind = depth_m[there & (depth_m > 0)]
            if not len(behind):
                ghost |= there
                continue
            depth_m[there] = np.float32(np.median(behind) * rng.uniform(0.5, 0.9))
            image[there] = np.roll(image, (height // 3, width // 3), (0, 1))[there]
            ghost |= there
        return image, depth_m
