"""What the faults of a video generator do to worlds: procedural flats through the whole line, without and with them.

    python benchmarks/corrupted_flats.py [--flats 20] [--first 301] [--frames 120] [--keep FOLDER] [--workers 1]

Each flat of 3 to 6 rooms is given as a short walk of a depth camera through one of its rooms, and explored by the
`truth` generator for so many new frames: exact ones, and ones with the faults of `--config corruption/video`. Prints
which worlds are published and how far each gate moved, flat by flat and in the median. Exits 1 when fewer than 16 of 20
(or that share) are published with faults.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from lyra_sim.procedural.cameras import pinhole, walk_cameras
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.write import DepthNoise, write_walk

LEAST_SHARE = 0.8
GIVEN = 12
"""Frames of the walk that is given."""


def write(folder: Path, seed: int) -> None:
    """The first frames of a walk through a flat, all of them or none."""
    if (folder / "walks" / f"flat_{seed}").exists():
        return
    scene = make_flat(seed, rooms=3 + seed % 4)
    cameras = walk_cameras(scene, 0, 40)[:GIVEN]
    new = folder / "new" / f"flat_{seed}"
    shutil.rmtree(new, ignore_errors=True)
    write_walk(new, scene, cameras, pinhole(320, 240, 70.0), depth_noise=DepthNoise(), seed=seed)
    (folder / "walks").mkdir(exist_ok=True)
    new.rename(folder / "walks" / new.name)


def run(walks: Path, out: Path, config: list[str], frames: int, workers: int) -> dict[str, dict[str, Any]]:
    """One batch; the report of each world by the name of its walk, or its entry in the summary where it has none.

    Raises:
        RuntimeError: the run itself failed.
    """
    command = [sys.executable, "-m", "pipelines", "run", str(walks), "--out", str(out), "--workers", str(workers)]
    command += [*config, "--set", f"explore.rgbd_frames={frames}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        raise RuntimeError(done.stderr[-2000:])
    worlds = {}
    for entry in json.loads((out / "summary.json").read_text())["worlds"]:
        report = out / (entry["path"] or "") / "report.json"
        found = json.loads(report.read_text()) if entry["path"] and report.exists() else {}
        gates = {gate["name"]: gate["value"] for gate in found.get("gates", [])}
        name = entry["name"].rsplit("-", 1)[0]
        worlds[name] = {"published": entry["status"] == "published", "reason": entry["reason"], "gates": gates}
    return worlds


def told(exact: dict[str, dict[str, Any]], faulty: dict[str, dict[str, Any]]) -> bool:
    """Prints both; True when enough worlds are published with faults."""
    for name, world in faulty.items():
        clean = exact.get(name, {"published": False, "reason": "missing"})
        states = ["published" if w["published"] else f"quarantined ({w['reason']})" for w in (clean, world)]
        print(f"{name}: {states[0]} -> {states[1]}")
    names = dict.fromkeys(gate for world in exact.values() for gate in world["gates"])
    print(f"{'gate':34s} {'exact':>10s} {'faults':>10s} {'moved by, median (least to most)'}")
    for gate in names:
        pairs = [(exact[n]["gates"].get(gate), w["gates"].get(gate)) for n, w in faulty.items() if n in exact]
        values = np.array([p for p in pairs if all(isinstance(v, int | float) for v in p)], np.float64)
        if len(values):
            moved = values[:, 1] - values[:, 0]
            middle = np.median(values, axis=0)
            spread = f"{np.median(moved):+.4g} ({moved.min():+.4g} to {moved.max():+.4g})"
            print(f"{gate:34s} {middle[0]:10.4g} {middle[1]:10.4g} {spread}")
    published = sum(world["published"] for world in faulty.values())
    ok = published >= LEAST_SHARE * len(faulty)
    print(f"published with faults: {published} of {len(faulty)}, bar {LEAST_SHARE:.0%}: {'met' if ok else 'MISSED'}")
    return ok


def main() -> int:
    """Run both batches; 0 when the bar is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flats", type=int, default=20)
    parser.add_argument("--first", type=int, default=301, help="seed")
    parser.add_argument("--frames", type=int, default=120, help="new frames of each flat")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="keep walks and worlds here, and go on from what lies there")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        for seed in range(args.first, args.first + args.flats):
            write(folder, seed)
        truth = ["--set", "explore.generator.backend=truth"]
        exact = run(folder / "walks", folder / "exact", truth, args.frames, args.workers)
        faulty = run(folder / "walks", folder / "faults", ["--config", "corruption/video"], args.frames, args.workers)
    return 0 if told(exact, faulty) else 1


if __name__ == "__main__":
    sys.exit(main())
