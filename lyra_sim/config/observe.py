"""Settings of the observe stage: which depth backend, and its priors."""

from typing import Annotated, Literal

from pydantic import Field

from lyra_sim.config.depth_network import Da3Config, DepthAnythingConfig, TinyDepthConfig
from lyra_sim.config.model import Config


class SensorConfig(Config):
    """Depth that a sensor measured (RGB-D walks)."""

    backend: Literal["sensor"] = "sensor"
    edge_ratio: float = Field(default=0.05, gt=0, lt=1)
    """A pixel is dropped when inverse depth in its 3x3 neighbourhood differs by more than this share and not as over a
    slanted plane: flying pixels."""
    max_depth_m: float = Field(default=8.0, gt=0.5)
    """Depth beyond this is not used as geometry."""
    refine_poses: bool = True
    """Correct the given poses until depth and colours of the frames agree, where that makes them agree better; false
    takes them as they are."""


class GroundConfig(Config):
    """Depth of one photo from its horizon, ground plane and upright structure; needs no weights."""

    backend: Literal["ground"] = "ground"
    height_prior_m: float = Field(default=1.5, gt=0.05, lt=20)
    """Usual camera height, for photos whose camera height is not given."""
    height_prior_sigma: float = Field(default=0.25, gt=0, lt=2)
    """One sigma of the logarithm of that height."""
    height_from_sizes: bool = True
    """Read the camera height from the sizes of things in the photo (a small network that comes with the package) and
    weigh it against the usual height; false takes the usual height as it is."""
    unusual_height_share: float = Field(default=0.15, ge=0, le=1)
    """Share of cameras that may be at any height from 0.3 to 2.2 m instead of near the usual one."""
    size_sigma: float = Field(default=0.1, ge=0, lt=2)
    """Added to the network's own sigma of ln(height), in quadrature."""
    strange_sigma: float = Field(default=0.5, ge=0, lt=2)
    """Added as well for photos unlike the rendered places that the network learned from, as most real ones are."""
    max_range_m: float = Field(default=25.0, gt=2)
    """Depth beyond this belongs to the backdrop."""


DepthConfig = Annotated[
    SensorConfig | GroundConfig | DepthAnythingConfig | Da3Config | TinyDepthConfig, Field(discriminator="backend")
]


class ObserveConfig(Config):
    """One backend per kind of capture."""

    rgbd: DepthConfig = SensorConfig()
    """Backend for captures with sensor depth."""
    photo: DepthConfig = GroundConfig()
    """Backend for single photos."""
