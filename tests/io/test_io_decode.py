"""Bounded decoding: pixels equal Pillow's, broken and hostile files end in a message, never in a crash."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from lyra_sim.config.capture import DecodeLimits
from lyra_sim.core.errors import InputError
from lyra_sim.io import decode
from lyra_sim.io.decode import decode_depths, decode_image, decode_images
from tests.data import shared_data

PLAIN = ["cmyk.jpg", "rgb16.png", "exif_rotated_6.jpg", "exif_mirrored_2.jpg", "animated.gif", "alpha_circle.png"]
PLAIN += ["palette.png", "gray.jpg", "bilevel.png", "photo.webp", "progressive_no_ext", "png_named.jpg"]
PLAIN += ["with space ünïcode (1).jpg", "all_black.png", "all_white.png", "noise.png", "aspect_100to1.jpg"]
PLAIN += ["aspect_1to66.jpg", "mapillary_corrupt_exif.jpg", "bitflips.jpg"]


def pillow_reference(path):
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def picture(height=96, width=128, seed=0):
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("name", PLAIN)
def test_pixels_equal_pillow_for_every_accepted_sample(name):
    path = shared_data("bad_inputs", name)
    image = decode_image(path)
    expected = pillow_reference(path)
    np.testing.assert_array_equal(image.rgb, expected)
    assert image.full_size == (expected.shape[1], expected.shape[0])


def test_twelve_bits_in_sixteen_are_scaled_by_the_bits_in_use():
    path = shared_data("bad_inputs", "gray16.png")
    stored = np.asarray(Image.open(path))
    assert stored.max() > 255, "the sample must need scaling"
    np.testing.assert_array_equal(decode_image(path).rgb[..., 0], stored >> 4)


def test_deep_gray_png_uses_all_its_bits(tmp_path):
    values = np.linspace(0, 65535, 128 * 80).reshape(80, 128).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    got = decode_image(tmp_path / "deep.png").rgb
    np.testing.assert_array_equal(got[..., 1], (values / 256).astype(np.uint8))


def test_float_tiff_of_zero_to_one_is_scaled(tmp_path):
    values = np.linspace(0, 1, 96 * 64, dtype=np.float32).reshape(64, 96)
    Image.fromarray(values).save(tmp_path / "f.tif")
    assert np.abs(decode_image(tmp_path / "f.tif").rgb[..., 2] - values * 255).max() <= 0.51
    values[3, 3] = np.nan
    Image.fromarray(values).save(tmp_path / "f.tif")
    with pytest.raises(InputError, match="gray values"):
        decode_image(tmp_path / "f.tif")


def test_transparent_pixels_are_invalid():
    path = shared_data("bad_inputs", "alpha_circle.png")
    alpha = np.asarray(Image.open(path))[..., 3]
    np.testing.assert_array_equal(decode_image(path).valid, alpha >= 128)
    palette = shared_data("bad_inputs", "palette.png")
    indices = np.asarray(Image.open(palette))
    np.testing.assert_array_equal(decode_image(palette).valid, indices != Image.open(palette).info["transparency"])


def test_scaling_averages_areas_and_keeps_no_pixel_touched_by_transparency(tmp_path):
    pixels = np.asarray(picture(80, 120)).copy()
    alpha = np.full((80, 120, 1), 255, np.uint8)
    alpha[:, :61] = 0
    Image.fromarray(np.concatenate([pixels, alpha], axis=2)).save(tmp_path / "a.png")
    got = decode_image(tmp_path / "a.png", max_side_px=60)
    mean = pixels.reshape(40, 2, 60, 2, 3).mean(axis=(1, 3))
    assert got.rgb.shape == (40, 60, 3) and got.full_size == (120, 80)
    assert np.abs(got.rgb - mean).max() <= 1.0  # Pillow rounds after each direction
    assert not got.valid[:, :31].any() and got.valid[:, 31:].all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_as_pillow_turns_it(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture().save(tmp_path / "o.png", exif=exif)
    np.testing.assert_array_equal(decode_image(tmp_path / "o.png").rgb, pillow_reference(tmp_path / "o.png"))


@pytest.mark.parametrize("name", ["truncated.jpg", "empty.jpg", "text_named.png", "directory_named.jpg", "photo.heic"])
def test_broken_samples_end_in_four_part_messages(name):
    with pytest.raises(InputError) as caught:
        decode_image(shared_data("bad_inputs", name))
    assert all((caught.value.where, caught.value.expected, caught.value.got, caught.value.todo))
    if name == "photo.heic":
        assert "format not supported" in str(caught.value) and "heif-convert" in str(caught.value)


def test_truncation_at_every_place_is_refused_or_complete(tmp_path):
    stream = io.BytesIO()
    picture(200, 300).save(stream, "JPEG")
    whole = stream.getvalue()
    for share in (0.02, 0.3, 0.6, 0.95):
        (tmp_path / "cut.jpg").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError):
            decode_image(tmp_path / "cut.jpg")


def test_a_jpeg_that_ends_early_but_properly_is_refused(tmp_path):
    """Recovered files often end in a valid end marker; Pillow then returns gray rows without a word."""
    stream = io.BytesIO()
    picture(200, 300).save(stream, "JPEG")
    whole = stream.getvalue()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2] + b"\xff\xd9")
    assert (pillow_reference(tmp_path / "cut.jpg")[-8:] == 128).all(), "this Pillow does not fill; the test is moot"
    with pytest.raises(InputError, match="ends early"):
        decode_image(tmp_path / "cut.jpg")
    picture(200, 300).save(tmp_path / "whole.jpg")
    assert decode_image(tmp_path / "whole.jpg").rgb.shape == (200, 300, 3)


def test_random_damage_never_crashes(tmp_path):
    rng = np.random.default_rng(4)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF"):
        stream = io.BytesIO()
        picture().save(stream, kind)
        damaged = np.frombuffer(stream.getvalue(), np.uint8).copy()
        damaged[rng.integers(8, len(damaged), 12)] = rng.integers(0, 255, 12)
        (tmp_path / "x").write_bytes(damaged.tobytes())
        try:
            assert decode_image(tmp_path / "x").rgb.dtype == np.uint8
        except InputError as error:
            assert "Traceback" not in str(error)


def test_corrupt_exif_is_ignored_and_the_photo_kept(tmp_path):
    stream = io.BytesIO()
    picture().save(stream, "JPEG")
    plain = stream.getvalue()
    block = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHII", 900, 0x0112, 3, 0xFFFFFFF0, 0xFFFFFFF0) + b"\xff" * 40
    app1 = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
    (tmp_path / "e.jpg").write_bytes(plain[:2] + app1 + plain[2:])
    np.testing.assert_array_equal(decode_image(tmp_path / "e.jpg").rgb, np.asarray(Image.open(io.BytesIO(plain))))


def big_png(path, side):
    """A side x side bilevel PNG of a few kilobytes, written by hand."""
    rows = zlib.compressobj(9)
    body = b"".join(rows.compress(b"\0" * (1 + side // 8)) for _ in range(side)) + rows.flush()
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)), (b"IDAT", body), (b"IEND", b"")]
    data = b"".join(struct.pack(">I", len(c)) + t + c + struct.pack(">I", zlib.crc32(t + c)) for t, c in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def test_too_many_pixels_are_refused_by_their_header():
    with pytest.raises(InputError, match="900 million pixels"):
        decode_image(shared_data("bad_inputs", "bomb_30000x30000.png"))


def test_memory_of_the_decoder_is_bounded(tmp_path):
    big_png(tmp_path / "big.png", 13600)  # 185 million pixels: 0.74 GB as RGB in Pillow
    with pytest.raises(InputError, match=r"memory_mb|decoder stopped"):
        decode_image(tmp_path / "big.png", DecodeLimits(memory_mb=512))


def test_file_size_is_bounded(tmp_path):
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(3 << 20)
    with pytest.raises(InputError, match="at most 2 MB"):
        decode_image(tmp_path / "huge.jpg", DecodeLimits(max_mb=2))


@pytest.mark.parametrize(
    ("script", "how"),
    [
        ("import time; time.sleep(60)", "signal 9"),
        ("import os; os.abort()", "signal 6"),
        ("import sys; sys.exit(7)", "exit code 7"),
        ('print(\'{"ok": true, "size": [64, 64], "planes": ["RGB"]}\')', "exit code 0"),
    ],
)
def test_a_decoder_that_hangs_or_dies_is_an_input_error(tmp_path, monkeypatch, script, how):
    (tmp_path / "child.py").write_text(script)
    picture().save(tmp_path / "p.png")
    monkeypatch.setattr(decode.decode_child, "__file__", str(tmp_path / "child.py"))
    with pytest.raises(InputError, match=how):
        decode_image(tmp_path / "p.png", DecodeLimits(seconds=1.1))


def test_decoding_does_not_import_from_the_working_folder(tmp_path, monkeypatch):
    for name in ("PIL.py", "json.py", "numpy.py"):
        (tmp_path / name).write_text("raise SystemExit(3)")
    picture().save(tmp_path / "p.png")
    monkeypatch.chdir(tmp_path)
    assert decode_image(tmp_path / "p.png").rgb.shape == (96, 128, 3)


def test_many_images_come_in_order(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for i, path in enumerate(paths):
        picture(seed=i).save(path)
    got = [image.rgb for image in decode_images(paths)]
    for i, rgb in enumerate(got):
        np.testing.assert_array_equal(rgb, np.asarray(picture(seed=i)))


def test_depth_keeps_its_sixteen_bits_and_refuses_eight(tmp_path):
    values = np.arange(64 * 80, dtype=np.uint16).reshape(64, 80) * 13
    Image.fromarray(values).save(tmp_path / "d.png")
    (got,) = decode_depths([tmp_path / "d.png"])
    np.testing.assert_array_equal(got, values)
    Image.fromarray((values >> 8).astype(np.uint8)).save(tmp_path / "d.png")
    with pytest.raises(InputError, match="16-bit"):
        list(decode_depths([tmp_path / "d.png"]))


def test_raw_files_are_refused_instead_of_reading_their_thumbnail(tmp_path):
    picture().save(tmp_path / "x.tif")
    (tmp_path / "x.tif").rename(tmp_path / "x.nef")
    with pytest.raises(InputError, match="camera raw"):
        decode_image(tmp_path / "x.nef")
