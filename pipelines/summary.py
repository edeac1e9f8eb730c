"""What a run leaves at the top of its output folder: summary.json, worlds.jsonl, data sets of all its worlds."""

import hashlib
import json
from pathlib import Path
from typing import Any

from lyra_sim.config.robots import load_robots
from lyra_sim.config.tasks import TasksConfig
from pipelines.scheduler import WorldRun
from pipelines.stage import digest
from pipelines.store import Store, write_atomic

_DATASETS_VERSION = 2
"""Raised when the data sets of the same worlds come out differently."""


def write_summary(
    out: Path,
    worlds: list[WorldRun],
    reports: dict[str, dict[str, Any]],
    skipped: list[dict[str, str]],
    run: dict[str, Any],
) -> dict[str, Any]:
    """Write summary.json (design: names and fields are fixed) and worlds.jsonl; returns the summary.

    Args:
        reports: report.json content by world name; worlds without one are unfinished.
        run: wall_s, engine, config_hash.
    """
    rows = [_row(world, reports.get(world.name)) for world in worlds]
    counts = {
        status: sum(row["status"] == status for row in rows) for status in ("published", "quarantined", "unfinished")
    }
    summary = {"worlds": rows, "skipped": skipped, "counts": {**counts, "skipped": len(skipped)}, **run}
    write_atomic(out / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    lines = [json.dumps(index_line(path), sort_keys=True) for path in sorted(out.glob("*/report.json"))]
    write_atomic(out / "worlds.jsonl", "".join(line + "\n" for line in lines))
    return summary


def _row(world: WorldRun, report: dict[str, Any] | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": world.name,
        "sources": world.sources,
        "status": report["status"] if report else "unfinished",
        "reason": report["reason"] if report else "the run was stopped before this world was finished",
        "stage": report["stage"] if report else None,
        "path": None,
        "gates_failed": [],
        "trainable": [],
        "seconds": round(sum(world.seconds.values()), 3),
        "reused": world.reused,
    }
    if report:
        row["path"] = world.name if report["status"] == "published" else f"quarantined/{world.name}"
        if report["status"] == "quarantined":  # what a published world misses decides nothing and stands in its report
            row["gates_failed"] = [gate["name"] for gate in report["gates"] if not gate["ok"]]
        row["trainable"] = sorted(robot for robot, nav in report["nav"].items() if nav["trainable"])
    return row


def index_line(report_path: Path) -> dict[str, Any]:
    """One line of worlds.jsonl from a published world's report.json."""
    report = json.loads(report_path.read_bytes())
    nav = report["nav"]
    return {
        "world": report["world"],
        "path": report_path.parent.name,
        "robots": sorted(robot for robot, result in nav.items() if result["trainable"]),
        "areas_m2": {robot: result["nav_area_m2"] for robot, result in nav.items()},
        "scale_sigma": report["frame"]["scale_sigma"],
        "licences": sorted({f"{line['subject']}: {line['name']}" for line in report["licences"]}),
        "split": split_of(report["provenance"].get("place") or report["provenance"]["digest"]),
    }


def split_of(place: str) -> str:
    """train (80 %), val (10 %) or test (10 %) by hash of the source place, so that one place lies in one split."""
    bucket = int(hashlib.sha256(place.encode()).hexdigest()[:8], 16) % 10
    return {8: "val", 9: "test"}.get(bucket, "train")


def write_datasets(out: Path, store: Store, config: TasksConfig) -> None:
    """The formats that cover all worlds of the folder (`robot_tasks.export`), from worlds.jsonl and the published
    worlds; nothing is done where they are there already from the same.

    Raises:
        InputError: a published world lacks a file.
    """
    markers = sorted((store.root / "published").glob("*.json"))
    text, robots = (out / "worlds.jsonl").read_text(), load_robots(config.robots)
    made_of = {
        "version": _DATASETS_VERSION,
        "worlds": text,
        "published": {path.stem: path.read_text() for path in markers},
        "config": config.model_dump(mode="json"),
        "profiles": [robot.model_dump(mode="json") for robot in robots],
    }
    stamp, marker = digest(made_of), store.root / "datasets.json"
    if marker.exists():
        known = json.loads(marker.read_bytes())
        if known["made_of"] == stamp and all((out / name).is_dir() for name in known["folders"]):
            return
    from robot_tasks.export import export_folder

    worlds = [json.loads(line) for line in text.splitlines()]
    folders = export_folder(out, worlds, robots, config.formats, cell_m=config.cell_m, scratch=store.begin())
    write_atomic(marker, json.dumps({"made_of": stamp, "folders": folders}, sort_keys=True))
