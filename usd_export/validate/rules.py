"""What must be true of a scene file: OpenUSD's own validators, and the rules that Isaac Sim, Isaac Lab and physics
engines rely on. Identifiers, severities and reasons lie in `rule_table.py`."""

import posixpath
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pxr import Ar, Kind, Sdf, Usd, UsdGeom, UsdLux, UsdPhysics, UsdUtils, UsdValidation

from usd_export.reader import collider_variants, open_stage, select_colliders
from usd_export.validate.collider_rules import collider_problems
from usd_export.validate.foreign_rules import foreign_problems
from usd_export.validate.mesh_rules import mesh_problems
from usd_export.validate.rule_table import Finding, finding

Role = Literal["any", "asset", "stage"]
"""Any scene; our asset (scene.usda, scene.usdz); our stage to open (stage.usda)."""
_SAID_BY_OURS = ("MissingDefaultPrim", "MissingMetersPerUnitMetadata", "MissingUpAxisMetadata")
_TEXT_ARRAY = 16
"""Longer arrays do not belong into a text layer."""


def scene_problems(path: Path, role: Role = "any") -> tuple[str, ...]:
    """What the gate `usd_errors` counts: the sentences of all findings that are errors, in a fixed order, for each
    `collider` variant that the scene offers.

    Raises:
        InputError: not a readable USD file.
    """
    stage = open_stage(path)
    errors: dict[str, None] = {}
    for variant in collider_variants(stage) or (None,):
        if variant is not None:
            select_colliders(stage, variant)
        errors |= {found.what: None for found in scene_findings(stage, role) if found.rule.severity == "error"}
    return tuple(errors)


def scene_findings(stage: Usd.Stage, role: Role = "any") -> tuple[Finding, ...]:
    """Everything wrong with a scene, in a fixed order."""
    checks: list[Callable[[Usd.Stage], list[Finding]]] = [
        _validator_problems,
        _unit_problems,
        _path_problems,
        _text_problems,
        collider_problems,
        lambda s: mesh_problems(s, ours=role != "any"),
    ]
    checks += {"asset": [_asset_problems], "stage": [_stage_problems], "any": [foreign_problems]}[role]
    return tuple(found for check in checks for found in check(stage))


def _validator_problems(stage: Usd.Stage) -> list[Finding]:
    """Errors and warnings of all validators that come with OpenUSD, but for what a rule of ours says better."""
    registry = UsdValidation.ValidationRegistry()
    told = UsdValidation.ValidationContext(registry.GetOrLoadAllValidators()).Validate(stage)
    rules = {UsdValidation.ValidationErrorType.Error: "USD-001", UsdValidation.ValidationErrorType.Warn: "USD-002"}
    found = []
    for error in told:
        if error.GetType() not in rules or error.GetName() in _SAID_BY_OURS:
            continue
        rule = "USD-003" if error.GetName() == "MissingMaterialBindingAPI" else rules[error.GetType()]
        found.append(finding(rule, _site_of(error), f"{error.GetName()}: {error.GetMessage()}"))
    return sorted(found, key=lambda f: f.what)


def _site_of(error: Any) -> str:
    sites = error.GetSites()
    if sites and sites[0].IsPrim():
        return str(sites[0].GetPrim().GetPath())
    return str(sites[0].GetProperty().GetPath()) if sites and sites[0].IsProperty() else "/"


def _unit_problems(stage: Usd.Stage) -> list[Finding]:
    found = []
    if UsdGeom.GetStageUpAxis(stage) != UsdGeom.Tokens.z or not stage.HasAuthoredMetadata("upAxis"):
        found.append(finding("UNIT-001", "/", "upAxis must be authored as Z"))
    if not UsdGeom.StageHasAuthoredMetersPerUnit(stage) or UsdGeom.GetStageMetersPerUnit(stage) != 1:
        told = "metersPerUnit must be authored as 1 (physics engines keep raw units)"
        found.append(finding("UNIT-002", "/", told))
    if not UsdPhysics.StageHasAuthoredKilogramsPerUnit(stage) or UsdPhysics.GetStageKilogramsPerUnit(stage) != 1:
        found.append(finding("UNIT-003", "/", "kilogramsPerUnit must be authored as 1"))
    root = stage.GetDefaultPrim()
    if not root:
        found.append(finding("STG-001", "/", "there is no defaultPrim: a reference to this file brings nothing"))
    elif not root.IsA(UsdGeom.Xform):
        told = f"the defaultPrim is a {root.GetTypeName() or 'prim without type'}, must be an Xform"
        found.append(finding("STG-002", root.GetPath(), told))
    return found


