"""The path of a plan in the picture where it begins, and on the map of what the start shows."""

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw

from lyra_sim.core.records import Frames, Intrinsics
from lyra_sim.explore.outline import Outline
from lyra_sim.geometry.camera import invert, project, transform
from lyra_sim.trajectory.freemap import CELL_M
from lyra_sim.trajectory.motion import heading_of
from pipelines.report.drawing import DARK, GRAY, RED, Colour, at_time, font, nice_step

AREAS: dict[str, Colour] = {
    "free and reachable": (160, 212, 152),
    "free, out of reach": (214, 226, 160),
    "floor, too near to something": (226, 212, 178),
    "something stands there": (88, 82, 80),
    "new floor, expected to be seen": (140, 178, 236),
    "unknown": (228, 230, 234),
}
"""What the map shows, and its colours."""
_REACHABLE, _FREE, _FLOOR, _BLOCKED, _EXPECTED, _UNKNOWN = (np.array(c, np.float64) for c in AREAS.values())
_LOOK_EVERY, _LOOK_M, _VIEW_M = 8, 0.3, 0.9
_LEAST_M = 4.0
"""The map shows at least so much from side to side."""
_PATH_M = 0.07
"""Width of the path on the floor."""
_FINE_M = 0.04
_NEAR_M = 0.15
"""Nearest the camera of the photo that the path is drawn."""


