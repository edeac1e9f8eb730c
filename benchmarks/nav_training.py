"""Do policies trained in finished worlds drive in worlds they have not seen, and better than those of plain boxes?

    python benchmarks/nav_training.py WORLDS [--out RUNS] [--minutes 60] [--seeds 0 1 2] [--test 32]
        [--robot nova_carter]

WORLDS is the output folder of a run: flats of about 10 x 10 m through the whole line. Places are divided by hash:
`--test` of them are kept, the rest trained on. For each seed one policy is trained there and one in as many flats of
boxes made in memory, with the same settings and time; all drive the same episodes (24 per world, goals 2 to 14 m) in
the kept worlds, beside random, greedy and oracle. A training uses one thread. Policies in `--out` are taken as they are
when their time is spent, so the benchmark goes on after a kill. Exits 1 when a bar is missed; fewer worlds or less time
than the bar asks for are said, and miss it.
"""

import argparse
import os
import sys
from pathlib import Path

from lyra_sim.config.nav_training import NavTrainingConfig
from lyra_sim.config.robots import load_robots
from robot_tasks.training.division import place_of
from robot_tasks.training.judge import Verdict, judge
from robot_tasks.training.scores import MEASURES, Scores, difference, estimate, pooled, table
from robot_tasks.training.session import read_policy, train
from robot_tasks.worlds import read_worlds

LEAST_SUCCESS, LEAST_SPL, LEAST_TRAINED, LEAST_TESTED, MOST_MINUTES, LEAST_SEEDS = 0.85, 0.65, 64, 32, 60.0, 3
GOALS_M = (2.0, 14.0)
EPISODES, DRAWS = 24, 2000


def policies_of(args: argparse.Namespace, kind: str, settings: dict) -> list:
    """One policy per seed."""
    made = []
    for seed in args.seeds:
        config = NavTrainingConfig.model_validate({**settings, "seed": seed, "minutes": args.minutes})
        folder = args.out / f"{kind}-{seed}"
        made.append(read_policy(train(args.worlds, args.robot, config, folder, progress)))
    return made


def progress(line: str) -> None:
    """Lines of a training, to stderr."""
    print(line, file=sys.stderr, flush=True)


def by_kind(verdict: Verdict) -> dict[str, Scores]:
    """Baselines as they are, seeds of a kind together."""
    rows = {name: scores for name, scores in verdict.unseen.items() if "-" not in name}
    for kind in ("worlds", "boxes"):
        rows[kind] = pooled([scores for name, scores in verdict.unseen.items() if name.startswith(f"{kind}-")])
    return rows


def main() -> int:
    """Print every policy, the seeds together, and the verdict; 0 when the bars are kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worlds", type=Path)
    parser.add_argument("--out", type=Path, default=Path("nav_training"))
    parser.add_argument("--robot", default="nova_carter")
    parser.add_argument("--minutes", type=float, default=MOST_MINUTES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--test", type=int, default=LEAST_TESTED, help="places kept from the policies")
    args = parser.parse_args()
    print(f"{os.uname().machine}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    places = len({place_of(world) for world in read_worlds(args.worlds, load_robots([args.robot])[0])})
    settings = {"train_share": max(1 - args.test / places, 0.01), "geodesic_m": GOALS_M}
    finished = policies_of(args, "worlds", settings)
    boxes = policies_of(args, "boxes", {**settings, "boxes": len(finished[0].worlds), "only_boxes": True})
    held_out = args.out / "judged"
    verdict, text = judge(args.worlds, finished + boxes, held_out, progress, episodes=EPISODES, draws=DRAWS)
    print(text)
    rows = by_kind(verdict)
    print("seeds together\n" + table(rows, DRAWS))
    apart = {m: difference(rows["worlds"].values(m), rows["boxes"].values(m), DRAWS) for m in MEASURES}
    print("worlds less boxes: " + ", ".join(f"{measure} {interval}" for measure, interval in apart.items()))
    trained, tested = len(finished[0].worlds), len(rows["worlds"].worlds)
    success, spl = (estimate(rows["worlds"].values(m), DRAWS).mean for m in ("success", "spl"))
    found = {
        f"trained in {trained} worlds, >= {LEAST_TRAINED}": trained >= LEAST_TRAINED,
        f"tested in {tested} worlds, >= {LEAST_TESTED}": tested >= LEAST_TESTED,
        f"{len(args.seeds)} seeds, >= {LEAST_SEEDS}": len(args.seeds) >= LEAST_SEEDS,
        f"{args.minutes:g} minutes, <= {MOST_MINUTES:g}": args.minutes <= MOST_MINUTES,
        f"success {success:.3f} >= {LEAST_SUCCESS}": success >= LEAST_SUCCESS,
        f"SPL {spl:.3f} >= {LEAST_SPL}": spl >= LEAST_SPL,
    }
    for bar, kept in found.items():
        print(f"{'kept' if kept else 'MISSED'}: {bar}")
    return 0 if all(found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
