"""`lyra-sim validate` on a stranger's scene of 500,000 triangles: wall time of the command, start of Python included.

    python benchmarks/validate_scene.py [--triangles N] [--runs N]

Two scenes, made here: one uneven floor that is seen and collides; and the same surface as 200 meshes, seen without
normals and extent, so that every mesh breaks a rule. Prints the hardware and a table; exits 1 where the slowest run of
either takes more than 5 s, or imported a package for physics, ray casting or networks.
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
from pxr import Gf, Usd, UsdGeom, UsdPhysics, UsdShade, Vt

BAR_S = 5.0
CELL_M = 0.03
HEAVY = ("newton", "warp", "open3d", "numba", "torch")
COMMAND = (
    "import sys\nfrom pipelines.cli import app\n"
    "try: app(sys.argv[1:])\n"
    f"finally: print('HEAVY', [n for n in {HEAVY!r} if n in sys.modules], file=sys.stderr)"
)


def surface(rows: int, columns: int, first_row: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles of a floor with 4 mm waves."""
    y, x = np.mgrid[first_row : first_row + rows + 1, 0 : columns + 1].astype(float)
    z = 0.004 * np.sin(x / 7) * np.cos(y / 9)
    corner = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).ravel()
    right, up = corner + 1, corner + columns + 1
    faces = np.concatenate([np.stack([corner, right, up + 1], 1), np.stack([corner, up + 1, up], 1)])
    return np.stack([x * CELL_M, y * CELL_M, z], 2).reshape(-1, 3), faces


def write(path: Path, triangles: int, meshes: int, *, sound: bool) -> int:
    """Write a scene; the number of its triangles."""
    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, "Z")
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdPhysics.SetStageKilogramsPerUnit(stage, 1.0)
    stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, "/World").GetPrim())
    UsdGeom.Scope.Define(stage, "/World/Looks")
    material = UsdShade.Material.Define(stage, "/World/Looks/Ground")
    physics = UsdPhysics.MaterialAPI.Apply(material.GetPrim())
    physics.CreateStaticFrictionAttr(0.8)
    physics.CreateDynamicFrictionAttr(0.7)
    columns = round((triangles / 2) ** 0.5)
    rows = -(-triangles // (2 * columns * meshes))
    for number in range(meshes):
        points, faces = surface(rows, columns, number * rows)
        mesh = UsdGeom.Mesh.Define(stage, f"/World/Floor_{number}")
        mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(points.astype(np.float32)))
        mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(faces), 3, np.int32)))
        mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(faces.astype(np.int32).ravel()))
        if sound:
            normals = np.tile(np.float32([0, 0, 1]), (len(points), 1))
            mesh.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(normals))
            mesh.CreateExtentAttr([Gf.Vec3f(*points.min(0).tolist()), Gf.Vec3f(*points.max(0).tolist())])
        UsdPhysics.CollisionAPI.Apply(mesh.GetPrim())
        UsdPhysics.MeshCollisionAPI.Apply(mesh.GetPrim()).CreateApproximationAttr("none")
        binding = UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim())
        binding.Bind(material, UsdShade.Tokens.weakerThanDescendants, "physics")
    stage.Save()
    return 2 * rows * columns * meshes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--triangles", type=int, default=500_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print("scene | triangles | exit code | seconds, median | seconds, slowest | heavy packages")
    met = True
    with tempfile.TemporaryDirectory() as folder:
        for name, meshes, sound, code in (("one mesh, sound", 1, True, 0), ("200 meshes, faulty", 200, False, 3)):
            scene = Path(folder) / f"scene_{meshes}.usdc"
            count = write(scene, options.triangles, meshes, sound=sound)
            seconds, heavy = [], ""
            for _ in range(options.runs):
                start = time.perf_counter()
                told = subprocess.run([sys.executable, "-c", COMMAND, "validate", str(scene)], capture_output=True)
                seconds.append(time.perf_counter() - start)
                heavy = told.stderr.decode().strip().splitlines()[-1].removeprefix("HEAVY ")
                met &= told.returncode == code and heavy == "[]"
            met &= max(seconds) <= BAR_S
            print(f"{name} | {count} | {code} | {np.median(seconds):.2f} | {max(seconds):.2f} | {heavy}")
    print("met" if met else "MISSED")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
