"""The Isaac Lab task package of a finished run."""

import json
from pathlib import Path

from lyra_sim.config.tasks import TasksConfig
from robot_tasks.isaaclab import write_isaaclab_package
from robot_tasks.robots import known_robots, load_robots


def write_task_package(out: Path, config: TasksConfig) -> None:
    """OUT/isaaclab/ for the robots that some world of worlds.jsonl trains; nothing where there is no such world.

    Robots are those of the configuration, and packaged ones that worlds of earlier runs were made for.
    """
    lines = (out / "worlds.jsonl").read_text().splitlines()
    trainable = {robot for line in lines for robot in json.loads(line)["robots"]}
    configured = load_robots(config.robots)
    earlier = sorted(trainable.intersection(known_robots()) - {robot.name for robot in configured})
    robots = [robot for robot in (*configured, *load_robots(earlier)) if robot.name in trainable]
    if robots:
        write_isaaclab_package(out, robots)