def _path_problems(stage: Usd.Stage) -> list[Finding]:
    """Asset paths that do not travel with the folder: absolute, escaping it, web addresses, or leading nowhere."""
    found = set()
    for layer in stage.GetUsedLayers():
        if layer.anonymous:
            continue
        folder = _folder_in_scene(layer, stage.GetRootLayer())
        for path in sorted(set(_authored_paths(layer))):
            pure = PurePosixPath(path.replace("\\", "/"))
            if pure.is_absolute() or ":" in path:
                found.add(("PATH-001", path, f"asset path {path} is absolute"))
            elif posixpath.normpath(folder / pure).startswith(".."):
                found.add(("PATH-002", path, f"asset path {path} leaves the folder of the scene"))
    _, _, unresolved = UsdUtils.ComputeAllDependencies(Sdf.AssetPath(stage.GetRootLayer().identifier))
    found |= {("PATH-003", path, f"asset path {Path(path).name} leads nowhere") for path in unresolved}
    return [finding(*parts) for parts in sorted(found, key=lambda parts: parts[2])]


def _folder_in_scene(layer: Sdf.Layer, root: Sdf.Layer) -> PurePosixPath:
    """Folder of a layer relative to the scene's, or to its package; `.` for a layer that lies outside."""
    _, inner = Ar.SplitPackageRelativePathOuter(layer.identifier)
    if inner:
        return PurePosixPath(inner).parent
    folder, top = Path(layer.realPath).parent, Path(root.realPath).parent
    return PurePosixPath(folder.relative_to(top).as_posix() if folder.is_relative_to(top) else ".")


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


def _text_problems(stage: Usd.Stage) -> list[Finding]:
    """Large arrays in text layers: slow to open, and refused by NVIDIA's validator."""
    found = []
    for layer in stage.GetUsedLayers():
        for path, value in _attribute_defaults(layer) if is_text(layer) else ():
            if _is_large(value):
                told = f"text layer {Path(layer.identifier).name} holds {len(value)} values of {path}"
                found.append(finding("LAY-001", path, told))
    return sorted(found, key=lambda f: f.what)


def is_text(layer: Sdf.Layer) -> bool:
    """Whether a layer is a text file (a `.usd` file may be one)."""
    kind: Any = layer.GetFileFormat()
    return not layer.anonymous and "usda" in (
        kind.formatId,
        kind.formatId == "usd" and kind.GetUnderlyingFormatForLayer(layer),
    )


def holds_large_array(layer: Sdf.Layer) -> bool:
    """Whether an array of a layer is too long for a text file."""
    return any(_is_large(value) for _, value in _attribute_defaults(layer))


def _is_large(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str) and len(value) > _TEXT_ARRAY


def _asset_problems(stage: Usd.Stage) -> list[Finding]:
    """An asset is referenced into other stages: nothing in it may govern them."""
    found = []
    root = stage.GetDefaultPrim()
    if root and Usd.ModelAPI(root).GetKind() != Kind.Tokens.component:
        found.append(finding("AST-001", root.GetPath(), "the defaultPrim's kind must be component"))
    for prim in stage.Traverse():
        path = prim.GetPath()
        for rule, kind, what in (("AST-002", UsdPhysics.Scene, "PhysicsScene"), ("AST-003", UsdGeom.Camera, "camera")):
            if prim.IsA(kind):
                found.append(finding(rule, path, f"the asset holds a {what} at {path}; it belongs into stage.usda"))
        if prim.HasAPI(UsdLux.LightAPI):
            found.append(finding("AST-004", path, f"the asset holds a light at {path}; it belongs into stage.usda"))
    return found


def _stage_problems(stage: Usd.Stage) -> list[Finding]:
    """The stage to open adds gravity and light, and no collider of its own."""
    found = []
    prims = list(stage.Traverse())
    scenes = [prim for prim in prims if prim.IsA(UsdPhysics.Scene)]
    if len(scenes) != 1:
        found.append(finding("STG-003", "/", f"{len(scenes)} PhysicsScenes, must be one"))
    if not any(prim.HasAPI(UsdLux.LightAPI) for prim in prims):
        found.append(finding("STG-004", "/", "there is no light"))
    own = stage.GetRootLayer()
    for prim in prims:
        spec = own.GetPrimAtPath(prim.GetPath())
        if spec and prim.HasAPI(UsdPhysics.CollisionAPI) and spec.GetInfo("apiSchemas").GetAppliedItems():
            found.append(finding("STG-005", prim.GetPath(), f"the stage adds a collider at {prim.GetPath()}"))
    return found
