"""What a camera sees of a scene's visible meshes: textures sampled at the first hit of each pixel's ray (no light)."""

import numpy as np
from jaxtyping import Bool, Float, Float32

from lyra_sim.core.records import Intrinsics
from lyra_sim.geometry.camera import pixel_rays
from lyra_sim.geometry.rays import RayScene
from usd_export.records import SceneGeometry, VisualMesh, merge


class Appearance:
    """Visible meshes that can be looked at.

    Args:
        scene: with textures decoded.
        facing: keep only triangles that face this point, so that a camera there looks into closed worlds; None keeps
            all.
    """

    def __init__(self, scene: SceneGeometry, facing: np.ndarray | None = None) -> None:
        self._visuals = [v if facing is None else _facing(v, facing) for v in scene.visuals]
        vertices, faces = merge(tuple(self._visuals))
        self._rays = RayScene(vertices, faces)
        self._start = np.cumsum([0] + [len(v.faces) for v in self._visuals])

    def look(
        self, camera: Intrinsics, T_world_cam: np.ndarray, stride: int = 1
    ) -> tuple[Float32[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
        """Colour (sRGB, 0..255) and whether the ray met anything, for every `stride`-th pixel of both directions."""
        rays = pixel_rays(camera)[::stride, ::stride]
        directions = rays.reshape(-1, 3) @ T_world_cam[:3, :3].T
        color, hit = self.along(np.broadcast_to(T_world_cam[:3, 3], directions.shape), directions)
        return color.reshape(rays.shape), hit.reshape(rays.shape[:2])

    def along(
        self, origins: Float[np.ndarray, "N 3"], directions: Float[np.ndarray, "N 3"]
    ) -> tuple[Float32[np.ndarray, "N 3"], Bool[np.ndarray, "N"]]:
        """The same for any rays."""
        _, face, uv = self._rays.cast(origins, directions)
        color = np.zeros((len(face), 3), np.float32)
        part = np.searchsorted(self._start, face, side="right") - 1
        for number, visual in enumerate(self._visuals):
            here = np.flatnonzero((part == number) & (face >= 0))
            if len(here):
                color[here] = _colors(visual, face[here] - self._start[number], uv[here])
        return color, face >= 0


def _facing(visual: VisualMesh, point: np.ndarray) -> VisualMesh:
    corners = visual.vertices[visual.faces].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    front = (normal * (point - corners[:, 0])).sum(1) > 0
    return VisualMesh(
        path=visual.path,
        label=visual.label,
        labelled=visual.labelled,
        vertices=visual.vertices,
        faces=visual.faces[front],
        uv=visual.uv[front] if visual.uv is not None else None,
        texture=visual.texture,
        color=visual.color,
    )


def _colors(visual: VisualMesh, face: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
    """Texture at points of faces, bilinear; the mean colour of a mesh without texture."""
    if visual.uv is None or visual.texture is None:
        linear = visual.color
        return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    weight = np.stack([1 - barycentric.sum(1), barycentric[:, 0], barycentric[:, 1]], 1)
    uv = (visual.uv[face] * weight[..., None]).sum(1)
    height, width = visual.texture.shape[:2]
    x = np.clip(uv[:, 0] * width - 0.5, 0, width - 1)
    y = np.clip((1 - uv[:, 1]) * height - 0.5, 0, height - 1)
    x0, y0 = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    fx, fy = (x - x0)[:, None], (y - y0)[:, None]
    texture = visual.texture
    top = texture[y0, x0] * (1 - fx) + texture[y0, x0 + 1] * fx
    bottom = texture[y0 + 1, x0] * (1 - fx) + texture[y0 + 1, x0 + 1] * fx
    return (top * (1 - fy) + bottom * fy).astype(np.float32)
