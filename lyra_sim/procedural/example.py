"""Ready-made inputs: example walks and photos for a first run, and the set of photos that honesty is measured on."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lyra_sim.core.records import Intrinsics
from lyra_sim.procedural.cameras import photo_camera, pinhole, walk_cameras
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.scene import ProceduralScene
from lyra_sim.procedural.street import make_street
from lyra_sim.procedural.write import DepthNoise, write_photo, write_walk

HEIGHT_M = (0.4, 1.8)
PITCH_DEG = (-5.0, 40.0)
FOCAL_35MM = (18, 38)
"""Whole millimetres, as EXIF states them: 90 to 51 degrees of horizontal field of view at 3:2."""
NOTICE = """The images and depth maps below this folder were rendered by lyra-sim (`lyra-sim example`).
No camera took them.

SPDX-License-Identifier: CC0-1.0
To the extent possible under law, their authors have waived all copyright and related rights to them.
"""


def photo_set(seed: int, n: int = 40, *, width: int = 768) -> Iterator[tuple[ProceduralScene, np.ndarray, Intrinsics]]:
    """`n` photos of as many places, every second one a street: (scene, cam_to_world (4, 4), intrinsics).

    Camera height, downward pitch and focal length are spread evenly over `HEIGHT_M`, `PITCH_DEG` and `FOCAL_35MM`,
    each in its own random order. Images have the shape 3:2.
    """
    rng = np.random.default_rng([seed, 5])
    spread = [(rng.permutation(n) + rng.random(n)) / n for _ in range(3)]
    for k in range(n):
        scene = (make_street if k % 2 else make_flat)(1000 * (seed + 1) + k)
        height = HEIGHT_M[0] + spread[0][k] * (HEIGHT_M[1] - HEIGHT_M[0])
        pitch = PITCH_DEG[0] + spread[1][k] * (PITCH_DEG[1] - PITCH_DEG[0])
        focal = round(FOCAL_35MM[0] + spread[2][k] * (FOCAL_35MM[1] - FOCAL_35MM[0]))
        camera = pinhole(width, width * 2 // 3, float(np.degrees(2 * np.arctan(18.0 / focal))))
        yield scene, photo_camera(scene, seed, height_m=height, pitch_deg=pitch, intrinsics=camera), camera


def write_example(folder: Path, *, small: bool = False) -> None:
    """Write examples with their truth: RGB-D walks through two flats and along a street, and two photos.

    Args:
        small: two walks of 32 frames at 320 by 240 (no street walk), a few MB in all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "LICENSE.txt").write_text(NOTICE)
    frames, camera = (32, pinhole(320, 240, 78.0)) if small else (48, pinhole(480, 360, 75.0))
    seeds = ((7, 2), (12, 2)) if small else ((2, 3), (5, 3))
    walks = [(f"walk_flat_{k + 1}", make_flat(seed, rooms=rooms)) for k, (seed, rooms) in enumerate(seeds)]
    if not small:
        walks.append(("walk_street", make_street(5)))
    for name, scene in walks:
        turn = random_rotation(np.random.default_rng([scene.seed, 6]))
        path = walk_cameras(scene, 0, frames)
        write_walk(folder / name, scene, path, camera, depth_noise=DepthNoise(), rotate=turn, jpeg_quality=88)
    width = 600 if small else 960
    for name, scene, height, pitch in (
        ("photo_indoor.jpg", make_flat(4), 1.45, 16.0),
        ("photo_street.jpg", make_street(2), 1.55, 8.0),
    ):
        lens = pinhole(width, width * 2 // 3, float(np.degrees(2 * np.arctan(18.0 / 26))))
        pose = photo_camera(scene, 1, height_m=height, pitch_deg=pitch, intrinsics=lens)
        write_photo(folder / name, scene, pose, lens)


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """A uniformly random rotation (3, 3), from a random unit quaternion (Shoemake, Graphics Gems III, 1992)."""
    w, x, y, z = (q := rng.standard_normal(4)) / np.linalg.norm(q)
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
