"""Captions beside inputs: found, read, no part of what is captured."""

import json

import pytest
from PIL import Image

from lyra_sim.core.errors import InputError
from lyra_sim.sources.captions import MAX_BYTES, caption_file, captions_beside, read_captions
from lyra_sim.sources.discover import discover

LONG = '{"0": "a", "%s": "b"}' % ("9" * 5000)
WRONG = ["[]", '{"81": "later"}', '{"0": ""}', '{"0": 1}', '{"0": "a", "x": "b"}', "{", LONG]


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "a.jpg"
    Image.effect_noise((96, 80), 50).convert("RGB").save(path)
    return path


def found_at(photo):
    found = discover([photo.parent])
    assert len(found.sources) == 1
    return found


@pytest.mark.parametrize("name", ["a.txt", "a.jpg.txt"])
def test_a_sentence_beside_a_photo(photo, name):
    (without,) = found_at(photo).sources
    assert captions_beside(photo) == {}
    photo.with_name(name).write_text("\ufeffA kitchen,\n with a red door.\n")
    found = found_at(photo)
    assert captions_beside(photo) == {0: "A kitchen, with a red door."} and not found.skipped
    (source,) = found.sources
    assert without.captions is None and source.captions and (source.digest, source.key) == (without.digest, without.key)


def test_captions_by_frame_come_first_and_in_order(photo):
    photo.with_name("a.txt").write_text("not this")
    photo.with_name("a.captions.json").write_text(json.dumps({"81": "a hall", "0": "a door"}))
    assert list(captions_beside(photo).items()) == [(0, "a door"), (81, "a hall")]


@pytest.mark.parametrize("content", [b"x" * (MAX_BYTES + 1), b"\xff\xfe\x00a", b"  \n"])
def test_other_texts_are_left_aside(photo, content):
    photo.with_name("a.txt").write_bytes(content)
    assert captions_beside(photo) == {} and [item.path.name for item in found_at(photo).skipped] == ["a.txt"]


@pytest.mark.parametrize("tree", WRONG)
def test_wrong_captions_say_what_is_wrong(photo, tree):
    path = photo.with_name("a.captions.json")
    path.write_text(tree)
    with pytest.raises(InputError, match="captions"):
        read_captions(path)
    with pytest.raises(InputError, match="captions"):
        captions_beside(photo)


def test_captions_of_a_walk_lie_in_its_folder(tmp_path):
    assert caption_file(tmp_path) is None
    (tmp_path / "caption.txt").write_text("an office")
    assert caption_file(tmp_path) == tmp_path / "caption.txt"
    (tmp_path / "captions.json").write_text('{"0": "an office"}')
    assert read_captions(tmp_path / "captions.json") == {0: "an office"}
    assert caption_file(tmp_path) == tmp_path / "captions.json"
