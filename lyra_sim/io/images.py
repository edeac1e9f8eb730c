"""Our own images to and from files; the same pixels give the same bytes. Foreign images go through `decode.py`."""

import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image

from lyra_sim.core.errors import InputError


def png_bytes(pixels: UInt8[np.ndarray, "H W *C"] | UInt16[np.ndarray, "H W"], *, level: int = 6) -> bytes:
    """PNG file content of gray (H, W) uint8 or uint16, RGB (H, W, 3) or RGBA (H, W, 4) uint8 pixels. Level 1 is enough
    for plain areas, and faster."""
    return _encoded(pixels, "PNG", compress_level=level)


def jpeg_bytes(pixels: UInt8[np.ndarray, "H W *C"], *, quality: int = 92) -> bytes:
    """JPEG file content of gray or RGB pixels; no chroma subsampling from quality 90 on."""
    return _encoded(pixels, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2, optimize=False)


def write_png(path: Path, pixels: UInt8[np.ndarray, "H W *C"] | UInt16[np.ndarray, "H W"], *, level: int = 6) -> None:
    """Write a PNG; folders are created. Depth images are (H, W) uint16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png_bytes(pixels, level=level))


def write_jpeg(path: Path, pixels: UInt8[np.ndarray, "H W *C"], *, quality: int = 92) -> None:
    """Write a JPEG; folders are created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg_bytes(pixels, quality=quality))


def read_rgb(path: Path) -> UInt8[np.ndarray, "H W 3"]:
    """Read an image this project wrote (PNG or JPEG), as RGB.

    Raises:
        InputError: not there, or not such an image.
    """
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        todo = "Run again with --fresh to make it anew."
        raise InputError(path, expected="a PNG or JPEG image", got=str(error)[:200], todo=todo) from error


def _encoded(pixels: np.ndarray, kind: str, **options: int | bool) -> bytes:
    assert pixels.dtype == np.uint8 or (pixels.dtype == np.uint16 and pixels.ndim == 2), (pixels.dtype, pixels.shape)
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, kind, **options)
    return stream.getvalue()
