"""Robot profiles by name or from the user's own files."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import pydantic
import yaml

from lyra_sim.config.tasks import RobotConfig
from lyra_sim.core.errors import ConfigError


def known_robots() -> tuple[str, ...]:
    """Names of the packaged profiles, sorted."""
    folder = files("configs") / "robots"
    return tuple(sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml")))


def load_robots(names: Sequence[str]) -> tuple[RobotConfig, ...]:
    """Profiles of `names`: packaged ones by name, others by the path of a YAML file.

    Raises:
        ConfigError: unknown name, unreadable file, wrong content, or two profiles of one name.
    """
    robots = tuple(_load(name) for name in names)
    seen = [robot.name for robot in robots]
    if len(set(seen)) != len(seen):
        raise ConfigError("tasks.robots", expected="each robot once", got=", ".join(seen), todo="Rename or drop one.")
    return robots


def _load(name: str) -> RobotConfig:
    own = name.endswith((".yaml", ".yml"))
    if not own and name not in known_robots():
        raise ConfigError(
            "tasks.robots",
            expected=f"one of {', '.join(known_robots())}, or the path of a .yaml file",
            got=repr(name),
            todo="Copy a file of configs/robots and give its path for another robot.",
        )
    try:
        text = Path(name).read_text() if own else (files("configs") / "robots" / f"{name}.yaml").read_text()
        return RobotConfig.model_validate(yaml.safe_load(text))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, pydantic.ValidationError) as error:
        raise ConfigError(
            name,
            expected="a robot profile (name, radius_m, footprint_m, slab_m, step_m, ...)",
            got=str(error).replace("\n", " "),
            todo="Compare it with the packaged profiles.",
        ) from error
