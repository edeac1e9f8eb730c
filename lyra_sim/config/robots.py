"""Robot profiles by name or from the user's own files."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from lyra_sim.config.load import explained, parse_yaml, read_text, suggest
from lyra_sim.config.tasks import RobotConfig
from lyra_sim.core.errors import ConfigError


def known_robots() -> tuple[str, ...]:
    """Names of the packaged profiles, sorted."""
    folder = resources.files("configs") / "robots"
    return tuple(sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml")))


def _own_file(name: str) -> bool:
    """Whether `name` is the path of a user's own profile, not the name of a packaged one."""
    return name.endswith((".yaml", ".yml"))


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
    if _own_file(name):
        text = read_text(Path(name), expected="a readable robot profile", todo="Check tasks.robots.")
    elif name in known_robots():
        text = (resources.files("configs") / "robots" / f"{name}.yaml").read_text()
    else:
        raise ConfigError(
            "tasks.robots",
            expected=f"one of {', '.join(known_robots())}, or the path of a .yaml file",
            got=repr(name),
            todo=suggest(name, known_robots()) or "For another robot give the path of a profile of your own.",
        )
    try:
        return RobotConfig.model_validate(parse_yaml(text, name))
    except ValidationError as error:
        raise explained(error, f"robot profile {name}", RobotConfig) from error
