"""Depth Anything 3 (Lin et al. 2025) by its package `depth_anything_3`: depth, cameras and Gaussians of many views at
once.

Written against the package's public parts (version 0.1.1 of the registry): `DepthAnything3.from_pretrained`,
`input_processor`, `forward`, `output_processor`. Its `inference` is not called: it scales depth to the given cameras by
itself and keeps a scale that means nothing (see `depth.align`), and its cameras are needed to judge that.
"""

from typing import Any

import cv2
import numpy as np
import torch

from lyra_sim.core.errors import ConfigError, ResourceError
from lyra_sim.depth.align import normalise_cameras, separate_centres
from lyra_sim.depth.networks.da3_gaussians import tap_of
from lyra_sim.depth.networks.prediction import DepthPrediction, PixelGaussians
from lyra_sim.depth.networks.weights import GET_DA3, file_hashes, licence_of, locate

FILES = ("config.json", "model.safetensors")
_NO_DEPTH = 999.9
_METRIC_FOCAL_PX = 300.0
"""`da3metric` networks tell depth for a camera of this focal length; metres = focal length in use / 300 * output."""


class DepthAnything3:
    """See `DepthNetwork` and `GaussianNetwork`.

    Args:
        weights: folder, or Hugging Face name in the local cache.
        side_px: longer side of the images that the network sees; rounded to multiples of 14 by the package.
        rests: kept in main memory, on the device only while it is asked.
        setting: where the user named the weights, for messages.

    Raises:
        ResourceError: the package or the weights are not on this machine.
    """

    def __init__(
        self,
        weights: str,
        *,
        side_px: int = 504,
        device: str = "cuda",
        rests: bool = False,
        setting: str = "weights",
    ) -> None:
        folder = locate(weights, FILES, setting=setting)
        self._home = "cpu" if rests else device
        self._net: Any = _package().from_pretrained(str(folder)).to(self._home).eval()
        self.name, self.licences, self.hashes = weights, (licence_of(weights),), file_hashes(folder, FILES)
        kind = str(self._net.model_name).lower()
        self._by_focal = "da3metric" in kind
        self.metric = self._by_focal or "nested" in kind
        self._device, self._side = torch.device(device), side_px

    def predict(
        self, images: np.ndarray, w2c: np.ndarray | None = None, K: np.ndarray | None = None
    ) -> DepthPrediction:
        """See `DepthNetwork.predict`. Cameras are taken into account where both `w2c` and `K` are given."""
        raw = self._forward(images, w2c, K, self._side)
        made = self._net.output_processor(raw)
        depth, (height, width) = np.asarray(made.depth, np.float32), images.shape[1:3]
        valid = np.isfinite(depth) & (depth > 0) & (depth < _NO_DEPTH)
        if self._by_focal:
            depth = depth * self._focal_factor(K, width, depth.shape[2])
        if made.sky is not None:
            valid &= ~np.asarray(made.sky, bool).reshape(valid.shape)
        shown = _resized(valid.astype(np.float32), height, width) > 0.99  # no part of it from what is not valid
        full = np.where(shown, _resized(np.where(valid, depth, np.float32(0)), height, width), np.float32(0))
        return DepthPrediction(
            depth=full,
            valid=shown,
            dense=_resized(np.where(np.isfinite(depth), depth, np.float32(0)).clip(0), height, width),
            confidence=None if made.conf is None else _resized(np.asarray(made.conf, np.float32), height, width),
            w2c=None if made.extrinsics is None else _square(made.extrinsics),
            K=None if made.intrinsics is None else _scaled(made.intrinsics, width, height, depth.shape[1:]),
        )

    def gaussians(self, images: np.ndarray, w2c: np.ndarray, K: np.ndarray) -> PixelGaussians:
        """See `GaussianNetwork.gaussians`.

        Raises:
            ConfigError: the checkpoint has no Gaussian head, or one of another kind.
        """
        tap = tap_of(self._net.model, self.name)
        raw = self._forward(images, w2c, K, max(images.shape[1:3]), infer_gs=True)
        made = self._net.output_processor(raw)
        unit = getattr(made, "scale_factor", None)  # of nested networks: they scale depth and cameras afterwards
        return tap.take(1.0 if unit is None else float(unit), _square(made.extrinsics))

    def _forward(
        self, images: np.ndarray, w2c: np.ndarray | None, K: np.ndarray | None, side_px: int, **wishes: bool
    ) -> Any:
        """What the package's `forward` answers. Cameras are given where both `w2c` and `K` are."""
        given = (None, None)
        if w2c is not None and K is not None and not self._by_focal:
            given = (normalise_cameras(separate_centres(w2c)), np.asarray(K, np.float32))
        pixels, *cameras = self._net.input_processor(list(images), *given, side_px, "upper_bound_resize", num_workers=1)
        batch = [None if x is None else x.to(self._device)[None].float() for x in (pixels, *cameras)]
        self._net.to(self._device)
        try:
            return self._net.forward(
                batch[0], extrinsics=batch[1], intrinsics=batch[2], export_feat_layers=[], **wishes
            )
        finally:
            self._net.to(self._home)

    def _focal_factor(self, K: np.ndarray | None, width: int, seen_px: int) -> np.ndarray:
        """(V, 1, 1) metres per unit of output, from the focal length at the size that the network saw."""
        if K is None:
            raise ConfigError(
                self.name,
                expected="the cameras' intrinsics",
                got="none",
                todo="This network is metric only with them; take the nested one.",
            )
        focal = (K[:, 0, 0] + K[:, 1, 1]) / 2 * (seen_px / width)
        return (focal / _METRIC_FOCAL_PX).astype(np.float32)[:, None, None]


def _package() -> Any:
    try:
        from depth_anything_3.api import DepthAnything3 as Network  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ResourceError(
            "Depth Anything 3",
            expected="the package depth_anything_3",
            got=str(error),
            todo=f"Get it ({GET_DA3}), or take another backend.",
        ) from error
    return Network


def _resized(stack: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.stack([cv2.resize(x, (width, height), interpolation=cv2.INTER_LINEAR) for x in stack])


def _square(w2c: np.ndarray) -> np.ndarray:
    out = np.tile(np.eye(4), (len(w2c), 1, 1))
    out[:, :3] = np.asarray(w2c, np.float64)[:, :3]
    return out


def _scaled(K: np.ndarray, width: int, height: int, seen: tuple[int, ...]) -> np.ndarray:
    return np.asarray(K, np.float64) * np.array([width / seen[1], height / seen[0], 1.0])[:, None]
