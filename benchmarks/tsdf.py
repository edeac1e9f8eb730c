"""Signed distance fusion beside Open3D's two implementations, on the same frames, voxels and truncation.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/tsdf.py [WALK...] [--open3d PYTHON] [--voxel 0.02]
        [--repeats 3]

Fuses a noisy walk of 60 frames through a procedural flat, and each RGB-D walk given. Open3D runs in an environment of
its own (PYTHON, or one made with `pip install open3d-cpu==0.19.0`: the legacy volume of 0.20.0 integrates nothing).
Every way runs in a process of its own, depth cleaned as the observe stage does; seconds and CPU seconds are the median
of the repeats after one that compiles. Take them with one thread: idle threads of Open3D spin. Memory is what the
process grew by, at its peak, after all that was only needed to read the frames has been given back.

Against the exact flat: even samples of the mesh to the true surfaces (median, p95, and the share further off than
3 cm: smears and shells), and true points that were seen to the mesh (p95). Against measured depth: every 10th measured
point to the mesh (p95), and the share of their rays that the mesh blocks (`collision.measure`). Open3D carves nothing;
its meshes are taken as they come.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _peak import peak_mb, restarted_peak_mb
from rerender import Walk
from truth_flat import write_flat_walk

from lyra_sim.collision.measure import View, area_samples, blocked_share, depth_distance
from lyra_sim.config.geometry3d import FusionConfig
from lyra_sim.config.observe import SensorConfig
from lyra_sim.core.records import Frames, Label, PixelOrigin
from lyra_sim.depth.sensor import clean_depth
from lyra_sim.geometry.camera import invert, pixel_rays, transform
from lyra_sim.geometry.rays import RayScene
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.write import scene_of
from lyra_sim.reconstruct.blocks import allocate
from lyra_sim.reconstruct.extract import carved, triangles
from lyra_sim.reconstruct.integrate import add_frame
from lyra_sim.reconstruct.volume import TRUNCATION_VOXELS, evidence

OPEN3D = "open3d-cpu==0.19.0"
SEED, ROOMS, FRAMES = 41, 3, 60
SAMPLES = 100_000
SMEAR_M = 0.03
WAYS = ("ours", "legacy", "tensor")
COLUMNS = ("seconds", "cpu s", "memory MB", "triangles", "median cm", "p95 cm", "smeared %", "missing p95 cm",
           "depth p95 cm", "blocked %")  # fmt: skip


def frames_of(walk: Walk) -> Frames:
    """Frames with cleaned depth, in the walk's own frame."""
    edge = SensorConfig().edge_ratio
    depth = walk.depth_m.astype(np.float32)
    valid = np.stack([clean_depth(d, d > 0, edge) for d in depth])
    return Frames(
        images=walk.images,
        depth_m=np.where(valid, depth, np.float32(0)),
        valid=valid,
        origin=np.full(valid.shape, PixelOrigin.MEASURED, np.uint8),
        label=np.full(valid.shape, Label.UNKNOWN, np.uint8),
        cam_to_world=walk.poses,
        intrinsics=walk.camera,
    )


def ours(frames: Frames, config: FusionConfig) -> tuple[np.ndarray, np.ndarray]:
    """The fused mesh, without its colours."""
    volume = allocate(lambda: [frames], config)
    for i in range(len(frames)):
        told = evidence(frames, i, PixelOrigin.MEASURED, config.max_depth_m)
        add_frame(
            volume, frames.depth_m[i], told, frames.intrinsics, frames.cam_to_world[i], max_depth_m=config.max_depth_m
        )
    return triangles(volume, carved(volume))


def child(folder: Path, source: Path, voxel: float, repeats: int) -> None:
    """Our way, in a process of its own."""
    frames, config = frames_of(Walk.read(source)), FusionConfig(voxel_m=voxel)
    few = Frames(**{name: getattr(frames, name)[:2] for name in FRAME_ARRAYS}, intrinsics=frames.intrinsics)
    ours(few, config)
    before, times, cpu = restarted_peak_mb(), [], []
    for _ in range(repeats):
        wall, used = time.perf_counter(), time.process_time()
        vertices, faces = ours(frames, config)
        times.append(time.perf_counter() - wall)
        cpu.append(time.process_time() - used)
    np.savez(folder / "ours.npz", vertices=vertices, faces=faces, seconds=times, cpu=cpu, peak_mb=peak_mb() - before)


FRAME_ARRAYS = ("images", "depth_m", "valid", "origin", "label", "cam_to_world")


