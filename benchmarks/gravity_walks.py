"""Gravity of RGB-D walks whose poses were written in a randomly turned frame: a table, one line per walk.

    python benchmarks/gravity_walks.py [--walks 20] [--frames 16] [--seed 0]

Every second walk is a flat, the others streets; depth carries the noise of a sensor. The walks are written as a user
would deliver them and read back from the files. The error is the angle between the observer's up and the true one.
Exits 1 when it exceeds 0.5 degrees in any walk, or when a walk is refused.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from lyra_sim.config.capture import CaptureConfig
from lyra_sim.config.observe import SensorConfig
from lyra_sim.core.errors import InputError, SceneError
from lyra_sim.depth.build import build
from lyra_sim.procedural.cameras import pinhole, walk_cameras
from lyra_sim.procedural.example import random_rotation
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.street import make_street
from lyra_sim.procedural.write import DepthNoise, scene_of, write_walk
from lyra_sim.sources.capture import read_capture
from lyra_sim.sources.discover import discover

LIMIT_DEG = 0.5


def angle_deg(a: np.ndarray, b: np.ndarray) -> float:
    """Angle between two directions (3,)."""
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)))


def one_walk(folder: Path, number: int, seed: int, frames: int) -> tuple[str, float, float, float]:
    """Write and observe one walk.

    Returns:
        Name; tilt of the written z axis, error of the found up, and the sigma the observer states; degrees.

    Raises:
        InputError, SceneError: the walk was refused.
    """
    scene = (make_street if number % 2 else make_flat)(1000 * (seed + 1) + number)
    turn = random_rotation(np.random.default_rng([seed, number, 7]))
    path = walk_cameras(scene, seed, frames)
    write_walk(folder, scene, path, pinhole(320, 240, 75.0), depth_noise=DepthNoise(), rotate=turn, seed=seed)
    (source,) = discover([folder], "rgbd").sources
    frame = build(SensorConfig())(read_capture(source, CaptureConfig())).frame
    _, T_scene_source = scene_of(folder)
    true_up, found_up = T_scene_source[2, :3], frame.T_world_source[2, :3]
    tilt = angle_deg(true_up, np.array([0.0, 0.0, 1.0]))
    return scene.name, tilt, angle_deg(true_up, found_up), float(np.degrees(frame.gravity_sigma_rad))


def main() -> int:
    """Print the table; 0 when every walk is within the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--walks", type=int, default=20)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"{'walk':14s} {'z off up deg':>12s} {'error deg':>10s} {'stated sigma':>13s}")
    errors = []
    with tempfile.TemporaryDirectory() as place:
        for number in range(args.walks):
            try:
                name, tilt, error, sigma = one_walk(Path(place) / f"walk_{number}", number, args.seed, args.frames)
                print(f"{name:14s} {tilt:12.1f} {error:10.3f} {sigma:13.3f}", flush=True)
            except (InputError, SceneError) as refused:
                error = np.inf
                print(f"walk {number}: refused: {refused}", flush=True)
            errors.append(error)
    good = int((np.array(errors) <= LIMIT_DEG).sum())
    print(
        f"{good} of {len(errors)} within {LIMIT_DEG} degrees; median {np.median(errors):.3f}, worst {max(errors):.3f}"
    )
    return 0 if good == len(errors) else 1


if __name__ == "__main__":
    sys.exit(main())
