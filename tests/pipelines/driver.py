"""A driver over the fake stages, to be killed: `python -m tests.pipelines.driver STORE ENGINE WORKERS NAME...`."""

import json
import os
import sys
from pathlib import Path

from lyra_sim.config.load import load_config
from pipelines.engine import Engine
from pipelines.engine_local import LocalEngine
from pipelines.scheduler import Scheduler, WorldRun
from pipelines.store import Store, write_atomic
from tests.fake_stages import GRAPH


def engine_of(name: str, workers: int) -> Engine:
    """The engine of this name on this machine."""
    if name == "local":
        return LocalEngine(workers)
    from pipelines.engine_ray import RayEngine

    return RayEngine(workers, "local")


def drive(root: Path, engine: str, workers: int, names: list[str], overrides: list[str] | None = None) -> Scheduler:
    """Run the fake graph over worlds with these names and save what came of it."""
    store = Store(root)
    lock = store.lock()
    store.sweep()
    worlds = [WorldRun(name, {"key": name, "name": name, "kind": "photo", "path": ""}, []) for name in names]
    config = load_config("default", overrides).model_dump(mode="json")
    scheduler = Scheduler(
        store, lambda: engine_of(engine, workers), config, worlds, lambda *_: None, lambda: None, stages=GRAPH
    )
    try:
        scheduler.run()
    finally:
        os.close(lock)
    contents = {world.name: world.contents for world in worlds}
    write_atomic(root / "contents.json", json.dumps(contents, sort_keys=True))
    return scheduler


if __name__ == "__main__":
    done = drive(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:])
    sys.exit(128 + done.signal_number if done.draining else 0)
