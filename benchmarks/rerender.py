"""Worlds of RGB-D walks seen again by the cameras of the walk, beside the nearest other frame warped into each.

    python benchmarks/rerender.py WALK... [--keep FOLDER]

Runs the command on each walk and takes its wall time. Then the visual mesh and texture of the written scene.usda are
rendered from every camera of the walk, as the world has it (its pose refined, where that made the frames agree
better), and compared with the image as it was captured, at every pixel with measured depth up to 8 m that the mesh
covers. Beside it, on the pixels that both cover: the nearest other frame (distance of the cameras, 1 m counting as much
as 1 radian), splatted into the same camera by its own measured depth. Both are compared after one gain and offset per
channel and frame, as the gate `reprojection_psnr_db` does, since no camera keeps its exposure; the table also has the
mesh without that, and the warp and the mesh from the poses as they were given.
Exits 1 where a bar is missed: PSNR (`--least DB`), share of the warp's PSNR (0.9), wall time (90 s).
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation
from walk_depth import REACH_M

from lyra_sim.core.records import Intrinsics, PosedFrames
from lyra_sim.geometry.camera import invert
from lyra_sim.io.records import load_record
from lyra_sim.memory.warp import forward_warp, integer_matrix
from usd_export.appearance import Appearance
from usd_export.reader import read_scene

LEAST_SHARE, MOST_S = 0.9, 90.0
PEAK = 255.0


@dataclass(frozen=True)
class Walk:
    """A walk straight from its files."""

    images: np.ndarray
    depth_m: np.ndarray
    poses: np.ndarray
    camera: Intrinsics

    @classmethod
    def read(cls, folder: Path) -> "Walk":
        facts = json.loads((folder / "camera.json").read_text())
        colour, depth = (sorted((folder / part).iterdir()) for part in ("color", "depth"))
        camera = Intrinsics(
            fx=facts["fx"], fy=facts["fy"], cx=facts["cx"] + 0.5, cy=facts["cy"] + 0.5,
            width=facts["width"], height=facts["height"],
        )  # fmt: skip
        return cls(
            images=np.stack([np.asarray(Image.open(p).convert("RGB")) for p in colour]),
            depth_m=np.stack([np.asarray(Image.open(p)) for p in depth]) / facts["depth_scale"],
            poses=np.loadtxt(folder / "poses.txt").reshape(-1, 4, 4),
            camera=camera,
        )

    def nearest(self, t: int) -> int:
        """The frame other than t whose camera is nearest to that of t."""
        apart = np.linalg.norm(self.poses[:, :3, 3] - self.poses[t, :3, 3], axis=1)
        apart += Rotation.from_matrix(self.poses[t, :3, :3].T @ self.poses[:, :3, :3]).magnitude()
        apart[t] = np.inf
        return int(apart.argmin())

    def warped(self, t: int) -> tuple[np.ndarray, np.ndarray]:
        """Colour (H, W, 3) of the nearest other frame in camera t, and where it has any."""
        s = self.nearest(t)
        matrix = integer_matrix(self.camera)[None]
        image = np.moveaxis(self.images[s], 2, 0)[None] / 127.5 - 1.0
        found = forward_warp(
            image, self.depth_m[s][None], invert(self.poses[s])[None], matrix, invert(self.poses[t])[None], matrix
        )
        return (np.moveaxis(found.images[0], 0, 2) + 1.0) * 127.5, found.mask[0]


def squared_error(shown: np.ndarray, image: np.ndarray, *, adjusted: bool) -> float:
    """Sum of squared differences of (N, 3) colours, after the best gain and offset of each channel where asked."""
    total = 0.0
    for x, y in zip(shown.T.astype(float), image.T.astype(float), strict=True):
        if adjusted:
            gain, offset = np.linalg.lstsq(np.stack([x, np.ones_like(x)], 1), y, rcond=None)[0]
            x = gain * x + offset
        total += float(((x - y) ** 2).sum())
    return total


def psnr(error: float, pixels: int) -> float:
    """Peak signal-to-noise ratio of a sum over pixels of three channels."""
    return float(10 * np.log10(PEAK**2 / (error / (3 * pixels))))


def judge(walk: Walk, look: Appearance, T_world_source: np.ndarray) -> dict[str, float]:
    """The figures of one world."""
    sums = {name: np.zeros(2) for name in ("mesh", "mesh as it is", "mesh, both", "warp, both")}
    measured = 0
    for t, image in enumerate(walk.images):
        known = (walk.depth_m[t] > 0) & (walk.depth_m[t] <= REACH_M)
        shown, hit = look.look(walk.camera, T_world_source @ walk.poses[t])
        other, there = walk.warped(t)
        both = known & hit & there
        for name, colour, where, adjusted in (
            ("mesh", shown, known & hit, True),
            ("mesh as it is", shown, known & hit, False),
            ("mesh, both", shown, both, True),
            ("warp, both", other, both, True),
        ):
            if where.any():
                sums[name] += squared_error(colour[where], image[where], adjusted=adjusted), where.sum()
        measured += int(known.sum())
    found = {name: psnr(error, int(pixels)) for name, (error, pixels) in sums.items()}
    found["covered"] = float(sums["mesh"][1] / measured)
    found["of warp"] = found["mesh, both"] / found["warp, both"]
    return found


def run(walk: Path, out: Path) -> tuple[float, float, Path, PosedFrames]:
    """Make the world: wall seconds, seconds of all cores together, its scene.usda, what was observed.

    Raises:
        RuntimeError: no world was made.
    """
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "pipelines", "run", str(walk), "--out", str(out), "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cores = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    reports = [p for pattern in ("*", "quarantined/*") for p in out.glob(f"{pattern}/report.json")]
    if not reports:
        raise RuntimeError(f"{walk.name}: no world: {done.stderr[-500:]}")
    stages = {row["name"]: row["key"][:32] for row in json.loads(reports[0].read_text())["stages"]}
    store = out / ".lyra" / "store"
    seen = load_record(PosedFrames, store / "observe" / stages["observe"])
    return wall, cores, store / "usd" / stages["usd"] / "scene.usda", seen


def main() -> int:
    """Print one line per walk; 0 when every bar is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("walks", nargs="+", type=Path)
    parser.add_argument("--least", type=float, nargs="+", default=[19.0], help="dB, one for all walks or one each")
    parser.add_argument("--keep", type=Path, help="leave the worlds in this folder")
    args = parser.parse_args()
    least = args.least * len(args.walks) if len(args.least) == 1 else args.least
    missed = 0
    with tempfile.TemporaryDirectory() as temporary:
        for walk, bar in zip(args.walks, least, strict=True):
            wall, cores, scene, seen = run(walk, (args.keep or Path(temporary)) / walk.resolve().name)
            given, look, T_world_source = Walk.read(walk), Appearance(read_scene(scene)), seen.frame.T_world_source
            valid = seen.frames.valid
            if valid.shape != given.depth_m.shape or not np.allclose(
                seen.frames.depth_m[valid], given.depth_m[valid], rtol=1e-3
            ):
                raise RuntimeError(f"{walk.name}: only for walks of which all frames are used, at their own scale")
            refined = replace(given, poses=invert(T_world_source) @ seen.frames.cam_to_world)
            found = judge(refined, look, T_world_source)
            as_given = judge(given, look, T_world_source)
            found |= {f"{name}, poses as given": as_given[name] for name in ("mesh", "warp, both")}
            ok = found["mesh"] >= bar and found["of warp"] >= LEAST_SHARE and wall <= MOST_S
            missed += not ok
            told = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
            times = f"{wall:.0f} s ({cores:.0f} s of cores)"
            verdict = "ok" if ok else "MISSED"
            print(f"{walk.resolve().name:24s} {told}, {times}, bar {bar:g} dB: {verdict}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
