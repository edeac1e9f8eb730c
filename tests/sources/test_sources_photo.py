"""Photos as captures: pixels, cameras from EXIF and camera files, heights, rights, refusals."""

import dataclasses
import json
import math

import numpy as np
import pytest
import yaml
from PIL import Image, ImageOps

from lyra_sim.config.capture import CaptureConfig
from lyra_sim.core.errors import InputError
from lyra_sim.core.records import Capture
from lyra_sim.io.records import load_record, save_record
from lyra_sim.sources.capture import read_capture
from lyra_sim.sources.discover import discover
from lyra_sim.sources.licences import spdx
from lyra_sim.sources.panorama import looks_equirectangular
from tests.data import shared_data

EXIF_IFD, GPS_IFD = 0x8769, 0x8825


def photo(path, size=(120, 80), exif=None):
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 255, (5, 7, 3), dtype=np.uint8))
    coarse.resize(size, Image.Resampling.BICUBIC).save(path, **({"exif": exif} if exif else {}))
    return path


def exif_block(*, orientation=1, gps=None, main=(), **camera):
    block = Image.Exif()
    block[0x0112] = orientation
    for tag, value in main:
        block[tag] = value
    tags = {
        "focal_mm": 0x920A,
        "focal_35mm": 0xA405,
        "x_res": 0xA20E,
        "unit": 0xA210,
        "width": 0xA002,
        "height": 0xA003,
    }
    block.get_ifd(EXIF_IFD).update({tags[name]: value for name, value in camera.items()})
    if gps:
        block.get_ifd(GPS_IFD).update(gps)
    return block


def read(path, **settings):
    found = discover([path]).sources
    (source,) = [item for item in found if item.path == path]
    return read_capture(source, CaptureConfig(**settings))


def expected_outcomes():
    for item in yaml.safe_load(shared_data("manifest.yaml").read_text())["items"]:
        if item["group"] == "bad_inputs":
            yield item["file"], item["expected"]


def test_every_bad_input_ends_as_the_manifest_says():
    """`accept`: captured, equal to Pillow where no scaling is involved; `clean error`: InputError or skipped."""
    root, judged = shared_data("bad_inputs").parent, 0
    sources = {source.path: source for source in discover([root / "bad_inputs"]).sources}
    for file, expected in expected_outcomes():
        source = sources.get(root / file)
        judged += 1
        try:
            got = read_capture(source, CaptureConfig(max_side_px=4096, min_side_px=16)) if source else None
        except InputError:
            got = None
        if got is None:
            assert "error" in expected or expected == "no crash" or "format not supported" in expected, file
            continue
        assert source is not None
        assert not expected.startswith("clean error (never"), file
        assert expected != "clean error" or "tiny" in file, file
        with Image.open(source.path) as image:
            if image.mode not in ("I;16", "F"):
                np.testing.assert_array_equal(got.images[0], np.asarray(ImageOps.exif_transpose(image).convert("RGB")))
        assert 20 < got.images.mean() < 240 or "all_" in file, f"{file} is clipped or black"
    assert judged == 30


@pytest.mark.parametrize("name", ["tiny_1x1.png", "tiny_16x12.jpg", "aspect_100to1.jpg", "aspect_1to66.jpg"])
def test_tiny_and_long_images_are_refused_by_default(name):
    with pytest.raises(InputError, match="at least 64 pixels"):
        read(shared_data("bad_inputs", name))


def test_strips_are_refused_by_proportion(tmp_path):
    with pytest.raises(InputError, match="4 : 1"):
        read(photo(tmp_path / "strip.png", (500, 80)))


@pytest.mark.parametrize(
    "name", ["viser_potsdamer_platz_1k", "viser_st_fagans_interior_1k", "hs_anniversary_lounge_1k"]
)
def test_panoramas_are_refused(name):
    with pytest.raises(InputError, match="360 degree"):
        read(shared_data("panoramas", name + ".jpg"))


