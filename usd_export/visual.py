"""The visible part of a scene: one mesh per label with the shared texture, and the Gaussian splats."""

import numpy as np
from pxr import Sdf, Usd, UsdGeom, UsdShade, UsdVol, Vt

from lyra_sim.core.records import GaussianSplats, Label, TexturedMesh
from usd_export.layers import ROOT, new_stage
from usd_export.meshes import add_indexed, clean, define_mesh

TEXTURE = "textures/albedo.jpg"
GEOMETRY = f"{ROOT}/Geometry"
SPLATS = f"{ROOT}/Splats"
MESH_NAMES = {
    Label.FLOOR: "Floor",
    Label.WALL: "Walls",
    Label.CEILING: "Ceiling",
    Label.OBSTACLE: "Obstacles",
    Label.OBJECT: "Objects",
    Label.SKY: "Sky",
    Label.UNKNOWN: "Unlabelled",
}


def geometry_stage(visual: TexturedMesh) -> tuple[Usd.Stage, dict[str, str]]:
    """The stage of `geometry.usdc` and the class of each of its meshes by prim path."""
    stage = new_stage()
    material = _material(stage)
    UsdGeom.Xform.Define(stage, GEOMETRY)
    classes = {}
    for label, name in MESH_NAMES.items():
        chosen = np.flatnonzero(visual.mesh.face_label == label)
        if len(chosen) and _part(stage, f"{GEOMETRY}/{name}", visual, chosen, material):
            classes[f"{GEOMETRY}/{name}"] = label.name.lower()
    return stage, classes


def _part(
    stage: Usd.Stage, path: str, visual: TexturedMesh, chosen: np.ndarray, material: UsdShade.Material
) -> UsdGeom.Mesh | None:
    """One visible mesh from the chosen faces; None when all of them are empty."""
    source = visual.mesh
    vertices, faces, kept, used = clean(source.vertices, source.faces[chosen])
    if len(faces) == 0:
        return None
    kept = chosen[kept]
    mesh = define_mesh(stage, path, vertices, faces, smooth=True)
    mesh.CreateDoubleSidedAttr(True)
    add_indexed(
        mesh,
        "st",
        Sdf.ValueTypeNames.TexCoord2fArray,
        UsdGeom.Tokens.faceVarying,
        visual.uv[kept].reshape(-1, 2),
    )
    add_indexed(
        mesh,
        "displayColor",
        Sdf.ValueTypeNames.Color3fArray,
        UsdGeom.Tokens.vertex,
        _linear(source.vertex_color[used]),
    )
    api = UsdGeom.PrimvarsAPI(mesh)
    origin = api.CreatePrimvar("faceOrigin", Sdf.ValueTypeNames.IntArray, UsdGeom.Tokens.uniform)
    origin.Set(Vt.IntArray.FromNumpy(source.face_origin[kept].astype(np.int32)))
    # The texture already carries the light of the photos; a closed shell that cast shadows would be black inside.
    api.CreatePrimvar("doNotCastShadows", Sdf.ValueTypeNames.Bool, UsdGeom.Tokens.constant).Set(True)
    UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)
    return mesh


def _linear(srgb: np.ndarray) -> np.ndarray:
    """8-bit sRGB to linear 0..1 (IEC 61966-2-1)."""
    value = srgb.astype(np.float32) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _material(stage: Usd.Stage) -> UsdShade.Material:
    """A rough UsdPreviewSurface that shows the texture."""
    looks = f"{ROOT}/Looks"
    UsdGeom.Scope.Define(stage, looks)
    material = UsdShade.Material.Define(stage, f"{looks}/Surface")
    surface = UsdShade.Shader.Define(stage, f"{looks}/Surface/Preview")
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(1.0)
    surface.CreateInput("metallic", Sdf.ValueTypeNames.Float).Set(0.0)
    reader = UsdShade.Shader.Define(stage, f"{looks}/Surface/Coordinates")
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
    texture = UsdShade.Shader.Define(stage, f"{looks}/Surface/Texture")
    texture.CreateIdAttr("UsdUVTexture")
    texture.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(Sdf.AssetPath(f"./{TEXTURE}"))
    texture.CreateInput("sourceColorSpace", Sdf.ValueTypeNames.Token).Set("sRGB")
    texture.CreateInput("wrapS", Sdf.ValueTypeNames.Token).Set("clamp")
    texture.CreateInput("wrapT", Sdf.ValueTypeNames.Token).Set("clamp")
    texture.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(
        reader.CreateOutput("result", Sdf.ValueTypeNames.Float2)
    )
    surface.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).ConnectToSource(
        texture.CreateOutput("rgb", Sdf.ValueTypeNames.Float3)
    )
    material.CreateSurfaceOutput().ConnectToSource(surface.CreateOutput("surface", Sdf.ValueTypeNames.Token))
    return material


def splats_stage(splats: GaussianSplats) -> Usd.Stage:
    """The stage of `splats.usdc`: one ParticleField3DGaussianSplat (OpenUSD 26), values after activation; no prim for
    no splats."""
    stage = new_stage()
    if len(splats.means) == 0:
        return stage
    field = UsdVol.ParticleField3DGaussianSplat.Define(stage, SPLATS)
    field.CreatePositionsAttr(Vt.Vec3fArray.FromNumpy(np.array(splats.means)))
    # Gf.Quatf lies in memory as x, y, z, w; ours are w, x, y, z
    xyzw = np.ascontiguousarray(splats.quaternions[:, [1, 2, 3, 0]])
    field.CreateOrientationsAttr(Vt.QuatfArray.FromNumpy(xyzw))
    field.CreateScalesAttr(Vt.Vec3fArray.FromNumpy(np.array(splats.scales_m)))
    field.CreateOpacitiesAttr(Vt.FloatArray.FromNumpy(np.array(splats.opacity)))
    count = splats.sh.shape[1]
    field.CreateRadianceSphericalHarmonicsDegreeAttr(round(count**0.5) - 1)
    coefficients = field.CreateRadianceSphericalHarmonicsCoefficientsAttr(
        Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(splats.sh.reshape(-1, 3)))
    )
    coefficients.SetMetadata("interpolation", UsdGeom.Tokens.vertex)  # NVIDIA rule VG.035
    coefficients.SetMetadata("elementSize", count)
    reach = 3 * splats.scales_m.max(1, keepdims=True)
    box = np.stack([(splats.means - reach).min(0), (splats.means + reach).max(0)]).astype(np.float32)
    field.CreateExtentAttr(Vt.Vec3fArray.FromNumpy(box))
    return stage
