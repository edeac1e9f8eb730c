"""Clips: which frames, how they are cut and scaled, what is read from a walk's folder."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lyra_sim.core.errors import InputError
from lyra_sim.geometry.camera import backproject, transform
from lyra_sim.procedural.cameras import pinhole, walk_cameras
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.render import render
from lyra_sim.procedural.write import write_walk
from lyra_sim.training.clips import CAPTIONS, ProceduralClips, WalkClips, window


@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 3), st.integers(0, 99))
def test_a_window_walks_there_and_back(length, frames, stride, seed):
    index = window(length, frames, stride, np.random.default_rng(seed))
    there = [*range(length), *range(length - 2, 0, -1)]  # one round of playing forwards, then backwards
    start = int(index[0])
    assert index.tolist() == [there[(start + stride * k) % len(there)] for k in range(frames)]
    if (frames - 1) * stride < length:
        assert np.array_equal(np.diff(index), np.full(frames - 1, stride)), "no need to turn round"


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("walks") / "flat"
    scene, camera = make_flat(7, rooms=2), pinhole(96, 80, 70.0)
    write_walk(folder, scene, walk_cameras(scene, 0, 6), camera)
    (folder / CAPTIONS).write_text(json.dumps({"0": "a room", "3": "its door"}))
    return folder, scene, camera


def test_a_walk_is_cut_to_the_middle_with_its_camera(walk):
    """Every pixel of the clip, put into space by its depth and matrices, lies on a pixel of the walk as it was."""
    folder, scene, camera = walk
    clips = WalkClips([folder.parent], frames=5, size=(64, 96))  # as wide, and 8 rows less above and below
    clip = clips.clip(0, np.random.default_rng(0))
    assert len(clips) == 1 and clips.frames == 5
    assert clip.frames.shape == (5, 64, 96, 3) and clip.depth_m.shape == (5, 64, 96)
    poses = walk_cameras(scene, 0, 6)
    first = int(np.argmin([np.abs(np.linalg.inv(clip.w2c[0]) - pose).max() for pose in poses]))
    view = render(scene, poses[first], camera)
    points = backproject(view.depth_m, view.valid, camera, poses[first]).reshape(80, 96, 3)[8:72]
    seen = transform(clip.w2c[0], points.reshape(-1, 3))
    pixels = seen / seen[:, 2:] @ clip.K[0].T - 0.5
    u, v = np.meshgrid(np.arange(96), np.arange(64))
    assert np.abs(pixels[:, 0].reshape(64, 96) - u).max() < 1e-3
    assert np.abs(pixels[:, 1].reshape(64, 96) - v).max() < 1e-3
    assert np.abs(clip.depth_m[0] - seen[:, 2].reshape(64, 96)).max() < 2e-3
    assert np.allclose(clip.K[0], [[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy - 8], [0, 0, 1]])


def test_smaller_clips_see_the_same(walk):
    folder, _, _ = walk
    large, small = (
        WalkClips([folder], frames=6, size=size).clip(0, np.random.default_rng(0)) for size in ((64, 96), (32, 48))
    )
    half = large.frames[0].reshape(32, 2, 48, 2, 3).mean((1, 3))
    assert np.abs(half - small.frames[0]).mean() < 4
    assert np.allclose(large.K[0, :2, 2] / 2, small.K[0, :2, 2])


def test_captions_hold_until_the_next(walk):
    clips = WalkClips([walk[0]], frames=6, size=(64, 96))
    clip = clips.clip(0, np.random.default_rng(0))
    assert clips.texts() == ["a room", "its door"]
    assert [clip.caption(i) for i in range(6)] == ["a room"] * 3 + ["its door"] * 3
    back = clip.taken(np.array([5, 4, 3, 2, 1, 0]))
    assert [back.caption(i) for i in range(6)] == ["its door"] * 3 + ["a room"] * 3
    assert np.array_equal(back.frames[1], clip.frames[4]) and np.array_equal(back.w2c[5], clip.w2c[0])


@pytest.mark.parametrize("text", ["[]", "{", '{"a": "b"}', '{"0": 1}', '{"3": "a door"}'])
def test_a_broken_caption_file_is_refused_by_name(walk, tmp_path, text):
    copy = tmp_path / "copy"
    copy.mkdir()
    for entry in walk[0].iterdir():
        if entry.name != CAPTIONS:
            (copy / entry.name).symlink_to(entry)
    (copy / CAPTIONS).write_text(text)
    with pytest.raises(InputError, match=r"captions\.json"):
        WalkClips([copy], frames=6, size=(64, 96)).clip(0, np.random.default_rng(0))


def test_no_walk_is_said(tmp_path):
    with pytest.raises(InputError, match="RGB-D walks"):
        WalkClips([tmp_path], frames=6, size=(64, 96))


def test_procedural_clips_are_the_places_they_name():
    clips = ProceduralClips(2, frames=3, size=(32, 48), seed=5)
    clip, again = (clips.clip(1, np.random.default_rng(1)) for _ in range(2))
    assert clip.name == "street-6" and clip.frames.shape == (3, 32, 48, 3)
    assert np.array_equal(clip.frames, again.frames) and np.array_equal(clip.depth_m, again.depth_m)
    assert (clip.depth_m > 0).all(), "the sky of a street is far away, not unknown"