def test_a_perspective_photo_cropped_to_two_to_one_is_no_panorama():
    for folder in ("single_street", "single_indoor"):
        for path in sorted(shared_data(folder).iterdir()):
            with Image.open(path) as image:
                image.draft("RGB", (900, 600))
                pixels = np.asarray(image.convert("RGB"))
            assert not looks_equirectangular(pixels[-(pixels.shape[1] // 2) :])


def test_assumed_focal_spans_the_longer_side(tmp_path):
    wide, tall = read(photo(tmp_path / "w.png", (120, 80))), read(photo(tmp_path / "t.png", (80, 120)))
    expected = 60 / math.tan(math.radians(65 / 2))
    for capture in (wide, tall):
        assert capture.focal_source == "assumed"
        assert (capture.intrinsics.fx, capture.intrinsics.fy) == pytest.approx((expected, expected))
    assert (tall.intrinsics.cx, tall.intrinsics.cy) == (40, 60)


def test_focal_from_35mm_equivalent_with_scaling_and_turning(tmp_path):
    path = photo(tmp_path / "p.jpg", (1200, 800), exif_block(orientation=6, focal_35mm=28))
    got = read(path, max_side_px=300)
    assert got.images.shape == (1, 300, 200, 3) and got.focal_source == "exif"
    assert got.intrinsics.fx == pytest.approx(28 / 36 * 300, rel=1e-3)  # 3:2, so diagonal and width agree


def test_focal_from_sensor_resolution(tmp_path):
    """Canon EOS 5D: 35.8 mm sensor, 4368 pixels; f = 50 mm is 50 / 35.8 of the width."""
    block = exif_block(focal_mm=50, x_res=4368 / (35.8 / 25.4), unit=2, width=4368, height=2912)
    got = read(photo(tmp_path / "p.jpg", (900, 600), block))
    assert got.focal_source == "exif" and got.intrinsics.fx == pytest.approx(50 / 35.8 * 900, rel=1e-3)


@pytest.mark.parametrize(
    "camera",
    [
        {"focal_35mm": 28, "width": 4000, "height": 2000},  # cropped since
        {"focal_35mm": 0},
        {"focal_35mm": 60000},
        {"focal_mm": 4.2},  # no sensor size
    ],
)
def test_unusable_exif_focal_is_assumed_and_says_why(tmp_path, camera):
    got = read(photo(tmp_path / "p.jpg", (900, 600), exif_block(**camera)))
    assert got.focal_source == "assumed" and "assumed" in got.facts["focal"]


def test_camera_file_gives_height_and_intrinsics(tmp_path):
    path = photo(tmp_path / "p.png", (1200, 800))
    camera = {"camera_height_m": 0.7, "fx": 600, "cx": 299.5, "cy": 189.5, "width": 600, "height": 400}
    (tmp_path / "p.json").write_text(json.dumps(camera))
    got = read(path, max_side_px=300, camera_height_m=2.0)
    k = got.intrinsics
    assert (k.fx, k.fy, k.cx, k.cy, k.width, k.height) == (300, 300, 150, 95, 300, 200)
    assert got.focal_source == "given" and got.camera_height_m == 0.7
    (tmp_path / "p.json").unlink()
    assert read(path, camera_height_m=2.0).camera_height_m == 2.0 and read(path).camera_height_m is None


def test_hfov_in_the_camera_file(tmp_path):
    path = photo(tmp_path / "p.png")
    (tmp_path / "p.png.camera.json").write_text('{"hfov_deg": 90}')
    assert read(path).intrinsics.fx == pytest.approx(60)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"camera_hight_m": 1}', "also camera_hight_m"),
        ('{"camera_height_m": "1"}', "finite number"),
        ('{"camera_height_m": NaN}', "finite number"),
        ('{"camera_height_m": -1}', "above 0"),
        ('{"camera_height_m": 150}', "below 20"),
        ('{"fx": 100, "hfov_deg": 60}', "either fx or hfov_deg"),
        ('{"fx": 100, "width": 100, "height": 100}', "proportions"),
        ('{"fx": 100, "cx": -5}', "inside the photo"),
        ('{"fx": 100, "pixel_centre": 1}', "pixel_centre"),
        ("[1]", "JSON object"),
        ("{", "JSON"),
    ],
)
def test_wrong_camera_files_are_named(tmp_path, text, words):
    path = photo(tmp_path / "p.png")
    (tmp_path / "p.png.camera.json").write_text(text)
    with pytest.raises(InputError, match=words):
        read(path)


def test_facts_keep_place_and_day_but_nobody(tmp_path):
    gps = {1: "S", 2: (33.0, 51.0, 31.4), 3: "E", 4: (151.0, 12.0, 51.0)}
    people = [(0x010F, "Maker"), (0x0110, "Model 1"), (0x013B, "Ada"), (0x8298, "(c) 2021 Ada, CC BY 4.0")]
    path = photo(tmp_path / "p.jpg", exif=exif_block(gps=gps, main=[*people, (0x0132, "2021:02:03 04:05:06")]))
    got = read(path)
    assert (got.facts["latitude"], got.facts["longitude"]) == (-33.859, 151.214)
    assert got.facts["day"] == "2021-02-03" and got.facts["make"] == "Maker"
    assert "Ada" not in json.dumps(got.facts)
    (licence,) = got.provenance.licences
    assert (licence.name, licence.holder, licence.source) == ("CC-BY-4.0", "Ada", "EXIF Copyright")


def test_licence_comes_from_configuration_then_file_then_nowhere(tmp_path):
    path = photo(tmp_path / "p.png")
    assert read(path).provenance.licences[0].name == "not stated"
    (tmp_path / "ATTRIBUTION.txt").write_text("SPDX-License-Identifier: CC-BY-SA-4.0\nCopyright: Bo\n")
    licence = read(path).provenance.licences[0]
    assert (licence.name, licence.holder) == ("CC-BY-SA-4.0", "Bo") and "ATTRIBUTION.txt" in licence.source
    assert read(path, licence="own work").provenance.licences[0].name == "own work"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Permission is hereby granted, free of charge, to any person", "MIT"),
        ("                                 Apache License\n Version 2.0, January 2004", "Apache-2.0"),
        ("https://creativecommons.org/licenses/by-nc/3.0/", "CC-BY-NC-3.0"),
        ("Photos are CC BY.", "CC-BY"),
        ("# Owned by nobody\nmore", "Owned by nobody"),
        ("CC0", "CC0-1.0"),
    ],
)
def test_licence_wordings(text, name):
    assert spdx(text) == name


def test_a_capture_survives_the_disk_and_is_the_same_bytes_twice(tmp_path):
    path = photo(tmp_path / "ünï code.jpg", (400, 300), exif_block(focal_35mm=28))
    for name in ("a", "b"):
        save_record(read(path), tmp_path / name)
    for file in ("record.json", "arrays.npz"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    back = load_record(Capture, tmp_path / "a")
    np.testing.assert_array_equal(back.images, read(path).images)
    assert back.facts == read(path).facts and back.name == "ünï code"
    assert dataclasses.asdict(back.intrinsics) == dataclasses.asdict(read(path).intrinsics)


def test_mostly_transparent_photos_are_refused(tmp_path):
    Image.new("RGBA", (100, 100), (9, 9, 9, 0)).save(tmp_path / "p.png")
    with pytest.raises(InputError, match="100 % transparent"):
        read(tmp_path / "p.png")
