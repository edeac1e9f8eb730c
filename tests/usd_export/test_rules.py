"""Broken scenes must be caught, each by the rule that is meant for it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pxr import Gf, Sdf, Usd, UsdGeom, UsdLux, UsdPhysics, Vt

from usd_export.reader import select_colliders
from usd_export.validate.rules import scene_problems

SHELL, BOX, FLOOR = "/World/Colliders/shell", "/World/Colliders/box_1", "/World/Geometry/Floor"


def no_collider(stage: Usd.Stage) -> None:
    for path in (SHELL, BOX):
        stage.GetPrimAtPath(path).SetActive(False)


def no_approximation(stage: Usd.Stage) -> None:
    UsdPhysics.MeshCollisionAPI(stage.GetPrimAtPath(BOX)).GetApproximationAttr().Block()


def dynamic(stage: Usd.Stage) -> None:
    UsdPhysics.RigidBodyAPI.Apply(stage.GetPrimAtPath("/World/Colliders"))


def no_friction(stage: Usd.Stage) -> None:
    api = UsdPhysics.MaterialAPI(stage.GetPrimAtPath("/World/Colliders/PhysicsMaterials/Ground"))
    api.GetDynamicFrictionAttr().Set(0.0)


def flat_hull(stage: Usd.Stage) -> None:
    mesh = UsdGeom.Mesh(stage.GetPrimAtPath(BOX))
    mesh.GetPointsAttr().Set([Gf.Vec3f(p[0], p[1], 0) for p in mesh.GetPointsAttr().Get()])


def y_up(stage: Usd.Stage) -> None:
    UsdGeom.SetStageUpAxis(stage, "Y")


def centimetres(stage: Usd.Stage) -> None:
    UsdGeom.SetStageMetersPerUnit(stage, 0.01)


def no_default_prim(stage: Usd.Stage) -> None:
    stage.ClearDefaultPrim()


def flipped(stage: Usd.Stage) -> None:
    layer = layer_of(stage, "colliders.usdc")  # a text layer must hold no arrays
    attribute = layer.GetAttributeAtPath(f"{SHELL}.faceVertexIndices")
    indices = list(attribute.default)
    attribute.default = Vt.IntArray(indices[:-3] + indices[-3:][::-1])


def large_hull_in_the_other_variant(stage: Usd.Stage) -> None:
    select_colliders(stage, "convex")
    layer = layer_of(stage, "colliders_convex.usdc")
    layer.GetAttributeAtPath("/World/Colliders/slab_0.points").default = Vt.Vec3fArray(65)


def layer_of(stage: Usd.Stage, file: str) -> Sdf.Layer:
    return next(layer for layer in stage.GetUsedLayers() if Path(layer.identifier).name == file)


def wrong_extent(stage: Usd.Stage) -> None:
    UsdGeom.Mesh(stage.GetPrimAtPath(FLOOR)).GetExtentAttr().Set([(0, 0, 0), (1, 1, 1)])


def subdivided(stage: Usd.Stage) -> None:
    UsdGeom.Mesh(stage.GetPrimAtPath(FLOOR)).GetSubdivisionSchemeAttr().Set("catmullClark")


def text_array(stage: Usd.Stage) -> None:
    attribute = UsdGeom.Mesh(stage.GetPrimAtPath(FLOOR)).GetPointsAttr()
    attribute.Set(attribute.Get())


def unlabelled(stage: Usd.Stage) -> None:
    stage.GetPrimAtPath(FLOOR).GetAttribute("semantics:labels:class").Block()


def absolute_path(stage: Usd.Stage) -> None:
    shader = stage.GetPrimAtPath("/World/Looks/Surface/Texture")
    shader.GetAttribute("inputs:file").Set(Sdf.AssetPath("/tmp/albedo.jpg"))


def escaping_path(stage: Usd.Stage) -> None:
    shader = stage.GetPrimAtPath("/World/Looks/Surface/Texture")
    shader.GetAttribute("inputs:file").Set(Sdf.AssetPath("../albedo.jpg"))


def a_light(stage: Usd.Stage) -> None:
    UsdLux.DomeLight.Define(stage, "/World/Sun")


def a_physics_scene(stage: Usd.Stage) -> None:
    UsdPhysics.Scene.Define(stage, "/World/Physics")


def a_camera(stage: Usd.Stage) -> None:
    UsdGeom.Camera.Define(stage, "/World/Camera")


CASES: tuple[tuple[Callable[[Usd.Stage], None], str], ...] = (
    (no_collider, "there is no collider"),
    (no_approximation, "states no approximation"),
    (dynamic, "moves: scenery must be static"),
    (no_friction, "without friction"),
    (flat_hull, "is a flat hull"),
    (y_up, "upAxis must be"),
    (centimetres, "metersPerUnit must be"),
    (no_default_prim, "there is no defaultPrim"),
    (large_hull_in_the_other_variant, "is a hull of 65 points"),
    (flipped, "1 of 138 faces wound against its normals"),
    (wrong_extent, "has an extent that is"),
    (subdivided, "is a subdivision surface"),
    (text_array, "text layer scene.usda holds 81 values"),
    (unlabelled, "has no semantic label"),
    (absolute_path, "asset path /tmp/albedo.jpg is absolute"),
    (escaping_path, "asset path ../albedo.jpg leaves the folder"),
    (a_light, "holds a light at /World/Sun"),
    (a_physics_scene, "holds a PhysicsScene"),
    (a_camera, "holds a camera"),
)


@pytest.mark.parametrize(("broken", "told"), CASES, ids=[case[0].__name__ for case in CASES])
def test_a_broken_asset_is_caught(room_folder: Path, tmp_path: Path, broken: Callable[[Usd.Stage], None], told: str):
    folder = tmp_path / "world"
    shutil.copytree(room_folder, folder)
    stage = Usd.Stage.Open(str(folder / "scene.usda"))
    broken(stage)
    stage.Save()
    del stage
    problems = scene_problems(folder / "scene.usda", "asset")
    assert any(told in problem for problem in problems), problems


def test_a_missing_texture_is_caught(room_folder: Path, tmp_path: Path):
    folder = tmp_path / "world"
    shutil.copytree(room_folder, folder)
    (folder / "textures" / "albedo.jpg").unlink()
    assert any("albedo.jpg leads nowhere" in problem for problem in scene_problems(folder / "scene.usda", "asset"))


def test_a_stage_that_adds_a_collider_is_caught(room_folder: Path, tmp_path: Path):
    folder = tmp_path / "world"
    shutil.copytree(room_folder, folder)
    stage = Usd.Stage.Open(str(folder / "stage.usda"))
    UsdPhysics.CollisionAPI.Apply(UsdGeom.Plane.Define(stage, "/World/Ground").GetPrim())
    stage.RemovePrim("/World/Light")
    stage.Save()
    del stage
    problems = scene_problems(folder / "stage.usda", "stage")
    assert any("the stage adds a collider at /World/Ground" in problem for problem in problems), problems
    assert "there is no light" in problems
