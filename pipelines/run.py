"""One run: find the inputs, take the lock, drive the worlds, publish, sum up."""

import dataclasses
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from lyra_sim.config.robots import load_robots
from lyra_sim.config.world import WorldConfig
from lyra_sim.core.errors import ConfigError
from lyra_sim.sources.digests import Digests
from lyra_sim.sources.discover import Discovery, Source, discover, world_name
from pipelines.engine import Engine, Outcome
from pipelines.gpus import gpu_devices, gpu_slots, refuse_numbers
from pipelines.graph import stages_for
from pipelines.inputs import plain_source
from pipelines.isaaclab import write_task_package
from pipelines.progress import Progress
from pipelines.publish import publish
from pipelines.report.html import index_page
from pipelines.scheduler import Scheduler, WorldRun
from pipelines.stage import digest
from pipelines.store import Store, write_atomic
from pipelines.summary import write_datasets, write_summary
from pipelines.weights import insist_on_machine, weights_of


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """What decides how a run goes, but not what comes out of it."""

    engine: str = "local"
    ray_address: str = "local"
    workers: int = 0
    """For stages on the CPU; 0: one per core. Stages on a GPU have workers of their own."""
    fresh: bool = False
    retry_quarantined: bool = False


def run(paths: list[Path], out: Path, config: WorldConfig, options: RunOptions) -> int:
    """Make worlds of everything below `paths`; returns the exit code (see the README).

    Raises:
        ConfigError: a robot without a profile (before anything is touched), or no input.
    """
    start = time.monotonic()
    load_robots(config.tasks.robots)  # the last stages read them: too late to find one missing
    store = Store(out / ".lyra")
    lock = store.lock()
    try:
        if options.fresh:
            _clear(out, store)
        store.sweep()
        if options.retry_quarantined:
            store.forget_failures()
        found = find_inputs(paths, config, store)
        plain_config = config.model_dump(mode="json")
        if options.engine == "ray":
            refuse_numbers(plain_config)
        weights = weights_of(config)
        worlds = [world_of(source) for source in found.sources]
        workers = options.workers or os.cpu_count() or 1
        reports: dict[str, dict[str, Any]] = {}
        with Progress(worlds, workers) as progress:

            def changed(world: WorldRun, outcome: Outcome | None) -> None:
                if world.finished:
                    reports[world.name] = publish(out, store, world)
                progress.changed(world, outcome)

            scheduler = Scheduler(
                store,
                lambda: engine_for(options, config, workers),
                plain_config,
                worlds,
                changed,
                progress.waiting,
                stages_for(plain_config),
                weights,
            )
            progress.scheduler = scheduler
            scheduler.run()
        skipped = [{"path": str(item.path), "why": item.why} for item in found.skipped]
        facts = {
            "wall_s": round(time.monotonic() - start, 2),
            "engine": options.engine,
            "config_hash": digest(plain_config),
        }
        summary = write_summary(out, worlds, reports, skipped, facts)
        write_task_package(out, store, config.tasks)
        write_atomic(out / "index.html", index_page(summary, out))
        write_datasets(out, store, config.tasks)
        return _finish(out, scheduler, summary)
    finally:
        os.close(lock)


def find_inputs(paths: list[Path], config: WorldConfig, store: Store) -> Discovery:
    """Everything below `paths`; hashes of the files are kept in the store.

    Raises:
        ConfigError: a path that is not there, or no input below any.
    """
    digests = Digests(store.root / "digests.json")
    found = discover(paths, config.capture.kind, digests=digests)
    digests.save()
    if not found.sources:
        raise ConfigError(
            ", ".join(map(str, paths)),
            expected="at least one image or RGB-D walk (a folder with poses.txt and camera.json)",
            got=f"none; {len(found.skipped)} other files",
            todo="Check the path; `lyra-sim example DIR` writes some inputs.",
        )
    return found


def world_of(source: Source) -> WorldRun:
    """An input before its first stage."""
    sources = [str(path) for path in (source.path, *source.also)]
    return WorldRun(name=world_name(source), source=plain_source(source), sources=sources)


def engine_for(options: RunOptions, config: WorldConfig, workers: int) -> Engine:
    """Made where there is something to run: a finished run asks nothing of a machine."""
    plain = config.model_dump(mode="json")
    if options.engine == "ray":  # its hosts have the GPUs, this one need not
        from pipelines.engine_ray import RayEngine

        return RayEngine(workers, options.ray_address, gpus=bool(gpu_devices(plain)))
    from pipelines.engine_local import LocalEngine

    gpus = gpu_slots(plain)
    insist_on_machine(config, max(1, len(gpus)))
    return LocalEngine(workers, gpus)


def _clear(out: Path, store: Store) -> None:
    """Forget all finished work of this folder and the worlds made from it; nothing else in it is touched."""
    for marker in (store.root / "published").glob("*.json"):
        for folder in (out / marker.stem, out / "quarantined" / marker.stem):
            shutil.rmtree(folder, ignore_errors=True)
    for path in store.root.iterdir():
        if path.name not in ("LOCK", "WORKERS"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _finish(out: Path, scheduler: Scheduler, summary: dict[str, Any]) -> int:
    counts = summary["counts"]
    for row in summary["worlds"]:
        robots = f"trainable for {', '.join(row['trainable'])}" if row["trainable"] else "trainable for no robot"
        text = robots if row["status"] == "published" else row["reason"]
        print(f"{row['status']:11}  {row['name']}  {text}")
    print(f"{out / 'index.html'}: {', '.join(f'{n} {name}' for name, n in counts.items() if n)}", flush=True)
    return exit_code(scheduler, some_failed=bool(counts["quarantined"]))


def exit_code(scheduler: Scheduler, *, some_failed: bool) -> int:
    """How a command ends after its stages (see the README); says on stderr what stopped it early."""
    if scheduler.draining:
        print("stopped by a signal; run the same command again to go on", file=sys.stderr)
        return 128 + scheduler.signal_number
    if scheduler.stopped_by is not None:
        print(f"stopped: {scheduler.stopped_by['message']}", file=sys.stderr)
        return scheduler.stopped_by["exit_code"]
    return 3 if some_failed else 0
