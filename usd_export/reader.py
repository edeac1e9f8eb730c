"""Reads any USD scene (usda, usdc, usdz) back as plain arrays: visible meshes with texture and label, and colliders as
a physics engine sees them. Units and up axis are brought to ours."""

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from pxr import Ar, Tf, Usd, UsdGeom, UsdPhysics, UsdSemantics, UsdShade

from lyra_sim.core.errors import InputError
from lyra_sim.core.records import Label
from usd_export import tessellate
from usd_export.records import ColliderShape, SceneGeometry, VisualMesh

COLLIDER_SET = "collider"
"""The variant set that chooses between colliders."""
_UV_NAMES = ("st", "st0", "UVMap", "st_0")
_CONVEX_TYPES = ("Cube", "Sphere", "Capsule", "Cylinder", "Cone")
_Shape = tuple[np.ndarray, np.ndarray, np.ndarray | None]
"""Points, triangles, and for a mesh the corner number of each triangle corner."""


@dataclass
class _Frame:
    """What turns a prim's points into our world frame."""

    stage: Usd.Stage
    xforms: UsdGeom.XformCache = field(default_factory=UsdGeom.XformCache)
    textures: dict[str, np.ndarray | None] = field(default_factory=dict)
    with_textures: bool = True

    def to_world(self, prim: Usd.Prim, points: np.ndarray) -> np.ndarray:
        matrix = np.array(self.xforms.GetLocalToWorldTransform(prim))
        world = (points @ matrix[:3, :3] + matrix[3, :3]) * UsdGeom.GetStageMetersPerUnit(self.stage)
        if UsdGeom.GetStageUpAxis(self.stage) == UsdGeom.Tokens.y:
            world = np.stack([world[:, 0], -world[:, 2], world[:, 1]], 1)
        return world

    def mirrored(self, prim: Usd.Prim) -> bool:
        matrix = np.array(self.xforms.GetLocalToWorldTransform(prim))[:3, :3]
        left = UsdGeom.Gprim(prim).GetOrientationAttr().Get() == UsdGeom.Tokens.leftHanded
        return bool((np.linalg.det(matrix) < 0) != left)


def open_stage(path: Path) -> Usd.Stage:
    """Open a USD file.

    Raises:
        InputError: it is missing, or not USD.
    """
    wrong = "it is missing"
    if Path(path).is_file():
        try:
            stage = Usd.Stage.Open(str(path))
        except Tf.ErrorException as error:
            wrong = str(error).strip().splitlines()[-1]
        else:
            if stage:
                return stage
            wrong = "it cannot be opened"
    raise InputError(path, expected="a USD file (.usda, .usdc, .usd, .usdz)", got=wrong, todo="Give another file.")


def collider_variants(stage: Usd.Stage) -> tuple[str, ...]:
    """The variants that a scene offers to physics, the selected one first; none where it has no such choice."""
    root = _with_collider_set(stage)
    if root is None:
        return ()
    chosen = root.GetVariantSet(COLLIDER_SET)
    return tuple(sorted(chosen.GetVariantNames(), key=lambda name: (name != chosen.GetVariantSelection(), name)))


def select_colliders(stage: Usd.Stage, variant: str) -> None:
    """Select one of `collider_variants` on an open stage; no layer is changed but the session's."""
    root = _with_collider_set(stage)
    assert root is not None, variant
    with Usd.EditContext(stage, stage.GetSessionLayer()):
        root.GetVariantSet(COLLIDER_SET).SetVariantSelection(variant)


def _with_collider_set(stage: Usd.Stage) -> Usd.Prim | None:
    return next((prim for prim in stage.Traverse() if prim.GetVariantSets().HasVariantSet(COLLIDER_SET)), None)


def read_scene(path: Path, *, textures: bool = True, colliders: str | None = None) -> SceneGeometry:
    """Visible meshes and colliders of a scene, in our world frame (Z up, metres), in stage order.

    Instances are followed. `convexHull` becomes the hull, `boundingCube` and `boundingSphere` the box and the sphere,
    every other approximation the mesh's own triangles (an engine's decomposition is its own and cannot be foretold).
    Disabled colliders are left out. Point instancers are not followed.

    Args:
        path: any USD file.
        textures: also decode the textures (PNG, JPEG).
        colliders: one of `collider_variants`; None takes what the file selects.

    Raises:
        InputError: no such file, not USD, or a texture that cannot be decoded.
    """
    stage = open_stage(path)
    if colliders is not None:
        select_colliders(stage, colliders)
    frame = _Frame(stage, with_textures=textures)
    visuals: list[VisualMesh] = []
    shapes: list[ColliderShape] = []
    for prim in stage.Traverse(Usd.TraverseInstanceProxies(Usd.PrimDefaultPredicate)):
        if not prim.IsA(UsdGeom.Gprim):
            continue
        collides = prim.HasAPI(UsdPhysics.CollisionAPI)
        collides = collides and UsdPhysics.CollisionAPI(prim).GetCollisionEnabledAttr().Get() is not False
        visible = _visible(prim)
        shape = _local_shape(prim) if collides or visible else None
        if shape is None:
            continue
        if visible:
            visuals.append(_visual(prim, shape, frame))
        if collides:
            shapes.append(_collider(prim, shape, frame))
    return SceneGeometry(visuals=tuple(visuals), colliders=tuple(shapes))


