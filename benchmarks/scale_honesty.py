"""Honesty of the stated scale: how often the true scale of a photo lies within one and two stated sigmas.

    python benchmarks/scale_honesty.py [--data ../shared/data] [--photos 100] [--seed 0] [--rows FILE.csv]

The ratio of a photo is exp(median of ln(true depth / estimated depth)) over its true floor pixels, or over all
measured pixels where fewer than 200 of the floor were measured or where the floor is not known. The floor comes first
because a photo's scale is anchored there, and an obstacle put too far off is a fault of shape that no factor mends;
the median of logarithms is the one factor that a user would have to multiply the world by. Every photo is observed
twice: with nothing known, and with the camera height given (where it is known) as people state it, which is what the
stated sigma is for: off by a normal error of `GIVEN_SIGMA` of its logarithm, drawn for each photo. The lines `exact`
take that error out of the same ratios again: what would be left if the tape were perfect. They are held to the bars
that do not ask for errors that were taken out (within 2 sigma, median sigma). A refused photo states no scale;
such photos are counted in `refused`, and at least 120 must state one without a known height. Rendered places are
drawn with cameras 0.3 to 1.8 m high, half of them streets. Exits 1 when a bar is missed.
"""

import argparse
import csv
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from photo_honesty_cases import Case, levelled, single_cases, walk_cases

from lyra_sim.config.observe import GroundConfig
from lyra_sim.core.errors import SceneError
from lyra_sim.core.records import Label
from lyra_sim.depth.camera_height import GIVEN_SIGMA
from lyra_sim.depth.ground import observe_photo
from lyra_sim.procedural.cameras import photo_camera, pinhole
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.render import render
from lyra_sim.procedural.street import make_street
from lyra_sim.procedural.truth import floor_height

HEIGHT_M, PITCH_DEG, FOCAL_35MM = (0.3, 1.8), (-5.0, 40.0), (18, 38)
WITHIN_1, WITHIN_2, MIN_STATED = (0.55, 0.80), 0.90, 120
MEDIAN_SIGMA = {"unknown": 0.3, "known": 0.1, "exact": 0.1}
MIN_FLOOR_PX = 200


def rendered_cases(seed: int, n: int) -> Iterator[Case]:
    """Photos of `n` rendered places; height, pitch and focal length spread evenly, each in its own random order."""
    rng = np.random.default_rng([seed, 61])
    spread = [(rng.permutation(n) + rng.random(n)) / n for _ in range(3)]
    for k in range(n):
        height, pitch, focal = (
            low + s[k] * (high - low) for s, (low, high) in zip(spread, (HEIGHT_M, PITCH_DEG, FOCAL_35MM), strict=True)
        )
        scene = (make_street if k % 2 else make_flat)(1000 * (seed + 61) + k)
        camera = pinhole(768, 512, float(np.degrees(2 * np.arctan(18.0 / focal))))
        pose = photo_camera(scene, seed, height_m=height, pitch_deg=pitch, intrinsics=camera)
        view = render(scene, pose, camera, noise_seed=scene.seed)
        above = float(pose[2, 3] - floor_height(scene, pose[None, :2, 3])[0])
        yield Case(
            name=scene.name,
            group="rendered street" if k % 2 else "rendered flat",
            image=np.asarray(view.image),
            camera=camera,
            depth_m=np.asarray(view.depth_m),
            valid=np.asarray(view.valid),
            floor=np.asarray(view.label) == int(Label.FLOOR),
            T_truth_cam=levelled(pose[:3, :3].T @ np.array([0.0, 0.0, 1.0]), above),
        )


def measured_cases(data: Path) -> Iterator[Case]:
    """Every fifth frame of the measured walks, and single photos with measured depth."""
    for walk in sorted((data / "rgbd_sequence").iterdir()):
        yield from walk_cases(walk, step=5)
    yield from (replace(case, group="single") for case in single_cases(data / "rgbd_single_gt"))


