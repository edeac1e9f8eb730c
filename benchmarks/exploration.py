"""How fast the planner covers a place that it does not know, beside simple explorers on the same map.

    python benchmarks/exploration.py [--flats 20] [--first 101] [--frames 800] [--piece 24] [--rivals frontier random]
        [--curves FILE.png]

Procedural flats of 3 to 6 rooms, exact depth of a picture 70 degrees wide, from a random free pose. Reachable floor is
the island of the start for a disc of 0.25 m, in cells of 5 cm; a cell counts as seen when a frame has it in its
picture, within 6 m, with nothing that is more than 3 cm high in between. Clearance is the distance of a camera to the
nearest true surface. All explorers' plans are smoothed alike. Pieces of the walk are planned from every 8th frame so
far, as in a run. Exits 1 when a bar is missed.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
from _exploration_rivals import RIVALS
from _explored_place import CELL_M, CLEARANCE_M, DEPTH, Place, Score, in_flat
from scipy.stats import bootstrap

from lyra_sim.config.explore import ExploreConfig
from lyra_sim.explore.course import on_stride
from lyra_sim.procedural.flat import make_flat
from lyra_sim.trajectory.motion import LAG, Pace, smoothed
from lyra_sim.trajectory.nextview import NextView
from lyra_sim.trajectory.survey import Survey

KEPT_M = CLEARANCE_M + CELL_M / np.sqrt(2)
"""The map measures from centres of cells of 5 cm: half a diagonal is added."""
PACE = Pace(robot_height_m=0.6, clearance_m=float(KEPT_M), step_m=0.1, turn_rad=float(np.deg2rad(3)))
RETURN_FRAMES = ExploreConfig().return_frames
STRIDE = 8
MEDIAN, WORST = 0.92, 0.80
HIGHEST_IN, NEVER_BELOW, AREA = 0.75, 0.95, 1.05
LIMIT_S = 2.0


def explore(place: Place, name: str, seed: int, frames: int, piece: int) -> tuple[np.ndarray, float, int]:
    """Poses of one walk, the start first; longest time of planning and taking in a piece; bytes of the voxels."""
    survey = Survey(place.home[:3, 3], PACE.robot_height_m)
    survey.see(place.frames(place.home[None]))
    planner = (
        NextView(survey, PACE, DEPTH, return_frames=RETURN_FRAMES)
        if name == "ours"
        else RIVALS[name](survey, PACE, seed)
    )
    walk, longest, planned = [place.home], 0.0, np.repeat(place.home[None], LAG, 0)
    while len(walk) <= frames:
        started = time.process_time()
        wanted = planner.plan(planned[-1], min(piece, frames + 1 - len(walk)))
        wanted = on_stride(wanted, min(piece, frames + 1 - len(walk)))
        poses, planned = smoothed(planned, wanted), np.concatenate([planned, wanted])[-LAG:]
        planning = time.process_time() - started
        if not len(poses):
            break
        kept = [i for i in range(len(poses)) if (len(walk) + i) % STRIDE == 0 or i == len(poses) - 1]
        walk += list(poses)
        shown, spent = place.frames(poses[kept]), time.process_time()
        survey.see(shown)
        longest = max(longest, planning + time.process_time() - spent)
    return np.stack(walk), longest, survey.space.bytes


def interval(ratio: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the median of paired ratios."""
    found = bootstrap((ratio,), np.median, rng=np.random.default_rng(0), method="percentile").confidence_interval
    return float(found.low), float(found.high)


