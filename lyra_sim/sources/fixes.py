"""GPS positions of a walk's frames as metres from their middle: baselines travel on, the place does not."""

import math
from collections.abc import Sequence
from typing import Any

USUAL_ERROR_M = 5.0
"""One sigma where the file does not state its error (GPSHPositioningError): phones under an open sky."""
_EQUATOR_M, _ECCENTRICITY2 = 6378137.0, 0.00669437999014
"""WGS 84."""


def local_fixes(exifs: Sequence[dict[str, Any]]) -> list[list[float] | None] | None:
    """[metres east, metres north, one sigma] of each frame, None for frames without a position; None where fewer than
    two frames have one. The plane touches the WGS 84 ellipsoid at their mean latitude; exact to 1e-4 over a kilometre.

    Args:
        exifs: `DecodedImage.exif` of each frame.
    """
    known = [exif["fix"] for exif in exifs if "fix" in exif]
    if len(known) < 2:
        return None
    latitude = sum(fix[0] for fix in known) / len(known)
    first = known[0][1]
    turned = [(fix[1] - first + 180.0) % 360.0 - 180.0 for fix in known]
    longitude = first + sum(turned) / len(known)
    bulge = 1 - _ECCENTRICITY2 * math.sin(math.radians(latitude)) ** 2
    north_m = math.radians(1) * _EQUATOR_M * (1 - _ECCENTRICITY2) / bulge**1.5
    east_m = math.radians(1) * _EQUATOR_M * math.cos(math.radians(latitude)) / math.sqrt(bulge)

    def local(fix: Sequence[float | None]) -> list[float]:
        here, there, error = fix
        assert here is not None and there is not None
        east = ((there - longitude + 180.0) % 360.0 - 180.0) * east_m
        return [round(east, 3), round((here - latitude) * north_m, 3), USUAL_ERROR_M if error is None else error]

    return [local(exif["fix"]) if "fix" in exif else None for exif in exifs]
