"""Settings of depth networks: which one, where its weights lie, how far it is believed."""

from typing import Annotated, Literal

from pydantic import Field

from lyra_sim.config.model import Config

SCENES: tuple[Literal["indoor", "outdoor"], ...] = ("indoor", "outdoor")


class LearnedDepth(Config):
    """What all depth networks are asked."""

    device: str = "cpu"
    """Device as torch names it (cpu, cuda, cuda:1)."""
    scale_sigma: float = Field(default=0.2, gt=0, lt=2)
    """One sigma of ln(scale) of its metres in photos. Nobody has measured it on your kind of photo; this is what such
    networks are off by on data sets they have not seen."""
    max_range_m: float = Field(default=25.0, gt=2)
    """Depth beyond this belongs to the backdrop."""
    edge_ratio: float = Field(default=0.05, gt=0, lt=1)
    """A pixel is dropped when inverse depth in its 3x3 neighbourhood differs by more than this share and not as over a
    slanted plane: networks smear depth over edges."""


class DepthAnythingConfig(LearnedDepth):
    """Depth Anything V2, fine-tuned to metres: one image at a time; small enough for a CPU."""

    backend: Literal["depth_anything"] = "depth_anything"
    size: Literal["small", "base", "large"] = "small"
    """Which released checkpoint (25, 98, 335 million parameters); only small may be used commercially (Apache-2.0)."""
    scene: Literal["auto", "indoor", "outdoor"] = "auto"
    """Which of its two checkpoints; auto takes outdoor where the photo shows sky."""
    indoor: str | None = None
    """Folder, or name on Hugging Face of what is in the local cache, in place of the released indoor checkpoint."""
    outdoor: str | None = None
    """The same for outdoors."""

    def weights(self, scene: Literal["indoor", "outdoor"]) -> str:
        """Folder or name of the checkpoint for a kind of scene."""
        given = self.indoor if scene == "indoor" else self.outdoor
        return given or f"depth-anything/Depth-Anything-V2-Metric-{scene.title()}-{self.size.title()}-hf"


class Da3Config(LearnedDepth):
    """Depth Anything 3: many views at once, with given cameras or its own; needs its package and a GPU."""

    backend: Literal["da3"] = "da3"
    device: str = "cuda"
    """Device as torch names it (cuda, cuda:1, cpu)."""
    weights: str = "depth-anything/DA3NESTED-GIANT-LARGE-1.1"
    """Folder, or name on Hugging Face of what is in the local cache."""
    side_px: int = Field(default=832, ge=28)
    """Longer side of the images that the network sees."""
    rests: bool = False
    """Kept in main memory, and on the device only while it is asked; always so for photos, for splats, and beside a
    video generator that is not `plain`."""


class TinyDepthConfig(LearnedDepth):
    """A small network with random weights, for tests of everything around it; its depth means nothing."""

    backend: Literal["tiny_depth"] = "tiny_depth"
    seed: int = Field(default=0, ge=0)
    """Seed of the weights."""
    near_m: float = Field(default=1.0, gt=0)
    """Least depth it says."""
    far_m: float = Field(default=6.0, gt=0)
    """Largest depth it says."""


DepthNetworkConfig = Annotated[DepthAnythingConfig | Da3Config | TinyDepthConfig, Field(discriminator="backend")]
