"""A picture of what a robot can do in a world: map, islands, free points, some of the paths."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from robot_tasks.episodes import Episode
from robot_tasks.islands import Space
from robot_tasks.navmap import FREE, OCCUPIED, NavMap
from robot_tasks.rooms import Rooms

_SIDE_PX = 900
_GREY = {OCCUPIED: (40, 40, 46), FREE: (226, 226, 222)}
_UNKNOWN = (150, 150, 156)
_MAIN, _OTHER = (187, 217, 240), (245, 214, 160)
_PATHS = ((214, 39, 40), (31, 119, 180), (44, 160, 44), (148, 103, 189), (255, 127, 14), (23, 140, 160))


def write_preview(
    nav: NavMap,
    space: Space,
    points: np.ndarray,
    episodes: Sequence[Episode],
    path: Path,
    *,
    rooms: Rooms,
    margins_m: Sequence[float],
    paths: int = 20,
) -> None:
    """`preview.png`, x to the right, y up: occupied dark, unknown grey, free light, the main island blue, others
    sand; free points as dots, `paths` episodes as lines with a ring at the start and a square at the goal; at each door
    its width, and in brackets what it leaves beside the robot, red where the robot does not fit."""
    scale = max(_SIDE_PX // max(nav.state.shape), 1)
    picture = np.full((*nav.state.shape, 3), _UNKNOWN, np.uint8)
    for value, colour in _GREY.items():
        picture[nav.state == value] = colour
    picture = picture.repeat(scale, 0).repeat(scale, 1)
    pixel = (np.indices(picture.shape[:2]).reshape(2, -1).T + 0.5) * (nav.cell_m / scale) + nav.origin_m
    cells = np.minimum(space.cell(pixel), np.array(space.island.shape) - 1)
    island = space.island[cells[:, 0], cells[:, 1]].reshape(picture.shape[:2])
    picture[island == 1], picture[island > 1] = _MAIN, _OTHER
    image = Image.fromarray(np.ascontiguousarray(picture.transpose(1, 0, 2)[::-1]))
    draw = ImageDraw.Draw(image)

    def to_px(point: np.ndarray) -> tuple[float, float]:
        x, y = (point - nav.origin_m) / nav.cell_m * scale
        return float(x), float(image.height - y)

    for point in points:
        x, y = to_px(point)
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=(90, 120, 150))
    shown = episodes[:: max(len(episodes) // paths, 1)][:paths]
    for k, episode in enumerate(shown):
        colour = _PATHS[k % len(_PATHS)]
        draw.line([to_px(p) for p in episode.path], fill=colour, width=2)
        x, y = to_px(episode.start)
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), outline=colour, width=2)
        draw.line([(x, y), to_px(episode.start + 0.2 * _heading(episode.start_yaw))], fill=colour, width=2)
        x, y = to_px(episode.goal)
        draw.rectangle((x - 4, y - 4, x + 4, y + 4), fill=colour)
    for door, margin in zip(rooms.doors, margins_m, strict=True):
        x, y = to_px(door.centre)
        colour = (30, 90, 30) if margin >= 0 else (200, 20, 20)
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), outline=colour, width=3)
        draw.text(
            (x + 7, y - 6), f"{door.width_m:.2f} ({margin:+.2f})", fill=colour, stroke_width=2, stroke_fill="white"
        )
    metre = scale / nav.cell_m
    draw.line([(12, image.height - 12), (12 + metre, image.height - 12)], fill=(0, 0, 0), width=3)
    draw.text((14, image.height - 28), "1 m", fill=(0, 0, 0))
    image.save(path)


def _heading(yaw: float) -> np.ndarray:
    return np.array([np.cos(yaw), np.sin(yaw)])
