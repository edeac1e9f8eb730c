"""How much of a street the planner shows within 800 frames, and whether it keeps away from what stands there.

    python benchmarks/street_exploration.py [--streets 5] [--first 201] [--frames 800] [--piece 24] [--bound]

Procedural streets of 120 m, exact depth of a picture 70 degrees wide, from a random free place on the road. A metre of
street counts as seen where at least 80 % of the free floor (cells of 5 cm in which a disc of 0.25 m stands clear) of
the road was seen, and as much of each pavement; `exploration.py` says what seen means. Exits 1 when a bar is missed.

    python benchmarks/street_exploration.py --bound

shows what walks do that know the whole street and pass through what stands there: what can be asked of a planner.
"""

import argparse
import sys
from itertools import combinations, product

import numpy as np
from _explored_place import CELL_M, CLEARANCE_M, Place, in_street
from exploration import PACE, explore

from lyra_sim.procedural.cameras import look
from lyra_sim.procedural.street import make_street
from lyra_sim.procedural.truth import truth_distance

SHARES, LEAST_M = (0.8, 0.5, 0.25), 40
"""The bar is judged with the first share; the others are told beside it."""
_THIN = 7
"""Walks that know the street are judged by every so many cells, ..."""
_EVERY = 3
"""... and by every so many frames."""
_YAWS = np.radians((-30, -15, 0, 15, 30))


def seen_floor(street: Place, walk: np.ndarray) -> np.ndarray:
    """Which cells of the floor the frames of a walk saw."""
    floor = street.floor
    seen = np.zeros(len(floor), bool)
    for pose in walk:
        left = np.flatnonzero(~seen)
        seen[left[street.sees(pose, floor[left])]] = True
    return seen


class Strips:
    """Metres of each pavement and of the road."""

    def __init__(self, street: Place, cell_m2: float = CELL_M**2) -> None:
        self.least = 0.2 / cell_m2
        at, bins = street.floor, np.floor(street.floor[:, 0]).astype(int)
        self.bins = bins - bins.min()
        self.inside = [((at[:, :2] >= r[:2]) & (at[:, :2] <= r[2:])).all(1) for r in street.scene.rooms_m]
        self.cells = [np.bincount(self.bins[strip], minlength=self.bins.max() + 1) for strip in self.inside]

    def metres(self, seen: np.ndarray, share: float) -> np.ndarray:
        """Metres of which so large a share was seen, of each strip and at last of all of them at once."""
        shown = []
        for strip, count in zip(self.inside, self.cells, strict=True):
            known = np.bincount(self.bins[strip], seen[strip], len(count)) / np.maximum(count, 1)
            shown.append((known >= share) & (count > self.least))
        return np.array([s.sum() for s in (*shown, np.logical_and.reduce(shown))])


def best_passes(street: Place, frames: int) -> list[np.ndarray]:
    """Most metres of the worst strip that two straight passes of half the frames each show, one answer a share.

    Of all pairs of seven lanes, both directions and five angles between the camera and the way. The passes are given
    what no planner has: they know the street, go through what stands in their way and lose no frame between them.
    """
    street = Place(street.scene, street.home, street.floor[::_THIN, :2])
    strips = Strips(street, _THIN * CELL_M**2)
    (left, right, road), height = street.scene.rooms_m, street.home[2, 3]
    lanes = (left[[1, 3]].mean(), left[1], road[3] / 3, 0.0, road[1] / 3, right[3], right[[1, 3]].mean())
    along = street.home[0, 3] + PACE.step_m * np.arange(-frames // 4, frames // 4, _EVERY)
    seen = []
    for y, yaw, back in product(lanes, _YAWS, (0, np.pi)):
        seen.append(seen_floor(street, np.stack([look(np.array([x, y, height]), yaw + back, 0.12) for x in along])))
    best = [np.zeros(4, int)] * len(SHARES)
    for a, b in combinations(seen, 2):
        shown = [strips.metres(a | b, share) for share in SHARES]
        best = [
            max(pair, key=lambda metres: (metres[:-1].min(), metres.sum())) for pair in zip(best, shown, strict=True)
        ]
    return best


def main() -> int:
    """Print a line per street; 0 when all keep the bars."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streets", type=int, default=5)
    parser.add_argument("--first", type=int, default=201, help="seed")
    parser.add_argument("--frames", type=int, default=800)
    parser.add_argument("--piece", type=int, default=24, help="most frames planned at once")
    parser.add_argument("--bound", action="store_true", help="show what walks that know the street can do instead")
    args = parser.parse_args()
    kept = True
    for seed in range(args.first, args.first + args.streets):
        street = in_street(make_street(seed), seed, PACE.robot_height_m)
        if args.bound:
            shown = best_passes(street, args.frames)
            ok, how = shown[0][:-1].min() >= LEAST_M, f"two passes of {args.frames // 2} frames"
        else:
            walk, planning, size = explore(street, "ours", seed, args.frames, args.piece)
            seen, clearance = seen_floor(street, walk), float(truth_distance(street.scene, walk[:, :3, 3]).min())
            strips = Strips(street)
            shown = [strips.metres(seen, share) for share in SHARES]
            ok = shown[0][:-1].min() >= LEAST_M and clearance >= CLEARANCE_M
            how = f"clearance {clearance:.2f} m, {len(walk) - 1} frames, "
            how += f"map {size / 1e6:.1f} MB, {planning:.1f} s a piece"
        kept &= bool(ok)
        told = "; ".join(f"{', '.join(map(str, m))} m at {q:.0%}" for q, m in zip(SHARES, shown, strict=True))
        print(f"street {seed} (pavements, road, all at once): {told}; {how}  {'ok' if ok else 'MISSED'}", flush=True)
    print(f"bars: >= {LEAST_M} m of every strip, clearance >= {CLEARANCE_M} m: {'met' if kept else 'MISSED'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