def read_variants(path: Path, *, textures: bool = True) -> dict[str, SceneGeometry]:
    """The scene with each of its `collider_variants`, the selected one first; where it has none, as it is, named
    `default`.

    Raises:
        InputError: as `read_scene`.
    """
    names = collider_variants(open_stage(path))
    if not names:
        return {"default": read_scene(path, textures=textures)}
    return {name: read_scene(path, textures=textures and name == names[0], colliders=name) for name in names}


def _visible(prim: Usd.Prim) -> bool:
    imageable = UsdGeom.Imageable(prim)
    if imageable.ComputeVisibility() == UsdGeom.Tokens.invisible:
        return False
    return imageable.ComputePurpose() in (UsdGeom.Tokens.default_, UsdGeom.Tokens.render)


def _local_shape(prim: Usd.Prim) -> _Shape | None:
    """Triangles in the prim's own frame; None for shapes without triangles (points, curves, splats)."""
    if prim.IsA(UsdGeom.Mesh):
        mesh = UsdGeom.Mesh(prim)
        points = np.array(mesh.GetPointsAttr().Get() or (), np.float64).reshape(-1, 3)
        counts = np.array(mesh.GetFaceVertexCountsAttr().Get() or (), np.int64)
        indices = np.array(mesh.GetFaceVertexIndicesAttr().Get() or (), np.int64)
        return points, *tessellate.triangulate(counts, indices)
    made = None
    if prim.IsA(UsdGeom.Cube):
        made = tessellate.box(np.full(3, UsdGeom.Cube(prim).GetSizeAttr().Get() / 2))
    elif prim.IsA(UsdGeom.Sphere):
        made = tessellate.sphere(UsdGeom.Sphere(prim).GetRadiusAttr().Get())
    elif prim.IsA(UsdGeom.Plane):
        made = _along(tessellate.plane(), UsdGeom.Plane(prim).GetAxisAttr().Get())
    elif prim.IsA(UsdGeom.Capsule):
        capsule = UsdGeom.Capsule(prim)
        made = tessellate.capsule(capsule.GetRadiusAttr().Get(), capsule.GetHeightAttr().Get())
        made = _along(made, capsule.GetAxisAttr().Get())
    elif prim.IsA(UsdGeom.Cylinder) or prim.IsA(UsdGeom.Cone):
        round_ = UsdGeom.Cylinder(prim) if prim.IsA(UsdGeom.Cylinder) else UsdGeom.Cone(prim)
        top = 0.0 if prim.IsA(UsdGeom.Cone) else None
        made = tessellate.cylinder(round_.GetRadiusAttr().Get(), round_.GetHeightAttr().Get(), top)
        made = _along(made, round_.GetAxisAttr().Get())
    return (*made, None) if made is not None else None


def _along(made: tuple[np.ndarray, np.ndarray], axis: str) -> tuple[np.ndarray, np.ndarray]:
    return tessellate.turned(made[0], str(axis)), made[1]


def _oriented(faces: np.ndarray, flip: bool) -> np.ndarray:
    return (faces[:, [0, 2, 1]] if flip else faces).astype(np.int32)


def _visual(prim: Usd.Prim, shape: _Shape, frame: _Frame) -> VisualMesh:
    points, faces, corners = shape
    flip = frame.mirrored(prim)
    uv = _uv(prim, faces, corners) if corners is not None else None
    if uv is not None and flip:
        uv = uv[:, [0, 2, 1]]
    colors = UsdGeom.Gprim(prim).GetDisplayColorAttr().Get()
    color = np.array(colors, np.float32).reshape(-1, 3).mean(0) if colors else np.full(3, 0.5, np.float32)
    label, labelled = _labelled(prim)
    return VisualMesh(
        path=str(prim.GetPath()),
        label=label,
        labelled=labelled,
        vertices=frame.to_world(prim, points).astype(np.float32),
        faces=_oriented(faces, flip),
        uv=uv,
        texture=_texture(prim, frame) if frame.with_textures and uv is not None else None,
        color=color.astype(np.float32),
    )


