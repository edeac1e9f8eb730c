"""How much of a street the planner shows within 800 frames, and whether it keeps away from what stands there.

    python benchmarks/street_exploration.py [--streets 5] [--first 201] [--frames 800] [--piece 24]

Procedural streets of 120 m, exact depth of a picture 70 degrees wide, from a random free place on the road. A metre of
street counts as seen where at least 80 % of the free floor (cells of 5 cm in which a disc of 0.25 m stands clear) of
the road was seen, and as much of each pavement; `exploration.py` says what seen means. Exits 1 when a bar is missed.
"""

import argparse
import sys

import numpy as np
from _explored_place import CELL_M, CLEARANCE_M, Place, in_street
from exploration import PACE, explore

from lyra_sim.procedural.street import make_street
from lyra_sim.procedural.truth import truth_distance

SHARE, LEAST_M = 0.8, 40


def metres(street: Place, walk: np.ndarray) -> np.ndarray:
    """Metres along the street that were seen, of each pavement and the road, and at last of all of them at once."""
    floor = street.floor
    seen = np.zeros(len(floor), bool)
    for pose in walk:
        left = np.flatnonzero(~seen)
        seen[left[street.sees(pose, floor[left])]] = True
    bins = np.floor(floor[:, 0]).astype(int)
    bins -= bins.min()
    shown = []
    for x0, y0, x1, y1 in street.scene.rooms_m:
        inside = ((floor[:, :2] >= (x0, y0)) & (floor[:, :2] <= (x1, y1))).all(1)
        count = np.bincount(bins[inside], minlength=bins.max() + 1)
        share = np.bincount(bins[inside], seen[inside], bins.max() + 1) / np.maximum(count, 1)
        shown.append((share >= SHARE) & (count > 0.2 / CELL_M**2))
    return np.array([s.sum() for s in (*shown, np.logical_and.reduce(shown))])


def main() -> int:
    """Print a line per street; 0 when all keep the bars."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streets", type=int, default=5)
    parser.add_argument("--first", type=int, default=201, help="seed")
    parser.add_argument("--frames", type=int, default=800)
    parser.add_argument("--piece", type=int, default=24, help="most frames planned at once")
    args = parser.parse_args()
    kept = True
    for seed in range(args.first, args.first + args.streets):
        street = in_street(make_street(seed), seed, PACE.robot_height_m)
        walk, planning, size = explore(street, "ours", seed, args.frames, args.piece)
        seen, clearance = metres(street, walk), float(truth_distance(street.scene, walk[:, :3, 3]).min())
        ok = seen[:-1].min() >= LEAST_M and clearance >= CLEARANCE_M
        kept &= bool(ok)
        told = ", ".join(f"{m}" for m in seen[:-1])
        print(
            f"street {seed}: {told} m of its strips seen, {seen[-1]} m of all at once; clearance "
            f"{clearance:.2f} m, {len(walk) - 1} frames, map {size / 1e6:.1f} MB, {planning:.1f} s a piece  "
            f"{'ok' if ok else 'MISSED'}",
            flush=True,
        )
    print(f"bars: >= {LEAST_M} m of every strip, clearance >= {CLEARANCE_M} m: {'met' if kept else 'MISSED'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
