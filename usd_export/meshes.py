"""Authors triangle meshes the way validators and engines want them: no unused points, no empty triangles, explicit
normals that agree with the winding, extent, no subdivision."""

import numpy as np
from pxr import Sdf, Usd, UsdGeom, Vt

_CREASE_COS = 0.7
"""Corners whose face turns away from the smooth normal by more than 45 degrees keep the face's own normal."""


def clean(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Drop triangles without area, then points no triangle uses.

    Returns:
        vertices, faces, kept faces as indices into the input, kept vertices as indices into the input.
    """
    corners = vertices[faces].astype(np.float64)
    area2 = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    kept = np.flatnonzero(area2 > 1e-12)
    used = np.zeros(len(vertices), bool)
    used[faces[kept]] = True
    compact = (np.cumsum(used) - 1).astype(np.int32)
    return vertices[used], compact[faces[kept]], kept, np.flatnonzero(used)


def face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals (M, 3) float32 after the winding. Triangles must have an area."""
    corners = vertices[faces].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return (normal / np.linalg.norm(normal, axis=1, keepdims=True)).astype(np.float32)


def corner_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Smooth unit normals per face corner (M, 3, 3) float32: the area-weighted mean at the vertex, except across
    creases."""
    corners = vertices[faces].astype(np.float64)
    weighted = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    sums = np.stack(
        [np.bincount(faces.ravel(), np.repeat(weighted[:, k], 3), minlength=len(vertices)) for k in range(3)], 1
    )
    smooth = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-30)
    flat = weighted / np.linalg.norm(weighted, axis=1, keepdims=True)
    at_corner = smooth[faces]
    crease = (at_corner * flat[:, None]).sum(-1) < _CREASE_COS
    return np.where(crease[..., None], flat[:, None], at_corner).astype(np.float32)


def unique_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows (sorted by their bytes) and the index of each input row; both depend on the values only."""
    rows = np.ascontiguousarray(rows, np.float32) + np.float32(0)  # -0 becomes 0
    packed = rows.view(np.uint32).byteswap()  # the first byte in memory decides first
    order = np.lexsort(packed.T[::-1])
    new = np.ones(len(rows), bool)
    new[1:] = (packed[order[1:]] != packed[order[:-1]]).any(axis=1)
    index = np.empty(len(rows), np.int32)
    index[order] = np.cumsum(new) - 1
    return rows[order[new]], index


def define_mesh(
    stage: Usd.Stage, path: Sdf.Path | str, vertices: np.ndarray, faces: np.ndarray, *, smooth: bool
) -> UsdGeom.Mesh:
    """Define a triangle mesh.

    Args:
        vertices: (N, 3) float32, all used.
        faces: (M, 3) int32, all with an area, counter-clockwise seen from free space.
        smooth: smooth normals per corner (to look at) or one normal per face (colliders).
    """
    mesh = UsdGeom.Mesh.Define(stage, path)
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateOrientationAttr(UsdGeom.Tokens.rightHanded)
    mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(vertices, np.float32)))
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(faces), 3, np.int32)))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(np.ascontiguousarray(faces.ravel(), np.int32)))
    box = np.stack([vertices.min(0), vertices.max(0)]).astype(np.float32)
    mesh.CreateExtentAttr(Vt.Vec3fArray.FromNumpy(box))
    if smooth:
        values, interpolation = corner_normals(vertices, faces).reshape(-1, 3), UsdGeom.Tokens.faceVarying
    else:
        values, interpolation = face_normals(vertices, faces), UsdGeom.Tokens.uniform
    add_indexed(mesh, "normals", Sdf.ValueTypeNames.Normal3fArray, interpolation, values)
    return mesh


def add_indexed(mesh: UsdGeom.Mesh, name: str, kind: Sdf.ValueTypeName, interpolation: str, values: np.ndarray) -> None:
    """Add a primvar of float32 rows (2 or 3 wide), repeated values stored once."""
    distinct, index = unique_rows(values)
    primvar = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar(name, kind, interpolation)
    array = Vt.Vec2fArray if values.shape[1] == 2 else Vt.Vec3fArray
    primvar.Set(array.FromNumpy(distinct))
    primvar.SetIndices(Vt.IntArray.FromNumpy(index))
