"""What must be true of a scene file: OpenUSD's own validators, and the rules that Isaac Sim, Isaac Lab and physics
engines rely on. Each finding is one sentence."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pxr import Kind, Sdf, Usd, UsdGeom, UsdLux, UsdPhysics, UsdUtils, UsdValidation

from usd_export.reader import open_stage
from usd_export.validate.collider_rules import collider_problems
from usd_export.validate.mesh_rules import mesh_problems

Role = Literal["any", "asset", "stage"]
"""Any scene; our asset (scene.usda, scene.usdz); our stage to open (stage.usda)."""
_TEXT_ARRAY = 16
"""Longer arrays do not belong into a text layer."""


def scene_problems(path: Path, role: Role = "any") -> tuple[str, ...]:
    """Everything wrong with a scene file, in a fixed order.

    Raises:
        InputError: not a readable USD file.
    """
    stage = open_stage(path)
    checks: list[Callable[[Usd.Stage], list[str]]] = [
        _validator_problems,
        _unit_problems,
        _path_problems,
        _text_problems,
        collider_problems,
        lambda s: mesh_problems(s, ours=role != "any"),
    ]
    if role == "asset":
        checks.append(_asset_problems)
    if role == "stage":
        checks.append(_stage_problems)
    return tuple(problem for check in checks for problem in check(stage))


def _validator_problems(stage: Usd.Stage) -> list[str]:
    """Errors of all validators that come with OpenUSD."""
    registry = UsdValidation.ValidationRegistry()
    found = UsdValidation.ValidationContext(registry.GetOrLoadAllValidators()).Validate(stage)
    errors = [e for e in found if e.GetType() == UsdValidation.ValidationErrorType.Error]
    return sorted(f"{e.GetName()}: {e.GetMessage()}" for e in errors)


def _unit_problems(stage: Usd.Stage) -> list[str]:
    found = []
    if UsdGeom.GetStageUpAxis(stage) != UsdGeom.Tokens.z or not stage.HasAuthoredMetadata("upAxis"):
        found.append("upAxis must be authored as Z")
    if not UsdGeom.StageHasAuthoredMetersPerUnit(stage) or UsdGeom.GetStageMetersPerUnit(stage) != 1:
        found.append("metersPerUnit must be authored as 1 (physics engines keep raw units)")
    if not UsdPhysics.StageHasAuthoredKilogramsPerUnit(stage) or UsdPhysics.GetStageKilogramsPerUnit(stage) != 1:
        found.append("kilogramsPerUnit must be authored as 1")
    root = stage.GetDefaultPrim()
    if not root:
        found.append("there is no defaultPrim: a reference to this file brings nothing")
    elif not root.IsA(UsdGeom.Xform):
        found.append(f"the defaultPrim is a {root.GetTypeName() or 'prim without type'}, must be an Xform")
    return found


def _path_problems(stage: Usd.Stage) -> list[str]:
    """Asset paths that do not travel with the folder: absolute, escaping it, web addresses, or leading nowhere."""
    found = set()
    for layer in stage.GetUsedLayers():
        if layer.anonymous:
            continue
        for path in sorted(set(_authored_paths(layer))):
            pure = PurePosixPath(path.replace("\\", "/"))
            if pure.is_absolute() or ":" in path:
                found.add(f"asset path {path} is absolute")
            elif ".." in pure.parts:
                found.add(f"asset path {path} leaves the folder of the scene")
    _, _, unresolved = UsdUtils.ComputeAllDependencies(Sdf.AssetPath(stage.GetRootLayer().identifier))
    found |= {f"asset path {Path(path).name} leads nowhere" for path in unresolved}
    return sorted(found)


def _authored_paths(layer: Sdf.Layer) -> list[str]:
    paths = list(layer.GetCompositionAssetDependencies())
    for _, value in _attribute_defaults(layer):
        if isinstance(value, Sdf.AssetPath):
            paths.append(value.authoredPath)
        elif isinstance(value, Sdf.AssetPathArray):
            paths.extend(item.authoredPath for item in value)
    return [path for path in paths if path]


def _attribute_defaults(layer: Sdf.Layer) -> list[tuple[Sdf.Path, Any]]:
    """Path and default value of every attribute a layer gives one."""
    found: list[tuple[Sdf.Path, Any]] = []

    def visit(path: Sdf.Path) -> None:
        spec: Any = layer.GetObjectAtPath(path) if path.IsPropertyPath() else None
        if isinstance(spec, Sdf.AttributeSpec) and spec.HasDefaultValue():
            found.append((path, layer.GetAttributeAtPath(path).default))

    layer.Traverse(Sdf.Path.absoluteRootPath, visit)
    return found


def _text_problems(stage: Usd.Stage) -> list[str]:
    """Large arrays in text layers: slow to open, and refused by NVIDIA's validator."""
    found = []
    for layer in stage.GetUsedLayers():
        if layer.GetFileFormat().formatId != "usda" or layer.anonymous:
            continue
        for path, value in _attribute_defaults(layer):
            if hasattr(value, "__len__") and not isinstance(value, str) and len(value) > _TEXT_ARRAY:
                found.append(f"text layer {Path(layer.identifier).name} holds {len(value)} values of {path}")
    return sorted(found)


def _asset_problems(stage: Usd.Stage) -> list[str]:
    """An asset is referenced into other stages: nothing in it may govern them."""
    found = []
    root = stage.GetDefaultPrim()
    if root and Usd.ModelAPI(root).GetKind() != Kind.Tokens.component:
        found.append("the defaultPrim's kind must be component")
    for prim in stage.Traverse():
        for kind, what in ((UsdPhysics.Scene, "PhysicsScene"), (UsdGeom.Camera, "camera")):
            if prim.IsA(kind):
                found.append(f"the asset holds a {what} at {prim.GetPath()}; it belongs into stage.usda")
        if prim.HasAPI(UsdLux.LightAPI):
            found.append(f"the asset holds a light at {prim.GetPath()}; it belongs into stage.usda")
    return found


def _stage_problems(stage: Usd.Stage) -> list[str]:
    """The stage to open adds gravity and light, and no collider of its own."""
    found = []
    prims = list(stage.Traverse())
    scenes = [prim for prim in prims if prim.IsA(UsdPhysics.Scene)]
    if len(scenes) != 1:
        found.append(f"{len(scenes)} PhysicsScenes, must be one")
    if not any(prim.HasAPI(UsdLux.LightAPI) for prim in prims):
        found.append("there is no light")
    own = stage.GetRootLayer()
    for prim in prims:
        spec = own.GetPrimAtPath(prim.GetPath())
        if spec and prim.HasAPI(UsdPhysics.CollisionAPI) and spec.GetInfo("apiSchemas").GetAppliedItems():
            found.append(f"the stage adds a collider at {prim.GetPath()}")
    return found
