"""Depth Anything V2 (Yang et al. 2024) fine-tuned to metres, as transformers has it: one image at a time."""

from typing import Any

import cv2
import numpy as np
import torch
from transformers import DepthAnythingForDepthEstimation
from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil

from lyra_sim.core.errors import ConfigError
from lyra_sim.depth.networks.prediction import DepthPrediction
from lyra_sim.depth.networks.weights import file_hashes, licence_of, locate

FILES = ("config.json", "model.safetensors", "preprocessor_config.json")
_FULL_RANGE = 0.98
"""Depth is max_depth * sigmoid: from this share of the range on the network only says 'far'."""


class DepthAnything:
    """See `DepthNetwork`; cameras are not looked at and none are predicted.

    Args:
        weights: folder, or Hugging Face name in the local cache.
        setting: where the user named it, for messages.

    Raises:
        ResourceError: the weights are not on this machine.
        ConfigError: they are no metric ones.
    """

    metric = True

    def __init__(self, weights: str, *, device: str = "cpu", setting: str = "weights") -> None:
        folder = locate(weights, FILES, setting=setting)
        net = DepthAnythingForDepthEstimation.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        if net.config.depth_estimation_type != "metric" or not net.config.max_depth:
            raise ConfigError(
                f"{setting}: {weights}",
                expected="a checkpoint with depth_estimation_type 'metric'",
                got=repr(net.config.depth_estimation_type),
                todo="Take one of the Metric-Indoor or Metric-Outdoor checkpoints.",
            )
        self.name, self.licences, self.hashes = weights, (licence_of(weights),), file_hashes(folder, FILES)
        self._device, self._far = device, float(net.config.max_depth)
        self._net: Any = net.eval()
        self._net.to(device)
        self._prepare = DPTImageProcessorPil.from_pretrained(folder, local_files_only=True)

    @torch.inference_mode()
    def predict(
        self, images: np.ndarray, w2c: np.ndarray | None = None, K: np.ndarray | None = None
    ) -> DepthPrediction:
        """See `DepthNetwork.predict`."""
        height, width = images.shape[1:3]
        depth = np.empty(images.shape[:3], np.float32)
        for i, image in enumerate(images):
            pixels = self._prepare(images=[image], return_tensors="pt")["pixel_values"].to(self._device)
            small = self._net(pixel_values=pixels).predicted_depth[0].float().cpu().numpy()
            depth[i] = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        valid = np.isfinite(depth) & (depth > 0) & (depth < _FULL_RANGE * self._far)
        known = np.where(np.isfinite(depth), depth, np.float32(0)).clip(0)
        return DepthPrediction(depth=np.where(valid, known, np.float32(0)), valid=valid, dense=known)
