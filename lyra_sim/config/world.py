"""The whole configuration of a run, assembled from the stages' sections."""

from pydantic import Field

from lyra_sim.config.capture import CaptureConfig
from lyra_sim.config.explore import ExploreConfig
from lyra_sim.config.geometry3d import CollideConfig, ReconstructConfig, SurfaceConfig, TsdfConfig
from lyra_sim.config.model import Config
from lyra_sim.config.observe import ObserveConfig
from lyra_sim.config.tasks import TasksConfig


class WorldConfig(Config):
    """Everything that decides what a world looks like. Machines (engine, workers) are not part of it."""

    seed: int = Field(default=0, ge=0)
    """Seed of everything random."""
    capture: CaptureConfig = CaptureConfig()
    observe: ObserveConfig = ObserveConfig()
    explore: ExploreConfig = ExploreConfig()
    reconstruct: ReconstructConfig = TsdfConfig()
    surface: SurfaceConfig = SurfaceConfig()
    collide: CollideConfig = CollideConfig()
    tasks: TasksConfig = TasksConfig()
