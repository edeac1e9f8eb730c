"""The path of a world as data: which stages there are, what they read and where their functions lie."""

import dataclasses
from typing import Any

from pipelines.stage import Stage

STAGES: tuple[Stage, ...] = (
    Stage("capture", 1, ("capture",), (), "pipelines.stages:capture", deadline_s=300),
    Stage("observe", 2, ("observe",), ("capture",), "pipelines.stages:observe", deadline_s=300),
    Stage("explore", 2, ("explore",), ("observe",), "pipelines.stages:explore", deadline_s=1800),
    Stage("reconstruct", 1, ("reconstruct",), ("observe", "explore"), "pipelines.stages:reconstruct"),
    Stage("surface", 1, ("surface",), ("observe", "explore", "reconstruct"), "pipelines.stages:surface"),
    Stage("collide", 1, ("collide",), ("observe", "explore", "reconstruct", "surface"), "pipelines.stages:collide"),
    Stage("usd", 1, (), ("observe", "explore", "surface", "collide"), "pipelines.stages:usd"),
    Stage("tasks", 2, ("tasks",), ("surface", "usd"), "pipelines.stages:tasks"),
    Stage(
        "validate",
        2,
        ("tasks", "reconstruct"),
        ("capture", "observe", "explore", "surface", "collide", "usd", "tasks"),
        "pipelines.stages:validate",
        deadline_s=900,
        captions=True,
    ),
)

_DEPTH_NETWORKS = ("depth_anything", "da3", "tiny_depth")
BY_NAME = {stage.name: stage for stage in STAGES}


def reads_captions(config: dict[str, Any]) -> bool:
    """Whether the configured generator reads the words beside an input."""
    generator = config["explore"]["generator"]
    return generator["backend"] == "lyra2" and generator["prompt"] is None


def stages_for(config: dict[str, Any]) -> tuple[Stage, ...]:
    """The stages with the limits that the configured networks need, and captions where they are read: by explore where
    its generator does, else by validate, which reports what is wrong with them.

    A worker keeps its networks for the next world, so that with the video generator every stage has their memory; a
    depth network is only a few gigabytes.
    """
    stages = {stage.name: stage for stage in STAGES}
    if any(config["observe"][kind]["backend"] in _DEPTH_NETWORKS for kind in ("rgbd", "photo")):
        stages = {name: dataclasses.replace(stage, memory_mb=24_000) for name, stage in stages.items()}
        stages["observe"] = dataclasses.replace(stages["observe"], deadline_s=1800.0)
    if config["explore"]["generator"]["backend"] == "lyra2":
        stages = {name: dataclasses.replace(stage, memory_mb=200_000) for name, stage in stages.items()}
        stages["explore"] = dataclasses.replace(stages["explore"], deadline_s=12 * 3600.0)
    if reads_captions(config):
        stages["explore"] = dataclasses.replace(stages["explore"], captions=True)
        stages["validate"] = dataclasses.replace(stages["validate"], captions=False)
    return tuple(stages.values())
