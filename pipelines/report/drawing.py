"""What pictures of the report share: ink, a scale of colours for time, type, round numbers, lines of text."""

import functools

import numpy as np
from PIL import ImageFont

Colour = tuple[int, int, int]
DARK: Colour = (35, 38, 45)
GRAY: Colour = (95, 100, 110)
RED: Colour = (222, 24, 24)
_BEGIN, _MIDDLE, _END = np.array([[38, 40, 130], [160, 50, 190], [255, 150, 30]], np.float64)


def at_time(share: float) -> Colour:
    """Colour of a moment of the path: dark blue at 0, violet, orange at 1."""
    mixed = _BEGIN + (_MIDDLE - _BEGIN) * min(2 * share, 1) + (_END - _MIDDLE) * max(2 * share - 1, 0)
    red, green, blue = (round(float(value)) for value in mixed)
    return red, green, blue


@functools.lru_cache(maxsize=16)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The type that comes with Pillow."""
    return ImageFont.load_default(size)


def nice_step(span: float, most: int) -> float:
    """1, 2 or 5 times a power of ten, at least `span` / `most`."""
    power = 10.0 ** np.floor(np.log10(span / most))
    return float(next(power * factor for factor in (1, 2, 5, 10) if power * factor >= span / most - 1e-12))


def wrapped(text: str, face: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> list[str]:
    """Lines of at most `width` pixels, broken at blanks; none of an empty text."""
    lines: list[str] = []
    for word in text.split():
        if lines and face.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
