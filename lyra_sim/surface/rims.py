"""Gives thin things and rims back to the visible mesh: pieces of measured depth images that stand in front of it.

A surface fused in voxels ends up to a voxel before the silhouette of a thing, and of what is a few voxels thin it keeps
shreds, past which cameras see what is behind. There, depth images are more exact: their pixels become triangles (as in
Turk and Levoy 1994, "Zippered polygon meshes from range images") where other views measured the same surface.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int32, UInt8
from numba import njit, prange

from lyra_sim.core.records import FaceOrigin, Label, PixelOrigin, TriMesh
from lyra_sim.geometry.camera import invert, pixel_rays
from lyra_sim.geometry.rays import RayScene
from lyra_sim.surface.clean import face_normals_areas, face_vectors
from lyra_sim.surface.decimate import simplify_triangles
from lyra_sim.surface.linear import moved
from lyra_sim.surface.views import View

SLACK_M, SLACK_SHARE = 0.02, 0.01
"""Surfaces that are less apart (and a share of the distance) are the same one."""
LEAST_PIXELS = 30
"""Smaller spots of a depth image are noise."""
WITNESSES = 3
"""So many other views measured the same surface, and at most a third as many as did saw through it."""
LEAST_COS = 0.15
"""Triangles that the camera sees at a smaller angle (81 degrees from the normal) bridge two surfaces."""
KEPT = 0.35
"""Share of a piece's triangles, two a pixel, that stay after edge collapse."""


@dataclass(frozen=True)
class Missing:
    """Where a view measured something that the mesh lacks."""

    view: View
    pixels: Bool[np.ndarray, "H W"]


def rims(mesh: TriMesh, views: list[View], voxel_m: float, most_faces: int) -> TriMesh:
    """At most `most_faces` triangles of what the views measured in front of the mesh, no farther away than pixels are
    twice as fine as voxels: the views with most of it first, each adding what the ones before left missing. What would
    be floor is an object's, since floor is flat.
    """
    views = [replace(view, depth_m=np.where(view.origin == PixelOrigin.MEASURED, view.depth_m, 0)) for view in views]
    scene = RayScene(mesh.vertices, mesh.faces)
    normal, _ = face_normals_areas(mesh.vertices, mesh.faces)
    found = [missing(scene, normal, view, views, voxel_m) for view in views]
    vertices, faces, colors = np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32), np.zeros((0, 3), np.uint8)
    for one in sorted(found, key=lambda one: -int(one.pixels.sum())):
        corners, wound = triangles(one.view, _still(one, RayScene(vertices, faces)))
        if len(faces) + len(wound) > most_faces:
            continue
        faces = np.concatenate([faces, wound + np.int32(len(vertices))])
        vertices, colors = np.concatenate([vertices, corners]), np.concatenate([colors, _colors(one.view, corners)])
    _, nearest = scene.closest(vertices[faces].mean(axis=1))
    label = mesh.face_label[nearest]
    return TriMesh(
        vertices=vertices,
        faces=faces,
        vertex_color=colors,
        face_label=np.where(label == Label.FLOOR, np.uint8(Label.OBJECT), label),
        face_origin=np.full(len(faces), int(FaceOrigin.SEEN), np.uint8),
    )


