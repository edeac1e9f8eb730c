"""Captions beside inputs: found, read, part of the key of the capture and not of the world's name."""

import json

import pytest
from PIL import Image

from lyra_sim.config.capture import CaptureConfig
from lyra_sim.core.errors import InputError
from lyra_sim.sources.captions import MAX_BYTES, caption_file, read_captions
from lyra_sim.sources.capture import read_capture
from lyra_sim.sources.discover import discover

LONG = '{"0": "a", "%s": "b"}' % ("9" * 5000)
WRONG = ["[]", '{"81": "later"}', '{"0": ""}', '{"0": 1}', '{"0": "a", "x": "b"}', "{", LONG]


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "a.jpg"
    Image.effect_noise((96, 80), 50).convert("RGB").save(path)
    return path


def capture_of(photo):
    found = discover([photo.parent])
    assert len(found.sources) == 1
    return found, read_capture(found.sources[0], CaptureConfig())


@pytest.mark.parametrize("name", ["a.txt", "a.jpg.txt"])
def test_a_sentence_beside_a_photo(photo, name):
    plain, without = capture_of(photo)
    photo.with_name(name).write_text("\ufeffA kitchen,\n with a red door.\n")
    found, made = capture_of(photo)
    assert made.facts["captions"] == {"0": "A kitchen, with a red door."}
    assert "captions" not in without.facts and not found.skipped
    assert found.sources[0].digest == plain.sources[0].digest and found.sources[0].key != plain.sources[0].key


def test_captions_by_frame_come_first_and_in_order(photo):
    photo.with_name("a.txt").write_text("not this")
    photo.with_name("a.captions.json").write_text(json.dumps({"81": "a hall", "0": "a door"}))
    _, made = capture_of(photo)
    assert list(made.facts["captions"].items()) == [("0", "a door"), ("81", "a hall")]


@pytest.mark.parametrize("content", [b"x" * (MAX_BYTES + 1), b"\xff\xfe\x00a", b"  \n"])
def test_other_texts_are_left_aside(photo, content):
    photo.with_name("a.txt").write_bytes(content)
    found, made = capture_of(photo)
    assert "captions" not in made.facts and [item.path.name for item in found.skipped] == ["a.txt"]


@pytest.mark.parametrize("tree", WRONG)
def test_wrong_captions_say_what_is_wrong(photo, tree):
    path = photo.with_name("a.captions.json")
    path.write_text(tree)
    with pytest.raises(InputError, match="captions"):
        read_captions(path)


def test_captions_of_a_walk_lie_in_its_folder(tmp_path):
    assert caption_file(tmp_path) is None
    (tmp_path / "caption.txt").write_text("an office")
    assert caption_file(tmp_path) == tmp_path / "caption.txt"
    (tmp_path / "captions.json").write_text('{"0": "an office"}')
    assert read_captions(tmp_path / "captions.json") == {0: "an office"}
    assert caption_file(tmp_path) == tmp_path / "captions.json"
