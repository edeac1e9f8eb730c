"""Rules for meshes: sound topology, extent, no subdivision, normals that agree with the winding, a label."""

import numpy as np
from pxr import Usd, UsdGeom, UsdPhysics, UsdSemantics

from usd_export import tessellate
from usd_export.validate.rule_table import Finding, finding

_EXTENT_M = 1e-3
_Fault = tuple[str, str]
"""Rule without its prefix, and the end of the sentence that begins with the mesh."""


def mesh_problems(stage: Usd.Stage, *, ours: bool) -> list[Finding]:
    """What is wrong with the meshes of a scene, in stage order.

    Args:
        ours: also ask for what this project promises of its own scenes: subdivision off, normals, used points, labels.
    """
    found = []
    for prim in stage.Traverse(Usd.TraverseInstanceProxies(Usd.PrimDefaultPredicate)):
        if not prim.IsA(UsdGeom.Mesh):
            continue
        mesh = UsdGeom.Mesh(prim)
        points = np.array(mesh.GetPointsAttr().Get() or (), np.float64).reshape(-1, 3)
        counts = np.array(mesh.GetFaceVertexCountsAttr().Get() or (), np.int64)
        indices = np.array(mesh.GetFaceVertexIndicesAttr().Get() or (), np.int64)
        faults = _topology_faults(points, counts, indices)
        if not faults:
            faults = _extent_faults(mesh, points) + _normal_faults(mesh, points, counts, indices, required=ours)
        if ours:
            faults += _promise_faults(prim, points, indices)
        path = prim.GetPath()
        found += [finding(rule, path, f"mesh {path} {told}") for rule, told in faults]
    return found


def _topology_faults(points: np.ndarray, counts: np.ndarray, indices: np.ndarray) -> list[_Fault]:
    if len(points) == 0 or len(counts) == 0:
        return [("MSH-001", "is empty")]
    if not np.isfinite(points).all():
        return [("MSH-002", "has points that are not finite")]
    if counts.min() < 3 or counts.sum() != len(indices):
        return [("MSH-003", "has face counts that do not fit its indices")]
    if indices.min() < 0 or indices.max() >= len(points):
        return [("MSH-004", "has indices outside its points")]
    return []


def _extent_faults(mesh: UsdGeom.Mesh, points: np.ndarray) -> list[_Fault]:
    extent = mesh.GetExtentAttr().Get()
    if extent is None or len(extent) != 2:
        return [("MSH-005", "has no extent")]
    off = np.abs(np.array(extent) - [points.min(0), points.max(0)]).max()
    return [("MSH-006", f"has an extent that is {off:.3g} off")] if off > _EXTENT_M else []


def _normal_faults(
    mesh: UsdGeom.Mesh, points: np.ndarray, counts: np.ndarray, indices: np.ndarray, *, required: bool
) -> list[_Fault]:
    triangles, corners = tessellate.triangulate(counts, indices)
    corner_points = points[triangles]
    facing = np.cross(corner_points[:, 1] - corner_points[:, 0], corner_points[:, 2] - corner_points[:, 0])
    if mesh.GetOrientationAttr().Get() == UsdGeom.Tokens.leftHanded:
        facing = -facing
    normals = _normals_at_corners(mesh, counts, triangles, corners)
    if normals is None:
        return [("MSH-007", "has no normals")] if required else []
    against = int(((normals.mean(1) * facing).sum(1) < 0).sum())
    told = f"has {against} of {len(facing)} faces wound against its normals"
    return [("MSH-008", told)] if against else []


def _normals_at_corners(
    mesh: UsdGeom.Mesh, counts: np.ndarray, triangles: np.ndarray, corners: np.ndarray
) -> np.ndarray | None:
    """(M, 3, 3) authored normals of each triangle's corners; None where there are none of the right number."""
    primvar = UsdGeom.PrimvarsAPI(mesh).GetPrimvar("normals")
    if primvar and primvar.HasAuthoredValue():
        values, interpolation = primvar.ComputeFlattened(), primvar.GetInterpolation()
    else:
        values, interpolation = mesh.GetNormalsAttr().Get(), mesh.GetNormalsInterpolation()
    values = np.array(values or (), np.float64).reshape(-1, 3)
    face = np.repeat(np.arange(len(counts)), counts - 2)
    wanted = {
        UsdGeom.Tokens.faceVarying: corners,
        UsdGeom.Tokens.vertex: triangles,
        UsdGeom.Tokens.varying: triangles,
        UsdGeom.Tokens.uniform: np.repeat(face[:, None], 3, 1),
    }.get(interpolation)
    return values[wanted] if wanted is not None and len(values) > wanted.max() else None


def _promise_faults(prim: Usd.Prim, points: np.ndarray, indices: np.ndarray) -> list[_Fault]:
    found = []
    mesh = UsdGeom.Mesh(prim)
    if mesh.GetSubdivisionSchemeAttr().Get() != UsdGeom.Tokens.none:
        found.append(("MSH-009", "is a subdivision surface"))
    if len(np.unique(indices)) < len(points):
        found.append(("MSH-010", "has points that no face uses"))
    visible = not prim.HasAPI(UsdPhysics.CollisionAPI)
    labels = UsdSemantics.LabelsAPI(prim, "class").GetLabelsAttr().Get() if visible else ()
    if visible and not labels:
        found.append(("MSH-011", "has no semantic label"))
    return found
