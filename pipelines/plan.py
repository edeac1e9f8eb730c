"""`lyra-sim plan`: inputs are captured, observed and planned; what exploring would cost is told, nothing generated."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from lyra_sim.config.explore import ReprojectConfig
from lyra_sim.config.geometry3d import TsdfConfig
from lyra_sim.config.robots import load_robots
from lyra_sim.config.world import WorldConfig
from lyra_sim.sources.discover import Discovery
from pipelines.costs import Cost, cost_of
from pipelines.graph import PREVIEW, stages_for
from pipelines.progress import Progress
from pipelines.run import RunOptions, engine_for, exit_code, find_inputs, world_of
from pipelines.scheduler import Scheduler, WorldRun
from pipelines.store import Store
from pipelines.weights import weights_of

_COLUMNS = ("input", "kind", "frames", "segments", "path m", "new floor m2", "explore s", "ends")


def plan_all(paths: list[Path], out: Path, config: WorldConfig, *, as_json: bool) -> int:
    """Plan everything below `paths` and write a picture of each to `out`; returns the exit code, as of a run.

    Weights and devices of networks are asked for only where depth is told by one.
    """
    load_robots(config.tasks.robots)
    store = Store(out / ".lyra")
    lock = store.lock()
    try:
        store.sweep()
        found = find_inputs(paths, config, store)
        scheduler = _planned(found, config, store)
        rows = [_row(world, store, config, out) for world in scheduler.worlds]
        skipped = [{"path": str(item.path), "why": item.why} for item in found.skipped]
        if as_json:
            json.dump({"inputs": rows, "skipped": skipped}, sys.stdout, indent=1, ensure_ascii=False)
            print(flush=True)
        else:
            _print_table(rows, skipped)
        return exit_code(scheduler, some_failed=any(row["status"] in ("failed", "refused") for row in rows))
    finally:
        os.close(lock)


def _planned(found: Discovery, config: WorldConfig, store: Store) -> Scheduler:
    """The scheduler after it has run."""
    bare = _without_generator(config)
    weights = weights_of(bare)
    if "explore" in weights:  # a path that is read from a file
        weights["plan"] = weights["explore"]
    worlds, workers = [world_of(source) for source in found.sources], os.cpu_count() or 1
    plain = config.model_dump(mode="json")
    with Progress(worlds, workers) as progress:
        scheduler = Scheduler(
            store,
            lambda: engine_for(RunOptions(), bare, workers),
            plain,
            worlds,
            progress.changed,
            progress.waiting,
            stages_for(plain, PREVIEW),
            weights,
        )
        progress.scheduler = scheduler
        scheduler.run()
    return scheduler


def _without_generator(config: WorldConfig) -> WorldConfig:
    """The same for capture and observe, without the networks of later stages."""
    explore = config.explore.model_copy(update={"generator": ReprojectConfig()})
    return config.model_copy(update={"explore": explore, "reconstruct": TsdfConfig()})


def _row(world: WorldRun, store: Store, config: WorldConfig, out: Path) -> dict[str, Any]:
    """What is told of one input; its picture is copied to `out`."""
    row: dict[str, Any] = {"name": world.name, "sources": world.sources, "kind": world.source["kind"]}
    if world.failure is not None:
        return {**row, "status": "failed", "reason": world.failure["message"], "stage": world.failed_stage}
    if not world.complete:
        return {**row, "status": "unfinished", "reason": "stopped before it was planned"}
    folder, picture = store.folder("plan", world.keys["plan"]), out / f"{world.name}.png"
    shutil.copyfile(folder / "plan.png", picture)
    made = json.loads((folder / "plan.json").read_bytes())
    cost = cost_of(made["frames"], made["segments"], config.explore, store)
    status = "refused" if made["refused"] else "planned"
    told = {"status": status, "reason": made["refused"], "picture": str(picture), **made}
    return {**row, **told, "seconds": cost.seconds, "seconds_from": cost.source, "denoising_steps": cost.steps}


def _print_table(rows: list[dict[str, Any]], skipped: list[dict[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(expand=False)
    for column in _COLUMNS:
        table.add_column(column, overflow="fold", justify="left" if column in ("input", "kind", "ends") else "right")
    made = [row for row in rows if "frames" in row]
    for row in made:
        figures = (row["frames"], row["segments"], f"{row['path_m']:.1f}", f"{row['new_floor_m2']:.1f}")
        cost = Cost(row["seconds"], row["seconds_from"], row["denoising_steps"])
        ends = f"REFUSED, see below; {row['end']}" if row["refused"] else row["end"]
        table.add_row(row["name"], row["kind"], *map(str, figures), cost.short, ends)
    console = Console()
    if not console.is_terminal:
        console.width = 200
    if made:
        console.print(table)
    for source in dict.fromkeys(row["seconds_from"] for row in made if row["frames"]):
        print(f"explore s: {source}")
    for row in rows:
        if row["status"] != "planned":
            print(f"{row['status']}  {row['name']}  {row['reason']}")
        for remark in row.get("remarks", ()):
            print(f"{row['name']}: {remark}")
    for item in skipped:
        print(f"skipped {item['path']}: {item['why']}")
    for row in made:
        print(row["picture"])
