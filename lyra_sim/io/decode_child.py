"""The process in which foreign images are decoded: a bounded memory, a whitelist of formats, no access to the rest.

Run by `lyra_sim.io.decode` as a plain script (it imports only the standard library and Pillow, so it starts in 0.1 s).
One JSON request on stdin: {"memory_bytes", "max_pixels", "jobs": [{"path", "mode": "photo" | "depth", "max_side"}]}.
For every job, in order, one JSON line on stdout, followed by the raw pixels it announces; a job that fails says so in
its line. Anything unforeseen ends the process, which the parent reports as a failure of the job it was at.
"""

import json
import resource
import signal
import struct
import sys
import warnings
from typing import Any, BinaryIO

from PIL import ExifTags, Image, ImageFile

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "WEBP", "TIFF", "AVIF")
"""Tried in this order; JPEG includes MPO (multi-picture) files."""

EXIF_ERRORS = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, ArithmeticError, AttributeError)
EXIF_ERRORS = (*EXIF_ERRORS, struct.error, EOFError)
"""What Pillow is known to raise on corrupt EXIF blocks; the photo is then read without them."""

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class RefusedError(Exception):
    """The image cannot be used; the parts of the message for the user."""

    def __init__(self, expected: str, got: str, todo: str) -> None:
        super().__init__(got)
        self.parts = {"expected": expected, "got": got, "todo": todo}


def main() -> None:
    """Serve the one request on stdin."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a run that drains after Ctrl-C still finishes its image
    request = json.load(sys.stdin.buffer)
    resource.setrlimit(resource.RLIMIT_AS, (request["memory_bytes"], request["memory_bytes"]))
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = None  # the header check below is stricter and comes first
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    for job in request["jobs"]:
        try:
            header, planes = decoded(job, request["max_pixels"])
        except RefusedError as refused:
            header, planes = {"ok": False, **refused.parts}, []
        except MemoryError:
            todo = "Scale the image down, or raise capture.limits.memory_mb."
            expected = f"an image that is decoded within {request['memory_bytes'] >> 20} MB"
            header, planes = {"ok": False, "expected": expected, "got": "one that needs more", "todo": todo}, []
        send(header, planes, sys.stdout.buffer)


def decoded(job: dict[str, Any], max_pixels: int) -> tuple[dict[str, Any], list[Image.Image]]:
    """Decode one file: its header and the planes (colour and mask, or depth) in the size asked for.

    Raises:
        RefusedError: the file is no image, broken, too large or of a format that is not read.
    """
    image = load(job["path"], max_pixels)
    full = image.size
    header: dict[str, Any] = {"ok": True, "format": image.format or ""}
    if job["mode"] == "depth":
        planes, resample = [depth_plane(image)], Image.Resampling.NEAREST
    else:
        header["exif"] = exif_facts(image)
        header["panorama"] = says_panorama(image)
        turn = UPRIGHT.get(header["exif"].get("orientation", 1))
        planes = [plane if turn is None else plane.transpose(turn) for plane in rgb_and_alpha(image)]
        full = planes[0].size
        resample = Image.Resampling.BOX
    size = fitted(full, job["max_side"])
    if size != full:
        # Exact area averages for colour; a mask value below 255 then means: something transparent was mixed in.
        planes = [plane.resize(size, resample) for plane in planes]
    header.update(full=list(full), size=list(size), planes=[plane.mode for plane in planes])
    return header, planes


def send(header: dict[str, Any], planes: list[Image.Image], out: BinaryIO) -> None:
    """Write the header line and the raw pixels, in bands of rows, so that no second copy of a large image is made."""
    out.write(json.dumps(header).encode() + b"\n")
    for plane in planes:
        width, height = plane.size
        rows = max(1, 4_000_000 // width)
        for top in range(0, height, rows):
            out.write(plane.crop((0, top, width, min(top + rows, height))).tobytes())
    out.flush()


def load(path: str, max_pixels: int) -> Image.Image:
    """Open by content, check the header, decode the first frame.

    Raises:
        RefusedError: not an image of a known format, too many pixels, or broken.
    """
    known = "a " + ", ".join(FORMATS) + " image"
    try:
        image = Image.open(path, formats=FORMATS)
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        todo = "Check the file, or export it anew as JPEG or PNG."
        raise RefusedError(known, "something that is none of them or is broken at its start", todo) from error
    width, height = image.size
    if width * height > max_pixels:
        got = f"{width}x{height} = {width * height / 1e6:.0f} million pixels"
        todo = "Scale the image down, or raise capture.limits.max_pixels if you trust it."
        raise RefusedError(f"at most {max_pixels / 1e6:.0f} million pixels", got, todo)
    try:
        image.load()
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        got = f"broken or cut off data ({plain(error)})"
        raise RefusedError(
            "a complete image", got, "Copy the file again from its source, or export it anew."
        ) from error
    if ends_in_gray(image):
        got = "data that ends early: the last rows are the decoder's mid-gray filling"
        raise RefusedError("a complete image", got, "Copy the file again from its source, or export it anew.")
    return image


def ends_in_gray(image: Image.Image) -> bool:
    """True for a JPEG whose last row of blocks is exactly 128 everywhere: libjpeg fills blocks it has no data for with
    that value and only warns, which Pillow does not pass on (jdhuff.c, JWRN_HIT_MARKER)."""
    if image.format not in ("JPEG", "MPO") or image.mode not in ("RGB", "L") or image.height <= 16:
        return False
    bottom = image.crop((0, image.height - 8, image.width, image.height))
    return all(band.getextrema() == (128, 128) for band in bottom.split())


def rgb_and_alpha(image: Image.Image) -> list[Image.Image]:
    """8-bit RGB, and a mask (255 = opaque, 0 = transparent by half or more) where the image has transparency.

    Raises:
        RefusedError: a colour mode without a defined way to RGB.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return [deep_gray(image).convert("RGB")]
    has_alpha = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    try:
        if has_alpha:
            image = image.convert("RGBA")
            alpha = image.getchannel("A").point([0] * 128 + [255] * 128)
            return [image.convert("RGB"), alpha]
        return [image if image.mode == "RGB" else image.convert("RGB")]
    except (ValueError, OSError) as error:
        todo = "Export the image as RGB JPEG or PNG."
        raise RefusedError("a gray, RGB, CMYK or palette image", f"colour mode {image.mode}", todo) from error