def verdict(scores: dict[str, list[Score]], longest: float, frames: int) -> bool:
    """Prints the bars; True when all are met."""
    for name, found in scores.items():
        middle, end, area = np.median([(s.at(frames // 2), s.at(frames + 1), s.area(frames)) for s in found], axis=0)
        print(f"median {name:9s} {middle:.3f} after {frames // 2}, {end:.3f} after {frames}, area {area:.3f}")
    ours = scores["ours"]
    end = np.array([score.at(frames + 1) for score in ours])
    half = {name: np.array([score.at(frames // 2) for score in found]) for name, found in scores.items()}
    checks = [
        (f"median coverage after {frames} frames >= {MEDIAN}", float(np.median(end)), float(np.median(end)) >= MEDIAN),
        (f"worst >= {WORST}", float(end.min()), float(end.min()) >= WORST),
        (f"least clearance >= {CLEARANCE_M} m", (c := min(s.clearance_m for s in ours)), c >= CLEARANCE_M),
        ("steps <= 0.1 m", (step := max(s.step_m for s in ours)), step <= PACE.step_m + 1e-9),
        ("turns <= 3 degrees", (turn := max(s.turn_deg for s in ours)), turn <= 3.0 + 1e-6),
        (f"planning <= {LIMIT_S} CPU s a piece", longest, longest <= LIMIT_S),
    ]
    rivals = [name for name in scores if name != "ours"]
    if rivals:
        best = np.max([half[name] for name in rivals], axis=0)
        area = {name: np.array([score.area(frames) for score in found]) for name, found in scores.items()}
        strongest = max(rivals, key=lambda name: float(np.median(area[name])))
        ratio = area["ours"] / area[strongest]
        low, high = interval(ratio) if len(ratio) > 2 else (float(ratio.min()), float(ratio.max()))
        share, least = float((half["ours"] >= best).mean()), float((half["ours"] / best).min())
        checks += [
            (f"highest after {frames // 2} in >= {HIGHEST_IN} of places", share, share >= HIGHEST_IN),
            (f"never below {NEVER_BELOW} of the best there", least, least >= NEVER_BELOW),
            (f"area / {strongest}'s >= {AREA}, median", float(np.median(ratio)), float(np.median(ratio)) >= AREA),
            (f"its interval (to {high:.3f}) above 1", low, low > 1),
        ]
    for what, value, ok in checks:
        print(f"{what:60s} {value:8.3f}  {'ok' if ok else 'MISSED'}")
    return all(ok for _, _, ok in checks)


def draw(path: Path, scores: dict[str, list[Score]], frames: int) -> None:
    """Coverage by frame, median over the places, as a picture."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4))
    for name, found in scores.items():
        axes.plot(np.median([[s.at(n) for n in range(1, frames + 2)] for s in found], axis=0), label=name)
    axes.set(xlabel="frames", ylabel="reachable floor seen, median", ylim=(0, 1))
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> int:
    """Print a line per place and explorer, and the bars; 0 when all are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flats", type=int, default=20)
    parser.add_argument("--first", type=int, default=101, help="seed")
    parser.add_argument("--frames", type=int, default=800)
    parser.add_argument("--piece", type=int, default=24, help="most frames planned at once")
    parser.add_argument("--rivals", nargs="*", choices=list(RIVALS), default=list(RIVALS))
    parser.add_argument("--curves", type=Path, help="also draw the curves (needs matplotlib)")
    args = parser.parse_args()
    print(f"{os.uname().machine}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    scores: dict[str, list[Score]] = {name: [] for name in [*args.rivals, "ours"]}
    longest = 0.0
    explore(in_flat(make_flat(0, rooms=2), 0, PACE.robot_height_m), "ours", 0, 40, args.piece)  # compiles
    for seed in range(args.first, args.first + args.flats):
        place = in_flat(make_flat(seed, rooms=3 + seed % 4), seed, PACE.robot_height_m)
        for name, found in scores.items():
            walk, planning, size = explore(place, name, seed, args.frames, args.piece)
            found.append(score := place.score(walk))
            told = " ".join(f"{score.at(n):.3f}" for n in (100, 200, args.frames // 2, args.frames + 1))
            tail = f"area {score.area(args.frames):.3f}, clearance {score.clearance_m:.2f} m, {len(walk) - 1} frames"
            print(f"flat {seed} {name:9s} {told} {tail}, map {size / 1e6:.1f} MB, {planning:.2f} s", flush=True)
            longest = max(longest, planning if name == "ours" else 0.0)
    met = verdict(scores, longest, args.frames)
    if args.curves:
        draw(args.curves, scores, args.frames)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
