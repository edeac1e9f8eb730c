"""`python -m tests.faults.kill`: kill real runs at random moments, run them again, compare with an undisturbed run.

Prints one JSON line per engine: the tree hashes, how often the driver was killed, and which stages or segments ran
again although they were committed (must be none). Exit 1 when anything differs.
"""

import argparse
import contextlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.tree_hash import tree_hash


def command(sources: list[str], out: Path, engine: str, workers: int, sets: list[str]) -> list[str]:
    """The run that is killed and repeated."""
    extra = [part for item in sets for part in ("--set", item)]
    return [
        *(sys.executable, "-m", "pipelines", "run", *sources, "--out", str(out)),
        *("--engine", engine, "--workers", str(workers), *extra),
    ]


def undisturbed(sources: list[str], folder: Path, *, engine: str, workers: int, sets: list[str]) -> dict[str, Any]:
    """A run that nobody disturbs, below `folder`, made only once: its folder, seconds, exit code and tree hash."""
    out, facts = folder / f"{engine}-{workers}", folder / f"{engine}-{workers}.json"
    if not facts.exists():
        start = time.monotonic()
        done = subprocess.run(command(sources, out, engine, workers, sets), check=False, capture_output=True)
        text = {"out": str(out), "seconds": round(time.monotonic() - start, 1), "exit": done.returncode}
        facts.write_text(json.dumps({**text, "hash": tree_hash(out)}))
    return json.loads(facts.read_text())


def repeated(out: Path) -> list[str]:
    """Stages (and segments of explore) that were run again after they had been committed, from the event log."""
    again, committed = [], set()
    for line in (out / ".lyra" / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        name = f"{event['stage']} {event['key'][:8]} {event.get('segment', '')}"
        if event["event"] in ("commit", "segment"):
            if name in committed:
                again.append(name)
            committed.add(name)
        elif name in committed:
            again.append(name)
    return again


def kill_matrix(
    sources: list[str],
    folder: Path,
    *,
    engine: str,
    workers: int,
    kills: int,
    sent: signal.Signals,
    sets: list[str],
    seed: int,
) -> dict[str, Any]:
    """Undisturbed run, then a run whose driver is killed `kills` times; what differs."""
    clean = undisturbed(sources, folder, engine="local", workers=workers, sets=sets)
    killed, length = folder / f"killed-{engine}-{sent.name}", clean["seconds"]
    chance, delivered = random.Random(seed), 0
    for _ in range(kills):
        process = subprocess.Popen(
            command(sources, killed, engine, workers, sets), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(
                timeout=chance.uniform(1.0, max(3.0, 1.5 * length / kills)) + (6.0 if engine == "ray" else 0.0)
            )
        except subprocess.TimeoutExpired:
            process.send_signal(sent)
            delivered += 1
        process.wait(timeout=1800)  # a drain takes as long as its longest stage
    done_before = len(list((killed / ".lyra" / "store").glob("*/*")))
    last = subprocess.run(command(sources, killed, engine, workers, sets), check=False, capture_output=True)
    hashes = {"clean": clean["hash"], "killed": tree_hash(killed)}
    again = repeated(killed)
    return {
        "engine": engine,
        "signal": sent.name,
        "kills": delivered,
        "clean_seconds": length,
        "stages_before_last_run": done_before,
        "last_exit": last.returncode,
        "repeated": again,
        "ok": hashes["clean"] == hashes["killed"] and not again and last.returncode in (0, 3),
        **hashes,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--engine", action="append", choices=["local", "ray"])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--signal", default="SIGKILL", choices=["SIGKILL", "SIGINT", "SIGTERM"])
    parser.add_argument("--set", action="append", default=[], dest="sets")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", help="keep everything here; a finished undisturbed run there is used again")
    options = parser.parse_args()
    ok = True
    with tempfile.TemporaryDirectory() if options.folder is None else contextlib.nullcontext(options.folder) as folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for engine in options.engine or ["local", "ray"]:
            result = kill_matrix(
                options.sources,
                Path(folder),
                engine=engine,
                workers=options.workers,
                kills=options.kills,
                sent=signal.Signals[options.signal],
                sets=options.sets,
                seed=options.seed,
            )
            print(json.dumps(result), flush=True)
            ok = ok and result["ok"]
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
