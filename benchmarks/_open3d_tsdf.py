"""Open3D's two signed distance fusions on frames in an .npz, run by a Python that has Open3D and nothing of ours.

    python _open3d_tsdf.py legacy|tensor FRAMES.npz MESH.npz REPEATS

Writes vertices, faces, seconds of each repeat, seconds of CPU time, and the peak of the process's memory in MB above
what it holds before the first repeat.
"""

import sys
import time
from typing import Any

import numpy as np
import open3d
from _peak import peak_mb, restarted_peak_mb

o3d: Any = open3d  # its stubs know no arrays
BLOCK = 16


def legacy(frames: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """ScalableTSDFVolume, float depth in metres."""
    integration = o3d.pipelines.integration
    volume = integration.ScalableTSDFVolume(
        float(frames["voxel_m"]), float(frames["truncation_m"]), integration.TSDFVolumeColorType.NoColor
    )
    height, width = frames["depth_m"].shape[1:]
    camera = o3d.camera.PinholeCameraIntrinsic(width, height, *_integer_centres(frames["lens"]))
    for depth, T in zip(frames["depth_m"], frames["T_cam_world"], strict=True):
        grey = o3d.geometry.Image(np.zeros((height, width, 3), np.uint8))
        image = o3d.geometry.RGBDImage.create_from_color_and_depth(
            grey, o3d.geometry.Image(np.ascontiguousarray(depth)), 1.0, float(frames["max_depth_m"]), False
        )
        volume.integrate(image, camera, T)
    mesh = volume.extract_triangle_mesh()
    return np.asarray(mesh.vertices), np.asarray(mesh.triangles)


def tensor(frames: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """VoxelBlockGrid on the CPU."""
    core = o3d.core
    voxel, most = float(frames["voxel_m"]), float(frames["max_depth_m"])
    ratio = float(frames["truncation_m"]) / voxel
    grid = o3d.t.geometry.VoxelBlockGrid(
        ("tsdf", "weight"), (core.float32, core.float32), ((1), (1)), voxel, BLOCK, 20_000, core.Device("CPU:0")
    )
    fx, fy, cx, cy = _integer_centres(frames["lens"])
    camera = core.Tensor(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]))
    for depth, T in zip(frames["depth_m"], frames["T_cam_world"], strict=True):
        image, pose = o3d.t.geometry.Image(core.Tensor(np.ascontiguousarray(depth))), core.Tensor(T)
        blocks = grid.compute_unique_block_coordinates(image, camera, pose, 1.0, most, ratio)
        grid.integrate(blocks, image, camera, pose, 1.0, most, ratio)
    mesh = grid.extract_triangle_mesh(0.0)
    return mesh.vertex.positions.numpy(), mesh.triangle.indices.numpy()


def _integer_centres(lens: np.ndarray) -> tuple[float, float, float, float]:
    """Open3D counts pixels from the centre of the first."""
    fx, fy, cx, cy = (float(n) for n in lens)
    return fx, fy, cx - 0.5, cy - 0.5


if __name__ == "__main__":
    method, source, target, repeats = sys.argv[1:]
    given = dict(np.load(source))
    before, times, cpu = restarted_peak_mb(), [], []
    for _ in range(int(repeats)):
        wall, used = time.perf_counter(), time.process_time()
        vertices, faces = {"legacy": legacy, "tensor": tensor}[method](given)
        times.append(time.perf_counter() - wall)
        cpu.append(time.process_time() - used)
    np.savez(target, vertices=vertices, faces=faces, seconds=times, cpu=cpu, peak_mb=peak_mb() - before)
