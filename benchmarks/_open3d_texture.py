"""Open3D's texture baking on a mesh and images in an .npz, run by a Python that has Open3D and nothing of ours.

    python _open3d_texture.py given|atlas INPUT.npz OUTPUT.npz REPEATS PATIENCE

`given` keeps the texture coordinates of the input, `atlas` makes its own. Writes uv (M, 3, 2), the texture, what
becomes of white images in its place (not timed), seconds of each repeat, seconds of CPU time, and the peak of the
process's memory in MB. Ends with SIGXCPU where its bakes take more than PATIENCE CPU seconds each.
"""

import resource
import sys
import time
from typing import Any

import numpy as np
import open3d
from _peak import peak_mb

o3d: Any = open3d  # its stubs know no arrays


def meshed(way: str, given: dict[str, np.ndarray]) -> Any:
    """The mesh with texture coordinates."""
    tensor, side = o3d.core.Tensor, int(given["texture_px"])
    mesh = o3d.t.geometry.TriangleMesh()
    mesh.vertex.positions = tensor(given["vertices"])
    mesh.triangle.indices = tensor(given["faces"])
    if way == "atlas":
        mesh.compute_uvatlas(side)
    else:
        mesh.triangle.texture_uvs = tensor(given["uv"])
    return mesh


def baked(mesh: Any, given: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """The texture."""
    tensor = o3d.core.Tensor
    fx, fy, cx, cy = given["lens"]  # Open3D counts pixels from the centre of the first
    camera = tensor(np.array([[fx, 0, cx - 0.5], [0, fy, cy - 0.5], [0, 0, 1.0]]))
    pictures = [o3d.t.geometry.Image(tensor(np.ascontiguousarray(image))) for image in images]
    poses = [tensor(T) for T in given["T_cam_world"]]
    side = int(given["texture_px"])
    return mesh.project_images_to_albedo(pictures, [camera] * len(images), poses, side, False).as_tensor().numpy()


if __name__ == "__main__":
    method, source, target, repeats, patience = sys.argv[1:]
    most = int(patience) * (int(repeats) + 1)
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))
    data = dict(np.load(source))
    times, cpu = [], []
    for _ in range(int(repeats)):
        wall, used = time.perf_counter(), time.process_time()
        mesh = meshed(method, data)
        texture = baked(mesh, data, data["images"])
        times.append(time.perf_counter() - wall)
        cpu.append(time.process_time() - used)
    peak, white = peak_mb(), baked(mesh, data, np.full_like(data["images"], 255))
    uv = mesh.triangle.texture_uvs.numpy()
    np.savez(target, uv=uv, texture=texture, white=white, seconds=times, cpu=cpu, peak_mb=peak)
