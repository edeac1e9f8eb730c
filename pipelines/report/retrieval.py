"""A picture of retrieval: how much of the generated frames the remembered views cover, and what stayed uncovered."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw, ImageFont

from lyra_sim.core.records import Frames, World
from lyra_sim.memory.overlap import Coverage, DepthView, coverage, geometry_of

_SEGMENTS, _THUMBS = 4, 4
_FRAME, _THUMB, _GAP = (320, 240), (160, 120), 8
_WIDTH, _GRAPH, _ROW = 1000, 150, 264
_LEAST = 0.6
"""A line in the graph: what a planner should keep."""
_PAPER, _INK, _PALE, _BLUE, _RED = (255, 255, 255), (32, 32, 32), (208, 208, 208), (36, 92, 168), (214, 40, 40)
_FONT = ImageFont.load_default(13)


@dataclass(frozen=True)
class _Piece:
    """A segment's worst frame, and how each of the views covers it."""

    number: int
    segment: int
    image: Image.Image
    views: list[tuple[int, float, Image.Image]]
    """Frame number, share it covers, picture; best first."""
    overlap: float
    shown: bool


def retrieval_picture(world: World) -> bytes | None:
    """PNG: overlap of the generated frames with their views; below, for up to four segments that were covered least,
    the frame that was, what no view covers in red, beside its best views. None where nothing was generated.

    Segments are read one by one, twice; pictures of the needed views are kept.
    """
    notes = [segment.notes["overlap"] for segment in world.segments]
    judged = [i for i, note in enumerate(notes) if note["shares"]]
    if not judged:
        return None
    chosen = sorted(sorted(judged, key=lambda i: notes[i]["lowest"])[:_SEGMENTS])
    pieces = _pieces(world, {i: notes[i] for i in chosen})
    sheet = Image.new("RGB", (_WIDTH, _GRAPH + _ROW * len(pieces)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    _graph(draw, notes)
    for row, piece in enumerate(pieces):
        _row(sheet, draw, _GRAPH + _ROW * row, piece)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=False, compress_level=6)
    return buffer.getvalue()


def tinted(image: UInt8[np.ndarray, "H W 3"], mask: Bool[np.ndarray, "H W"]) -> Image.Image:
    """The image with the pixels of the mask in shades of red."""
    red = (0.45 * image.mean(2, keepdims=True) + 0.55 * np.array(_RED)).astype(np.uint8)
    return Image.fromarray(np.where(mask[..., None], red, image))


def _pieces(world: World, chosen: dict[int, dict[str, Any]]) -> list[_Piece]:
    needed = {number for note in chosen.values() for number in note["views"]}
    kept: dict[int, tuple[np.ndarray, DepthView]] = {}

    def keep(frames: Frames, begin: int) -> None:
        for number in needed & {*range(begin, begin + len(frames))}:
            kept[number] = frames.images[number - begin].copy(), geometry_of(frames, number - begin)

    keep(world.start.frames, 1 - len(world.start.frames))
    begin, pieces = 1, []
    for segment in world.segments:
        if note := chosen.get(segment.index):
            t = note["lowest_frame"] - begin
            found = coverage(segment.frames, t, [kept[number][1] for number in note["views"]])
            pieces.append(_piece(segment.index, segment.frames.images[t], note, found, kept))
        keep(segment.frames, begin)
        begin += len(segment.frames)
    return pieces


def _piece(
    index: int,
    image: np.ndarray,
    note: dict[str, Any],
    found: Coverage,
    kept: dict[int, tuple[np.ndarray, DepthView]],
) -> _Piece:
    ranked = sorted(zip(found.shares, note["views"], strict=True), key=lambda pair: (-pair[0], pair[1]))
    return _Piece(
        number=note["lowest_frame"],
        segment=index,
        image=tinted(image, found.uncovered),
        views=[(number, share, Image.fromarray(kept[number][0])) for share, number in ranked],
        overlap=note["lowest"],
        shown=note["shown"],
    )


def _graph(draw: ImageDraw.ImageDraw, notes: list[dict[str, Any]]) -> None:
    """Overlap over the number of the frame; a new line for every segment."""
    left, right, top, bottom = 56, _WIDTH - 16, 28, _GRAPH - 28
    last = max(number for note in notes for number in note["frames"])

    def at(number: float, share: float) -> tuple[float, float]:
        return left + (right - left) * number / last, bottom - (bottom - top) * share

    draw.text((left, 6), "share of each frame that the remembered views of its segment cover", fill=_INK, font=_FONT)
    for share in (0.0, _LEAST, 1.0):
        draw.line([at(0, share), at(last, share)], fill=_PALE)
        draw.text((12, at(0, share)[1] - 8), f"{share:4.0%}", fill=_INK, font=_FONT)
    for note in notes:
        spots = [at(number, share) for number, share in zip(note["frames"], note["shares"], strict=True)]
        if len(spots) > 1:
            draw.line(spots, fill=_BLUE, width=2)
        for (x, y), share in zip(spots, note["shares"], strict=True):
            draw.ellipse((x - 2.5, y - 2.5, x + 2.5, y + 2.5), fill=_BLUE if share >= _LEAST else _RED)
    draw.text((left, bottom + 6), "frame 0", fill=_INK, font=_FONT)
    draw.text((right, bottom + 6), f"{last}", fill=_INK, font=_FONT, anchor="ra")


def _row(sheet: Image.Image, draw: ImageDraw.ImageDraw, y: int, piece: _Piece) -> None:
    count = len(piece.views)
    views = f"{count} remembered view{'s' if count > 1 else ''}"
    told = f"frame {piece.number}, segment {piece.segment + 1}: {piece.overlap:.0%} covered by {views}, the rest in red"
    if not piece.shown:
        told += " (its generator was not shown them)"
    draw.text((_GAP, y), told, fill=_INK, font=_FONT)
    _paste(sheet, piece.image, (0, y + 18), _FRAME)
    for k, (number, share, image) in enumerate(piece.views[:_THUMBS]):
        x = _FRAME[0] + _GAP + k * (_THUMB[0] + _GAP)
        low = _paste(sheet, image, (x, y + 18), _THUMB)
        name = f"frame {number}" if number > 0 else f"start frame {number}"
        draw.text((x, low + 4), f"{name}: covers {share:.0%}", fill=_INK, font=_FONT)
    if count > _THUMBS:
        more = count - _THUMBS
        text = f"and {more} more: frames {', '.join(str(number) for number, _, _ in piece.views[_THUMBS:][:12])}"
        draw.text((_FRAME[0] + _GAP, y + 18 + _FRAME[1] - 20), text, fill=_INK, font=_FONT)


def _paste(sheet: Image.Image, image: Image.Image, corner: tuple[int, int], box: tuple[int, int]) -> int:
    """The image uncropped at the top left of a box; returns its lower edge."""
    scale = min(box[0] / image.width, box[1] / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    smooth = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    sheet.paste(image.resize(size, smooth), corner)
    return corner[1] + size[1]
