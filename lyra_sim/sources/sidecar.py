"""Camera files: what a user states about a camera in JSON, for photos (`photo.camera.json`) and RGB-D walks."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lyra_sim.core.errors import InputError
from lyra_sim.sources.names import printable

PHOTO_KEYS = frozenset(
    ("camera_height_m", "fx", "fy", "cx", "cy", "width", "height", "hfov_deg", "licence", "pixel_centre", "note")
)
TELLING = frozenset(("camera_height_m", "fx", "hfov_deg"))
"""A `<stem>.json` with one of these keys is meant for us; others belong to other programs."""
MAX_BYTES = 4 << 20
TODO = "See the README's section on inputs; a walk's camera.json and a photo's camera file share their keys."


@dataclass(frozen=True)
class CameraFile:
    """What a camera file states, checked; pixel coordinates already with the top-left centre at (0.5, 0.5)."""

    path: Path
    fx: float | None
    fy: float | None
    cx: float | None
    cy: float | None
    width: int | None
    height: int | None
    hfov_deg: float | None
    camera_height_m: float | None
    licence: str | None
    rest: dict[str, Any]
    """All keys as read."""


def photo_sidecar(photo: Path) -> Path | None:
    """The camera file beside a photo: `<file>.camera.json`, `<stem>.camera.json`, or `<stem>.json` where that holds
    one of camera_height_m, fx, hfov_deg."""
    for path in (photo.with_name(photo.name + ".camera.json"), photo.with_name(photo.stem + ".camera.json")):
        if path.is_file():
            return path
    plain = photo.with_name(photo.stem + ".json")
    if not plain.is_file():
        return None
    try:
        return plain if TELLING & set(_read(plain)) else None
    except InputError:
        return None  # some other program's file; it is listed as skipped


def read_camera_file(path: Path, *, allow: frozenset[str] | None = PHOTO_KEYS) -> CameraFile:
    """Read and check a camera file. fx, fy, cx, cy, width and height in pixels of the upright image; cx and cy count
    from the centre of the top-left pixel (as OpenCV does) unless "pixel_centre": 0.5 says otherwise.

    Args:
        allow: the keys that may occur; None: any.

    Raises:
        InputError: no JSON object, a key that is not known, or a value that cannot be.
    """
    data = _read(path)
    unknown = sorted(set(data) - allow) if allow is not None else []
    if unknown:
        assert allow is not None
        expected = f"only the keys {', '.join(sorted(allow))}"
        raise InputError(printable(path), expected=expected, got=f"also {', '.join(unknown)}", todo=TODO)
    numbers = {key: _number(path, data, key) for key in ("fx", "fy", "cx", "cy", "hfov_deg", "camera_height_m")}
    sizes = {key: _size(path, data, key) for key in ("width", "height")}
    for key in ("fx", "fy", "camera_height_m"):
        value = numbers[key]
        if value is not None and value <= 0:
            raise InputError(printable(path), expected=f"{key} above 0", got=f"{value:g}", todo=TODO)
    hfov = numbers["hfov_deg"]
    if hfov is not None and not 1 < hfov < 170:
        raise InputError(printable(path), expected="hfov_deg between 1 and 170", got=f"{hfov:g}", todo=TODO)
    if hfov is not None and numbers["fx"] is not None:
        raise InputError(printable(path), expected="either fx or hfov_deg", got="both", todo="Remove one of them.")
    height = numbers["camera_height_m"]
    if height is not None and height >= 20:
        raise InputError(
            printable(path), expected="camera_height_m below 20", got=f"{height:g}", todo="State it in metres."
        )
    shift = _pixel_shift(path, data)
    for key in ("cx", "cy"):
        value = numbers[key]
        numbers[key] = None if value is None else value + shift
    licence = data.get("licence")
    if licence is not None and not isinstance(licence, str):
        raise InputError(printable(path), expected="licence as text", got=repr(licence)[:60], todo=TODO)
    return CameraFile(path=path, **numbers, **sizes, licence=licence, rest=data)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES)
        data = json.loads(raw.decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(printable(path), expected="a camera file in JSON", got=str(error)[:200], todo=TODO) from error
    if not isinstance(data, dict):
        raise InputError(printable(path), expected="a JSON object { ... }", got=type(data).__name__, todo=TODO)
    return data


def _number(path: Path, data: dict[str, Any], key: str) -> float | None:
    value = data.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(printable(path), expected=f"{key} as a finite number", got=repr(value)[:60], todo=TODO)
    return float(value)


def _size(path: Path, data: dict[str, Any], key: str) -> int | None:
    value = _number(path, data, key)
    if value is not None and (value != int(value) or value < 1):
        raise InputError(printable(path), expected=f"{key} as a whole number of pixels", got=f"{value:g}", todo=TODO)
    return None if value is None else int(value)


def _pixel_shift(path: Path, data: dict[str, Any]) -> float:
    """0.5 for cx, cy counted from the centre of the top-left pixel, 0 where they count from its corner."""
    centre = _number(path, data, "pixel_centre")
    if centre not in (None, 0.0, 0.5):
        expected = "pixel_centre 0 (the top-left pixel's centre is (0, 0), the default) or 0.5"
        raise InputError(printable(path), expected=expected, got=f"{centre:g}", todo=TODO)
    return 0.0 if centre == 0.5 else 0.5
