"""From committed stages to the folders a user sees: OUT/<world> or OUT/quarantined/<world>, swapped in atomically."""

import json
import shutil
from pathlib import Path
from typing import Any

from pipelines.scheduler import WorldRun
from pipelines.store import Store, write_atomic

_CONTENT_STAGES = ("usd", "tasks", "validate")
_QUARANTINE_FILES = ("report.json", "report.html", "preview.png")


def publish(out: Path, store: Store, world: WorldRun) -> dict[str, Any]:
    """Make the world's folder, unless it is there already from the same work; returns its report."""
    report = world_report(store, world)
    stamp = {"keys": [world.keys[s] for s in _CONTENT_STAGES if s in world.keys], "status": report["status"]}
    marker = store.root / "published" / f"{world.name}.json"
    final = _final(out, world.name, report["status"])
    if marker.exists() and json.loads(marker.read_bytes()) == stamp and (final / "report.json").exists():
        return report
    fresh = store.begin()
    if world.failure is not None:
        text = json.dumps(report, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        (fresh / "report.json").write_text(text)
    elif report["status"] == "published":
        for stage in _CONTENT_STAGES:
            _copy_tree(store.folder(stage, world.keys[stage]), fresh)
    else:
        for name in _QUARANTINE_FILES:
            source = store.folder("validate", world.keys["validate"]) / name
            if source.exists():
                shutil.copy2(source, fresh / name)
    for status in ("published", "quarantined"):
        old = _final(out, world.name, status)
        if old.exists():
            old.rename(store.begin() / "old")
    final.parent.mkdir(parents=True, exist_ok=True)
    fresh.rename(final)
    write_atomic(marker, json.dumps(stamp, sort_keys=True))
    return report


def world_report(store: Store, world: WorldRun) -> dict[str, Any]:
    """The world's report.json: written by the validate stage, or made here when an earlier stage failed."""
    if world.failure is None:
        return json.loads((store.folder("validate", world.keys["validate"]) / "report.json").read_bytes())
    failure = world.failure
    return {
        "world": world.name,
        "status": "quarantined",
        "reason": failure["message"],
        "warnings": [],
        "stage": world.failed_stage,
        "failure": {name: failure[name] for name in ("error", "where", "expected", "got", "todo") if name in failure},
        "gates": [],
        "stages": [{"name": name, "key": key} for name, key in world.keys.items()],
        "frame": None,
        "nav": {},
        "provenance": {"source": world.source["name"], "digest": world.source["digest"]},
        "licences": [],
    }


def _final(out: Path, name: str, status: str) -> Path:
    return out / name if status == "published" else out / "quarantined" / name


def _copy_tree(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if path.is_dir():
            (target / relative).mkdir(exist_ok=True)
        elif relative.as_posix() != "COMMIT.json":
            (target / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / relative)
