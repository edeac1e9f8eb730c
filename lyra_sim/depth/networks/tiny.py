"""A small convolutional network with random weights: what surrounds depth networks can be run and timed with it."""

import numpy as np
import torch
from torch import nn

from lyra_sim.core.licence import Licence
from lyra_sim.depth.networks.prediction import DepthPrediction


class TinyDepth:
    """See `DepthNetwork`. Depth between `near_m` and `far_m`; cameras that are given come back as predicted ones."""

    metric = True

    def __init__(self, *, seed: int = 0, near_m: float = 1.0, far_m: float = 6.0, device: str = "cpu") -> None:
        self.name = f"random depth network, seed {seed}"
        self.licences = (Licence(subject=self.name, name="CC0-1.0", holder="nobody", source="random numbers"),)
        self.hashes = {"seed": str(seed)}
        self._near, self._far, self._device = near_m, far_m, device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._net = nn.Sequential(
                nn.AvgPool2d(8, ceil_mode=True), nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 1, 3, padding=1)
            )
        self._net.to(device).eval()

    @torch.inference_mode()
    def predict(
        self, images: np.ndarray, w2c: np.ndarray | None = None, K: np.ndarray | None = None
    ) -> DepthPrediction:
        """See `DepthNetwork.predict`."""
        pixels = torch.tensor(images, device=self._device).permute(0, 3, 1, 2).float() / 127.5 - 1
        small = torch.sigmoid(self._net(pixels))
        share = nn.functional.interpolate(small, images.shape[1:3], mode="bilinear")[:, 0]
        depth = (self._near + (self._far - self._near) * share).float().cpu().numpy()
        return DepthPrediction(
            depth=np.clip(depth, self._near, self._far),
            valid=np.ones(depth.shape, bool),
            w2c=None if w2c is None else np.array(w2c, np.float64),
        )
