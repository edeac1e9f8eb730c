"""Rules for static colliders: present, reachable, stated in full, and cookable by PhysX and Newton alike."""

import numpy as np
from pxr import Usd, UsdGeom, UsdPhysics, UsdShade

from usd_export.reader import approximation_of
from usd_export.validate.foreign_rules import is_splats
from usd_export.validate.rule_table import Finding, finding

_STATIC = ("none", "convexHull", "convexDecomposition", "meshSimplification", "sdf", "boundingCube", "boundingSphere")
_TRIANGLES = ("", "none", "meshSimplification")
_HULL_POINTS = 64
"""PhysX on a GPU cuts larger hulls."""
_FLAT_M = 1e-3
"""PhysX thickens a flatter hull by centimetres."""
_Fault = tuple[str, str]
"""Rule without its prefix, and the end of the sentence that begins with the collider."""


def collider_problems(stage: Usd.Stage) -> list[Finding]:
    """What is wrong with the colliders of a scene, in stage order."""
    found = []
    root = stage.GetDefaultPrim()
    prims = list(stage.Traverse(Usd.TraverseInstanceProxies(Usd.PrimDefaultPredicate)))
    colliders = [prim for prim in prims if prim.HasAPI(UsdPhysics.CollisionAPI)]
    if not colliders:
        splats = any(is_splats(prim) for prim in prims)
        found.append(finding("SPL-001" if splats else "COL-001", "/", "there is no collider"))
    for prim in prims:
        if prim.HasAPI(UsdPhysics.RigidBodyAPI) or prim.IsA(UsdPhysics.Joint):
            rule = "PHY-002" if _collides_with_triangles(prim) else "PHY-001"
            found.append(finding(rule, prim.GetPath(), f"{prim.GetPath()} moves: scenery must be static"))
    for prim in colliders:
        path = prim.GetPath()
        if root and not path.HasPrefix(root.GetPath()):
            told = f"collider {path} lies outside the defaultPrim and is lost when referenced"
            found.append(finding("COL-003", path, told))
        faults = _shape_faults(prim) + _friction_faults(prim)
        found += [finding(rule, path, f"collider {path} {told}") for rule, told in faults]
    return found


def _collides_with_triangles(body: Usd.Prim) -> bool:
    below = Usd.PrimRange(body, Usd.TraverseInstanceProxies(Usd.PrimDefaultPredicate))
    shapes = (p for p in below if p.HasAPI(UsdPhysics.CollisionAPI) and p.IsA(UsdGeom.Mesh))
    return any(approximation_of(shape) in _TRIANGLES for shape in shapes)


def _shape_faults(prim: Usd.Prim) -> list[_Fault]:
    if not prim.IsA(UsdGeom.Gprim):
        return [("COL-002", f"is a {prim.GetTypeName() or 'prim without type'}, which has no shape")]
    if not prim.IsA(UsdGeom.Mesh):
        return []
    approximation = approximation_of(prim)
    if approximation not in _STATIC:
        if not approximation:
            return [("COL-004", "states no approximation")]
        return [("COL-005", f"has the approximation {approximation}")]
    points = np.array(UsdGeom.Mesh(prim).GetPointsAttr().Get() or (), np.float64).reshape(-1, 3)
    if not np.isfinite(points).all():
        return [("COL-006", "has points that are not finite")]
    if approximation != "convexHull":
        return []
    found = []
    if len(points) > _HULL_POINTS:
        found.append(("COL-007", f"is a hull of {len(points)} points, at most {_HULL_POINTS}"))
    if len(points) < 4 or np.linalg.matrix_rank(points - points.mean(0), tol=_FLAT_M) < 3:
        found.append(("COL-008", "is a flat hull"))
    return found


def _friction_faults(prim: Usd.Prim) -> list[_Fault]:
    """Without a bound physics material, or with one that states no friction, engines assume their own."""
    material, _ = UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial("physics")
    if not material or not material.GetPrim().HasAPI(UsdPhysics.MaterialAPI):
        return [("COL-009", "has no physics material")]
    api = UsdPhysics.MaterialAPI(material.GetPrim())
    authored = api.GetStaticFrictionAttr().HasAuthoredValue() and api.GetDynamicFrictionAttr().HasAuthoredValue()
    if not authored or api.GetDynamicFrictionAttr().Get() <= 0:
        return [("COL-010", "has a physics material without friction")]
    return []
