"""The path of a world as data: which stages there are, what they read and where their functions lie."""

import dataclasses
from typing import Any

from pipelines.stage import Stage

STAGES: tuple[Stage, ...] = (
    Stage("capture", 2, ("capture",), (), "pipelines.stages:capture", deadline_s=300),
    Stage("observe", 9, ("observe",), ("capture",), "pipelines.stages:observe", deadline_s=300),
    Stage("explore", 8, ("explore",), ("observe",), "pipelines.stages:explore", deadline_s=1800),
    Stage("reconstruct", 6, ("reconstruct",), ("observe", "explore"), "pipelines.stages:reconstruct"),
    Stage("surface", 8, ("surface",), ("observe", "explore", "reconstruct"), "pipelines.stages:surface"),
    Stage("collide", 18, ("collide",), ("observe", "explore", "reconstruct", "surface"), "pipelines.stages:collide"),
    Stage("usd", 4, (), ("observe", "explore", "reconstruct", "surface", "collide"), "pipelines.stages:usd"),
    Stage("tasks", 10, ("tasks",), ("surface", "usd"), "pipelines.stages:tasks"),
    Stage(
        "validate",
        7,
        ("tasks", "reconstruct"),
        ("capture", "observe", "explore", "reconstruct", "surface", "collide", "usd", "tasks"),
        "pipelines.stages:validate",
        deadline_s=900,
        captions=("photo", "rgbd"),
    ),
)

PREVIEW: tuple[Stage, ...] = (
    *STAGES[:2],
    Stage("plan", 3, ("explore",), ("observe",), "pipelines.stages:plan", deadline_s=1800),
)
"""The path of an input of which only a plan is made: up to where it would be explored."""

_NETWORK_MB = {
    "depth_anything": 24_000, "da3": 24_000, "tiny_depth": 24_000, "feedforward": 64_000, "lyra2": 200_000,
}  # fmt: skip
"""Main memory of a worker that holds this network."""
_SLOW_S = {"observe": 1800.0, "explore": 12 * 3600.0, "reconstruct": 3600.0}
"""Deadlines with networks."""
BY_NAME = {stage.name: stage for stage in STAGES}


def reads_captions(config: dict[str, Any], kind: str) -> bool:
    """Whether the configured generator draws frames for inputs of this kind, and reads the words beside them."""
    explore, measured = config["explore"], kind == "rgbd" and config["observe"]["rgbd"]["backend"] == "sensor"
    draws = explore["path"]["kind"] != "planned" or explore["rgbd_frames" if measured else "photo_frames"] > 0
    return draws and explore["generator"]["backend"] == "lyra2" and explore["generator"]["prompt"] is None


def stages_for(config: dict[str, Any], stages: tuple[Stage, ...] = STAGES) -> tuple[Stage, ...]:
    """The stages with the worker and the limits that the configured networks need, and captions where they are read:
    by explore where its generator does, else by validate, which reports what is wrong with them.

    Stages whose networks are on a GPU run on workers of their own. A worker keeps its networks for the next world, so
    that every stage on workers of the same kind is allowed their memory.
    """
    names = {stage.name for stage in stages}
    networks = {name: found for name, found in networks_of(config).items() if name in names}
    gpu = {name: any(n["device"] != "cpu" for n in networks.get(name, ())) for name in names}
    made = []
    for stage in stages:
        beside = [n for name, found in networks.items() if gpu[name] == gpu[stage.name] for n in found]
        memory_mb = max([stage.memory_mb, *(_NETWORK_MB[n["backend"]] for n in beside)])
        deadline_s = _SLOW_S[stage.name] if networks.get(stage.name) else stage.deadline_s
        reader = {kind: "explore" if reads_captions(config, kind) else "validate" for kind in ("photo", "rgbd")}
        captions = tuple(kind for kind, name in reader.items() if name == stage.name)
        changes = {"memory_mb": memory_mb, "deadline_s": deadline_s, "gpu": gpu[stage.name], "captions": captions}
        made.append(dataclasses.replace(stage, **changes))
    return tuple(made)


def networks_of(config: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Sections of the configuration that name a network, by the stage that holds it."""
    generator = config["explore"]["generator"]
    sections = {
        "observe": [config["observe"]["photo"], config["observe"]["rgbd"]],
        "explore": [generator, generator.get("depth")],
        "reconstruct": [config["reconstruct"]],
    }
    found = {name: [s for s in kept if s and s["backend"] in _NETWORK_MB] for name, kept in sections.items()}
    return {name: kept for name, kept in found.items() if kept}
