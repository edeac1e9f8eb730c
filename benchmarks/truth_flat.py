"""Worlds made from procedural flats against the exact flats: colliders, maps, ways, and a duct 3 cm high.

    python benchmarks/truth_flat.py [--walk FOLDER]... [--frames 40] [--keep FOLDER]

Runs the command on walks through two flats and through one with a cable duct on its floor, then prints every figure
with its bar: collider to the true surfaces that were seen and back (p95 <= 3 cm each), the duct in the collider
(>= 90 % of its seen length within 1 cm of its top), and for each robot the map's IoU with the true free floor where
something was seen (>= 0.9), the follower's success (>= 99 %) and every episode's geodesic (within 3 % of scikit-fmm on
the truth, where the true way runs over seen floor). Exits 1 when a bar is missed. Figures without a bar: IoU of the
places for the robot's centre, correctness of free cells that no ray met, episodes whose true way was not seen.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from _flat_truth import FlatTruth

from lyra_sim.config.robots import load_robots
from lyra_sim.procedural.cameras import pinhole, walk_cameras
from lyra_sim.procedural.example import random_rotation
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.scene import ProceduralScene
from lyra_sim.procedural.write import DepthNoise, write_walk

FLATS = ((21, 2, False), (22, 3, False), (23, 2, True))
"""Seed, rooms, cable duct."""


def write_walks(folder: Path, frames: int) -> list[Path]:
    """The walks, as a user would deliver them."""
    found = []
    for seed, rooms, duct in FLATS:
        scene = make_flat(seed, rooms=rooms, cable_duct=duct)
        path = folder / f"flat_{seed}_{'duct' if duct else 'plain'}"
        write_flat_walk(path, scene, frames * rooms // 2, seed)
        found.append(path)
    return found


def write_flat_walk(path: Path, scene: ProceduralScene, frames: int, seed: int) -> None:
    """One walk of 320 x 240 pixels with a depth camera's noise, its frame turned at random."""
    turn = random_rotation(np.random.default_rng([seed, 9]))
    cameras = walk_cameras(scene, 0, frames)
    write_walk(path, scene, cameras, pinhole(320, 240, 78.0), depth_noise=DepthNoise(), rotate=turn, seed=seed)


def run(walk: Path, out: Path) -> dict[str, Path]:
    """Run the command on one walk; folders of its stages by name.

    Raises:
        RuntimeError: a stage before the gates failed.
    """
    command = [sys.executable, "-m", "pipelines", "run", str(walk), "--out", str(out), "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    reports = [p for pattern in ("*", "quarantined/*") for p in out.glob(f"{pattern}/report.json")]
    report = json.loads(reports[0].read_text()) if reports else {}
    if not report.get("gates"):
        raise RuntimeError(f"{walk.name}: no world to judge: {report.get('reason', done.stderr[-500:])}")
    print(f"{walk.name:18s} {'status':34s} {report['status']} {report['reason']}")
    store = out / ".lyra" / "store"
    return {row["name"]: store / row["name"] / row["key"][:32] for row in report["stages"]}


class Table:
    """Prints figures beside their bars and remembers which were missed."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def line(
        self, walk: str, what: str, value: float, *, most: float | None = None, least: float | None = None
    ) -> None:
        """One figure; without `most` and `least` it is only reported."""
        ok = (most is None or value <= most) and (least is None or value >= least)
        bar = f"<= {most}" if most is not None else f">= {least}" if least is not None else ""
        verdict = "" if not bar else "ok" if ok else "MISSED"
        print(f"{walk:18s} {what:34s} {value:9.4f}  {bar:9s} {verdict}", flush=True)
        if not ok:
            self.missed.append(f"{walk} {what}")


def judge(walk: Path, stages: dict[str, Path], table: Table) -> None:
    """All figures of one walk."""
    truth, name = FlatTruth(walk, stages), walk.name
    forth, back = truth.collider_errors()
    table.line(name, "collider to truth p95 m", float(np.percentile(forth, 95)), most=0.03)
    table.line(name, "seen truth to collider p95 m", float(np.percentile(back, 95)), most=0.03)
    table.line(name, "collider to truth median m", float(np.median(forth)))
    if truth.scene.options.get("cable_duct"):
        kept, length = truth.duct_kept()
        table.line(name, f"duct kept of {length:.2f} m seen", kept, least=0.9)
    for robot in load_robots(("jetbot", "nova_carter")):
        found = truth.judge(robot)
        table.line(name, f"{robot.name} map IoU", found.map_iou, least=0.9)
        table.line(name, f"{robot.name} centre IoU", found.centre_iou)
        table.line(name, f"{robot.name} unseen free cells right", found.unseen_free_right)
        table.line(name, f"{robot.name} follower success", found.success, least=0.99)
        errors, seen = found.way_errors, found.way_seen
        judged = float(errors[seen].max()) if seen.any() else np.inf
        table.line(name, f"{robot.name} worst way error, {seen.sum()} seen", judged, most=0.03)
        table.line(name, f"{robot.name} worst way error, all {len(seen)}", float(errors.max()) if len(seen) else np.nan)
        within = float((errors[seen] <= 0.03).mean()) if seen.any() else 0.0
        table.line(name, f"{robot.name} seen ways within 3 %", within)


def main() -> int:
    """Print the table; 0 when every bar is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--walk", type=Path, action="append", help="a procedural walk that exists already")
    parser.add_argument("--frames", type=int, default=40, help="of a walk through two rooms")
    parser.add_argument("--keep", type=Path, help="leave walks and worlds in this folder")
    args = parser.parse_args()
    table = Table()
    with tempfile.TemporaryDirectory() as temporary:
        place = args.keep or Path(temporary)
        walks = [p.resolve() for p in args.walk] if args.walk else write_walks(place / "walks", args.frames)
        for walk in walks:
            judge(walk, run(walk, place / "worlds" / walk.name), table)
    print("bars missed: " + (", ".join(table.missed) or "none"))
    return 1 if table.missed else 0


if __name__ == "__main__":
    sys.exit(main())
