"""Robots of task.json that this package cannot drive yet: their tasks say what an owner has to add."""

from collections.abc import Callable
from typing import Any

from lyra_sim_nav.worlds import camel, task

_COPY = "In a copy of this package (runs write it anew; the copy needs LYRA_SIM_OUT)"
_WHEELS = (
    f"{_COPY}, add the names of its wheel joints and base body, wheel radius and wheel distance to DRIVES in "
    "drives.py, and a class to tasks/nav/nav_env_cfg.py as that of the Jetbot."
)
_LEGS = (
    f"{_COPY}, bring a locomotion policy: a class in tasks/nav/nav_env_cfg.py whose scene.robot is the robot's "
    "ArticulationCfg and whose actions are a term that feeds (forward, left, turn) to that policy, as "
    "PreTrainedPolicyAction of Isaac Lab's own navigation task does; scene, goals, observations, rewards and ends of "
    "this package stay as they are."
)


def missing(robot: str) -> str:
    """What has to be added for a robot."""
    return _WHEELS if task()["robots"][robot]["drive"] == "unicycle" else _LEGS


def __getattr__(name: str) -> Callable[[], Any]:
    for robot in task()["robots"]:
        if name in (f"{camel(robot)}NavEnvCfg", f"{camel(robot)}NavEnvCfg_PLAY"):

            def refuse(robot: str = robot) -> Any:
                raise NotImplementedError(f"{robot}: its worlds are there, but nothing drives it. {missing(robot)}")

            return refuse
    raise AttributeError(name)
