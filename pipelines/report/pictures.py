"""Pictures of a finished world: the input, the plan seen from above, a render of the mesh, the map with episodes."""

import dataclasses
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from lyra_sim.core.records import Capture, World
from usd_export import read_scene
from usd_export.appearance import Appearance
from usd_export.records import merge

_PANEL = (640, 480)
_CAPTIONS = ("input", "plan from above", "mesh", "map and episodes")
_CUT_M = 1.9
"""The plan shows what lies below this height, so that ceilings do not hide it."""


@dataclasses.dataclass(frozen=True)
class WorldPictures:
    """PNG bytes by caption, and the four of them in one sheet."""

    panels: tuple[tuple[str, bytes], ...]
    overview: bytes


def world_pictures(folder: Path, capture: Capture, world: World) -> WorldPictures:
    """The pictures of an assembled world folder."""
    images = [
        Image.fromarray(capture.images[len(capture.images) // 2]),
        _plan(folder, world),
        _picture(folder / "preview.png"),
        _nav_preview(folder),
    ]
    panels = tuple((caption, _png(_fitted(image))) for caption, image in zip(_CAPTIONS, images, strict=True))
    return WorldPictures(panels, _png(_sheet([_fitted(image) for image in images])))


def _plan(folder: Path, world: World) -> Image.Image:
    """The visible meshes below the cut straight from above, x to the right, with the path of the input cameras."""
    scene = read_scene(folder / "scene.usda")
    vertices, _ = merge(scene.visuals)
    low, high = np.percentile(vertices[np.abs(vertices[:, 2]) < _CUT_M], [1, 99], axis=0)[:, :2]
    scale = 0.95 * min(_PANEL[0] / (high[0] - low[0]), _PANEL[1] / (high[1] - low[1]))
    middle = (low + high) / 2
    u, v = np.meshgrid(np.arange(_PANEL[0]) + 0.5, np.arange(_PANEL[1]) + 0.5)
    x, y = (u - _PANEL[0] / 2) / scale + middle[0], (_PANEL[1] / 2 - v) / scale + middle[1]
    origins = np.stack([x, y, np.full_like(x, _CUT_M)], -1).reshape(-1, 3)
    color, hit = Appearance(scene).along(origins, np.broadcast_to(np.array([0.0, 0.0, -1.0]), origins.shape))
    color[~hit] = 24
    image = Image.fromarray(color.reshape(_PANEL[1], _PANEL[0], 3).round().astype(np.uint8))
    path = world.start.frames.cam_to_world[:, :2, 3]
    spots = [((px - middle[0]) * scale + _PANEL[0] / 2, _PANEL[1] / 2 - (py - middle[1]) * scale) for px, py in path]
    draw = ImageDraw.Draw(image)
    if len(spots) > 1:
        draw.line(spots, fill=(255, 120, 0), width=2)
    draw.ellipse((spots[0][0] - 4, spots[0][1] - 4, spots[0][0] + 4, spots[0][1] + 4), fill=(255, 120, 0))
    return image


def _picture(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _nav_preview(folder: Path) -> Image.Image:
    return _picture(sorted(folder.glob("nav/*/preview.png"))[-1])


def _fitted(image: Image.Image) -> Image.Image:
    """The image inside a panel, uncropped."""
    scale = min(_PANEL[0] / image.width, _PANEL[1] / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    panel = Image.new("RGB", _PANEL, (24, 24, 24))
    smooth = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    panel.paste(image.resize(size, smooth), ((_PANEL[0] - size[0]) // 2, (_PANEL[1] - size[1]) // 2))
    return panel


def _sheet(panels: list[Image.Image]) -> Image.Image:
    sheet = Image.new("RGB", (2 * _PANEL[0] + 4, 2 * _PANEL[1] + 4), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for index, (caption, panel) in enumerate(zip(_CAPTIONS, panels, strict=True)):
        x, y = (index % 2) * (_PANEL[0] + 4), (index // 2) * (_PANEL[1] + 4)
        sheet.paste(panel, (x, y))
        draw.rectangle((x, y, x + 8 + 7 * len(caption), y + 16), fill=(0, 0, 0))
        draw.text((x + 4, y + 2), caption, fill=(255, 255, 255))
    return sheet


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=False, compress_level=6)
    return buffer.getvalue()
