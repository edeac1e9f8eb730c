"""Settings of the reconstruct, surface and collide stages."""

from typing import Annotated, Literal

from pydantic import Field

from lyra_sim.config.model import Config


class TsdfConfig(Config):
    """Truncated signed distance fusion with free-space carving (Curless and Levoy 1996)."""

    backend: Literal["tsdf"] = "tsdf"
    voxel_m: float = Field(default=0.02, ge=0.005, le=0.2)
    """Finest voxel; coarsened where the volume would exceed the memory limit."""
    max_voxels: int = Field(default=40_000_000, ge=100_000)
    """Memory limit of the near field, in voxels."""
    max_depth_m: float = Field(default=8.0, gt=0.5)
    """Measured depth beyond this is not fused into the near field."""


ReconstructConfig = TsdfConfig


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
    """Planes as slabs and objects as convex hulls (CoACD, Wei et al. 2022)."""

    backend: Literal["convex"] = "convex"
    concavity: float = Field(default=0.05, gt=0, lt=1)
    """CoACD threshold per object."""
    most_components: int = Field(default=4, ge=0)
    """So many of the largest loose objects are given to CoACD; the rest becomes hulls of small patches."""
    most_triangles: int = Field(default=300, ge=100)
    """The closed body of an object is decimated to this before CoACD."""


ColliderConfig = Annotated[StaticMeshConfig | ConvexConfig, Field(discriminator="backend")]


class CollideConfig(Config):
    """Which collider backends are tried; the best by measured error is chosen."""

    backends: tuple[ColliderConfig, ...] = (StaticMeshConfig(), ConvexConfig())
    """Tried in this order; ties go to the earlier."""
