"""Paints a mesh: what keyframes see side by side in one texture, in colours blended from all views, and a strip of
plain colours for what no camera saw."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy import ndimage

from lyra_sim.core.records import PixelOrigin, TexturedMesh, TriMesh
from lyra_sim.geometry.camera import pixel_rays, scaled
from lyra_sim.geometry.rays import RayScene
from lyra_sim.surface.blend import Witness, blend, witness
from lyra_sim.surface.clean import face_normals_areas
from lyra_sim.surface.harmonize import exposures
from lyra_sim.surface.linear import turned
from lyra_sim.surface.views import View, choose_keyframes, look

SWATCH_PX = 4
PALETTE_LEVELS = 32
"""Plain colours are rounded to this many levels per channel."""
FINEST_PERCENT = 150
"""Largest size of a tile beside its image, where several are blended: sampled twice, they blur less when finer."""
PADDING_PX = 3
"""So far beyond its faces a tile goes on in their colours, so that sampling at their rims meets nothing else."""


def paint(
    mesh: TriMesh, views: list[View], texture_px: int, from_first: Int[np.ndarray, "K"] | None = None
) -> TexturedMesh:
    """Texture a mesh from images.

    Every face belongs to the keyframe that shows it best; `uv` is simply the projection into that keyframe's tile. The
    colour of each pixel of a tile is blended from all views of the point that the keyframe sees there (`blend`). Faces
    that no keyframe shows get one colour, the mean of their vertices.

    Args:
        texture_px: longest side of the texture; tiles are scaled down to fit.
        from_first: faces that belong to the first view whatever their visibility (a backdrop made from it).
    """
    normal, area = face_normals_areas(mesh.vertices, mesh.faces)
    quality, color = look(mesh, views)
    if any((view.origin == PixelOrigin.GENERATED).any() for view in views):
        views = _relit(views, *exposures(color, quality, area))
    force = from_first is not None and len(from_first) > 0
    chosen, owner = choose_keyframes(quality, area, first=0 if force else None)
    if from_first is not None:
        owner[from_first] = 0
    plain = np.nonzero(owner < 0)[0]
    colors, swatch = _palette(mesh, plain)
    keyframes = [views[k] for k in chosen]
    layout = fit_layout(keyframes, len(colors), texture_px)
    texture = np.zeros((layout.height, layout.width, 3), np.uint8)
    uv_px = np.zeros((len(mesh.faces), 3, 2))
    scene = RayScene(mesh.vertices, mesh.faces)
    witnesses = [witness(scene, view) for view in views] if keyframes else []
    for place, view in enumerate(keyframes):
        x, y = layout.tile(place)
        small = replace(view, camera=scaled(view.camera, layout.tile_w, layout.tile_h))
        texture[y : y + layout.tile_h, x : x + layout.tile_w] = _tile(small, scene, owner == place, normal, witnesses)
        face = np.nonzero(owner == place)[0]
        pixels, _ = small.pixels(mesh.vertices[mesh.faces[face]].reshape(-1, 3))
        uv_px[face] = (np.clip(pixels, 0, [layout.tile_w, layout.tile_h]) + np.array([x, y])).reshape(-1, 3, 2)
    centres = layout.paint_palette(texture, colors)
    uv_px[plain] = centres[swatch][:, None]
    uv = np.stack([uv_px[..., 0] / layout.width, 1.0 - uv_px[..., 1] / layout.height], axis=-1)
    return TexturedMesh(mesh=mesh, uv=np.clip(uv, 0.0, 1.0).astype(np.float32), texture=texture)


def _relit(views: list[View], gain: Float[np.ndarray, "V 3"], offset: Float[np.ndarray, "V 3"]) -> list[View]:
    """Views in common colours."""
    out = []
    for view, a, b in zip(views, gain, offset, strict=True):
        image = np.clip(np.rint(view.image * a + 255.0 * b), 0, 255).astype(np.uint8)
        out.append(replace(view, image=image))
    return out


def _tile(
    view: View,
    scene: RayScene,
    mine: Bool[np.ndarray, "M"],
    normal: Float[np.ndarray, "M 3"],
    witnesses: list[Witness],
) -> UInt8[np.ndarray, "h w 3"]:
    """The picture of a keyframe at the size of `view.camera`: where it shows faces of its own, their blended colour,
    which goes on a few pixels beyond them."""
    camera = view.camera
    way = cv2.INTER_AREA if camera.width <= view.image.shape[1] else cv2.INTER_LINEAR
    image = cv2.resize(view.image, (camera.width, camera.height), interpolation=way)
    directions = turned(pixel_rays(camera).reshape(-1, 3), view.cam_to_world[:3, :3])
    t, face, _ = scene.cast(np.broadcast_to(view.cam_to_world[:3, 3], directions.shape), directions)
    used = np.flatnonzero((face >= 0) & mine[face])
    points = view.cam_to_world[:3, 3] + directions[used] * t[used, None]
    color, weight = blend(points, normal[face[used]], witnesses)
    known = used[weight > 0]
    if not len(known):
        return image
    image.reshape(-1, 3)[known] = np.clip(np.rint(color[weight > 0]), 0, 255)
    unknown = np.ones(image.shape[:2], bool)
    unknown.ravel()[known] = False
    nearest = np.asarray(ndimage.distance_transform_edt(unknown, return_distances=False, return_indices=True))
    away = np.abs(nearest - np.indices(unknown.shape)).max(axis=0)
    return np.where((away <= PADDING_PX)[..., None], image[tuple(nearest)], image)


def _palette(mesh: TriMesh, faces: Int[np.ndarray, "K"]) -> tuple[UInt8[np.ndarray, "C 3"], Int[np.ndarray, "K"]]:
    """Distinct rounded mean colours of these faces, and which one each face has."""
    mean = mesh.vertex_color[mesh.faces[faces]].astype(np.float64).mean(axis=1)
    step = 256 // PALETTE_LEVELS
    rounded = (mean // step * step + step // 2).astype(np.uint8)
    if len(faces) == 0:
        return np.zeros((1, 3), np.uint8), np.zeros(0, np.int64)
    colors, index = np.unique(rounded, axis=0, return_inverse=True)
    return colors, index.reshape(-1)


@dataclass(frozen=True)
class Layout:
    """Where tiles and swatches lie in the texture, in pixels from its top left corner."""

    columns: int
    rows: int
    tile_w: int
    tile_h: int
    swatches: int

    @property
    def width(self) -> int:
        return max(self.columns * self.tile_w, 64)

    @property
    def height(self) -> int:
        return self.rows * self.tile_h + _palette_height(self.swatches, self.width)

    def tile(self, place: int) -> tuple[int, int]:
        """Left and top of a keyframe's tile."""
        return place % self.columns * self.tile_w, place // self.columns * self.tile_h

    def paint_palette(self, texture: UInt8[np.ndarray, "H W 3"], colors: UInt8[np.ndarray, "C 3"]) -> np.ndarray:
        """Fill in the swatches; returns their centres (C, 2)."""
        per_row = self.width // SWATCH_PX
        centres = np.zeros((len(colors), 2))
        for n, color in enumerate(colors):
            x, y = n % per_row * SWATCH_PX, self.rows * self.tile_h + n // per_row * SWATCH_PX
            texture[y : y + SWATCH_PX, x : x + SWATCH_PX] = color
            centres[n] = x + SWATCH_PX / 2, y + SWATCH_PX / 2
        return centres


def _palette_height(swatches: int, width: int) -> int:
    return -(-swatches // (width // SWATCH_PX)) * SWATCH_PX


def fit_layout(keyframes: list[View], swatches: int, texture_px: int) -> Layout:
    """The largest tiles, up to `FINEST_PERCENT` of the images' size (of one image alone, its size), that fit with the
    swatches into a square of `texture_px`."""
    if not keyframes:
        return Layout(columns=1, rows=0, tile_w=64, tile_h=0, swatches=swatches)
    w = max(view.camera.width for view in keyframes)
    h = max(view.camera.height for view in keyframes)
    for percent in range(FINEST_PERCENT if len(keyframes) > 1 else 100, 0, -2):
        tile_w, tile_h = max(1, w * percent // 100), max(1, h * percent // 100)
        most = texture_px // tile_w
        if most == 0:
            continue
        columns = min(most, max(1, round(np.sqrt(len(keyframes) * tile_h / tile_w))))
        for count in range(columns, most + 1):
            layout = Layout(count, -(-len(keyframes) // count), tile_w, tile_h, swatches)
            if layout.height <= texture_px and layout.width <= texture_px:
                return layout
    raise AssertionError("texture_px >= 256 holds any number of keyframes that is chosen")