def in_the_photo(frames: Frames, made: Outline, size: tuple[int, int], unit: int) -> Image.Image:
    """The last frame with the path on the floor (z = 0) below the camera, where the depth of the frame does not hide
    it; fainter with distance, and where no depth is known.

    Args:
        size: width and height of the panel, pixels.
        unit: pixels of a thin line.
    """
    camera = frames.intrinsics
    scale = min(size[0] / camera.width, size[1] / camera.height)
    shape = (round(camera.width * scale), round(camera.height * scale))
    photo = Image.fromarray(frames.images[-1]).resize(shape, Image.Resampling.LANCZOS)
    points, share, red = _on_the_floor(made)
    uv, z = project(transform(invert(frames.cam_to_world[-1]), points), camera)
    shown, sure = _visible(frames, uv, z)
    ink = Image.new("RGBA", shape, (0, 0, 0, 0))
    draw = ImageDraw.Draw(ink)
    for n in np.argsort(-z[:-1], kind="stable") if len(z) > 1 else ():  # far ones first
        if shown[n] and shown[n + 1] and abs(share[n + 1] - share[n]) > 0:
            width = int(np.clip(_PATH_M * camera.fx / z[n] * scale, 2 * unit, 9 * unit))
            strength = int(np.clip(280 - 18 * z[n], 90, 255) * (1.0 if sure[n] else 0.3))
            ends = [(float(uv[k, 0] * scale), float(uv[k, 1] * scale)) for k in (n, n + 1)]
            colour = RED if red[n + 1] else at_time(float(share[n]))
            draw.line(ends, fill=(*colour, strength), width=width)
            if sure[n]:
                draw.circle(ends[1], width / 2, fill=(*colour, strength))
    panel = Image.new("RGB", size, (247, 248, 250))
    photo.paste(ink, (0, 0), ink)
    panel.paste(photo, ((size[0] - shape[0]) // 2, (size[1] - shape[1]) // 2))
    if len(made.poses) and not shown.any():
        _note(panel, "no part of the path is in view here", unit)
    return panel


def from_above(frames: Frames, made: Outline, size: tuple[int, int], unit: int) -> Image.Image:
    """The map, x to the right and y up as in all plans, with the path coloured by time; in gray that of the walk whose
    last frame is the start."""
    middle, scale = _window(made, size)
    image = Image.fromarray(_areas(made, middle, scale, size))
    draw = ImageDraw.Draw(image)

    def at(point: np.ndarray) -> tuple[float, float]:
        x, y = (np.asarray(point)[:2] - middle) * scale
        return size[0] / 2 + float(x), size[1] / 2 - float(y)

    if len(frames) > 1:
        draw.line([at(pose[:3, 3]) for pose in frames.cam_to_world], fill=GRAY, width=2 * unit, joint="curve")
    every = np.concatenate([made.home[None], made.poses])
    spots = [at(pose[:3, 3]) for pose in every]
    if len(spots) > 1:
        draw.line(spots, fill=(255, 255, 255), width=6 * unit, joint="curve")
    hit = set(made.collisions.tolist())
    for n in range(len(spots) - 1):
        colour = at_time((n + 1) / (len(spots) - 1))
        draw.line(spots[n : n + 2], fill=RED if n + 1 in hit else colour, width=(5 if n + 1 in hit else 3) * unit)
    for n in range(_LOOK_EVERY, len(every), _LOOK_EVERY):
        heading = heading_of(every[n])[0]
        tip = at(every[n][:2, 3] + _LOOK_M * np.array([np.cos(heading), np.sin(heading)]))
        colour = RED if n in hit else at_time(n / (len(spots) - 1))
        draw.line([spots[n], tip], fill=colour, width=2 * unit)
        draw.circle(spots[n], 3 * unit, fill=colour)
    _start(draw, frames.intrinsics, made, at, unit)
    _scale_bar(draw, scale, size, unit)
    return image


def _on_the_floor(made: Outline) -> tuple[Float[np.ndarray, "M 3"], Float[np.ndarray, "M"], Bool[np.ndarray, "M"]]:
    """Points of the floor close together below the path, the share of the path up to each, and whether its frame
    collides."""
    places = np.concatenate([made.home[None], made.poses])[:, :2, 3]
    way = np.append(0, np.cumsum(np.linalg.norm(np.diff(places, axis=0), axis=1)))
    fine = np.linspace(0, way[-1], int(way[-1] / _FINE_M) + 1) if way[-1] > 0 else np.zeros(1)
    moved = np.concatenate([[True], np.diff(way) > 0])
    at = np.interp(fine, way[moved], np.flatnonzero(moved))
    points = np.column_stack([*(np.interp(fine, way, places[:, k]) for k in (0, 1)), np.zeros(len(fine))])
    return points, at / max(len(places) - 1, 1), np.isin(np.ceil(at - 1e-9), made.collisions)


def _visible(
    frames: Frames, uv: Float[np.ndarray, "M 2"], z: Float[np.ndarray, "M"]
) -> tuple[Bool[np.ndarray, "M"], Bool[np.ndarray, "M"]]:
    """Which points the last frame shows: before it, in the picture, and not behind what has depth there; and of which
    that is sure, as depth is known."""
    camera = frames.intrinsics
    column, row = (np.floor(uv).clip(-1, 1e6).astype(int)).T
    inside = (z > _NEAR_M) & (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    shown = inside.copy()
    pixel = (row[inside], column[inside])
    known = frames.valid[-1][pixel]
    shown[inside] = ~known | (z[inside] <= frames.depth_m[-1][pixel] * 1.03 + 0.05)
    sure = shown.copy()
    sure[inside] &= known
    return shown, sure


def _window(made: Outline, size: tuple[int, int]) -> tuple[Float[np.ndarray, "2"], float]:
    """Middle of the map, x and y, and pixels per metre: all of the path, and nearly all floor, known or expected."""
    cells = made.free.centre(np.argwhere(made.free.known | (made.expected > 0.5)))
    places = np.concatenate([made.home[None], made.poses])[:, :2, 3]
    low, high = places.min(0), places.max(0)
    if len(cells):
        low = np.minimum(low, np.percentile(cells, 1, axis=0))
        high = np.maximum(high, np.percentile(cells, 99, axis=0))
    extent = np.maximum(high - low + 0.8, _LEAST_M)
    return (low + high) / 2, float((np.array(size) / extent).min())


def _areas(made: Outline, middle: np.ndarray, scale: float, size: tuple[int, int]) -> UInt8[np.ndarray, "H W 3"]:
    """Colours of the map."""
    free = made.free
    colours = np.broadcast_to(_UNKNOWN, (*free.free.shape, 3)).copy()
    share = np.clip(made.expected, 0, 1)[..., None]
    colours += share * (_EXPECTED - colours)
    colours[free.known] = _FLOOR
    colours[free.free] = _FREE
    colours[made.reachable] = _REACHABLE
    colours[made.survey.blocked] = _BLOCKED
    u, v = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    i = np.floor(((u - size[0] / 2) / scale + middle[0] - free.origin_m[0]) / CELL_M).astype(int)
    j = np.floor(((size[1] / 2 - v) / scale + middle[1] - free.origin_m[1]) / CELL_M).astype(int)
    out = np.broadcast_to(_UNKNOWN, (size[1], size[0], 3)).copy()
    rows, columns = (j >= 0) & (j < free.free.shape[1]), (i >= 0) & (i < free.free.shape[0])
    out[np.ix_(rows, columns)] = colours[np.ix_(i[columns], j[rows])].transpose(1, 0, 2)
    return out.round().astype(np.uint8)


def _start(draw: ImageDraw.ImageDraw, camera: Intrinsics, made: Outline, at, unit: int) -> None:
    """Where the walk begins, and the angle of its view."""
    heading, half = heading_of(made.home)[0], float(np.arctan(camera.width / 2 / camera.fx))
    spot = at(made.home[:3, 3])
    for side in (heading - half, heading + half):
        draw.line([spot, at(made.home[:2, 3] + _VIEW_M * np.array([np.cos(side), np.sin(side)]))], DARK, 2 * unit)
    draw.circle(spot, 7 * unit, fill=(255, 255, 255), outline=DARK, width=2 * unit)
    draw.circle(spot, 4 * unit, fill=DARK)


def _scale_bar(draw: ImageDraw.ImageDraw, scale: float, size: tuple[int, int], unit: int) -> None:
    metres = nice_step(size[0] / scale, 9)
    x, y = 14 * unit, size[1] - 14 * unit
    length = metres * scale
    draw.rectangle((x - 8 * unit, y - 28 * unit, x + length + 8 * unit, y + 8 * unit), fill=(255, 255, 255))
    draw.line([(x, y), (x + length, y)], fill=DARK, width=3 * unit)
    for end in (x, x + length):
        draw.line([(end, y - 5 * unit), (end, y + 4 * unit)], fill=DARK, width=2 * unit)
    draw.text((x + length / 2, y - 8 * unit), f"{metres:g} m", fill=DARK, font=font(14 * unit), anchor="mb")


def _note(panel: Image.Image, text: str, unit: int) -> None:
    draw, face = ImageDraw.Draw(panel), font(14 * unit)
    x, y = panel.width / 2, panel.height - 16 * unit
    wide = face.getlength(text) / 2 + 8 * unit
    draw.rectangle((x - wide, y - 12 * unit, x + wide, y + 10 * unit), fill=(255, 255, 255))
    draw.text((x, y), text, fill=DARK, font=face, anchor="mm")
