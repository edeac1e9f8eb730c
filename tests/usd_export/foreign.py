"""Scenes as others write them, made with pxr: a clean one, and one for each public issue with just its fault."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pxr import Gf, Sdf, Usd, UsdGeom, UsdPhysics, UsdShade, UsdVol, Vt

SIZE_M = 4.0


def new_stage(path: Path, *, up: str = "Z", metres: float = 1.0) -> Usd.Stage:
    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, up)
    UsdGeom.SetStageMetersPerUnit(stage, metres)
    UsdPhysics.SetStageKilogramsPerUnit(stage, 1.0)
    stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, "/World").GetPrim())
    UsdGeom.Scope.Define(stage, "/World/Materials")
    material = UsdShade.Material.Define(stage, "/World/Materials/Ground")
    physics = UsdPhysics.MaterialAPI.Apply(material.GetPrim())
    physics.CreateStaticFrictionAttr(0.6)
    physics.CreateDynamicFrictionAttr(0.5)
    return stage


def mesh(stage: Usd.Stage, path: str, points: np.ndarray, faces: np.ndarray) -> Usd.Prim:
    made = UsdGeom.Mesh.Define(stage, path)
    made.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(points.astype(np.float32)))
    made.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(faces), faces.shape[1], np.int32)))
    made.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(faces.astype(np.int32).ravel()))
    made.CreateExtentAttr([Gf.Vec3f(*points.min(0).tolist()), Gf.Vec3f(*points.max(0).tolist())])
    return made.GetPrim()


def floor(stage: Usd.Stage, path: str = "/World/Floor", *, size: float = SIZE_M, up: str = "Z") -> Usd.Prim:
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]) * size
    if up == "Y":
        corners = corners[:, [0, 2, 1]] * [1, 1, -1]
    return mesh(stage, path, corners, np.array([[0, 1, 2, 3]]))


def box(stage: Usd.Stage, path: str, low: float, high: float) -> Usd.Prim:
    points = np.array([(x, y, z) for x in (low, high) for y in (low, high) for z in (low, high)])
    faces = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    return mesh(stage, path, points, faces)


def collide(prim: Usd.Prim, approximation: str | None = "none") -> Usd.Prim:
    UsdPhysics.CollisionAPI.Apply(prim)
    if approximation is not None:
        UsdPhysics.MeshCollisionAPI.Apply(prim).CreateApproximationAttr(approximation)
    material = UsdShade.Material(prim.GetStage().GetPrimAtPath("/World/Materials/Ground"))
    UsdShade.MaterialBindingAPI.Apply(prim).Bind(material, UsdShade.Tokens.weakerThanDescendants, "physics")
    return prim


def splats(stage: Usd.Stage, path: str = "/World/Splats", *, at: float = 0.0) -> None:
    field = UsdVol.ParticleField3DGaussianSplat.Define(stage, path)
    points = [Gf.Vec3f(at, at, 0.1), Gf.Vec3f(at + 2, at + 2, 0.3)]
    field.CreatePositionsAttr(points)
    field.CreateOrientationsAttr([Gf.Quatf(1)] * 2)
    field.CreateScalesAttr([Gf.Vec3f(0.1)] * 2)
    field.CreateOpacitiesAttr([1.0] * 2)
    field.CreateRadianceSphericalHarmonicsDegreeAttr(0)
    field.CreateRadianceSphericalHarmonicsCoefficientsAttr([Gf.Vec3f(0.5)] * 2)
    field.CreateExtentAttr([Gf.Vec3f(at - 0.5), Gf.Vec3f(at + 2.5)])


def clean(path: Path) -> Path:
    stage = new_stage(path)
    collide(floor(stage))
    stage.Save()
    return path


def no_collider(folder: Path) -> Path:
    stage = new_stage(folder / "scene.usda")
    floor(stage)
    stage.Save()
    return folder / "scene.usda"


def collider_on_the_parent(folder: Path) -> Path:
    stage = new_stage(folder / "scene.usda")
    terrain = UsdGeom.Xform.Define(stage, "/World/Terrain").GetPrim()
    floor(stage, "/World/Terrain/Mesh")
    collide(terrain, None)
    stage.Save()
    return folder / "scene.usda"


def collider_beside_the_default_prim(folder: Path) -> Path:
    stage = new_stage(folder / "scene.usda")
    floor(stage)
    UsdGeom.Xform.Define(stage, "/Colliders")
    collide(floor(stage, "/Colliders/Floor"))
    stage.Save()
    return folder / "scene.usda"


def no_approximation(folder: Path) -> Path:
    stage = new_stage(folder / "scene.usda")
    UsdPhysics.MeshCollisionAPI.Apply(collide(floor(stage), None))
    stage.Save()
    return folder / "scene.usda"


def centimetres(folder: Path) -> Path:
    stage = new_stage(folder / "scene.usda", metres=0.01)
    collide(floor(stage, size=SIZE_M * 100))
    stage.Save()
    return folder / "scene.usda"


def y_up(folder: Path) -> Path:
    stage = new_stage(folder / "scene.usda", up="Y")
    collide(floor(stage, up="Y"))
    stage.Save()
    return folder / "scene.usda"


def moving_triangles(folder: Path) -> Path:
    stage = new_stage(folder / "scene.usdc")
    collide(floor(stage))
    UsdPhysics.RigidBodyAPI.Apply(collide(box(stage, "/World/Crate", 1.0, 1.5)))
    stage.Save()
    return folder / "scene.usdc"


def splats_elsewhere(folder: Path) -> Path:
    stage = new_stage(folder / "scene.usda")
    splats(stage, at=30.0)
    collide(floor(stage))
    stage.Save()
    return folder / "scene.usda"


def splats_only(folder: Path) -> Path:
    stage = new_stage(folder / "scene.usda")
    splats(stage)
    stage.Save()
    return folder / "scene.usda"


def sky_mesh(folder: Path) -> Path:
    stage = new_stage(folder / "scene.usdc")
    collide(floor(stage))
    collide(box(stage, "/World/Box", 1.0, 2.0))
    box(stage, "/World/Sky", -100.0, 100.0)
    stage.Save()
    return folder / "scene.usdc"


def package(file: Path, layers: dict[str, Path]) -> Path:
    with Sdf.ZipFileWriter.CreateNew(str(file)) as made:
        for name, layer in layers.items():
            made.AddFile(str(layer), name)
    assert zipfile.ZipFile(file).namelist() == list(layers)
    return file


def camera_in_package(folder: Path) -> Path:
    stage = new_stage(folder / "scene.usdc")
    collide(floor(stage))
    UsdGeom.Camera.Define(stage, "/World/Camera")
    stage.Save()
    return package(folder / "scene.usdz", {"scene.usdc": folder / "scene.usdc"})


def folders_in_package(folder: Path) -> Path:
    return package(folder / "scene.usdz", {"home/someone/project/scene.usdc": clean(folder / "scene.usdc")})


@dataclass(frozen=True)
class Case:
    issue: str
    id: str
    make: Callable[[Path], Path]
    fixed: bool
    severity: str = "error"


CASES = (
    Case("IsaacLab#3780", "LYRA-COL-001", no_collider, True),
    Case("IsaacLab#5112", "LYRA-COL-003", collider_beside_the_default_prim, False),
    Case("IsaacLab#4077", "LYRA-COL-004", no_approximation, True),
    Case("IsaacLab#3846", "LYRA-UNIT-002", centimetres, True),
    Case("IsaacLab#2922", "LYRA-COL-002", collider_on_the_parent, True),
    Case("IsaacLab#674", "LYRA-UNIT-001", y_up, True),
    Case("IsaacSim#572", "LYRA-PHY-002", moving_triangles, False),
    Case("IsaacSim#119", "LYRA-SPL-002", splats_elsewhere, False),
    Case("3dgrut#262", "LYRA-PKG-001", camera_in_package, True),
    Case("3dgrut#100", "LYRA-SPL-001", splats_only, False),
    Case("MobilityGen#14", "LYRA-MSH-012", sky_mesh, True),
    Case("OpenUSD#2469", "LYRA-PKG-002", folders_in_package, True, "warning"),
)
