"""Rules for static colliders: present, reachable, stated in full, and cookable by PhysX and Newton alike."""

import numpy as np
from pxr import Usd, UsdGeom, UsdPhysics, UsdShade

from usd_export.reader import approximation_of

_STATIC = ("none", "convexHull", "convexDecomposition", "meshSimplification", "sdf", "boundingCube", "boundingSphere")
_HULL_POINTS = 64
"""PhysX on a GPU cuts larger hulls."""
_FLAT_M = 1e-3
"""PhysX thickens a flatter hull by centimetres."""


def collider_problems(stage: Usd.Stage) -> list[str]:
    """What is wrong with the colliders of a scene, in stage order."""
    found = []
    root = stage.GetDefaultPrim()
    prims = list(stage.Traverse(Usd.TraverseInstanceProxies(Usd.PrimDefaultPredicate)))
    colliders = [prim for prim in prims if prim.HasAPI(UsdPhysics.CollisionAPI)]
    if not colliders:
        found.append("there is no collider")
    for prim in prims:
        if prim.HasAPI(UsdPhysics.RigidBodyAPI) or prim.IsA(UsdPhysics.Joint):
            found.append(f"{prim.GetPath()} moves: scenery must be static")
    for prim in colliders:
        if root and not prim.GetPath().HasPrefix(root.GetPath()):
            found.append(f"collider {prim.GetPath()} lies outside the defaultPrim and is lost when referenced")
        found += [f"collider {prim.GetPath()} {fault}" for fault in _shape_faults(prim) + _friction_faults(prim)]
    return found


def _shape_faults(prim: Usd.Prim) -> list[str]:
    if not prim.IsA(UsdGeom.Gprim):
        return [f"is a {prim.GetTypeName() or 'prim without type'}, which has no shape"]
    if not prim.IsA(UsdGeom.Mesh):
        return []
    approximation = approximation_of(prim)
    if approximation not in _STATIC:
        return ["states no approximation" if not approximation else f"has the approximation {approximation}"]
    points = np.array(UsdGeom.Mesh(prim).GetPointsAttr().Get() or (), np.float64).reshape(-1, 3)
    if not np.isfinite(points).all():
        return ["has points that are not finite"]
    if approximation != "convexHull":
        return []
    found = [f"is a hull of {len(points)} points, at most {_HULL_POINTS}"] if len(points) > _HULL_POINTS else []
    if len(points) < 4 or np.linalg.matrix_rank(points - points.mean(0), tol=_FLAT_M) < 3:
        found.append("is a flat hull")
    return found


def _friction_faults(prim: Usd.Prim) -> list[str]:
    """Without a bound physics material, or with one that states no friction, engines assume their own."""
    material, _ = UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial("physics")
    if not material or not material.GetPrim().HasAPI(UsdPhysics.MaterialAPI):
        return ["has no physics material"]
    api = UsdPhysics.MaterialAPI(material.GetPrim())
    authored = api.GetStaticFrictionAttr().HasAuthoredValue() and api.GetDynamicFrictionAttr().HasAuthoredValue()
    if not authored or api.GetDynamicFrictionAttr().Get() <= 0:
        return ["has a physics material without friction"]
    return []
