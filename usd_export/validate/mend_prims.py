"""How each mechanical finding is mended on an open stage. A mend says what it did, or None where that would be a guess;
edits go to the stage's edit target."""

from collections.abc import Callable, Iterator

from pxr import Gf, Usd, UsdGeom, UsdLux, UsdPhysics, UsdShade

from usd_export.colliders import DYNAMIC_FRICTION, RESTITUTION, STATIC_FRICTION
from usd_export.validate.foreign_rules import sky_meshes
from usd_export.validate.rule_table import Finding

_FRAME = "lyraFrame"
_VISIBLE = (UsdGeom.Tokens.default_, UsdGeom.Tokens.render)


def _turn(stage: Usd.Stage, found: Finding) -> str | None:
    """Y up (the meaning of a file that says nothing) to Z up."""
    if UsdGeom.GetStageUpAxis(stage) == UsdGeom.Tokens.z:
        UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
        return "authored upAxis Z"
    turn = Gf.Matrix4d().SetRotate(Gf.Rotation(Gf.Vec3d(1, 0, 0), 90))
    _transform(stage, turn)
    for scene in _scenes(stage):
        direction = Gf.Vec3d(scene.GetGravityDirectionAttr().Get())
        if direction != Gf.Vec3d(0):
            scene.GetGravityDirectionAttr().Set(Gf.Vec3f(turn.TransformDir(direction)))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    return "turned the scene from Y up to Z up"


def _metres(stage: Usd.Stage, found: Finding) -> str | None:
    """Units of the file (centimetres where it says nothing) to metres."""
    unit = UsdGeom.GetStageMetersPerUnit(stage)
    if unit != 1:
        _transform(stage, Gf.Matrix4d().SetScale(unit))
        for scene in _scenes(stage):
            magnitude = scene.GetGravityMagnitudeAttr()
            if magnitude.HasAuthoredValue() and 0 < magnitude.Get() < float("inf"):
                magnitude.Set(magnitude.Get() * unit)
        for density in _densities(stage):
            density.Set(density.Get() / unit**3)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    return f"scaled the scene by {unit:g} to metres" if unit != 1 else "authored metersPerUnit 1"


def _kilograms(stage: Usd.Stage, found: Finding) -> str | None:
    unit = UsdPhysics.GetStageKilogramsPerUnit(stage)
    masses = [UsdPhysics.MassAPI(p).GetMassAttr() for p in stage.Traverse() if p.HasAPI(UsdPhysics.MassAPI)]
    if unit != 1:
        for value in [*(mass for mass in masses if mass.HasAuthoredValue()), *_densities(stage)]:
            value.Set(value.Get() * unit)
    UsdPhysics.SetStageKilogramsPerUnit(stage, 1.0)
    return "authored kilogramsPerUnit 1"


def _scenes(stage: Usd.Stage) -> list[UsdPhysics.Scene]:
    return [UsdPhysics.Scene(prim) for prim in stage.Traverse() if prim.IsA(UsdPhysics.Scene)]


def _densities(stage: Usd.Stage) -> Iterator[Usd.Attribute]:
    for prim in stage.Traverse():
        for api in (UsdPhysics.MassAPI, UsdPhysics.MaterialAPI):
            if prim.HasAPI(api) and api(prim).GetDensityAttr().HasAuthoredValue():
                yield api(prim).GetDensityAttr()


def _transform(stage: Usd.Stage, change: Gf.Matrix4d) -> None:
    """Move everything by a matrix (row vectors). The root Xform itself ends with no transform: simulators overwrite
    that of the prim which they reference, and would undo the change."""
    for root in _topmost(stage.GetPseudoRoot()):
        own = UsdGeom.Xformable(root)
        children = list(_topmost(root)) if root.IsA(UsdGeom.Xform) and not root.IsInstance() else []
        if not children or own.TransformMightBeTimeVarying():
            _prepend(own, change)
            continue
        matrix = own.GetLocalTransformation() * change
        own.SetXformOpOrder([])
        for child in children:
            _prepend(UsdGeom.Xformable(child), matrix)
    for prim in stage.Traverse():
        above = prim.GetParent()
        if prim.IsA(UsdGeom.Xformable) and UsdGeom.Xformable(prim).GetResetXformStack() and not above.IsPseudoRoot():
            _prepend(UsdGeom.Xformable(prim), change)


