"""The Isaac Lab task package of a finished run."""

import json
from pathlib import Path

from lyra_sim.config.tasks import TasksConfig
from pipelines.stage import digest
from pipelines.store import Store, write_atomic

_VERSION = 2
"""Raised with every change of the package, so that it is written again."""


def write_task_package(out: Path, store: Store, config: TasksConfig) -> None:
    """OUT/isaaclab/ for the robots that some world of worlds.jsonl trains; nothing where there is no such world, or
    where it is there already from the same worlds.

    Robots are those of the configuration, and packaged ones that worlds of earlier runs were made for.
    """
    text = (out / "worlds.jsonl").read_text()
    stamp = digest({"version": _VERSION, "worlds": text, "config": config.model_dump(mode="json")})
    marker = store.root / "isaaclab.json"
    known = json.loads(marker.read_bytes()) if marker.exists() else {}
    if known.get("made_of") == stamp and (not known["robots"] or (out / "isaaclab").is_dir()):
        return
    from robot_tasks.isaaclab import write_isaaclab_package
    from robot_tasks.robots import known_robots, load_robots

    trainable = {robot for line in text.splitlines() for robot in json.loads(line)["robots"]}
    configured = load_robots(config.robots)
    earlier = sorted(trainable.intersection(known_robots()) - {robot.name for robot in configured})
    robots = [robot for robot in (*configured, *load_robots(earlier)) if robot.name in trainable]
    if robots:
        write_isaaclab_package(out, robots)
    write_atomic(marker, json.dumps({"made_of": stamp, "robots": [robot.name for robot in robots]}, sort_keys=True))
