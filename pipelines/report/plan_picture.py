"""The picture of a plan: the path in the photo and on the map, the floor it is expected to show, and what is what."""

import numpy as np
from PIL import Image, ImageDraw

from lyra_sim.core.records import PosedFrames
from lyra_sim.explore.outline import Outline
from lyra_sim.io.images import png_bytes
from pipelines.report.drawing import DARK, GRAY, RED, at_time, font, nice_step, wrapped
from pipelines.report.plan_views import AREAS, from_above, in_the_photo

_SCALE = 2
"""Everything is drawn so much larger and then made smaller, which smooths edges."""
_PANEL = (680, 510)
_LOW = (680, 250)
_GAP, _TITLE = 14, 24


def plan_picture(start: PosedFrames, made: Outline) -> bytes:
    """PNG, about 1400 pixels wide."""
    head = _header(start, made)
    width = 2 * _PANEL[0] + 3 * _GAP
    tops = (len(head) * 24 + 2 * _GAP, len(head) * 24 + _PANEL[1] + _TITLE + 3 * _GAP)
    sheet = Image.new("RGB", (_SCALE * width, _SCALE * (tops[1] + _TITLE + _LOW[1] + _GAP)), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for k, (text, ink) in enumerate(head):
        draw.text((_SCALE * _GAP, _SCALE * (_GAP + 24 * k)), text, fill=ink, font=font(_SCALE * (19 if k == 0 else 16)))
    big = (_SCALE * _PANEL[0], _SCALE * _PANEL[1])
    low = (_SCALE * _LOW[0], _SCALE * _LOW[1])
    last = "the photo" if len(start.frames) == 1 else f"the last of {len(start.frames)} frames"
    panels = (
        (0, 0, f"{last}, and the path on the floor below the camera", in_the_photo(start.frames, made, big, _SCALE)),
        (1, 0, "from above", from_above(start.frames, made, big, _SCALE)),
        (0, 1, "new floor expected to be seen from near, m2, by frame (from what the start shows)", _curve(made, low)),
        (1, 1, "", _legend(made, low, walked=len(start.frames) > 1)),
    )
    for column, row, title, panel in panels:
        x, y = _GAP + column * (_PANEL[0] + _GAP), tops[row]
        draw.text((_SCALE * x, _SCALE * y), title, fill=DARK, font=font(_SCALE * 15))
        sheet.paste(panel, (_SCALE * x, _SCALE * (y + _TITLE)))
    return png_bytes(np.asarray(sheet.reduce(_SCALE)))


def _header(start: PosedFrames, made: Outline) -> list[tuple[str, tuple[int, int, int]]]:
    """Lines of text with their colours."""
    kind = "RGB-D walk" if start.frame.measured else "photo"
    count = len(made.segments)
    path = (
        f"{sum(made.segments)} new frames in {count} segment{'' if count == 1 else 's'}, "
        f"a path of {made.length_m:.1f} m, {made.curve_m2[-1]:.1f} m2 of new floor expected"
        if count
        else "no new frames"
    )
    lines = [(f"{kind}: {path}", DARK), (f"{made.seen_m2:.1f} m2 of floor seen before. Ends: {made.end}.", GRAY)]
    room = 2 * _PANEL[0] + _GAP
    lines += [(line, GRAY) for remark in made.remarks for line in wrapped(remark, font(16), room)]
    return lines + [(line, RED) for line in wrapped(made.refused and f"Refused: {made.refused}", font(16), room)]


def _curve(made: Outline, size: tuple[int, int]) -> Image.Image:
    """Square metres over frames, with the borders of segments."""
    image = Image.new("RGB", size, (247, 248, 250))
    draw, s = ImageDraw.Draw(image), _SCALE
    left, right, top, bottom = 58 * s, size[0] - 18 * s, 14 * s, size[1] - 30 * s
    frames, most = max(int(made.curve_frames[-1]), 1), max(float(made.curve_m2[-1]), 1e-6)
    most = max(most, 1.0) * 1.08

    def at(frame: float, m2: float) -> tuple[float, float]:
        return left + (right - left) * frame / frames, bottom - (bottom - top) * m2 / most

    step = nice_step(most, 5)
    for k in range(int(most / step) + 1):
        y = at(0, k * step)[1]
        draw.line([(left, y), (right, y)], fill=(222, 225, 230), width=s)
        draw.text((left - 8 * s, y), f"{k * step:g}", fill=GRAY, font=font(14 * s), anchor="rm")
    step = max(int(nice_step(frames, 8)), 1)
    for frame in range(0, frames + 1, step):
        draw.text((at(frame, 0)[0], bottom + 8 * s), f"{frame}", fill=GRAY, font=font(14 * s), anchor="mt")
    ends = np.cumsum(made.segments)[:-1]
    for end in ends if len(ends) <= 40 else ():
        for y in range(top, bottom, 10 * s):
            draw.line([(at(end, 0)[0], y), (at(end, 0)[0], y + 4 * s)], fill=(185, 190, 200), width=s)
    line = [at(n, m2) for n, m2 in zip(made.curve_frames, made.curve_m2, strict=True)]
    if len(line) > 1:
        draw.polygon([(left, bottom), *line, (line[-1][0], bottom)], fill=(214, 227, 245))
        draw.line(line, fill=(45, 100, 190), width=3 * s, joint="curve")
    draw.line([(left, top), (left, bottom), (right, bottom)], fill=GRAY, width=s)
    return image


def _legend(made: Outline, size: tuple[int, int], *, walked: bool) -> Image.Image:
    """What the colours and marks mean, in two columns; `walked` where the start has frames of its own."""
    image, s = Image.new("RGB", size, (255, 255, 255)), _SCALE
    draw = ImageDraw.Draw(image)
    for k, (name, colour) in enumerate(AREAS.items()):
        y = (8 + 32 * k) * s
        draw.rectangle((0, y, 30 * s, y + 20 * s), fill=colour, outline=(150, 150, 150), width=s)
        draw.text((42 * s, y + 10 * s), name, fill=DARK, font=font(15 * s), anchor="lm")
    x, middle = 350 * s, [(18 + 32 * k) * s for k in range(6)]
    for k in range(60):
        colour = at_time(k / 59)
        draw.rectangle((x + k * s // 2, middle[0] - 4 * s, x + (k + 1) * s // 2, middle[0] + 4 * s), fill=colour)
    draw.line([(x + 8 * s, middle[1]), (x + 24 * s, middle[1])], fill=DARK, width=2 * s)
    draw.ellipse((x + 4 * s, middle[1] - 4 * s, x + 12 * s, middle[1] + 4 * s), fill=DARK)
    draw.ellipse((x + 8 * s, middle[2] - 7 * s, x + 22 * s, middle[2] + 7 * s), fill=(255, 255, 255))
    draw.ellipse((x + 10 * s, middle[2] - 5 * s, x + 20 * s, middle[2] + 5 * s), fill=DARK)
    draw.ellipse((x + 8 * s, middle[2] - 7 * s, x + 22 * s, middle[2] + 7 * s), outline=DARK, width=2 * s)
    for dash in range(3):
        y = middle[3] + (dash - 1) * 7 * s
        draw.line([(x + 15 * s, y - 2 * s), (x + 15 * s, y + 2 * s)], fill=(150, 155, 165), width=s)
    marks = ["path, from begin to end", "where the camera looks, every 8th frame", "start, with its view"]
    marks.append("border of two segments (below, left)")
    count = len(made.collisions)
    more = [(count > 0, RED, 5, f"{count} frames that collide"), (walked, GRAY, 2, "the walk before")]
    for _, ink, width, text in (entry for entry in more if entry[0]):
        y = middle[len(marks)]
        draw.line([(x + 3 * s, y), (x + 27 * s, y)], fill=ink, width=width * s)
        marks.append(text)
    for text, y in zip(marks, middle, strict=False):
        draw.text((x + 42 * s, y), text, fill=DARK, font=font(15 * s), anchor="lm")
    return image