def _topmost(parent: Usd.Prim) -> Iterator[Usd.Prim]:
    """The first prims below that can be moved."""
    for child in parent.GetChildren():
        if child.IsA(UsdGeom.Xformable):
            yield child
        else:
            yield from _topmost(child)


def _prepend(xformable: UsdGeom.Xformable, matrix: Gf.Matrix4d) -> None:
    ops, reset = xformable.GetOrderedXformOps(), xformable.GetResetXformStack()
    if ops and ops[0].GetOpName() == f"xformOp:transform:{_FRAME}":
        ops[0].Set(ops[0].Get() * matrix)
        return
    op = xformable.AddTransformOp(UsdGeom.XformOp.PrecisionDouble, _FRAME)
    op.Set(matrix)
    xformable.SetXformOpOrder([op, *ops], reset)


def _default_prim(stage: Usd.Stage, found: Finding) -> str | None:
    apart = (UsdGeom.Camera, UsdPhysics.Scene, UsdShade.Material)
    roots = [p for p in stage.GetPseudoRoot().GetChildren() if not any(p.IsA(kind) for kind in apart)]
    roots = [p for p in roots if not p.HasAPI(UsdLux.LightAPI)]
    if len(roots) != 1:
        return None
    stage.SetDefaultPrim(roots[0])
    return f"set defaultPrim to {roots[0].GetName()}"


def _root_xform(stage: Usd.Stage, found: Finding) -> str | None:
    root = stage.GetDefaultPrim()
    if root.GetTypeName() not in ("", "Scope"):
        return None
    root.SetTypeName("Xform")
    return f"made {root.GetPath()} an Xform"


def _collide_what_is_seen(stage: Usd.Stage, found: Finding) -> str | None:
    shapes = list(_shapes_below(stage, stage.GetPseudoRoot()))
    for shape in shapes:
        _make_collider(shape)
    return f"made static colliders of {len(shapes)} visible shapes" if shapes else None


def _collide_below(stage: Usd.Stage, found: Finding) -> str | None:
    prim = stage.GetPrimAtPath(found.path)
    if prim.IsInstanceProxy() or prim.IsInstance():
        return None
    shapes = list(_shapes_below(stage, prim))
    prim.RemoveAPI(UsdPhysics.CollisionAPI)
    prim.RemoveAPI(UsdPhysics.MeshCollisionAPI)
    for shape in shapes:
        _make_collider(shape)
    return f"moved it to the {len(shapes)} shapes below"


def _shapes_below(stage: Usd.Stage, prim: Usd.Prim) -> Iterator[Usd.Prim]:
    """Visible meshes and solids that are no sky and no collider yet; prototypes of instances cannot be edited here."""
    skies = {sky.GetPath() for sky in sky_meshes(stage)}
    solids = (
        UsdGeom.Mesh,
        UsdGeom.Cube,
        UsdGeom.Sphere,
        UsdGeom.Plane,
        UsdGeom.Capsule,
        UsdGeom.Cylinder,
        UsdGeom.Cone,
    )
    for shape in Usd.PrimRange(prim):
        imageable = UsdGeom.Imageable(shape)
        if not any(shape.IsA(kind) for kind in solids) or shape.GetPath() in skies:
            continue
        if imageable.ComputeVisibility() == UsdGeom.Tokens.invisible or imageable.ComputePurpose() not in _VISIBLE:
            continue
        if not shape.HasAPI(UsdPhysics.CollisionAPI):
            yield shape


def _make_collider(shape: Usd.Prim) -> None:
    UsdPhysics.CollisionAPI.Apply(shape).CreateCollisionEnabledAttr(True)
    if shape.IsA(UsdGeom.Mesh):
        UsdPhysics.MeshCollisionAPI.Apply(shape).CreateApproximationAttr(UsdPhysics.Tokens.none)


def _triangles(stage: Usd.Stage, found: Finding) -> str | None:
    prim = _editable(stage, found)
    if prim is None or _moves(prim):
        return None
    UsdPhysics.MeshCollisionAPI.Apply(prim).CreateApproximationAttr(UsdPhysics.Tokens.none)
    return "authored the approximation none: its own triangles"


