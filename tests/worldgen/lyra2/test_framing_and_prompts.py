"""Pictures cut to the network's size keep their geometry; prompts come from where they should."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lyra_sim.core.records import Intrinsics
from lyra_sim.worldgen.lyra2.frame_size import framed_camera
from lyra_sim.worldgen.lyra2.framing import framed_depth, framed_image
from lyra_sim.worldgen.lyra2.prompts import DEFAULT, prompt_for

SIDES = st.integers(40, 300)


@given(SIDES, SIDES, st.integers(16, 200), st.integers(16, 200))
@settings(max_examples=40, deadline=None)
def test_a_point_lands_where_the_framed_camera_sees_it(width, height, to_height, to_width):
    camera = Intrinsics(fx=0.8 * width, fy=0.9 * width, cx=0.48 * width, cy=0.55 * height, width=width, height=height)
    made = framed_camera(camera, to_height, to_width)
    v, u = np.mgrid[:height, :width]
    ramp = np.stack([u / width, v / height, np.zeros_like(u)], -1)
    picture = framed_image((255 * ramp).round().astype(np.uint8), to_height, to_width)
    assert picture.shape == (to_height, to_width, 3)
    y, x = to_height // 2, to_width // 2
    ray = np.array([(x + 0.5 - made.cx) / made.fx, (y + 0.5 - made.cy) / made.fy])
    before = np.array([ray[0] * camera.fx + camera.cx - 0.5, ray[1] * camera.fy + camera.cy - 0.5])
    off = picture[y, x, :2] - 255 * before / [width, height]
    assert np.abs(off).max() < 2.5 + 255 * 0.6 / min(width, height)


def test_depth_is_never_mixed_with_what_is_unknown():
    depth = np.where(np.arange(60)[None] < 30, 2.0, 5.0).astype(np.float32).repeat(40, 0)
    valid = np.ones((40, 60), bool)
    valid[:, 20:25] = False
    made = framed_depth(depth, valid, 30, 30)
    assert set(np.unique(made)) == {0.0, 2.0, 5.0} and made.shape == (30, 30)
    big = framed_depth(depth, valid, 120, 160)
    assert set(np.unique(big)) == {0.0, 2.0, 5.0}


def test_configured_prompt_then_captions_then_a_default():
    captions = {0: "a door", 81: "a hall"}
    assert prompt_for(1, "mine", captions, "indoor") == ("mine", "configuration")
    assert prompt_for(1, None, captions, "indoor") == ("a door", "beside the input")
    assert prompt_for(81, None, captions, "indoor")[0] == "a hall"
    assert prompt_for(161, None, captions, "indoor")[0] == "a hall"
    assert prompt_for(1, None, {81: "a hall"}, "outdoor") == (DEFAULT["outdoor"], "default for outdoor places")