def fuse_all(walk: Path, frames: Frames, folder: Path, python: Path, voxel: float, repeats: int) -> None:
    """Leave one .npz per way in the folder."""
    config, camera = FusionConfig(voxel_m=voxel), frames.intrinsics
    np.savez(
        folder / "frames.npz", depth_m=frames.depth_m, T_cam_world=invert(frames.cam_to_world), voxel_m=voxel,
        lens=[camera.fx, camera.fy, camera.cx, camera.cy], truncation_m=TRUNCATION_VOXELS * voxel,
        max_depth_m=config.max_depth_m,
    )  # fmt: skip
    command = [sys.executable, __file__, str(walk), "--child", str(folder), "--voxel", str(voxel)]
    subprocess.run([*command, "--repeats", str(repeats)], check=True)
    script = Path(__file__).with_name("_open3d_tsdf.py")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for way in WAYS[1:]:
        command = [python, script, way, folder / "frames.npz", folder / f"{way}.npz", str(repeats)]
        subprocess.run(command, check=True, env=environment)


def judge(mesh: dict[str, np.ndarray], walk: Path, frames: Frames) -> dict[str, float]:
    """The figures of one mesh; those against the truth where the walk has one."""
    vertices, faces = mesh["vertices"].astype(np.float32), mesh["faces"].astype(np.int32)
    row = {
        "seconds": float(np.median(mesh["seconds"])),
        "cpu s": float(np.median(mesh["cpu"])),
        "memory MB": float(mesh["peak_mb"]),
        "triangles": len(faces),
    }
    if (walk / "truth").exists():
        row |= against_truth(vertices, faces, walk, frames)
    near = frames.depth_m <= FusionConfig().max_depth_m
    views = tuple(
        View(d, v & n, frames.intrinsics, T)
        for d, v, n, T in zip(frames.depth_m, frames.valid, near, frames.cam_to_world, strict=True)
    )
    row["depth p95 cm"] = 100 * depth_distance(vertices, faces, views)["p95_m"]
    row["blocked %"] = 100 * blocked_share(vertices, faces, views)
    return row


def against_truth(vertices: np.ndarray, faces: np.ndarray, walk: Path, frames: Frames) -> dict[str, float]:
    """Distances to the exact flat and back."""
    scene, T_scene_source = scene_of(walk)
    true = RayScene(scene.vertices, scene.faces)
    away = true.distance(transform(T_scene_source, area_samples(vertices, faces, SAMPLES, seed=0)))
    points, rays = [], pixel_rays(frames.intrinsics)
    for pose, valid in zip(T_scene_source @ frames.cam_to_world, frames.valid, strict=True):
        way = rays[valid][::20] @ pose[:3, :3].T
        t, _, _ = true.cast(np.broadcast_to(pose[:3, 3], way.shape), way)
        points.append((pose[:3, 3] + way * t[:, None])[t <= FusionConfig().max_depth_m])
    back = RayScene(vertices, faces).distance(transform(invert(T_scene_source), np.concatenate(points)))
    return {
        "median cm": 100 * float(np.median(away)),
        "p95 cm": 100 * float(np.percentile(away, 95)),
        "smeared %": 100 * float((away > SMEAR_M).mean()),
        "missing p95 cm": 100 * float(np.percentile(back, 95)),
    }


def made_environment(folder: Path) -> Path:
    """The Python of a new virtual environment with Open3D."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", OPEN3D], check=True, capture_output=True)
    return python


def main() -> None:
    """Print one table per walk."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("walks", nargs="*", type=Path)
    parser.add_argument("--open3d", type=Path, help=f"a Python with {OPEN3D}")
    parser.add_argument("--voxel", type=float, default=0.02)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.walks[0], args.voxel, args.repeats)
        return
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        python = args.open3d or made_environment(place / "open3d")
        flat = place / f"flat_{SEED}"
        write_flat_walk(flat, make_flat(SEED, rooms=ROOMS), FRAMES, SEED)
        for number, walk in enumerate([flat, *args.walks]):
            folder = place / str(number)
            folder.mkdir()
            frames = frames_of(Walk.read(walk))
            fuse_all(walk, frames, folder, python, args.voxel, args.repeats)
            rows = {way: judge(dict(np.load(folder / f"{way}.npz")), walk, frames) for way in WAYS}
            print(f"\n{walk.resolve().name}: {len(frames)} frames\n{'':8s} " + " ".join(f"{c:>14s}" for c in COLUMNS))
            for way, row in rows.items():
                print(f"{way:8s} " + " ".join(f"{row.get(c, np.nan):14.4g}" for c in COLUMNS))
            for way in WAYS[1:]:
                other = rows[way]
                ratios = (rows["ours"][c] / other[c] if other.get(c) else np.nan for c in COLUMNS)
                print(f"/{way:7s} " + " ".join(f"{ratio:14.2f}" for ratio in ratios), flush=True)


if __name__ == "__main__":
    main()