def _moves(prim: Usd.Prim) -> bool:
    while prim and not prim.IsPseudoRoot():
        if prim.HasAPI(UsdPhysics.RigidBodyAPI):
            return True
        prim = prim.GetParent()
    return False


def _bind_ground(stage: Usd.Stage, found: Finding) -> str | None:
    prim, root = _editable(stage, found), stage.GetDefaultPrim()
    if prim is None or not root:
        return None
    scope = root.GetPath().AppendChild("PhysicsMaterials")
    UsdGeom.Scope.Define(stage, scope)
    material = UsdShade.Material.Define(stage, scope.AppendChild("LyraGround"))
    _author_friction(material.GetPrim())
    binding = UsdShade.MaterialBindingAPI.Apply(prim)
    binding.Bind(material, UsdShade.Tokens.weakerThanDescendants, "physics")
    return f"bound a material with friction {STATIC_FRICTION:g}, {DYNAMIC_FRICTION:g}"


def _friction(stage: Usd.Stage, found: Finding) -> str | None:
    prim = stage.GetPrimAtPath(found.path)
    material, _ = UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial("physics")
    if not material or material.GetPrim().IsInstanceProxy():
        return None
    _author_friction(material.GetPrim())
    return f"authored friction {STATIC_FRICTION:g}, {DYNAMIC_FRICTION:g} on {material.GetPath()}"


def _author_friction(material: Usd.Prim) -> None:
    physics = UsdPhysics.MaterialAPI.Apply(material)
    physics.CreateStaticFrictionAttr(STATIC_FRICTION)
    physics.CreateDynamicFrictionAttr(DYNAMIC_FRICTION)
    if not physics.GetRestitutionAttr().HasAuthoredValue():
        physics.CreateRestitutionAttr(RESTITUTION)


def _extent(stage: Usd.Stage, found: Finding) -> str | None:
    prim = _editable(stage, found)
    if prim is None or UsdGeom.Mesh(prim).GetPointsAttr().ValueMightBeTimeVarying():
        return None
    extent = UsdGeom.Mesh.ComputeExtent(UsdGeom.Mesh(prim).GetPointsAttr().Get())
    UsdGeom.Mesh(prim).CreateExtentAttr(extent)
    return "authored the extent of its points"


def _sky_out_of_bounds(stage: Usd.Stage, found: Finding) -> str | None:
    prim = _editable(stage, found)
    if prim is None:
        return None
    UsdGeom.Imageable(prim).CreatePurposeAttr(UsdGeom.Tokens.render)
    return "set its purpose to render: it is drawn, and not part of the bounds"


def _bind_api(stage: Usd.Stage, found: Finding) -> str | None:
    prim = _editable(stage, found)
    if prim is None:
        return None
    UsdShade.MaterialBindingAPI.Apply(prim)
    return "applied MaterialBindingAPI"


def _editable(stage: Usd.Stage, found: Finding) -> Usd.Prim | None:
    """The prim of a finding; None inside an instance, whose prims belong to all its copies."""
    prim = stage.GetPrimAtPath(found.path)
    return prim if prim and not prim.IsInstanceProxy() else None


MENDS: dict[str, Callable[[Usd.Stage, Finding], str | None]] = {
    "LYRA-USD-003": _bind_api,
    "LYRA-UNIT-001": _turn,
    "LYRA-UNIT-002": _metres,
    "LYRA-UNIT-003": _kilograms,
    "LYRA-STG-001": _default_prim,
    "LYRA-STG-002": _root_xform,
    "LYRA-COL-001": _collide_what_is_seen,
    "LYRA-COL-002": _collide_below,
    "LYRA-COL-004": _triangles,
    "LYRA-COL-008": _triangles,
    "LYRA-COL-009": _bind_ground,
    "LYRA-COL-010": _friction,
    "LYRA-MSH-005": _extent,
    "LYRA-MSH-006": _extent,
    "LYRA-MSH-012": _sky_out_of_bounds,
}
"""The mend of each rule; rules whose findings go with copying the files are not among them."""
