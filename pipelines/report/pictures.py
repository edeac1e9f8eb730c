"""Pictures of a finished world: the input, the plan seen from above, a render of the mesh, the map with episodes."""

import dataclasses
import io
from pathlib import Path

from PIL import Image, ImageDraw
from usd_export.render import render_from_above, render_overview

from lyra_sim.core.records import Capture, World
from usd_export import SceneGeometry, read_scene

_PANEL = (640, 480)
_CAPTIONS = ("input", "plan from above", "mesh", "map and episodes")


@dataclasses.dataclass(frozen=True)
class WorldPictures:
    """PNG bytes by caption, and the four of them in one sheet."""

    panels: tuple[tuple[str, bytes], ...]
    overview: bytes


def world_pictures(folder: Path, capture: Capture, world: World) -> WorldPictures:
    """Render the pictures of an assembled world folder."""
    scene: SceneGeometry = read_scene(folder / "scene.usda")
    path = world.start.frames.cam_to_world[:, :3, 3]
    images = [
        Image.fromarray(capture.images[len(capture.images) // 2]),
        Image.fromarray(render_from_above(scene, *_PANEL, path=path)),
        Image.fromarray(render_overview(scene, *_PANEL)),
        _nav_preview(folder),
    ]
    panels = tuple((caption, _png(_fitted(image))) for caption, image in zip(_CAPTIONS, images, strict=True))
    return WorldPictures(panels, _png(_sheet([_fitted(image) for image in images])))


def _nav_preview(folder: Path) -> Image.Image:
    previews = sorted(folder.glob("nav/*/preview.png"))
    if not previews:
        return Image.new("RGB", _PANEL, (40, 40, 40))
    with Image.open(previews[-1]) as image:
        return image.convert("RGB")


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