def heights(case: Case, rng: np.random.Generator) -> dict[str, float | None]:
    """What is told of the camera's height: nothing, and where it is known, what a tape measure says."""
    off = float(rng.normal(0.0, GIVEN_SIGMA))
    return {"unknown": None} | ({} if case.height_m is None else {"known": case.height_m * float(np.exp(off))})


def state_scale(case: Case, height_m: float | None) -> tuple[float, float, str] | None:
    """(ln of true over estimated scale, stated sigma, source of the scale); None where the photo is refused."""
    try:
        seen = observe_photo(case.capture(height_m), GroundConfig())
    except SceneError:
        return None
    both = case.valid & seen.frames.valid[0]
    if (both & case.floor).sum() >= MIN_FLOOR_PX:
        both &= case.floor
    ratio = np.log(case.depth_m[both].astype(float) / seen.frames.depth_m[0][both])
    return float(np.median(ratio)), seen.frame.scale_sigma, seen.frame.metric


def report(rows: list[dict], known: str, group: str | None) -> list[str]:
    """Print one line of the table; the bars it misses (only all photos together are held to them)."""
    mine = [r for r in rows if r["height"] == known and group in (None, r["group"])]
    stated = [r for r in mine if r["sigma"] is not None]
    error, sigma = (np.array([r[c] for r in stated], float) for c in ("ln_ratio", "sigma"))
    if not len(stated):
        print(f"{group or 'all':16s} {known:8s} {0:7d} {len(mine):8d}")
        return [] if group else [f"{known}: nothing stated"]
    within = [float((np.abs(error) <= k * sigma).mean()) for k in (1, 2)]
    middle = float(np.median(sigma))
    print(
        f"{group or 'all':16s} {known:8s} {len(stated):7d} {len(mine) - len(stated):8d} {within[0]:9.3f} "
        f"{within[1]:9.3f} {middle:12.3f} {np.median(error):+9.3f} {np.median(np.abs(error)):9.3f}"
    )
    if group:
        return []
    return [
        f"{known}: {name}"
        for name, met in (
            ("within 1 sigma", known == "exact" or WITHIN_1[0] <= within[0] <= WITHIN_1[1]),
            ("within 2 sigma", within[1] >= WITHIN_2),
            ("median sigma", middle <= MEDIAN_SIGMA[known]),
            ("photos", known != "unknown" or len(stated) >= MIN_STATED),
        )
        if not met
    ]


def main() -> int:
    """Print the table; 0 when every bar is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--photos", type=int, default=100, help="rendered photos")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=Path, help="also write one line for each photo to this CSV file")
    args = parser.parse_args()
    rows = []
    rng = np.random.default_rng([args.seed, 62])
    cases = [rendered_cases(args.seed, args.photos)]
    if (args.data / "rgbd_sequence").is_dir():
        cases.insert(0, measured_cases(args.data))
    else:
        print(f"{args.data}: no measured photos here, only rendered ones are judged", file=sys.stderr)
    for case in (c for source in cases for c in source):
        for known, height in heights(case, rng).items():
            ln_ratio, sigma, source = state_scale(case, height) or (None, None, "refused")
            row = {"name": case.name, "group": case.group, "height": known, "true_height_m": case.height_m,
                   "ln_ratio": ln_ratio, "sigma": sigma, "source": source}  # fmt: skip
            rows.append(row)
            if height is not None:
                off = float(np.log(height / case.height_m))
                rows.append(row | {"height": "exact", "ln_ratio": None if ln_ratio is None else ln_ratio + off})
            print(f"\r{len(rows)} observed", end="", file=sys.stderr, flush=True)
    if args.rows:
        with args.rows.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    print(f"{'group':16s} height    stated  refused   1 sigma   2 sigma median sigma    median  abs ln ratio")
    groups = [*dict.fromkeys(r["group"] for r in rows), None]
    missed = [m for known in MEDIAN_SIGMA for group in groups for m in report(rows, known, group)]
    print("bars missed: " + (", ".join(missed) or "none"))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
