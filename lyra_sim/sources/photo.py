"""One photo as a capture: upright pixels, what is known of its camera, its place and its rights."""

from typing import Any

import numpy as np

import lyra_sim
from lyra_sim.config.capture import CaptureConfig
from lyra_sim.core.errors import InputError
from lyra_sim.core.records import Capture, Provenance
from lyra_sim.geometry.camera import scaled
from lyra_sim.io.decode import DecodedImage, decode_image
from lyra_sim.sources.discover import Source
from lyra_sim.sources.focal import photo_intrinsics
from lyra_sim.sources.licences import licence_of
from lyra_sim.sources.names import printable
from lyra_sim.sources.panorama import looks_equirectangular
from lyra_sim.sources.sidecar import photo_sidecar, read_camera_file

MIN_VALID_SHARE = 0.05


def read_photo(source: Source, config: CaptureConfig, *, config_hash: str = "", seed: int = 0) -> Capture:
    """Decode a photo, scaled down to `config.max_side_px`, with its camera.

    The camera height is the one in the photo's camera file, else the configured one.

    Raises:
        InputError: not readable, too small, too long, mostly transparent, a panorama, or a wrong camera file.
    """
    beside = photo_sidecar(source.path)
    camera = read_camera_file(beside) if beside is not None else None
    image = decode_image(source.path, config.limits, max_side_px=config.max_side_px)
    _check_shape(source, image, config)
    full, focal_source, focal_how = photo_intrinsics(image.full_size, image.exif, camera, config.assumed_hfov_deg)
    height, width = image.rgb.shape[:2]
    given_height = camera.camera_height_m if camera is not None else None
    stated = camera.licence if camera is not None else None
    licence = licence_of(source.name, configured=config.licence, beside=source.notice, exif=image.exif, stated=stated)
    return Capture(
        kind="photo",
        name=source.name,
        images=image.rgb[None].copy(),
        image_valid=image.valid[None].copy(),
        intrinsics=scaled(full, width, height),
        focal_source=focal_source,
        camera_height_m=config.camera_height_m if given_height is None else given_height,
        facts=_facts(image, focal_how),
        provenance=Provenance(
            backend="photo",
            version=lyra_sim.__version__,
            config_hash=config_hash,
            seed=seed,
            inputs=(source.digest,),
            licences=(licence,),
        ),
    )


def _check_shape(source: Source, image: DecodedImage, config: CaptureConfig) -> None:
    where, (width, height) = printable(source.path), image.full_size
    if min(width, height) < config.min_side_px:
        expected = f"an image of at least {config.min_side_px} pixels on both sides"
        raise InputError(where, expected=expected, got=f"{width}x{height}", todo="Give the original, larger photo.")
    if max(width, height) > config.max_aspect * min(width, height):
        todo = "Crop it to a usual format; strips and stitched panoramas are no pinhole pictures."
        expected = f"sides of at most {config.max_aspect:g} : 1"
        raise InputError(where, expected=expected, got=f"{width}x{height}", todo=todo)
    if image.says_panorama or looks_equirectangular(image.rgb):
        todo = "Cut perspective views out of it (about 90 degrees each) and give those."
        got = "an equirectangular 360 degree panorama"
        raise InputError(where, expected="a perspective photo", got=got, todo=todo)
    if np.mean(image.valid) < MIN_VALID_SHARE:
        got = f"an image that is {100 * (1 - np.mean(image.valid)):.0f} % transparent"
        raise InputError(where, expected="a photo with visible pixels", got=got, todo="Remove its transparency.")


def _facts(image: DecodedImage, focal_how: str) -> dict[str, Any]:
    """What may travel on: camera type, day, rounded place, sizes; nothing that names a person or a device."""
    facts: dict[str, Any] = {
        "format": image.format,
        "full_size_px": list(image.full_size),
        "focal": focal_how,
    }
    for key in ("make", "model", "focal_mm", "focal_35mm", "latitude", "longitude"):
        if key in image.exif:
            facts[key] = image.exif[key]
    taken = image.exif.get("taken", "")[:10].replace(":", "-")
    if len(taken) == 10:
        facts["day"] = taken
    return facts
