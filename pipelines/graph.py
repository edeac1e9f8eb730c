"""The path of a world as data: which stages there are, what they read and where their functions lie."""

import dataclasses
from typing import Any

from pipelines.stage import Stage

STAGES: tuple[Stage, ...] = (
    Stage("capture", 1, ("capture",), (), "pipelines.stages:capture", deadline_s=300),
    Stage("observe", 2, ("observe",), ("capture",), "pipelines.stages:observe", deadline_s=300),
    Stage("explore", 2, ("explore",), ("capture", "observe"), "pipelines.stages:explore", deadline_s=1800),
    Stage("reconstruct", 2, ("reconstruct",), ("observe", "explore"), "pipelines.stages:reconstruct"),
    Stage("surface", 1, ("surface",), ("observe", "explore", "reconstruct"), "pipelines.stages:surface"),
    Stage("collide", 1, ("collide",), ("observe", "explore", "reconstruct", "surface"), "pipelines.stages:collide"),
    Stage("usd", 1, (), ("observe", "explore", "reconstruct", "surface", "collide"), "pipelines.stages:usd"),
    Stage("tasks", 2, ("tasks",), ("surface", "usd"), "pipelines.stages:tasks"),
    Stage(
        "validate",
        2,
        ("tasks", "reconstruct"),
        ("capture", "observe", "explore", "reconstruct", "surface", "collide", "usd", "tasks"),
        "pipelines.stages:validate",
        deadline_s=900,
    ),
)

_DEPTH_NETWORKS = ("depth_anything", "da3", "tiny_depth")
BY_NAME = {stage.name: stage for stage in STAGES}


def stages_for(config: dict[str, Any]) -> tuple[Stage, ...]:
    """The stages with the limits that the configured networks need.

    A worker keeps its networks for the next world, so that with the video generator every stage has their memory; a
    depth network is only a few gigabytes. The one that makes splats is let go at the end of its stage.
    """
    stages = {stage.name: stage for stage in STAGES}
    if any(config["observe"][kind]["backend"] in _DEPTH_NETWORKS for kind in ("rgbd", "photo")):
        stages = {name: dataclasses.replace(stage, memory_mb=24_000) for name, stage in stages.items()}
        stages["observe"] = dataclasses.replace(stages["observe"], deadline_s=1800.0)
    if config["reconstruct"]["backend"] == "feedforward":
        stages = {name: dataclasses.replace(stage, memory_mb=24_000) for name, stage in stages.items()}
        stages["reconstruct"] = dataclasses.replace(stages["reconstruct"], deadline_s=3600.0, memory_mb=64_000)
    if config["explore"]["generator"]["backend"] == "lyra2":
        stages = {name: dataclasses.replace(stage, memory_mb=200_000) for name, stage in stages.items()}
        stages["explore"] = dataclasses.replace(stages["explore"], deadline_s=12 * 3600.0)
    return tuple(stages.values())
