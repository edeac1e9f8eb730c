"""The focal length of a photo: stated by the user, computed from EXIF, or assumed."""

import math
from typing import Any, Literal

from lyra_sim.core.errors import InputError
from lyra_sim.core.records import Intrinsics
from lyra_sim.sources.names import printable
from lyra_sim.sources.sidecar import CameraFile

FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
"""Millimetres per FocalPlaneResolutionUnit (EXIF 2.3: inch, cm; 4 and 5 are in use for mm and um)."""
PLAUSIBLE_FOV_RAD = (math.radians(3.0), math.radians(140.0))
"""Across the longer side; an EXIF focal length outside of it is a writing error."""


def photo_intrinsics(
    size: tuple[int, int], exif: dict[str, Any], camera: CameraFile | None, assumed_hfov_deg: float
) -> tuple[Intrinsics, Literal["given", "exif", "assumed"], str]:
    """Camera of an upright photo of `size` (width, height), where its focal length comes from, and how.

    Square pixels and a central principal point, unless the camera file states others. An assumed field of view spans
    the longer side, because an upright photo is usually the same camera turned by 90 degrees.

    Raises:
        InputError: the camera file contradicts the photo's size.
    """
    width, height = size
    if camera is not None and (camera.fx is not None or camera.hfov_deg is not None):
        return _given(size, camera), "given", f"stated in {printable(camera.path.name)}"
    focal, how = _from_exif(size, exif)
    source: Literal["exif", "assumed"] = "exif"
    if focal is None:
        focal = max(size) / 2 / math.tan(math.radians(assumed_hfov_deg) / 2)
        source, how = "assumed", f"{how}; {assumed_hfov_deg:g} degrees across the longer side assumed"
    made = Intrinsics(fx=focal, fy=focal, cx=width / 2, cy=height / 2, width=width, height=height)
    return made, source, how


def _given(size: tuple[int, int], camera: CameraFile) -> Intrinsics:
    width, height = size
    of = (camera.width or width, camera.height or height)
    scale = width / of[0]
    if abs(of[1] * scale - height) > 1.0:
        got = f"{of[0]}x{of[1]} for a photo of {width}x{height} (upright)"
        todo = "State fx, fy, cx, cy, width, height for the upright photo, or for a scaled copy of it."
        raise InputError(
            printable(camera.path), expected="width and height in the photo's proportions", got=got, todo=todo
        )
    if camera.hfov_deg is not None:
        focal = width / 2 / math.tan(math.radians(camera.hfov_deg) / 2)
        return Intrinsics(fx=focal, fy=focal, cx=width / 2, cy=height / 2, width=width, height=height)
    assert camera.fx is not None
    cx = width / 2 if camera.cx is None else camera.cx * scale
    cy = height / 2 if camera.cy is None else camera.cy * scale
    if not (0 < cx < width and 0 < cy < height):
        todo = "State cx, cy in pixels of the upright photo, with its width and height."
        raise InputError(
            printable(camera.path), expected="cx, cy inside the photo", got=f"{camera.cx}, {camera.cy}", todo=todo
        )
    fx = camera.fx * scale
    fy = fx if camera.fy is None else camera.fy * scale
    return Intrinsics(fx=fx, fy=fy, cx=cx, cy=cy, width=width, height=height)


def _from_exif(size: tuple[int, int], exif: dict[str, Any]) -> tuple[float | None, str]:
    """Focal length in pixels from EXIF, or None and why not.

    FocalLengthIn35mmFilm compares diagonals (CIPA DCG-001); FocalLength with FocalPlaneXResolution gives pixels of the
    stored full image directly. A cropped image (proportions differ from the recorded ones) has lost its scale.
    """
    longer, shorter = max(size), min(size)
    full = None
    if "width" in exif and "height" in exif:
        full = (max(exif["width"], exif["height"]), min(exif["width"], exif["height"]))
        if abs(full[1] * longer / full[0] - shorter) > 0.01 * longer:
            return None, f"cropped since EXIF was written ({full[0]:g}x{full[1]:g})"
    candidates: list[tuple[float, str]] = []
    if "focal_35mm" in exif:
        focal = exif["focal_35mm"] / FILM_DIAGONAL_MM * math.hypot(longer, shorter)
        candidates.append((focal, f"FocalLengthIn35mmFilm {exif['focal_35mm']:g} mm"))
    unit_mm = UNIT_MM.get(int(exif.get("plane_resolution_unit", 2)))
    if unit_mm and full and "focal_mm" in exif and "plane_x_resolution" in exif:
        focal = exif["focal_mm"] * exif["plane_x_resolution"] / unit_mm * longer / full[0]
        candidates.append((focal, f"FocalLength {exif['focal_mm']:g} mm and FocalPlaneXResolution"))
    for focal, how in candidates:
        if PLAUSIBLE_FOV_RAD[0] < 2 * math.atan(longer / 2 / focal) < PLAUSIBLE_FOV_RAD[1]:
            return focal, how
    return None, "EXIF states an impossible focal length" if candidates else "no usable focal length in EXIF"
