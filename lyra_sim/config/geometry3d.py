"""Settings of the reconstruct, surface and collide stages."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lyra_sim.config.depth_network import Da3Config
from lyra_sim.config.model import Config


class FusionConfig(Config):
    """Fusion of remembered depth into the surface that robots touch."""

    voxel_m: float = Field(default=0.02, ge=0.005, le=0.2)
    """Finest voxel; coarsened where the volume would exceed the memory limit."""
    max_memory_gib: float = Field(default=3.0, gt=0)
    """About how much memory the volume of the near field may take; its voxels grow until it does."""
    max_depth_m: float = Field(default=8.0, gt=0.5)
    """Measured depth beyond this is not fused into the near field."""
    bend_depth: bool = True
    """Bend the depth of generated frames smoothly until they agree on where surfaces are."""


class TsdfConfig(FusionConfig):
    """Truncated signed distance fusion with free-space carving (Curless and Levoy 1996); its surface gives the splats,
    too."""

    backend: Literal["tsdf"] = "tsdf"


class FeedforwardConfig(FusionConfig):
    """The same surface, and splats by the Gaussian head of Depth Anything 3 (Lin et al. 2025) from the known cameras;
    needs its package and a GPU."""

    backend: Literal["feedforward"] = "feedforward"
    weights: str = "depth-anything/DA3NESTED-GIANT-LARGE-1.1"
    """Folder, or name on Hugging Face of what is in the local cache; only the giant ones have a Gaussian head, and
    their licence (CC-BY-NC-4.0) allows no commercial use."""
    device: str = "cuda"
    """Device as torch names it (cuda, cuda:1, cpu)."""
    side_px: int = Field(default=504, ge=28)
    """Longer side of the images that the network sees, rounded to a multiple of 14; each of their pixels gives one
    Gaussian."""
    max_views: int = Field(default=128, ge=1)
    """Most views that the network sees at once; memory grows with them."""
    frames_per_view: int = Field(default=4, ge=1)
    """Up to every so manieth frame is a view, to stay below max_views; longer walks are cut into several chunks."""
    overlap: int = Field(default=10, ge=0)
    """So many views of a chunk are shown again with the next one, and give no second Gaussians there."""
    min_opacity: float = Field(default=0.05, ge=0, lt=1)
    """Gaussians that are more transparent are left out."""
    max_range_m: float = Field(default=50.0, gt=0.5)
    """Gaussians farther from their camera are left out."""
    most_splats: int = Field(default=1_000_000, ge=1000)
    """At most so many are kept: the most opaque of each cell, in cells that grow until it fits."""

    @model_validator(mode="after")
    def _chunks_advance(self) -> Self:
        if self.overlap >= self.max_views:
            raise ValueError(f"overlap must be below max_views ({self.max_views}), or chunks never get on")
        return self

    @property
    def network(self) -> Da3Config:
        """The network alone; between worlds it leaves the device to others, such as a video generator."""
        return Da3Config(weights=self.weights, device=self.device, side_px=self.side_px, rests=True)


ReconstructConfig = Annotated[TsdfConfig | FeedforwardConfig, Field(discriminator="backend")]


class SurfaceConfig(Config):
    """Cleaning, floor repair, labels, texture."""

    min_component_cm2: float = Field(default=15.0, ge=0)
    """Smaller loose pieces are dropped."""
    snap_m: float = Field(default=0.015, ge=0, le=0.05)
    """Floor noise below this is flattened onto the floor plane; must stay below the robots' step."""
    fill_hole_m: float = Field(default=0.5, ge=0)
    """Holes in the seen floor up to this width are closed and marked as filled."""
    visual_faces: int = Field(default=150_000, ge=1000)
    """Triangle budget of the visual mesh."""
    texture_px: int = Field(default=4096, ge=256, le=8192)
    """Longest side of the texture."""


class StaticMeshConfig(Config):
    """The decimated surface itself as a static triangle mesh."""

    backend: Literal["static_mesh"] = "static_mesh"
    max_error_m: float = Field(default=0.01, gt=0)
    """Decimation stops before the surface moves more than this (95th percentile)."""


class ConvexConfig(Config):
    """Convex hulls alone, for engines and GPU limits that need them."""

    backend: Literal["convex"] = "convex"
    most_parts: int = Field(default=800, ge=1)
    """Above this, pieces are merged that block up to eight times as much free space as is allowed otherwise."""


ColliderConfig = Annotated[StaticMeshConfig | ConvexConfig, Field(discriminator="backend")]


class CollideConfig(Config):
    """Which collider backends are tried; the best by measured error is chosen."""

    backends: tuple[ColliderConfig, ...] = (StaticMeshConfig(), ConvexConfig())
    """Tried in this order; ties go to the earlier."""
