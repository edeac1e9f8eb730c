"""Fusion of a flat of 20 x 20 m at 2 cm: memory, time, and distance to the exact surfaces.

    python benchmarks/large_flat.py [--voxel 0.02]

Sixteen rooms of 5 x 5 m with doors and furniture, seen by 12 exact depth frames of 320 x 240 in each. Exits 1 where the
voxels grew or the process needed more than 4 GiB.
"""

import argparse
import sys
import time

import numpy as np
import trimesh
from _peak import peak_mb

from lyra_sim.config.geometry3d import TsdfConfig
from lyra_sim.core.records import Frames, Intrinsics, Label, PixelOrigin, PosedFrames, Provenance, World, WorldFrame
from lyra_sim.geometry.camera import pixel_rays
from lyra_sim.geometry.rays import RayScene
from lyra_sim.reconstruct.build import build

MOST_GIB = 4.0
CAMERA = Intrinsics(fx=200.0, fy=200.0, cx=160.0, cy=120.0, width=320, height=240)
HALF_M, CEILING_M, ROOM_M, WALL_M = 10.0, 2.6, 5.0, 0.1
CENTRES = np.arange(-HALF_M + ROOM_M / 2, HALF_M, ROOM_M)


def flat(rng: np.random.Generator) -> trimesh.Trimesh:
    """Shell, inner walls with openings of 1 m, and five boxes in each room that leave its middle free."""
    parts = []

    def box(x0: float, y0: float, x1: float, y1: float, top: float) -> None:
        parts.append(trimesh.creation.box(bounds=[[x0, y0, 0.0], [x1, y1, top]]))

    shell = trimesh.creation.box(bounds=[[-HALF_M, -HALF_M, 0.0], [HALF_M, HALF_M, CEILING_M]])
    shell.invert()
    for wall in np.arange(-HALF_M + ROOM_M, HALF_M, ROOM_M):
        for start in np.arange(-HALF_M, HALF_M, ROOM_M):
            for a, b in ((start, start + 3.6), (start + 4.6, start + ROOM_M)):
                box(wall - WALL_M / 2, a, wall + WALL_M / 2, b, CEILING_M)
                box(a, wall - WALL_M / 2, b, wall + WALL_M / 2, CEILING_M)
    for centre in np.stack(np.meshgrid(CENTRES, CENTRES), -1).reshape(-1, 2):
        for angle in rng.uniform(0, 2 * np.pi, 5):
            at = centre + rng.uniform(1.0, 1.9) * np.array([np.cos(angle), np.sin(angle)])
            size = rng.uniform(0.1, 0.25, 2)
            (x0, y0), (x1, y1) = at - size, at + size
            box(x0, y0, x1, y1, rng.uniform(0.3, 1.2))
    parts.append(shell)
    return trimesh.Trimesh(*trimesh.util.append_faces([p.vertices for p in parts], [p.faces for p in parts]))


def cameras() -> np.ndarray:
    """Camera to world, (T, 4, 4): from the middle of every room all round, in turn a little up and down."""
    poses = []
    for x, y in np.stack(np.meshgrid(CENTRES, CENTRES), -1).reshape(-1, 2):
        for k in range(12):
            yaw, pitch = 2 * np.pi * k / 12, (-0.35, 0.25)[k % 2]
            forward = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
            right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
            T_world_cam = np.eye(4)
            T_world_cam[:3, :3] = np.stack([right, np.cross(forward, right), forward], 1)
            T_world_cam[:3, 3] = x, y, 1.3
            poses.append(T_world_cam)
    return np.stack(poses)


def world_of(scene: RayScene, poses: np.ndarray) -> World:
    """Exact depth of the scene from these cameras."""
    rays = pixel_rays(CAMERA).reshape(-1, 3)
    shape = (CAMERA.height, CAMERA.width)
    depth = np.stack([
        scene.cast(np.broadcast_to(T[:3, 3], rays.shape), rays @ T[:3, :3].T)[0].reshape(shape) for T in poses
    ]).astype(np.float32)  # fmt: skip
    frames = Frames(
        images=np.full((*depth.shape, 3), 128, np.uint8),
        depth_m=depth,
        valid=np.isfinite(depth),
        origin=np.full(depth.shape, PixelOrigin.MEASURED, np.uint8),
        label=np.full(depth.shape, Label.UNKNOWN, np.uint8),
        cam_to_world=poses,
        intrinsics=CAMERA,
    )
    frame = WorldFrame(
        metric="sensor", gravity="planes", gravity_sigma_rad=0.001, scale_sigma=0.01, T_world_source=np.eye(4)
    )
    made = Provenance(backend="benchmark", version="1", config_hash="", seed=0, inputs=(), licences=())
    return World(start=PosedFrames(frames=frames, frame=frame, environment="indoor", provenance=made), segments=())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxel", type=float, default=0.02)
    voxel = parser.parse_args().voxel
    truth = flat(np.random.default_rng(0))
    scene = RayScene(truth.vertices.astype(np.float32), truth.faces.astype(np.int32))
    world = world_of(scene, cameras())
    before, wall, cpu = peak_mb() / 1024, time.perf_counter(), time.process_time()
    fused = build(TsdfConfig(voxel_m=voxel))(world)
    wall, cpu, peak = time.perf_counter() - wall, time.process_time() - cpu, peak_mb() / 1024
    off = scene.distance(fused.mesh.vertices[::20])
    voxels = fused.space.state.size / 1e6
    print(f"voxel {fused.space.voxel_m} m, {voxels:.0f} M voxels, {len(fused.mesh.faces):,} triangles")
    print(f"to the exact surfaces: median {np.median(off) * 1e3:.2f} mm, p95 {np.percentile(off, 95) * 1e3:.2f} mm")
    print(f"{wall:.0f} s, {cpu:.0f} s of CPU; process {peak:.2f} GiB at most, {before:.2f} GiB before")
    return int(peak > MOST_GIB or fused.space.voxel_m > voxel)


if __name__ == "__main__":
    sys.exit(main())
