"""Writes a world's scene: the asset (`scene.usda` and the layers below it), the stage to open in Isaac Sim, the package
and the side files.

scene.usda          the asset: units, variants of its appearance, licences; sublayers, strongest first:
  labels.usda         semantic classes, opinions only
  colliders.usdc      what physics sees
  geometry.usdc       what is looked at, with textures/
  splats.usdc         the same as Gaussians
stage.usda          references scene.usda; adds a PhysicsScene and a light, never a collider
nav_collision.usdc  all colliders as one mesh, on its own
"""

from pathlib import Path
from typing import Any

from pxr import Gf, Sdf, Usd, UsdGeom, UsdLux, UsdPhysics, UsdSemantics

from lyra_sim.core.errors import SceneError
from lyra_sim.core.records import Colliders, Provenance, Surface, World
from lyra_sim.io.images import write_jpeg
from usd_export.colliders import colliders_stage, merged_stage
from usd_export.layers import ROOT, new_stage, save
from usd_export.package import write_usdz
from usd_export.side_files import attribution, write_side_files
from usd_export.visual import GEOMETRY, SPLATS, TEXTURE, geometry_stage, splats_stage

LAYERS = ("labels.usda", "colliders.usdc", "geometry.usdc", "splats.usdc")
_DOME_INTENSITY = 1000.0
"""Shows a texture about as bright as it is under Isaac Sim's default exposure."""


def write_scene(
    folder: Path, *, surface: Surface, colliders: Colliders, world: World, provenance: Provenance, name: str
) -> None:
    """Write every file of a world folder that describes its scene (design: nothing of maps, episodes and reports).

    The bytes depend on the arguments only, not on the folder, the time or the process.

    Args:
        folder: created; files of the same names are replaced.
        name: the world's name, for people.

    Raises:
        SceneError: the world has no visible face or no collider.
    """
    folder.mkdir(parents=True, exist_ok=True)
    geometry, visible_classes = geometry_stage(surface.visual)
    physics, collider_classes = colliders_stage(colliders)
    if not visible_classes or not collider_classes:
        raise SceneError(
            name,
            expected="a surface to look at and one to stand on",
            got=f"{len(visible_classes)} visible meshes and {len(collider_classes)} colliders",
            todo="Nothing was reconstructed here; use another input.",
        )
    write_jpeg(folder / TEXTURE, surface.visual.texture)
    splats = splats_stage(surface.splats)
    save(geometry, folder / "geometry.usdc")
    save(physics, folder / "colliders.usdc")
    save(splats, folder / "splats.usdc")
    save(_labels_stage({**visible_classes, **collider_classes}), folder / "labels.usda")
    scene = _scene_stage(provenance, name, bool(splats.GetPrimAtPath(SPLATS)))
    save(scene, folder / "scene.usda", sublayers=[f"./{file}" for file in LAYERS])
    save(_open_stage(), folder / "stage.usda", reference=(f"{ROOT}/scene", "./scene.usda"))
    save(merged_stage(colliders), folder / "nav_collision.usdc")
    write_usdz(folder / "scene.usdz", folder, "scene.usda", (*LAYERS, TEXTURE))
    write_side_files(folder, surface=surface, world=world, provenance=provenance, name=name)


def _labels_stage(classes: dict[str, str]) -> Usd.Stage:
    """Opinions that name what each mesh is: the UsdSemantics schema (Isaac Sim 5 and later) and the older one."""
    stage = Usd.Stage.CreateInMemory()
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdPhysics.SetStageKilogramsPerUnit(stage, 1.0)
    stage.SetDefaultPrim(stage.OverridePrim(ROOT))
    for path, name in classes.items():
        prim = stage.OverridePrim(path)
        UsdSemantics.LabelsAPI.Apply(prim, "class").CreateLabelsAttr([name])
        prim.AddAppliedSchema("SemanticsAPI:Semantics")  # not known to usd-core, so applied by name
        for key, value in (("semanticType", "class"), ("semanticData", name)):
            prim.CreateAttribute(f"semantic:Semantics:params:{key}", Sdf.ValueTypeNames.String, False).Set(value)
    return stage


def _scene_stage(provenance: Provenance, name: str, with_splats: bool) -> Usd.Stage:
    stage = new_stage(kind="component")
    stage.GetRootLayer().customLayerData = {"lyra_sim": _custom_data(attribution(provenance, name))}
    if with_splats:
        _appearance(stage)
    return stage


def _custom_data(value: Any) -> Any:
    """JSON values as the dictionaries USD stores; a list becomes a dictionary with numbered keys."""
    if isinstance(value, dict):
        return {key: _custom_data(item) for key, item in value.items()}
    if isinstance(value, list):
        return {f"item_{i:03d}": _custom_data(item) for i, item in enumerate(value)}
    return value


def _appearance(stage: Usd.Stage) -> None:
    """A variant set that shows the mesh (default), the splats, or both."""
    root = stage.GetPrimAtPath(ROOT)
    variants = root.GetVariantSets().AddVariantSet("appearance")
    for variant, hidden in (("mesh", SPLATS), ("splats", GEOMETRY), ("both", None)):
        variants.AddVariant(variant)
        variants.SetVariantSelection(variant)
        if hidden is not None:
            with variants.GetVariantEditContext():
                over = stage.OverridePrim(hidden)
                over.CreateAttribute("visibility", Sdf.ValueTypeNames.Token, False).Set(UsdGeom.Tokens.invisible)
    variants.SetVariantSelection("mesh")


def _open_stage() -> Usd.Stage:
    """`stage.usda`: the scene with gravity and light. The PhysicsScene lies outside the default prim, so that a stage
    that references this one does not get a second."""
    stage = new_stage(kind="assembly")
    UsdGeom.Xform.Define(stage, f"{ROOT}/scene")
    UsdLux.DomeLight.Define(stage, f"{ROOT}/Light").CreateIntensityAttr(_DOME_INTENSITY)
    physics = UsdPhysics.Scene.Define(stage, "/physicsScene")
    physics.CreateGravityDirectionAttr(Gf.Vec3f(0, 0, -1))
    physics.CreateGravityMagnitudeAttr(9.81)
    return stage