def deep_gray(image: Image.Image) -> Image.Image:
    """Gray images of more than 8 bits as 8 bits: scaled by the bits they use, never clipped.

    Integers keep the high 8 of the bits in use (12-bit data stored in 16 bits becomes 8 bits by >> 4, as Pillow does
    with 16-bit RGB by >> 8); floats are taken as 0..1, or as 0..255 or 0..65535 where they go beyond.

    Raises:
        RefusedError: negative, infinite or NaN values.
    """
    import numpy as np  # only these rare files pay for the import

    values = np.asarray(image)
    low, high = (float(values.min()), float(values.max()))
    if not (np.isfinite(low) and np.isfinite(high) and low >= 0) or (high > 65535 and image.mode == "F"):
        got = f"values from {low:g} to {high:g}"
        raise RefusedError("gray values from 0 upward", got, "Export the image with 8 or 16 bits per channel.")
    if image.mode == "F":
        top = next(limit for limit in (1.0, 255.0, 65535.0) if high <= limit)
        return Image.fromarray(np.rint(values * (255.0 / top)).astype(np.uint8))
    bits = max(8, int(high).bit_length())
    return Image.fromarray((values >> (bits - 8)).astype(np.uint8))


def depth_plane(image: Image.Image) -> Image.Image:
    """The image itself, when it is 16-bit gray.

    Raises:
        RefusedError: any other kind of image.
    """
    if image.mode in ("I;16", "I;16B", "I;16L"):
        return image
    todo = "Store depth as 16-bit gray PNG: metres = value / depth_scale, 0 = no measurement."
    raise RefusedError("a 16-bit gray depth image", f"{image.format} of mode {image.mode}", todo)


