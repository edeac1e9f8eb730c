"""What `lyra-sim show` and `lyra-sim explain` print."""

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from lyra_sim.core.errors import ConfigError
from pipelines.graph import STAGES
from pipelines.store import Store


def _summary(out: Path) -> dict[str, Any]:
    try:
        return json.loads((out / "summary.json").read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            out,
            expected="the output folder of a run",
            got=f"no readable summary.json ({error})",
            todo="Check the path.",
        ) from error


def show_folder(out: Path, as_json: bool) -> None:
    """Print the summary of an output folder."""
    summary = _summary(out)
    if as_json:
        json.dump(summary, sys.stdout, indent=1, ensure_ascii=False)
        print()
        return
    table = Table(expand=False)
    for column in ("world", "status", "trainable", "work s", "failed gates or reason"):
        table.add_column(column, overflow="fold")
    for world in summary["worlds"]:
        why = ", ".join(world["gates_failed"]) or world["reason"]
        robots = ", ".join(world["trainable"])
        table.add_row(world["name"], world["status"], robots, f"{world['seconds']:.1f}", why)
    console = Console()
    if not console.is_terminal:
        console.width = 200
    console.print(table)
    for item in summary["skipped"]:
        print(f"skipped {item['path']}: {item['why']}")


def explain_world(out: Path, world: str) -> None:
    """For each stage: its commits, newest last, and which fields of the key differ from the commit before."""
    store = Store(out / ".lyra")
    found = False
    for stage in STAGES:
        commits = _commits(store, stage.name, world)
        found = found or bool(commits)
        for number, commit in enumerate(commits):
            line = f"{stage.name:12} {commit['seconds']:8.2f} s  attempt {commit['attempt']}  {commit['content'][:12]}"
            if number == 0:
                print(f"{line}  first run")
                continue
            changes = _changes(commits[number - 1]["key_fields"], commit["key_fields"])
            print(f"{line}  ran again: {'; '.join(changes)}")
    if not found:
        names = [row["name"] for row in _summary(out)["worlds"]]
        raise ConfigError(
            f"{out}: {world}", expected=f"one of {', '.join(names)}", got=world, todo="See lyra-sim show."
        )


def _commits(store: Store, stage: str, world: str) -> list[dict[str, Any]]:
    paths = sorted((store.root / "store" / stage).glob("*/COMMIT.json"), key=lambda path: path.stat().st_mtime_ns)
    commits = [json.loads(path.read_bytes()) for path in paths]
    return [commit for commit in commits if commit["world"] == world]


def _changes(old: Any, new: Any, path: str = "") -> list[str]:
    """Paths at which two trees of plain values differ, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [c for key in keys for c in _changes(old.get(key), new.get(key), f"{path}.{key}" if path else key)]
    if old == new:
        return []
    return [f"{path} {_short(old)} -> {_short(new)}"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:16] + "..."
