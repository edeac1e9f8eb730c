"""New USD layers that always start right (units, up axis, default prim), and their bytes on disk."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pxr import Kind, Sdf, Usd, UsdGeom, UsdPhysics

ROOT = "/World"


def new_stage(kind: str | None = None) -> Usd.Stage:
    """An empty stage in memory: Z up, metres, kilograms, default prim `/World` (an Xform), nothing else.

    A stage is made in memory and exported: bytes then depend on neither the folder nor an open layer of that name.
    """
    stage = Usd.Stage.CreateInMemory()
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdPhysics.SetStageKilogramsPerUnit(stage, 1.0)
    root = UsdGeom.Xform.Define(stage, ROOT).GetPrim()
    stage.SetDefaultPrim(root)
    if kind is not None:
        assert Kind.Registry.HasKind(kind)
        Usd.ModelAPI(root).SetKind(kind)
    return stage


def save(
    stage: Usd.Stage,
    path: Path,
    *,
    sublayers: Sequence[str] = (),
    reference: tuple[str, str] | None = None,
    payloads: Mapping[Sdf.Path, Sdf.Payload] | None = None,
) -> None:
    """Write the stage's root layer to `path`; its suffix decides between text and crate.

    Args:
        sublayers: layers below it, relative, strongest first.
        reference: a prim and the relative file it references.
        payloads: what prims (or their specs in variants) load, the files relative.

    All are added to a copy of the layer: a stage in memory cannot resolve relative paths and would complain.
    """
    layer = Sdf.Layer.CreateAnonymous(".usda")
    layer.TransferContent(stage.GetRootLayer())
    layer.subLayerPaths = list(sublayers)
    if reference is not None:
        prim, file = reference
        layer.GetPrimAtPath(prim).referenceList.prependedItems = [Sdf.Reference(file)]
    for place, payload in (payloads or {}).items():
        layer.GetPrimAtPath(place).payloadList.prependedItems = [payload]
    path.parent.mkdir(parents=True, exist_ok=True)
    written = layer.Export(str(path))
    assert written, path


def prim_name(text: str) -> str:
    """A valid prim name made from any text."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", text) or "_"
    return name if not name[0].isdigit() else f"_{name}"


def unique_path(stage: Usd.Stage, parent: str, text: str) -> Sdf.Path:
    """A path below `parent` that is not taken: the name, then name_1, name_2, ..."""
    base = Sdf.Path(parent).AppendChild(prim_name(text))
    path, count = base, 0
    while stage.GetPrimAtPath(path):
        count += 1
        path = Sdf.Path(f"{base}_{count}")
    return path