def missing(
    scene: RayScene, normal: Float[np.ndarray, "M 3"], view: View, views: list[View], voxel_m: float
) -> Missing:
    """Pixels whose measured point stands off the plane of the face behind it, or before nothing at all, and which
    other views confirm. Every second pixel of both directions is looked at first, then those around what was found."""
    known = (view.depth_m > 0) & (view.depth_m <= view.camera.fx * voxel_m / 2)
    first = np.zeros_like(known)
    first[::2, ::2] = True
    found = _standing_off(scene, normal, view, known & first)
    around = cv2.dilate(found.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    pixels = _large(_standing_off(scene, normal, view, known & around))
    pixels[pixels] = confirmed(_points(view, pixels), [other for other in views if other is not view])
    return Missing(view, _large(pixels))


def _points(view: View, pixels: Bool[np.ndarray, "H W"]) -> Float64[np.ndarray, "N 3"]:
    """What these pixels measured, in the world."""
    return moved(view.cam_to_world, pixel_rays(view.camera)[pixels] * view.depth_m[pixels][:, None].astype(np.float64))


def _standing_off(
    scene: RayScene, normal: Float[np.ndarray, "M 3"], view: View, pixels: Bool[np.ndarray, "H W"]
) -> Bool[np.ndarray, "H W"]:
    eye = view.cam_to_world[:3, 3]
    rays = _points(view, pixels) - eye
    t, face, _ = scene.cast(np.broadcast_to(eye, rays.shape), rays)
    off, hit = np.full(len(t), np.inf), face >= 0
    off[hit] = (t[hit] - 1.0) * np.abs((normal[face[hit]] * rays[hit]).sum(axis=1))
    out = np.zeros_like(pixels)
    out[pixels] = off > SLACK_M + SLACK_SHARE * view.depth_m[pixels]
    return out


def _large(pixels: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    spot = np.asarray(cv2.connectedComponents(pixels.astype(np.uint8), connectivity=8)[1], np.int32)
    return (np.bincount(spot.ravel()) >= LEAST_PIXELS)[spot] & pixels


def confirmed(points: Float64[np.ndarray, "P 3"], views: list[View]) -> Bool[np.ndarray, "P"]:
    """Points that enough views measured, and hardly any saw through: all 9 pixels around measured beyond it."""
    agree, through = np.zeros(len(points), np.int32), np.zeros(len(points), np.int32)
    for view in views:
        lens = np.array([view.camera.fx, view.camera.fy, view.camera.cx, view.camera.cy])
        _ask(moved(invert(view.cam_to_world), points), lens, view.depth_m, agree, through)
    return (agree >= WITNESSES) & (3 * through <= agree)


@njit(cache=True, parallel=True)
def _ask(points, lens, depth, agree, through):
    height, width = depth.shape
    for n in prange(len(points)):
        x, y, z = points[n]
        if z < 0.05:
            continue
        u, v = int(x / z * lens[0] + lens[2]), int(y / z * lens[1] + lens[3])
        if u < 1 or v < 1 or u >= width - 1 or v >= height - 1:
            continue
        slack = SLACK_M + SLACK_SHARE * z
        same, beyond = False, True
        for j in range(v - 1, v + 2):
            for i in range(u - 1, u + 2):
                d = depth[j, i]
                same |= d > 0 and abs(d - z) <= slack
                beyond &= d > z + 2 * slack
        agree[n] += same
        through[n] += beyond


def _still(one: Missing, scene: RayScene) -> Bool[np.ndarray, "H W"]:
    """The missing pixels that these further triangles do not show either."""
    eye = one.view.cam_to_world[:3, 3]
    rays = _points(one.view, one.pixels) - eye
    t, _, _ = scene.cast(np.broadcast_to(eye, rays.shape), rays)
    depth = one.view.depth_m[one.pixels]
    still = one.pixels.copy()
    still[one.pixels] = np.abs(t - 1.0) * depth > SLACK_M + SLACK_SHARE * depth
    return _large(still)


def triangles(
    view: View, pixels: Bool[np.ndarray, "H W"]
) -> tuple[Float32[np.ndarray, "N 3"], Int32[np.ndarray, "K 3"]]:
    """Two triangles for each four measured pixels in a square one of which is among `pixels`, where they lie on one
    surface; fewer after edge collapse. They face the camera."""
    near = (cv2.dilate(pixels.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & (view.depth_m > 0)
    number = np.cumsum(near).reshape(near.shape) - 1
    upper, lower = slice(None, -1), slice(1, None)
    a, b, c, d = (upper, upper), (upper, lower), (lower, lower), (lower, upper)
    rows = []
    for corners in ((a, d, b), (d, c, b)):
        wanted = np.all([near[at] for at in corners], axis=0) & np.any([pixels[at] for at in corners], axis=0)
        rows.append(np.stack([number[at][wanted] for at in corners], axis=1))
    faces, points = np.concatenate(rows), _points(view, near)
    facing, toward = face_vectors(points, faces), view.cam_to_world[:3, 3] - points[faces].mean(axis=1)
    cosine = (facing * toward).sum(axis=1) / (np.linalg.norm(facing, axis=1) * np.linalg.norm(toward, axis=1) + 1e-12)
    used, faces = np.unique(faces[cosine >= LEAST_COS], return_inverse=True)
    faces = faces.reshape(-1, 3).astype(np.int32)
    return simplify_triangles(points[used], faces, int(KEPT * len(faces)))


def _colors(view: View, points: Float[np.ndarray, "N 3"]) -> UInt8[np.ndarray, "N 3"]:
    pixels, _ = view.pixels(points)
    u, v = np.clip(pixels.astype(np.int64), 0, [view.camera.width - 1, view.camera.height - 1]).T
    return view.image[v, u]
