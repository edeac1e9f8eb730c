"""The path of a world as data: which stages there are, what they read and where their functions lie."""

import dataclasses
from typing import Any

from pipelines.stage import Stage

STAGES: tuple[Stage, ...] = (
    Stage("capture", 1, ("capture",), (), "pipelines.stages:capture", deadline_s=300),
    Stage("observe", 2, ("observe",), ("capture",), "pipelines.stages:observe", deadline_s=300),
    Stage("explore", 2, ("explore",), ("capture", "observe"), "pipelines.stages:explore", deadline_s=1800),
    Stage("reconstruct", 1, ("reconstruct",), ("observe", "explore"), "pipelines.stages:reconstruct"),
    Stage("surface", 1, ("surface",), ("observe", "explore", "reconstruct"), "pipelines.stages:surface"),
    Stage("collide", 1, ("collide",), ("observe", "explore", "reconstruct", "surface"), "pipelines.stages:collide"),
    Stage("usd", 1, (), ("observe", "explore", "surface", "collide"), "pipelines.stages:usd"),
    Stage("tasks", 2, ("tasks",), ("surface", "usd"), "pipelines.stages:tasks"),
    Stage(
        "validate",
        1,
        ("tasks", "reconstruct"),
        ("capture", "observe", "explore", "surface", "collide", "usd", "tasks"),
        "pipelines.stages:validate",
        deadline_s=900,
    ),
)

BY_NAME = {stage.name: stage for stage in STAGES}


def stages_for(config: dict[str, Any]) -> tuple[Stage, ...]:
    """The stages with the limits that the configured generator needs: weights of 34 GB, minutes per segment."""
    if config["explore"]["generator"]["backend"] != "lyra2":
        return STAGES
    limits = {"deadline_s": 12 * 3600.0, "memory_mb": 160_000}
    return tuple(dataclasses.replace(stage, **limits) if stage.name == "explore" else stage for stage in STAGES)
