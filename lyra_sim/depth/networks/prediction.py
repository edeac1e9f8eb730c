"""What a depth network is asked and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, UInt8

from lyra_sim.core.licence import Licence
from lyra_sim.core.record import record


@record
class DepthPrediction:
    """Depth of some views at the size of their images, as the network has it: not yet scaled to known cameras."""

    depth: Float32[np.ndarray, "V H W"]
    """z-depth; metres where the network is metric, else its own unit; 0 where not valid."""
    valid: Bool[np.ndarray, "V H W"]
    """False for sky, for depth at the end of the network's range, and where it is no number."""
    dense: Float32[np.ndarray, "V H W"] | None = None
    """The same without gaps, where the network says something everywhere (sky far away); None: `depth` has none."""
    confidence: Float32[np.ndarray, "V H W"] | None = None
    """The network's own, larger is surer; no unit."""
    w2c: Float64[np.ndarray, "V 4 4"] | None = None
    """Cameras that it predicted, in units of `depth`; OpenCV axes."""
    K: Float64[np.ndarray, "V 3 3"] | None = None
    """Intrinsics that it predicted, pixels of the images."""


@dataclass(frozen=True)
class PixelGaussians:
    """One Gaussian per pixel of some views, as a network's head has them: along the rays of cameras that are known
    elsewhere, in camera axes, not yet scaled to those cameras."""

    distance: Float32[np.ndarray, "V H W"]
    """Of the centre from the camera, along the ray; metres where the network is metric, else its own unit."""
    offset_px: Float32[np.ndarray, "V H W 2"]
    """From the pixel's centre to where the ray passes, (x, y)."""
    extent: Float32[np.ndarray, "V H W 3"]
    """Standard deviations along the Gaussian's own axes; one unit is a tenth of the sum of a pixel's two angles (1 / fx
    + 1 / fy) at `distance`."""
    quaternions_xyzw: Float32[np.ndarray, "V H W 4"]
    """Of those axes in the camera's, any length."""
    sh_dc: Float32[np.ndarray, "V H W 3"]
    """Spherical harmonic of degree 0; what varies with the direction is not kept."""
    opacity: Float32[np.ndarray, "V H W"]
    """0..1."""
    w2c: Float64[np.ndarray, "V 4 4"] | None
    """Cameras that the network predicted, in units of `distance`; OpenCV axes."""


class GaussianNetwork(Protocol):
    """A network that tells Gaussians from images and their cameras."""

    @property
    def name(self) -> str:
        """Of its weights, for reports."""
        ...

    @property
    def licences(self) -> tuple[Licence, ...]:
        """Rights in its weights."""
        ...

    @property
    def hashes(self) -> Mapping[str, str]:
        """File of its weights -> sha256, for the provenance."""
        ...

    def gaussians(
        self, images: UInt8[np.ndarray, "V H W 3"], w2c: Float[np.ndarray, "V 4 4"], K: Float[np.ndarray, "V 3 3"]
    ) -> PixelGaussians:
        """Gaussians of every pixel.

        Args:
            images: sRGB; sides are multiples of the network's patch (14).
            w2c: known cameras (OpenCV axes, any unit and frame).
            K: their intrinsics, pixels.
        """
        ...


class DepthNetwork(Protocol):
    """A network that tells depth from images."""

    @property
    def name(self) -> str:
        """Of its weights, for reports."""
        ...

    @property
    def metric(self) -> bool:
        """Its depth is in metres as it is."""
        ...

    @property
    def licences(self) -> tuple[Licence, ...]:
        """Rights in its weights."""
        ...

    @property
    def hashes(self) -> Mapping[str, str]:
        """File of its weights -> sha256, for the provenance; for random weights what they are made from."""
        ...

    def predict(
        self,
        images: UInt8[np.ndarray, "V H W 3"],
        w2c: Float[np.ndarray, "V 4 4"] | None = None,
        K: Float[np.ndarray, "V 3 3"] | None = None,
    ) -> DepthPrediction:
        """Depth of every view.

        Args:
            images: sRGB.
            w2c: known cameras (OpenCV axes, any unit and frame), for networks that make use of them.
            K: their intrinsics, pixels.
        """
        ...
