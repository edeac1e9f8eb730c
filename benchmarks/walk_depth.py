"""Measured depth of an RGB-D walk against the colliders of the world made from it, straight from the files.

    python benchmarks/walk_depth.py OUT WALK...

For each finished world of OUT that was made from one of the folders WALK: every 10th pixel of every depth image with a
measurement within 8 m is projected from its camera as the world has it (its pose refined, where that made the frames
agree better), and its distance to the colliders of scene.usda is taken.
Nothing is filtered, so pixels that fly at depth edges count too. Prints median and 95th percentile; exits 1 where the
median exceeds 1.5 cm or the 95th percentile 5 cm.
"""

import argparse
import json
import sys
from pathlib import Path

import cv2
import numpy as np

from lyra_sim.core.records import PosedFrames
from lyra_sim.io.records import load_record
from robot_tasks.colliders import rays_of, soup_of_scene

MEDIAN_M, P95_M = 0.015, 0.05
REACH_M, STEP = 8.0, 10


def measured_points(walk: Path, poses: np.ndarray) -> np.ndarray:
    """(N, 3) points in the frame that the poses (T, 4, 4) lead to."""
    facts = json.loads((walk / "camera.json").read_text())
    found = []
    for pose, path in zip(poses, sorted((walk / "depth").iterdir()), strict=True):
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if image is None:
            raise OSError(f"{path} is not an image")
        depth = image.astype(float) / facts["depth_scale"]
        v, u = (index.ravel()[::STEP] for index in np.indices(depth.shape))
        z = depth[v, u]
        good = (z > 0) & (z <= REACH_M)
        x, y = (u - facts["cx"]) / facts["fx"], (v - facts["cy"]) / facts["fy"]  # integer pixel centres
        found.append(np.stack([x * z, y * z, z], 1)[good] @ pose[:3, :3].T + pose[:3, 3])
    return np.concatenate(found)


def main() -> int:
    """Print one line per world; 0 when every bar is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("walks", nargs="+", type=Path)
    args = parser.parse_args()
    walks = {walk.resolve().name: walk for walk in args.walks}
    missed = 0
    for row in json.loads((args.out / "summary.json").read_text())["worlds"]:
        name = Path(row["sources"][0]).name
        if name not in walks or not row["path"]:
            continue
        report = json.loads((args.out / row["path"] / "report.json").read_text())
        key = next(stage["key"] for stage in report["stages"] if stage["name"] == "observe")
        seen = load_record(PosedFrames, args.out / ".lyra" / "store" / "observe" / key[:32])
        points = measured_points(walks[name], seen.frames.cam_to_world)
        apart = rays_of(soup_of_scene(args.out / row["path"] / "scene.usda")).distance(points)
        median, p95 = float(np.median(apart)), float(np.percentile(apart, 95))
        ok = median <= MEDIAN_M and p95 <= P95_M
        missed += not ok
        print(
            f"{row['name']:34s} {len(points)} pixels, median {100 * median:.2f} cm, p95 {100 * p95:.2f} cm", flush=True
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
