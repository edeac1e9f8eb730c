"""Rules for what others' scenes do and ours do not: splats without body, skies made of meshes, cameras and foreign
folders in packages, colliders that are switched off, sizes that no place has."""

import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
from pxr import Usd, UsdGeom, UsdPhysics, UsdVol

from usd_export.validate.rule_table import Finding, finding

_SKY_TIMES = 3.0
"""A sky is so many times larger than all it encloses, along every axis."""
_SMALLEST_M, _LARGEST_M = 0.2, 2000.0
_DEFAULT = [UsdGeom.Tokens.default_]
_PURPOSES = [UsdGeom.Tokens.default_, UsdGeom.Tokens.render, UsdGeom.Tokens.proxy, UsdGeom.Tokens.guide]


def foreign_problems(stage: Usd.Stage) -> list[Finding]:
    """What is wrong with a scene that anybody may have made, in stage order per rule."""
    prims = list(stage.Traverse(Usd.TraverseInstanceProxies(Usd.PrimDefaultPredicate)))
    bounds = UsdGeom.BBoxCache(Usd.TimeCode.Default(), _PURPOSES, useExtentsHint=False)
    return [
        *_splat_problems(stage, prims, bounds),
        *_sky_problems(sky_meshes(stage)),
        *_switched_off(prims),
        *_size_problems(stage, bounds),
        *_scene_problems(prims),
        *_package_problems(stage, prims),
    ]


def is_splats(prim: Usd.Prim) -> bool:
    """Whether a prim is a field of splats: OpenUSD's particle fields, or a NuRec volume of Isaac Sim 5."""
    nurec = prim.GetAttribute("omni:nurec:isNuRecVolume")
    return prim.IsA(UsdVol.ParticleField) or bool(nurec and nurec.Get())


def _box(prim: Usd.Prim, bounds: UsdGeom.BBoxCache) -> np.ndarray | None:
    """(2, 3) corners of a prim's world box; None where it has none that is finite."""
    box = bounds.ComputeWorldBound(prim).ComputeAlignedRange()
    corners = np.array([box.GetMin(), box.GetMax()])
    return corners if not box.IsEmpty() and np.isfinite(corners).all() else None


def _boxes(prims: list[Usd.Prim], bounds: UsdGeom.BBoxCache) -> np.ndarray:
    """(N, 2, 3) boxes of the prims that have one."""
    return np.array([box for prim in prims if (box := _box(prim, bounds)) is not None]).reshape(-1, 2, 3)


def _splat_problems(stage: Usd.Stage, prims: list[Usd.Prim], bounds: UsdGeom.BBoxCache) -> list[Finding]:
    """Boxes of splats and of colliders that do not even touch: the mesh was made in another frame."""
    splats = [prim for prim in prims if is_splats(prim)]
    colliders = [prim for prim in prims if prim.HasAPI(UsdPhysics.CollisionAPI) and prim.IsA(UsdGeom.Gprim)]
    seen, touched = _boxes(splats, bounds), _boxes(colliders, bounds)
    if len(seen) == 0 or len(touched) == 0:
        return []
    low = np.maximum(seen[:, 0].min(0), touched[:, 0].min(0))
    high = np.minimum(seen[:, 1].max(0), touched[:, 1].max(0))
    if (low <= high).all():
        return []
    apart = np.linalg.norm(np.maximum(low - high, 0)) * UsdGeom.GetStageMetersPerUnit(stage)
    told = f"splats and colliders lie {apart:.3g} m apart"
    return [finding("SPL-002", splats[0].GetPath(), told)]


def sky_meshes(stage: Usd.Stage, *, drawn: bool = False) -> list[Usd.Prim]:
    """Shapes that enclose all others and are three times as large along every axis.

    Args:
        drawn: also those of the purpose render, which are outside the bounds that mapping tools take.
    """
    purposes = [*_DEFAULT, UsdGeom.Tokens.render] if drawn else _DEFAULT
    bounds = UsdGeom.BBoxCache(Usd.TimeCode.Default(), purposes, useExtentsHint=False)
    everything = Usd.TraverseInstanceProxies(Usd.PrimDefaultPredicate)
    shapes = [prim for prim in stage.Traverse(everything) if prim.IsA(UsdGeom.Gprim)]
    known = [(prim, box) for prim in shapes if (box := _box(prim, bounds)) is not None]
    known.sort(key=lambda pair: -float(np.prod(np.ptp(pair[1], axis=0))))
    found: list[Usd.Prim] = []
    for number, (prim, box) in enumerate(known[:-1]):
        others = np.array([other for _, other in known[number + 1 :]])
        low, high = others[:, 0].min(0), others[:, 1].max(0)
        inside = (box[0] <= low).all() and (high <= box[1]).all()
        if not inside or (np.ptp(box, axis=0) < _SKY_TIMES * (high - low)).any() or np.ptp(box, axis=0).min() == 0:
            break
        found.append(prim)
    return found


def _sky_problems(skies: list[Usd.Prim]) -> list[Finding]:
    return [
        finding("MSH-012", prim.GetPath(), f"mesh {prim.GetPath()} encloses the scene like a sky") for prim in skies
    ]


def _switched_off(prims: list[Usd.Prim]) -> list[Finding]:
    found = []
    for prim in prims:
        if prim.HasAPI(UsdPhysics.CollisionAPI) and not UsdPhysics.CollisionAPI(prim).GetCollisionEnabledAttr().Get():
            found.append(finding("COL-011", prim.GetPath(), f"collider {prim.GetPath()} is switched off"))
    return found


def _size_problems(stage: Usd.Stage, bounds: UsdGeom.BBoxCache) -> list[Finding]:
    box = _box(stage.GetPseudoRoot(), bounds)
    if box is None:
        return []
    size = float(np.ptp(box, axis=0).max()) * UsdGeom.GetStageMetersPerUnit(stage)
    if _SMALLEST_M <= size <= _LARGEST_M:
        return []
    return [finding("UNIT-004", "/", f"the scene measures {size:.3g} m along its longest side")]


def _scene_problems(prims: list[Usd.Prim]) -> list[Finding]:
    if any(prim.IsA(UsdPhysics.Scene) for prim in prims):
        return []
    return [finding("STG-006", "/", "there is no PhysicsScene")]


def _package_problems(stage: Usd.Stage, prims: list[Usd.Prim]) -> list[Finding]:
    """Cameras in a package, and layers that kept the folders in which they lay when it was packed."""
    file = Path(stage.GetRootLayer().realPath)
    if file.suffix.lower() != ".usdz":
        return []
    found = []
    for prim in prims:
        if prim.IsA(UsdGeom.Camera):
            found.append(finding("PKG-001", prim.GetPath(), f"the package holds a camera at {prim.GetPath()}"))
    with zipfile.ZipFile(file) as package:
        root = PurePosixPath(package.namelist()[0].replace("\\", "/"))
    if len(root.parts) > 1:
        found.append(finding("PKG-002", root, f"the package keeps the folder {root.parent} of its root layer"))
    return found
