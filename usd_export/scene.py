"""Writes a world's scene: the asset (`scene.usda` and the layers below it), the stage to open in Isaac Sim, the package
and the side files.

scene.usda          the asset: units, licences, the variants `visual` (mesh, splats, both, none) and `collider` (mesh,
                    convex); sublayers, strongest first:
  labels.usda         semantic classes, opinions only
  geometry.usdc       what is looked at, with textures/
  splats.usdc         the same as Gaussians
colliders.usdc, colliders_convex.usdc    what physics sees, the payload of one `collider` variant each
stage.usda          references scene.usda; adds a PhysicsScene and a light, never a collider
nav_collision.usdc  the colliders of the variant that is chosen by default as one mesh, on its own
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pxr import Gf, Sdf, Usd, UsdGeom, UsdLux, UsdPhysics, UsdSemantics

from lyra_sim.core.errors import SceneError
from lyra_sim.core.records import Colliders, Provenance, Surface, World
from lyra_sim.io.images import write_jpeg
from usd_export.colliders import COLLIDERS, LAYER_OF, VARIANT_OF, colliders_stage, merged_stage
from usd_export.layers import ROOT, new_stage, save
from usd_export.package import write_usdz
from usd_export.reader import COLLIDER_SET
from usd_export.side_files import attribution, write_side_files
from usd_export.visual import GEOMETRY, SPLATS, TEXTURE, geometry_stage, splats_stage

LAYERS = ("labels.usda", "geometry.usdc", "splats.usdc")
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
    physics = {VARIANT_OF[name]: colliders_stage(parts) for name, parts in colliders.variants.items()}
    default = VARIANT_OF[colliders.backend]
    if not visible_classes or not physics[default][1]:
        raise SceneError(
            name,
            expected="a surface to look at and one to stand on",
            got=f"{len(visible_classes)} visible meshes and {len(physics[default][1])} colliders",
            todo="Nothing was reconstructed here; use another input.",
        )
    write_jpeg(folder / TEXTURE, surface.visual.texture)
    splats = splats_stage(surface.splats)
    save(geometry, folder / "geometry.usdc")
    save(splats, folder / "splats.usdc")
    for variant, (stage, _) in physics.items():
        save(stage, folder / LAYER_OF[variant])
    labels = _labels_stage(visible_classes, {variant: classes for variant, (_, classes) in physics.items()})
    save(labels, folder / "labels.usda")
    scene = _scene_stage(provenance, name, bool(splats.GetPrimAtPath(SPLATS)))
    payloads = _collider_variants(scene, tuple(physics), default)
    save(scene, folder / "scene.usda", sublayers=[f"./{file}" for file in LAYERS], payloads=payloads)
    save(_open_stage(), folder / "stage.usda", reference=(f"{ROOT}/scene", "./scene.usda"))
    save(merged_stage(colliders), folder / "nav_collision.usdc")
    packed = (*LAYERS, *(LAYER_OF[variant] for variant in physics), TEXTURE)
    write_usdz(folder / "scene.usdz", folder, "scene.usda", packed)
    write_side_files(folder, surface=surface, colliders=colliders, world=world, provenance=provenance, name=name)


def _labels_stage(visible: dict[str, str], colliders: dict[str, dict[str, str]]) -> Usd.Stage:
    """Opinions that name what each mesh is, colliders within their variant: the UsdSemantics schema (Isaac Sim 5 and
    later) and the older one."""
    stage = Usd.Stage.CreateInMemory()
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdPhysics.SetStageKilogramsPerUnit(stage, 1.0)
    root = stage.OverridePrim(ROOT)
    stage.SetDefaultPrim(root)
    _label(stage, visible)
    for variant, edit in _each_variant(root, COLLIDER_SET, tuple(colliders)):
        with edit:
            _label(stage, colliders[variant])
    root.GetVariantSet(COLLIDER_SET).ClearVariantSelection()  # scene.usda selects
    return stage


def _label(stage: Usd.Stage, classes: dict[str, str]) -> None:
    for path, name in classes.items():
        prim = stage.OverridePrim(path)
        UsdSemantics.LabelsAPI.Apply(prim, "class").CreateLabelsAttr([name])
        prim.AddAppliedSchema("SemanticsAPI:Semantics")  # not known to usd-core, so applied by name
        for key, value in (("semanticType", "class"), ("semanticData", name)):
            prim.CreateAttribute(f"semantic:Semantics:params:{key}", Sdf.ValueTypeNames.String, False).Set(value)


def _each_variant(root: Usd.Prim, name: str, variants: tuple[str, ...]) -> Iterator[tuple[str, Usd.EditContext]]:
    """Add a variant set and give each of its variants, selected, with the context in which it is edited."""
    made = root.GetVariantSets().AddVariantSet(name)
    for variant in variants:
        made.AddVariant(variant)
        made.SetVariantSelection(variant)
        yield variant, made.GetVariantEditContext()


def _scene_stage(provenance: Provenance, name: str, with_splats: bool) -> Usd.Stage:
    stage = new_stage(kind="component")
    stage.GetRootLayer().customLayerData = {"lyra_sim": _custom_data(attribution(provenance, name))}
    if with_splats:
        _visual_variants(stage)
    return stage


def _custom_data(value: Any) -> Any:
    """JSON values as the dictionaries USD stores; a list becomes a dictionary with numbered keys."""
    if isinstance(value, dict):
        return {key: _custom_data(item) for key, item in value.items()}
    if isinstance(value, list):
        return {f"item_{i:03d}": _custom_data(item) for i, item in enumerate(value)}
    return value


def _visual_variants(stage: Usd.Stage) -> None:
    """A variant set that shows the mesh (default), the splats, both or nothing."""
    root = stage.GetPrimAtPath(ROOT)
    hidden = {"mesh": (SPLATS,), "splats": (GEOMETRY,), "both": (), "none": (GEOMETRY, SPLATS)}
    for variant, edit in _each_variant(root, "visual", tuple(hidden)):
        with edit:
            for path in hidden[variant]:
                over = stage.OverridePrim(path)
                over.CreateAttribute("visibility", Sdf.ValueTypeNames.Token, False).Set(UsdGeom.Tokens.invisible)
    root.GetVariantSet("visual").SetVariantSelection("mesh")


def _collider_variants(stage: Usd.Stage, variants: tuple[str, ...], default: str) -> dict[Sdf.Path, Sdf.Payload]:
    """A variant set that chooses what physics sees; returns the payload of each variant by its spec's path."""
    root = stage.GetPrimAtPath(ROOT)
    for _, edit in _each_variant(root, COLLIDER_SET, variants):
        with edit:
            stage.OverridePrim(COLLIDERS)
    root.GetVariantSet(COLLIDER_SET).SetVariantSelection(default)
    name = Sdf.Path(COLLIDERS).name
    return {
        root.GetPath().AppendVariantSelection(COLLIDER_SET, variant).AppendChild(name): Sdf.Payload(
            f"./{LAYER_OF[variant]}", Sdf.Path(COLLIDERS)
        )
        for variant in variants
    }


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
