"""Consistency on return: what frames show of a place beside what frames more than 160 before them showed of it.

    python benchmarks/revisits.py [--flats 3] [--first 1] [--pictures FOLDER]

In procedural flats a camera of 320 x 240 looks around three times, 3 degrees a frame, and sways by up to 0.3 m
meanwhile; the walk starts from a photo, or from six photos all around, with exact depth. The generators draw the 360
frames in segments of 80 as the loop does, with what its memory retrieves. `reproject` draws each segment a second time
from nothing but the frame before it, judged at the very same pixels. Where that frame shows nothing it stays black, so
frames painted over with their own mean colour, a good guess for one without memory, are judged too. `truth` renders:
it is shown no memory, and there is nothing to switch off. PSNR is that of the gate `revisit_psnr_db`
(`lyra_sim/memory/revisits.py`). Exits 1 when a bar is missed.
"""

import argparse
import math
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from lyra_sim.config.explore import ExploreConfig, GeneratorConfig, ReprojectConfig, TruthConfig
from lyra_sim.core.records import Frames, PixelOrigin, Segment
from lyra_sim.explore.past import Past
from lyra_sim.memory.revisits import APART, Returned, Revisits
from lyra_sim.procedural.cameras import look, photo_camera, pinhole
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.render import render
from lyra_sim.procedural.scene import ProceduralScene
from lyra_sim.procedural.write import write_photo
from lyra_sim.trajectory.motion import Leg, heading_of, steer
from lyra_sim.worldgen import build
from lyra_sim.worldgen.request import view_of, without_memory

PHOTO = pinhole(640, 480, 70.0)
HEIGHT_PX, SEGMENT = 240, 80
TURN_RAD, TURNS, SWAY_M = math.radians(3), 3, 0.3
PITCH_RAD = 0.12
LEAST_DB, APART_DB = 28.0, 6.0
LEAST_PAIRS = 5


def loop_path(home: np.ndarray) -> np.ndarray:
    """(N, 4, 4): `TURNS` times around from `home`, ever a little aside of the turn before."""
    count = round(TURNS * 2 * math.pi / TURN_RAD)
    heading, _ = heading_of(home)
    share = np.sin(np.linspace(0, math.pi, count + 1)[1:] * (TURNS - 0.5) / TURNS)
    aside = np.array([-math.sin(heading), math.cos(heading), -0.5])
    leg = Leg(
        position=home[:3, 3] + SWAY_M * share[:, None] * aside / np.linalg.norm(aside),
        heading=heading + TURN_RAD * np.arange(1, count + 1),
        pitch=np.full(count, PITCH_RAD),
    )
    return steer(home, [leg], 1.01 * TURN_RAD)


def photos(scene: ProceduralScene, poses: np.ndarray) -> Frames:
    """Exact frames of the photo camera."""
    shown = [render(scene, pose, PHOTO) for pose in poses]
    valid = np.stack([view.valid for view in shown])
    return Frames(
        images=np.stack([view.image for view in shown]),
        depth_m=np.stack([view.depth_m for view in shown]),
        valid=valid,
        origin=np.full(valid.shape, int(PixelOrigin.MEASURED), np.uint8),
        label=np.stack([view.label for view in shown]),
        cam_to_world=poses,
        intrinsics=PHOTO,
    )


@dataclass(frozen=True)
class Found:
    """What returns show; None where there are none."""

    with_memory: Returned | None
    without: Returned | None
    """None for generators that are shown no memory."""
    even: Returned | None
    """Every frame in its own mean colour."""


