"""The Isaac Lab task package of a finished run."""

import hashlib
import importlib.util
import json
import shutil
from pathlib import Path

from lyra_sim.config.envs import EnvConfig
from lyra_sim.config.robots import known_robots, load_robots
from lyra_sim.config.tasks import TasksConfig
from pipelines.stage import digest
from pipelines.store import Store, write_atomic

NAME = "isaaclab"
_OURS = "source/lyra_sim_nav"
"""In OUT/isaaclab: only a folder that has this is removed."""


def write_task_package(out: Path, store: Store, config: TasksConfig) -> None:
    """OUT/isaaclab/ for the robots that some world of worlds.jsonl trains, and no such package where there is none.
    Nothing is done where it is whole and made of the same worlds, robots, rules and files of this package.

    Robots are those of the configuration, and packaged ones that worlds of earlier runs were made for.
    """
    lines = (out / "worlds.jsonl").read_text().splitlines()
    trainable = {robot for line in lines for robot in json.loads(line)["robots"]}
    configured = load_robots(config.robots)
    earlier = sorted(trainable.intersection(known_robots()) - {robot.name for robot in configured})
    robots = [robot for robot in (*configured, *load_robots(earlier)) if robot.name in trainable]
    package, marker = out / NAME, store.root / f"{NAME}.json"
    if not robots:
        if (package / _OURS).is_dir():
            shutil.rmtree(package)
        marker.unlink(missing_ok=True)
        return
    made_of = {
        "worlds": lines,
        "robots": [robot.model_dump(mode="json") for robot in robots],
        "env": EnvConfig().model_dump(mode="json"),
        "package": _contents(_source()),
    }
    stamp = digest(made_of)
    known = json.loads(marker.read_bytes()) if marker.exists() else {}
    if known.get("made_of") == stamp and known["files"].items() <= _contents(package).items():
        return
    from robot_tasks.isaaclab import write_isaaclab_package

    write_isaaclab_package(out, robots)
    write_atomic(marker, json.dumps({"made_of": stamp, "files": _contents(package)}, sort_keys=True))


def _source() -> Path:
    """Where the package is written from; found without importing `robot_tasks`, which takes a second."""
    spec = importlib.util.find_spec("robot_tasks")
    assert spec is not None and spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / NAME


def _contents(folder: Path) -> dict[str, str]:
    """Hash of each file below `folder`, by path; what Python leaves beside them is left out."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
