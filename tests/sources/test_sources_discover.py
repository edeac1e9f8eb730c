"""Which files and folders count as inputs, how they are named, and what is left aside."""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lyra_sim.core.errors import ConfigError
from lyra_sim.io.sniff import image_kind
from lyra_sim.sources.digests import Digests
from lyra_sim.sources.discover import Source, discover, world_name
from lyra_sim.sources.names import natural_key, slug
from tests.data import shared_data


def photo(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (70, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "PNG")
    return path


def walk(folder: Path, *, leave_out: str = "") -> Path:
    for i in range(2):
        photo(folder / "color" / f"{i}.png", i)
        photo(folder / "depth" / f"{i}.png", 10 + i)
    (folder / "poses.txt").write_text("x")
    (folder / "camera.json").write_text("{}")
    if leave_out:
        gone = folder / leave_out
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    return folder


def names(found) -> list[str]:
    return [source.path.name for source in found.sources]


def test_content_or_name_makes_an_input_and_the_rest_is_skipped_with_a_reason(tmp_path):
    photo(tmp_path / "no_extension")
    photo(tmp_path / "photo.jpg", 1)
    (tmp_path / "broken.webp").write_bytes(b"not an image")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "folder.jpg").mkdir()
    photo(tmp_path / "folder.jpg" / "inside.png", 2)
    (tmp_path / ".hidden.png").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    found = discover([tmp_path])
    assert names(found) == ["broken.webp", "no_extension", "photo.jpg"]
    why = {item.path.name: item.why for item in found.skipped}
    assert set(why) == {"notes.txt", "folder.jpg", "pipe.png", "link.png"}
    assert "folder" in why["folder.jpg"] and "not an image" in why["notes.txt"]


def test_every_bad_input_is_a_source_or_skipped_with_a_reason():
    folder = shared_data("bad_inputs")
    found = discover([folder])
    assert sorted([*names(found), *(item.path.name for item in found.skipped)]) == sorted(
        p.name for p in folder.iterdir()
    )
    assert [item.path.name for item in found.skipped] == ["directory_named.jpg"]


def test_walks_are_one_source_each_and_not_descended_into(tmp_path):
    walk(tmp_path / "a" / "b" / "flat")
    found = discover([tmp_path])
    assert [(s.kind, s.path) for s in found.sources] == [("rgbd", tmp_path / "a" / "b" / "flat")]
    assert not found.skipped


@pytest.mark.parametrize("leave_out", ["poses.txt", "camera.json", "depth", "color"])
def test_an_incomplete_walk_is_not_taken_for_photos(tmp_path, leave_out):
    found = discover([walk(tmp_path / "flat", leave_out=leave_out)])
    assert [s.kind for s in found.sources] == ["rgbd"]


def test_single_rgbd_frame_is_one_source(tmp_path):
    photo(tmp_path / "rgb.png")
    photo(tmp_path / "depth.png", 1)
    (tmp_path / "camera.json").write_text("{}")
    assert [(s.kind, s.path) for s in discover([tmp_path]).sources] == [("rgbd", tmp_path)]
    forced = discover([tmp_path], kind="photo")
    assert names(forced) == ["rgb.png"] and [s.path.name for s in forced.skipped] == ["camera.json", "depth.png"]


def test_forced_kinds(tmp_path):
    walk(tmp_path / "flat")
    photo(tmp_path / "p.png", 5)
    as_photos = discover([tmp_path], kind="photo")
    assert [s.path.relative_to(tmp_path).as_posix() for s in as_photos.sources] == [
        "flat/color/0.png",
        "flat/color/1.png",
        "p.png",
    ]
    assert "flat/depth" in {s.path.relative_to(tmp_path).as_posix() for s in as_photos.skipped}
    only_walks = discover([tmp_path], kind="rgbd")
    assert names(only_walks) == ["flat"] and [s.path.name for s in only_walks.skipped] == ["p.png"]


def test_depth_three_is_searched_and_four_is_reported(tmp_path):
    photo(tmp_path / "1" / "2" / "3" / "in.png")
    photo(tmp_path / "1" / "2" / "3" / "4" / "out.png", 1)
    found = discover([tmp_path])
    assert names(found) == ["in.png"]
    assert [item.path.name for item in found.skipped] == ["4"]


def test_link_loops_end(tmp_path):
    photo(tmp_path / "a" / "p.png")
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    assert names(discover([tmp_path, tmp_path / "a"])) == ["p.png"]


def test_same_bytes_are_one_source_and_order_is_natural(tmp_path):
    photo(tmp_path / "frame10.png", 1)
    photo(tmp_path / "frame2.png", 2)
    shutil.copy(tmp_path / "frame2.png", tmp_path / "zcopy.png")
    found = discover([tmp_path / "zcopy.png", tmp_path, tmp_path / "frame10.png"])
    assert names(found) == ["frame2.png", "frame10.png"]
    assert found.sources[0].also == (tmp_path / "zcopy.png",)
    assert found.sources[1].also == ()
    again = discover([tmp_path])
    assert [(s.digest, s.key) for s in again.sources] == [(s.digest, s.key) for s in found.sources]


