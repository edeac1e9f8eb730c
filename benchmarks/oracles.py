"""Can every robot that counts as trainable in a world do all its episodes, and are they more than a drive straight on?

    python benchmarks/oracles.py WORLDS [--robots NAME...]

WORLDS is the output folder of a run. A line for each of its worlds and robots, from `nav/<robot>/gates.json`: the
follower that was driven along every stored path, a random drive and one straight at the goal; for trainable robots
also the oracle, random and greedy policies of the light simulation, which accelerates, slides and touches, in the
same episodes; for the others why they are not. Exits 1 where a trainable robot's follower or oracle has a success
below 0.99 or an SPL below 0.95, or where in a world of three rooms and more a random drive reaches 5 % of its goals
or one straight ahead more than half of them, by the gates or in the light simulation.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from _baselines import LEAST_SPL, LEAST_SUCCESS, drive_baselines

from lyra_sim.config.robots import load_robots
from robot_tasks.gates import MANY_ROOMS, RANDOM_SUCCESS, STRAIGHT_SUCCESS
from robot_tasks.worlds import read_world

HEAD = (
    "world | rooms | robot | episodes | area m2 | follower success, SPL | random, straight | "
    "light simulation: oracle success, SPL | random, greedy | missed"
)


def simulated(world: Path, robot: str) -> dict[str, tuple[float, float]]:
    """Success and SPL of each baseline in the light simulation."""
    (profile,) = load_robots([robot])
    tables = drive_baselines([read_world(world, profile)], profile)
    return {name: (float(t["success"].mean()), float(t["spl"].mean())) for name, t in tables.items()}


def missed(gates: dict[str, Any], light: dict[str, tuple[float, float]], rooms: int) -> list[str]:
    """Which bars one trainable robot misses in one world."""
    values = {
        "follower": (gates["follower_success"], gates["follower_spl"]),
        "oracle": light["oracle"],
    }
    found = [name for name, (won, spl) in values.items() if won < LEAST_SUCCESS or spl < LEAST_SPL]
    if rooms >= MANY_ROOMS:
        found += ["random"] * (max(gates["random_success"], light["random"][0]) >= RANDOM_SUCCESS)
        found += ["greedy"] * (max(gates["straight_success"], light["greedy"][0]) > STRAIGHT_SUCCESS)
    return found


def main() -> int:
    """Print the table, and the counts; 0 where no bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worlds", type=Path)
    parser.add_argument("--robots", nargs="+")
    args = parser.parse_args()
    print(f"{os.uname().machine}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(HEAD)
    count, bad = {"trainable": 0, "not trainable": 0}, 0
    for row in map(json.loads, (args.worlds / "worlds.jsonl").read_text().splitlines()):
        world = args.worlds / row["path"]
        rooms = len(json.loads((world / "nav" / "rooms.json").read_text())["rooms"])
        for path in sorted(world.glob("nav/*/gates.json")):
            name, gates = path.parent.name, json.loads(path.read_text())
            if args.robots and name not in args.robots:
                continue
            head = f"{world.name} | {rooms} | {name} | {gates['episodes']:.0f} | {gates['nav_area_m2']:.1f}"
            count["trainable" if gates["trainable"] else "not trainable"] += 1
            if not gates["trainable"]:
                print(f"{head} | not trainable: {gates['why']}", flush=True)
                continue
            light = simulated(world, name)
            lacks = missed(gates, light, rooms)
            bad += bool(lacks)
            print(
                f"{head} | {gates['follower_success']:.3f}, {gates['follower_spl']:.3f} | "
                f"{gates['random_success']:.3f}, {gates['straight_success']:.3f} | {light['oracle'][0]:.3f}, "
                f"{light['oracle'][1]:.3f} | {light['random'][0]:.3f}, {light['greedy'][0]:.3f} | {', '.join(lacks)}",
                flush=True,
            )
    print(", ".join(f"{n} {what}" for what, n in count.items()))
    print(f"{'MISSED' if bad or not count['trainable'] else 'kept'}: {bad} trainable robots miss a bar")
    return 0 if not bad and count["trainable"] else 1


if __name__ == "__main__":
    sys.exit(main())