def exif_facts(image: Image.Image) -> dict[str, Any]:
    """What the EXIF block says about camera, time, place and rights; no serial numbers. Corrupt entries are absent."""
    facts: dict[str, Any] = {}
    try:
        main_ifd = image.getexif()
    except EXIF_ERRORS:
        return facts
    camera, gps = _sub_ifd(main_ifd, ExifTags.IFD.Exif), _sub_ifd(main_ifd, ExifTags.IFD.GPSInfo)
    tags = ExifTags.Base
    for name, tag in (("make", tags.Make), ("model", tags.Model), ("artist", tags.Artist)):
        _keep(facts, name, plain(main_ifd.get(tag)))
    _keep(facts, "copyright", plain(main_ifd.get(tags.Copyright)))
    _keep(facts, "orientation", _number(main_ifd.get(tags.Orientation)))
    _keep(facts, "taken", plain(camera.get(tags.DateTimeOriginal) or main_ifd.get(tags.DateTime)))
    numbers = {
        "focal_mm": tags.FocalLength,
        "focal_35mm": tags.FocalLengthIn35mmFilm,
        "plane_x_resolution": tags.FocalPlaneXResolution,
        "plane_resolution_unit": tags.FocalPlaneResolutionUnit,
        "width": tags.ExifImageWidth,
        "height": tags.ExifImageHeight,
    }
    for name, tag in numbers.items():
        _keep(facts, name, _number(camera.get(tag)))
    for name, tag in (("latitude", ExifTags.GPS.GPSLatitude), ("longitude", ExifTags.GPS.GPSLongitude)):
        _keep(facts, name, _rounded(_degrees(gps.get(tag), plain(gps.get(tag - 1)))))
    _keep(facts, "fix", _fix(gps))
    return facts


def says_panorama(image: Image.Image) -> bool:
    """True where the XMP block calls the image an equirectangular panorama (Google's GPano names)."""
    xmp = image.info.get("xmp", b"")
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    return b"GPano" in xmp and b"equirectangular" in xmp


def plain(value: object) -> str:
    """Printable text of an EXIF value or an error, at most 200 characters."""
    if value is None:
        return ""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return "".join(c for c in text if c.isprintable()).strip()[:200]


def _sub_ifd(main_ifd: Image.Exif, which: int) -> dict[int, Any]:
    try:
        return dict(main_ifd.get_ifd(which))
    except EXIF_ERRORS:
        return {}


def _keep(facts: dict[str, Any], name: str, value: Any) -> None:
    if value not in ("", None):
        facts[name] = value


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except EXIF_ERRORS:
        return None
    return number if 0 < number < 1e9 else None


def _fix(gps: dict[int, Any]) -> list[float | None] | None:
    """Latitude and longitude in degrees as they are, and the stated horizontal error in metres or None."""
    tags = ExifTags.GPS
    place = [_degrees(gps.get(tag), plain(gps.get(tag - 1))) for tag in (tags.GPSLatitude, tags.GPSLongitude)]
    return None if None in place else [*place, _number(gps.get(tags.GPSHPositioningError))]


def _rounded(degrees: float | None) -> float | None:
    """To three places (about 100 m: the place, not the doorstep)."""
    return None if degrees is None else round(degrees, 3)


def _degrees(parts: Any, half: str) -> float | None:
    """Decimal degrees."""
    try:
        degrees, minutes, seconds = (float(part) for part in parts)
    except EXIF_ERRORS:
        return None
    value = degrees + minutes / 60 + seconds / 3600
    return (-value if half[:1].upper() in ("S", "W") else value) if value <= 180 else None


def fitted(size: tuple[int, int], max_side: int) -> tuple[int, int]:
    """`size` scaled down so that the longer side is at most `max_side` (0: unchanged)."""
    longer = max(size)
    if not max_side or longer <= max_side:
        return size
    return max(1, round(size[0] * max_side / longer)), max(1, round(size[1] * max_side / longer))


if __name__ == "__main__":
    main()
