"""Photos of procedural places from known heights, levelled as the height network sees them, in shards on disk."""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from lyra_sim.depth.levelled import level_view
from lyra_sim.procedural.cameras import photo_camera, pinhole
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.render import render
from lyra_sim.procedural.scene import ProceduralScene
from lyra_sim.procedural.street import make_street

FIRST_SEED = 10_000_000
"""Places of tests, examples and benchmarks have smaller seeds."""
HEIGHT_M = (0.3, 2.2)
PITCH_DEG = (-10.0, 45.0)
HFOV_DEG = (48.0, 95.0)
SHAPES = ((3, 2), (3, 2), (4, 3), (16, 9), (3, 4))
PHOTOS_PER_PLACE = 10
_TRIES = 30
_FOCAL_PX = 190.0
"""About twice the resolution of the levelled view."""


def photos_of(scene: ProceduralScene, count: int, rng: np.random.Generator):
    """`count` levelled photos (colours, seen) with their camera heights; gravity is off by what lines leave."""
    for k in range(count):
        height = float(np.exp(rng.uniform(*np.log(HEIGHT_M))))
        pitch, hfov = float(rng.uniform(*PITCH_DEG)), float(rng.uniform(*HFOV_DEG))
        across, along = SHAPES[rng.integers(len(SHAPES))]
        width = int(2 * _FOCAL_PX * np.tan(np.radians(hfov) / 2))
        camera = pinhole(width, round(width * along / across), hfov)
        pose = photo_camera(scene, k, height_m=height, pitch_deg=pitch, intrinsics=camera, tries=_TRIES)
        view = render(scene, pose, camera, noise_seed=int(rng.integers(2**31)))
        down = pose[:3, :3].T @ np.array([0.0, 0.0, -1.0])
        spread = np.radians(2.5 if rng.random() < 0.15 else 0.4)
        down = down + spread * rng.standard_normal(3)
        valid = np.ones(view.depth_m.shape, bool)
        yield *level_view(view.image, valid, camera, down / np.linalg.norm(down)), height


def write_shards(folder: Path, first: int, step: int, minutes: float) -> None:
    """Write shards of 60 places each (`heights-<first place>.npz`) until the time is up."""
    folder.mkdir(parents=True, exist_ok=True)
    end, place = time.monotonic() + 60 * minutes, first
    while time.monotonic() < end:
        name = folder / f"heights-{place:06d}.npz"
        colours, seen, heights, street = [], [], [], []
        for _ in range(60):
            scene = (make_street if (place // step) % 2 else make_flat)(FIRST_SEED + place)
            rng = np.random.default_rng([FIRST_SEED + place, 8])
            for c, s, h in photos_of(scene, PHOTOS_PER_PLACE, rng):
                colours.append(c), seen.append(s), heights.append(h), street.append(scene.kind == "street")
            place += step
        np.savez(name, colours=np.stack(colours), seen=np.stack(seen), height_m=heights, street=street)
        print(f"{name.name}: {len(heights)} photos", file=sys.stderr, flush=True)


def main() -> None:
    """`python -m lyra_sim.training.height_photos OUT --minutes 30 [--worker 0 --workers 2]`"""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--worker", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    write_shards(args.out, args.worker, args.workers, args.minutes)


if __name__ == "__main__":
    main()