def test_walk_digest_follows_every_file_but_not_the_place(tmp_path):
    first = discover([walk(tmp_path / "a" / "flat")]).sources[0]
    moved = discover([walk(tmp_path / "b" / "flat")]).sources[0]
    assert first.digest == moved.digest and first.key == moved.key
    seen = {first.digest}
    for change in ("color/1.png", "depth/0.png", "poses.txt", "camera.json"):
        (tmp_path / "b" / "flat" / change).write_bytes(b"changed " + change.encode())
        seen.add(discover([tmp_path / "b"]).sources[0].digest)
    assert len(seen) == 5


def test_camera_file_and_licence_belong_to_the_source(tmp_path):
    photo(tmp_path / "p.png")
    bare = discover([tmp_path]).sources[0]
    (tmp_path / "p.png.camera.json").write_text('{"camera_height_m": 1.2}')
    (tmp_path / "LICENSE").write_text("MIT License\n\nCopyright (c) 2020 Ada\n")
    found = discover([tmp_path])
    assert not found.skipped and found.sources[0].digest != bare.digest
    assert found.sources[0].notice is not None and found.sources[0].notice.name == "MIT"
    (tmp_path / "LICENSE").write_text("CC BY 4.0")
    again = discover([tmp_path]).sources[0]
    assert again.digest == found.sources[0].digest and again.key != found.sources[0].key


def test_another_programs_json_is_no_camera_file(tmp_path):
    photo(tmp_path / "p.png")
    (tmp_path / "p.json").write_text('{"shapes": []}')
    found = discover([tmp_path])
    assert [item.path.name for item in found.skipped] == ["p.json"]


def test_absent_paths_and_unreadable_folders(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        discover([tmp_path / "absent"])
    assert discover([]).sources == ()


def test_unreadable_folder_is_skipped(tmp_path, monkeypatch):
    photo(tmp_path / "ok.png")
    (tmp_path / "locked").mkdir()
    original = Path.iterdir

    def refusing(self):
        if self.name == "locked":
            raise PermissionError(13, "Permission denied")
        return original(self)

    monkeypatch.setattr(Path, "iterdir", refusing)
    found = discover([tmp_path])
    assert names(found) == ["ok.png"] and "Permission denied" in found.skipped[0].why


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("with space ünïcode (1)", "with-space-unicode-1"),
        ("../../etc/passwd", "etc-passwd"),
        ("日本", "world"),
        ("a" * 39 + "-bc", "a" * 39),
        ("CON", "con"),
    ],
)
def test_slugs(text, expected):
    assert slug(text) == expected


def test_world_name_is_slug_and_content():
    source = Source("photo", Path("x/My Photo.jpg"), "0123456789abcdef" * 4, "My Photo")
    assert world_name(source) == "my-photo-01234567"
    assert re.fullmatch(r"[a-z0-9-]{1,49}", world_name(source))
    assert sorted(["f10", "f9", "f1a"], key=natural_key) == ["f1a", "f9", "f10"]


def test_names_that_are_no_utf8_are_found(tmp_path):
    raw = os.fsencode(tmp_path) + b"/caf\xe9.png"
    shutil.copy(photo(tmp_path / "src" / "a.png"), raw)
    (found,) = discover([Path(os.fsdecode(raw))]).sources
    assert found.name.encode("utf-8") and world_name(found).startswith("caf-")


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xff\xd8\xff\xe0" + b"\0" * 20, "jpeg"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heic"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "avif"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isomavc1", None),
        (b"P6\n640 480\n255\n", "ppm"),
        (b"P6", None),
        (b"BMI calculator notes, 2024 edition", None),
        (b"", None),
    ],
)
def test_sniffing(head, kind):
    assert image_kind(head) == kind


def test_remembered_digests_are_used_and_noticed_when_stale(tmp_path):
    photo, memory = tmp_path / "in" / "a.jpg", tmp_path / "memory" / "digests.json"
    photo.parent.mkdir()
    photo.write_bytes(b"\xff\xd8\xff one")
    first = Digests(memory)
    before = discover([photo.parent], digests=first).sources[0].digest
    assert before == hashlib.sha256(photo.read_bytes()).hexdigest()
    first.save()
    remembered = json.loads(memory.read_text())
    remembered[str(photo)][0] = "0" * 64  # proves that the file is not read again
    memory.write_text(json.dumps(remembered))
    assert discover([photo.parent], digests=Digests(memory)).sources[0].digest == "0" * 64
    photo.write_bytes(b"\xff\xd8\xff two, longer")
    after = discover([photo.parent], digests=Digests(memory)).sources[0].digest
    assert after == hashlib.sha256(photo.read_bytes()).hexdigest() != before