def _collider(prim: Usd.Prim, shape: _Shape, frame: _Frame) -> ColliderShape:
    points, faces, _ = shape
    approximation = approximation_of(prim)
    solid = approximation in ("convexHull", "boundingCube", "boundingSphere")
    if solid and len(points):
        centre, half = (points.min(0) + points.max(0)) / 2, np.ptp(points, axis=0) / 2
        if approximation == "convexHull":
            points, faces = tessellate.hull(points)
        elif approximation == "boundingCube":
            points, faces = tessellate.box(half)
            points = points + centre
        else:
            points, faces = tessellate.sphere(float(np.linalg.norm(half)))
            points = points + centre
    flip = frame.mirrored(prim)
    if solid or not prim.IsA(UsdGeom.Mesh):  # made outward here, so only a mirroring transform turns it inside out
        flip = bool(np.linalg.det(np.array(frame.xforms.GetLocalToWorldTransform(prim))[:3, :3]) < 0)
    static, dynamic = _friction(prim)
    known = Label.__members__.get(label_of(prim).upper(), Label.UNKNOWN)
    return ColliderShape(
        name=str(prim.GetPath()),
        kind="hull" if solid or approximation in _CONVEX_TYPES else "trimesh",
        label=int(known),
        approximation=approximation,
        vertices=frame.to_world(prim, points).astype(np.float32),
        faces=_oriented(faces, flip),
        static_friction=static,
        dynamic_friction=dynamic,
    )


def approximation_of(prim: Usd.Prim) -> str:
    """Authored approximation of a mesh collider (empty where none is), or the type name of a primitive."""
    if not prim.IsA(UsdGeom.Mesh):
        return str(prim.GetTypeName())
    if not prim.HasAPI(UsdPhysics.MeshCollisionAPI):
        return ""
    attribute = UsdPhysics.MeshCollisionAPI(prim).GetApproximationAttr()
    return str(attribute.Get()) if attribute.HasAuthoredValue() else ""


def label_of(prim: Usd.Prim) -> str:
    """Semantic class of a prim, its own or the nearest ancestor's: `UsdSemantics` labels first, then the older
    `SemanticsAPI` attributes. Empty where none."""
    return _labelled(prim)[0]


def _labelled(prim: Usd.Prim) -> tuple[str, str]:
    """The label of a prim and the path of the one that carries it."""
    while prim and not prim.IsPseudoRoot():
        path = str(prim.GetPath())
        if prim.HasAPI(UsdSemantics.LabelsAPI, "class"):
            labels = UsdSemantics.LabelsAPI(prim, "class").GetLabelsAttr().Get()
            if labels:
                return str(labels[0]), path
        for attribute in prim.GetAuthoredAttributes():
            name = attribute.GetName()
            if name.startswith("semantic:") and name.endswith(":params:semanticData") and attribute.Get():
                return str(attribute.Get()), path
        prim = prim.GetParent()
    return "", ""


def _uv(prim: Usd.Prim, faces: np.ndarray, corners: np.ndarray) -> np.ndarray | None:
    api = UsdGeom.PrimvarsAPI(prim)
    found = next((p for p in map(api.FindPrimvarWithInheritance, _UV_NAMES) if p and p.HasValue()), None)
    if found is None:
        return None
    values = np.array(found.ComputeFlattened(), np.float32).reshape(-1, 2)
    if found.GetInterpolation() == UsdGeom.Tokens.faceVarying:
        return values[corners]
    if found.GetInterpolation() in (UsdGeom.Tokens.vertex, UsdGeom.Tokens.varying):
        return values[faces]
    return None


def _friction(prim: Usd.Prim) -> tuple[float | None, float | None]:
    material, _ = UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial("physics")
    if not material or not material.GetPrim().HasAPI(UsdPhysics.MaterialAPI):
        return None, None
    api = UsdPhysics.MaterialAPI(material.GetPrim())
    return float(api.GetStaticFrictionAttr().Get()), float(api.GetDynamicFrictionAttr().Get())


def _texture(prim: Usd.Prim, frame: _Frame) -> np.ndarray | None:
    """The image connected to the bound material's diffuse colour."""
    material, _ = UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial()
    surface = material.ComputeSurfaceSource()[0] if material else None
    diffuse = surface.GetInput("diffuseColor") if surface else None
    if not diffuse or not diffuse.HasConnectedSource():
        return None
    source = UsdShade.Shader(diffuse.GetConnectedSources()[0][0].source.GetPrim())
    file = source.GetInput("file")
    asset = file.Get() if file else None
    if asset is None:
        return None
    resolved = asset.resolvedPath
    if resolved not in frame.textures:
        frame.textures[resolved] = _decode(resolved, asset.path)
    return frame.textures[resolved]


def _decode(resolved: str, shown: str) -> np.ndarray:
    asset = Ar.GetResolver().OpenAsset(Ar.ResolvedPath(resolved)) if resolved else None
    wrong = "no such file"
    if asset:
        try:
            with Image.open(io.BytesIO(bytes(asset.GetBuffer())), formats=("PNG", "JPEG")) as image:
                return np.array(image.convert("RGB"))
        except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
            wrong = str(error)
    raise InputError(shown, expected="a PNG or JPEG texture", got=wrong, todo="Restore the texture file.")
