"""What a run over finished worlds costs: nothing may run again, and it may take little longer than `--help`.

`python benchmarks/finished_worlds.py` makes worlds of 50 small photos (10 to 30 minutes on two cores), then times the
same command again beside `lyra-sim --help`, in turns, and compares the medians. With `--made 2` only two worlds are
truly made; the stage outputs of the others are copies of the first, filed under the keys of their own photos. The run
that is timed finds and reports as much in both cases.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from lyra_sim.config.load import load_config
from lyra_sim.config.world import WorldConfig
from lyra_sim.sources.discover import Source, discover, world_name
from pipelines.graph import STAGES
from pipelines.inputs import plain_source
from pipelines.stage import digest, key_fields
from pipelines.store import Store
from pipelines.weights import weights_of

ROOT = Path(__file__).resolve().parents[1]
BAR_S = 1.5
"""Longest time that a run over finished worlds may take beyond `--help`."""
SIZE = (240, 160)
SETS = ("explore.photo_frames=0", "tasks.episodes=20", "tasks.goals=4", 'tasks.robots=["jetbot"]')


def photos(folder: Path, count: int) -> None:
    """The example photo of a street, small and with another pixel in its corner every time."""
    folder.mkdir(parents=True, exist_ok=True)
    with Image.open(ROOT / "examples" / "photo_street.jpg") as image:
        exif, small = image.getexif(), image.convert("RGB").resize(SIZE, Image.Resampling.BOX)
    for k in range(count):
        path = folder / f"street_{k:02}.png"
        if not path.exists():
            small.putpixel((0, 0), (k, k, k))
            small.save(path, exif=exif)


def file_copies(source: Path, out: Path) -> None:
    """Commit copies of the first world's stage outputs for every photo that has none, under that photo's keys."""
    store, config = Store(out / ".lyra"), load_config("default", list(SETS))
    first, *others = discover([source]).sources
    models = _commit_all(store, config, first, {})
    for photo in others:
        _commit_all(store, config, photo, models)


def _commit_all(store: Store, config: WorldConfig, photo: Source, models: dict[str, Path]) -> dict[str, Path]:
    """Folders of all stages of this photo; what is not committed yet is copied from `models`."""
    plain, beside = config.model_dump(mode="json"), weights_of(config)
    contents: dict[str, str] = {}
    folders: dict[str, Path] = {}
    for stage in STAGES:
        upstream = {name: contents[name] for name in stage.upstream}
        fields = key_fields(stage, plain, upstream, plain_source(photo), beside.get(stage.name))
        key = digest(fields)
        commit = store.commit_of(stage.name, key)
        if commit is None:
            copy = store.begin()
            shutil.copytree(models[stage.name], copy, ignore=shutil.ignore_patterns("COMMIT.json"), dirs_exist_ok=True)
            (copy / "copy_for.txt").write_text(photo.name)  # other content, so that no later key coincides
            cost = {"seconds": 0.0, "attempt": 1, "world": world_name(photo), "key_fields": fields}
            contents[stage.name] = store.commit(copy, stage.name, key, cost)
        else:
            contents[stage.name] = commit["content"]
        folders[stage.name] = store.folder(stage.name, key)
    return folders


def timed(*arguments: str) -> tuple[float, int]:
    """Seconds and exit code of one command."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", *arguments], env=environment, capture_output=True, check=False
    )
    return time.monotonic() - start, done.returncode


def measure(folder: Path, worlds: int, made: int, repeats: int) -> dict[str, float | int | str]:
    """Make the worlds that are not there yet, then time the finished run against `--help`."""
    source, out = folder / "in", folder / "out"
    command = ["run", str(source), "--out", str(out), *(part for item in SETS for part in ("--set", item))]
    photos(source, made)
    timed(*command)
    if made < worlds:
        photos(source, worlds)
        file_copies(source, out)
        timed(*command)
    counts = json.loads((out / "summary.json").read_text())["counts"]
    events = (out / ".lyra" / "events.jsonl").read_bytes()
    pairs = [(timed("--help"), timed(*command)) for _ in range(repeats)]
    plain, again = (statistics.median(pair[k][0] for pair in pairs) for k in (0, 1))
    return {
        "worlds": counts["published"] + counts["quarantined"],
        "published": counts["published"],
        "unfinished": counts["unfinished"],
        "truly_made": made,
        "exit": max(pair[1][1] for pair in pairs),
        "ran_again": int((out / ".lyra" / "events.jsonl").read_bytes() != events),
        "help_s": round(plain, 2),
        "run_s": round(again, 2),
        "ratio": round(again / plain, 2),
        "difference_s": round(again - plain, 2),
        "load": f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=50)
    parser.add_argument("--made", type=int, help="worlds that are truly made; default all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep everything here; finished worlds there are used again")
    options = parser.parse_args()
    kept = contextlib.nullcontext(options.folder) if options.folder else tempfile.TemporaryDirectory()
    with kept as folder:
        found = measure(Path(folder), options.worlds, options.made or options.worlds, options.repeats)
    print(json.dumps(found))
    whole = found["worlds"] == options.worlds and found["unfinished"] == 0 and found["exit"] in (0, 3)
    return 0 if whole and not found["ran_again"] and float(found["difference_s"]) <= BAR_S else 1


if __name__ == "__main__":
    sys.exit(main())
