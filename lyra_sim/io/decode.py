"""Bounded decoding of foreign images: in a process of its own, with a memory limit and a deadline."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from lyra_sim.config.capture import DecodeLimits
from lyra_sim.core.errors import InputError, ResourceError
from lyra_sim.io import decode_child
from lyra_sim.io.sniff import HEAD_BYTES, RAW_SUFFIXES, image_kind

NEW_JPEG = "Export it anew as JPEG or PNG."
SAMPLE = {"RGB": (3, np.uint8), "L": (1, np.uint8), "I;16": (1, "<u2"), "I;16B": (1, ">u2"), "I;16L": (1, "<u2")}
"""Samples per pixel and number type of each plane the decoder may send."""


@dataclass(frozen=True)
class DecodedImage:
    """One image as stored, upright, in 8-bit RGB.

    `rgb` is (H, W, 3) uint8; `valid` is (H, W) bool, False where the image is transparent (or, after scaling, where
    transparent pixels were mixed in). `full_size` is (width, height) of the upright image before scaling. `exif` holds
    plain values only: make, model, artist, copyright, taken, orientation, focal_mm, focal_35mm, plane_x_resolution,
    plane_resolution_unit, width, height, latitude, longitude (three places), each where the file states it; and fix
    (latitude, longitude, error in metres or None), exact: baselines may be made of it, the place must not travel on.
    """

    rgb: np.ndarray
    valid: np.ndarray
    full_size: tuple[int, int]
    format: str
    says_panorama: bool
    exif: dict[str, Any]


def decode_image(path: Path, limits: DecodeLimits | None = None, *, max_side_px: int = 0) -> DecodedImage:
    """Decode one photo, EXIF orientation applied; with `max_side_px`, scaled down to that longer side by area.

    16-bit RGB keeps its high bytes (as Pillow does), deep gray the high 8 of the bits in use, CMYK and palettes are
    converted by Pillow, animations give their first frame. Colour profiles are not applied.

    Raises:
        InputError: no image, unsupported, broken, cut off, or beyond the limits.
    """
    (image,) = decode_images([path], limits, max_side_px=max_side_px)
    return image


def decode_images(
    paths: Sequence[Path], limits: DecodeLimits | None = None, *, max_side_px: int = 0
) -> Iterator[DecodedImage]:
    """As `decode_image`, for many files in one process, one image at a time in the order given."""
    for header, planes in _decoded(paths, "photo", limits or DecodeLimits(), max_side_px):
        rgb = planes[0]
        valid = planes[1] == 255 if len(planes) > 1 else np.ones(rgb.shape[:2], bool)
        full = (int(header["full"][0]), int(header["full"][1]))
        yield DecodedImage(rgb, valid, full, header["format"], header["panorama"], header["exif"])


def decode_depths(
    paths: Sequence[Path], limits: DecodeLimits | None = None, *, max_side_px: int = 0
) -> Iterator[np.ndarray]:
    """16-bit gray images as (H, W) uint16, one at a time in the order given; scaled by nearest pixel, never averaged.

    Raises:
        InputError: as `decode_image`, and for any image that is not 16-bit gray.
    """
    for _, planes in _decoded(paths, "depth", limits or DecodeLimits(), max_side_px):
        yield planes[0]


def _decoded(
    paths: Sequence[Path], mode: Literal["photo", "depth"], limits: DecodeLimits, max_side_px: int
) -> Iterator[tuple[dict[str, Any], list[np.ndarray]]]:
    for path in paths:
        _check_file(path, limits)
    jobs = [{"path": os.fspath(path), "mode": mode, "max_side": max_side_px} for path in paths]
    request = {"memory_bytes": limits.memory_mb << 20, "max_pixels": limits.max_pixels, "jobs": jobs}
    child = _start()
    assert child.stdin is not None and child.stdout is not None
    # One generous deadline for the whole batch: a single frame may not hang it, and the usual frame takes 10 ms.
    timer = threading.Timer(limits.seconds + 1.0 * (len(paths) - 1), child.kill)
    timer.daemon = True
    timer.start()
    try:
        child.stdin.write(json.dumps(request).encode())
        child.stdin.close()
        for path in paths:
            answer = _receive(child.stdout)
            if answer is None:
                raise _died(path, child.wait(), limits)
            header, planes = answer
            if not header["ok"]:
                raise InputError(_shown(path), expected=header["expected"], got=header["got"], todo=header["todo"])
            yield header, planes
    except BrokenPipeError as error:
        raise _died(paths[0], child.wait(), limits) from error
    finally:
        timer.cancel()
        child.kill()
        child.stdout.close()
        child.wait()


def _shown(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "replace")  # names that are no UTF-8 must not break a message


def _start() -> subprocess.Popen[bytes]:
    """The decoding process. Run by file so that it imports neither this package nor anything in the working folder."""
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # threads would reserve much address space
    try:
        return subprocess.Popen(
            [sys.executable, "-P", decode_child.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **one_thread},
        )
    except OSError as error:
        todo = "Free memory or processes and run again."
        raise ResourceError("image decoding", expected="a new process", got=str(error), todo=todo) from error


def _check_file(path: Path, limits: DecodeLimits) -> None:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            kind = image_kind(file.read(HEAD_BYTES))
    except OSError as error:
        got = error.strerror or str(error)
        raise InputError(
            _shown(path), expected="a readable image file", got=got, todo="Check path and rights."
        ) from error
    if size == 0:
        raise InputError(_shown(path), expected="an image", got="an empty file", todo="Copy it again from its source.")
    if size > limits.max_mb << 20:
        todo = "Export it smaller, or raise capture.limits.max_mb."
        raise InputError(_shown(path), expected=f"at most {limits.max_mb} MB", got=f"{size / 2**20:.0f} MB", todo=todo)
    if kind in ("heic", "jpeg2000", "openexr", "hdr"):
        tool = " (`heif-convert photo.heic photo.jpg`, or 'most compatible' in the phone's camera settings)"
        todo = f"Convert it to JPEG{tool if kind == 'heic' else ''}."
        raise InputError(
            _shown(path), expected="a supported image format", got=f"{kind}: format not supported", todo=todo
        )
    if path.suffix.lower() in RAW_SUFFIXES:
        todo = "Develop it to JPEG or TIFF with your photo program."
        raise InputError(
            _shown(path), expected="a developed image", got="a camera raw file: format not supported", todo=todo
        )


def _receive(pipe: IO[bytes]) -> tuple[dict[str, Any], list[np.ndarray]] | None:
    """One answer of the decoder; None where it ended in the middle."""
    line = pipe.readline(1 << 20)
    if not line.endswith(b"\n"):
        return None
    header = json.loads(line)
    planes: list[np.ndarray] = []
    for mode in header.get("planes", ()):
        (width, height), (samples, dtype) = header["size"], SAMPLE[mode]
        plane = np.empty((height, width, samples) if samples > 1 else (height, width), dtype)
        if not _fill(pipe, plane):
            return None
        planes.append(plane if plane.dtype.isnative else plane.astype(plane.dtype.newbyteorder("=")))
    return header, planes


def _fill(pipe: IO[bytes], plane: np.ndarray) -> bool:
    rest = plane.data.cast("B")
    while len(rest):
        got = pipe.readinto(rest)  # pyright: ignore[reportAttributeAccessIssue]  # a buffered pipe has it
        if not got:
            return False
        rest = rest[got:]
    return True


def _died(path: Path, code: int, limits: DecodeLimits) -> InputError:
    how = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
    got = f"the decoder stopped ({how}); it may use {limits.memory_mb} MB and {limits.seconds:g} s"
    return InputError(_shown(path), expected="an image that can be decoded", got=got, todo=NEW_JPEG)