def walk(start: Frames, config: GeneratorConfig, source: Path, pictures: Path | None) -> Found:
    """Draw the whole path and compare."""
    home = start.cam_to_world[-1]
    generator = build(config, source=source, T_world_source=home)
    camera = generator.camera(start.intrinsics, HEIGHT_PX)
    past, last = Past(start, camera, ExploreConfig().robot_height_m), view_of(start, len(start) - 1, 0)
    found, forgetful, even = (Revisits(start, camera) for _ in range(3))
    poses = loop_path(home)
    for index, begin in enumerate(range(0, len(poses), SEGMENT)):
        request = past.request(poses[begin : begin + SEGMENT], generator.views, index)
        frames = generator.generate(request).frames
        found.add(frames)
        mean = frames.images.mean((1, 2), keepdims=True).round().astype(np.uint8)
        even.add(frames, np.broadcast_to(mean, frames.images.shape))
        shown = frames.images
        if generator.views:
            shown = generator.generate(without_memory(request, last)).frames.images
            forgetful.add(frames, shown)
        past.add(Segment(index=index, frames=frames))
        if pictures:
            save(pictures, begin + 1, frames.images, shown)
        last = view_of(frames, len(frames) - 1, begin + len(frames))
    return Found(found.result(), forgetful.result() if generator.views else None, even.result())


def save(folder: Path, first: int, images: np.ndarray, again: np.ndarray) -> None:
    """Every 8th frame, without memory below."""
    folder.mkdir(parents=True, exist_ok=True)
    for t in range(len(images)):
        if (first + t) % 8 == 0:
            Image.fromarray(np.concatenate([images[t], again[t]])).save(folder / f"{first + t:03d}.png")


def told(name: str, found: Found) -> tuple[str, bool]:
    """A line of the table, and whether it keeps the bars."""
    memory = found.with_memory
    if memory is None or found.even is None or memory.pairs < LEAST_PAIRS:
        return f"{name} fewer than {LEAST_PAIRS} pairs  MISSED", False
    low = memory.lowest
    line = f"{name} {memory.psnr_db:5.1f} dB, {memory.pairs:3d} pairs, {memory.share:4.0%} of pixels"
    line += f", lowest {low.newer} against {low.older}: {low.psnr_db:5.1f} dB; mean colour {found.even.psnr_db:5.1f} dB"
    ok = memory.psnr_db >= LEAST_DB
    if found.without is None:
        line += "; rendered, no memory to switch off"
    else:
        ok &= max(found.without.psnr_db, found.even.psnr_db) <= memory.psnr_db - APART_DB
        line += f"; without memory {found.without.psnr_db:5.1f} dB"
    return line + ("  ok" if ok else "  MISSED"), ok


def main() -> int:
    """Print a line per walk and generator; 0 when all keep the bars."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flats", type=int, default=3)
    parser.add_argument("--first", type=int, default=1, help="seed")
    parser.add_argument("--pictures", type=Path, help="keep every 8th frame there, without memory below")
    args = parser.parse_args()
    print(f"{os.uname().machine}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"frames more than {APART} apart; bars: >= {LEAST_DB} dB, without memory >= {APART_DB} dB lower")
    kept = []
    generators: dict[str, GeneratorConfig] = {"truth": TruthConfig(), "reproject": ReprojectConfig()}
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(args.first, args.first + args.flats):
            scene = make_flat(seed)
            home = photo_camera(scene, seed, height_m=1.5, pitch_deg=15.0, intrinsics=PHOTO)
            source = Path(scratch) / f"{seed}.jpg"
            write_photo(source, scene, home, PHOTO)
            heading, pitch = heading_of(home)
            around = [look(home[:3, 3], heading + math.radians(60 * k), pitch) for k in range(1, 6)]
            # Only every 8th frame is remembered: each photo stands for eight.
            several = np.repeat(np.stack([*around, home]), 8, 0)[7:]
            for start, poses in (("photo", home[None]), ("around", several)):
                for name, config in generators.items():
                    if (start, name) == ("around", "truth"):
                        continue  # it renders the same frames
                    folder = args.pictures and args.pictures / f"{seed}_{start}_{name}"
                    found = walk(photos(scene, poses), config, source, folder)
                    line, ok = told(f"flat {seed} {start:6s} {name:9s}", found)
                    print(line, flush=True)
                    kept.append(ok)
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
