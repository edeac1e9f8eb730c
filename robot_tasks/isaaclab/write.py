"""Writes OUT/isaaclab/: the package that trains robots in the published worlds of OUT, its settings, and for each world
an asset that references its scene."""

import json
import re
import shutil
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path

from lyra_sim.config.envs import EnvConfig
from lyra_sim.config.tasks import RobotConfig

NAME = "isaaclab"
_EXECUTABLE = ".sh"
_PLACE = """#usda 1.0
(
    defaultPrim = "Place"
    kilogramsPerUnit = 1
    metersPerUnit = 1
    upAxis = "Z"
)

def Xform "Place"
{{
    def Xform "Scene" (
        prepend references = @../../{path}/scene.usda@
    )
    {{
    }}

    def Xform "Rays" (
        prepend references = @../../{path}/nav_collision.usdc@
    )
    {{
    }}
}}
"""
"""A world and the merged mesh that rays are cast at as one asset, so that both always come to one environment."""
_LEFT = re.compile(r"/__pycache__/|\.egg-info/")


def write_isaaclab_package(out: Path, robots: Sequence[RobotConfig], env: EnvConfig | None = None) -> Path:
    """Write the task package into an output folder, in place of an older one that differs; the same robots and rules
    give the same bytes.

    Args:
        out: the output folder, where worlds.jsonl lies.
        robots: profiles of the robots that tasks are offered for.
        env: rules of the tasks; None: the usual ones.

    Returns:
        OUT/isaaclab.
    """
    fresh, old, final = (out / f"{prefix}{NAME}" for prefix in (".new-", ".old-", ""))
    for left in (fresh, old):
        shutil.rmtree(left, ignore_errors=True)
    with as_file(files("robot_tasks.isaaclab") / "package") as package:
        for path, content in sorted(_content(package).items()):
            target = fresh / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            target.chmod(0o755 if target.suffix == _EXECUTABLE else 0o644)
    (fresh / "worlds").mkdir()
    for line in (out / "worlds.jsonl").read_text().splitlines():
        path = json.loads(line)["path"]
        (fresh / "worlds" / f"{path}.usda").write_text(_PLACE.format(path=path))
    tree = {
        "robots": {robot.name: robot.model_dump(mode="json") for robot in robots},
        "env": (env or EnvConfig()).model_dump(mode="json"),
    }
    (fresh / "task.json").write_text(json.dumps(tree, indent=1, sort_keys=True) + "\n")
    if _content(fresh) == _content(final):  # a run that changes nothing leaves an installed package alone
        shutil.rmtree(fresh)
        return final
    if final.exists():
        final.rename(old)
    fresh.rename(final)
    shutil.rmtree(old, ignore_errors=True)
    return final


def _content(folder: Path) -> dict[Path, bytes]:
    """Files, without what Python and pip leave beside them."""
    paths = [p for p in folder.rglob("*") if p.is_file() and not _LEFT.search(p.as_posix())]
    return {path.relative_to(folder): path.read_bytes() for path in paths}
