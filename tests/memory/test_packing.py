"""The packing grammar."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lyra_sim.core.errors import ConfigError
from lyra_sim.memory.packing import RELEASED, Packing

SEGMENTS = st.lists(st.tuples(st.integers(1, 30), st.sampled_from("ks"), st.integers(1, 8)), min_size=1, max_size=8)


@given(SEGMENTS, st.integers(1, 30))
def test_every_valid_string_is_read_as_written(segments, new):
    text = "".join(f"f{n}{kind}{kernel}" for n, kind, kernel in segments) + f"_g{new}"
    packing = Packing.parse(text)
    assert [(run.latents, run.kind, run.kernel) for run in packing.history] == segments
    assert packing.kinds == "".join(kind * n for n, kind, _ in segments) + "g" * new
    assert packing.spatial_slots == sum(n for n, kind, _ in segments if kind == "s")
    assert packing.history_latents == sum(n for n, _, _ in segments)
    assert packing.repeats == 4 * (packing.history_latents - 1) + 1


@pytest.mark.parametrize(
    "text", ["", "f1k1", "_g20", "f1k1_g0", "f0k1_g2", "f1k0_g2", "f1x1_g2", "f1k1 _g2", "f1k1_g2f1k1", "f1k1_g2\n"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(ConfigError, match="packing"):
        Packing.parse(text)


def test_the_released_window():
    packing = Packing.parse(RELEASED)
    assert (packing.history_latents, packing.new_latents, packing.spatial_slots, packing.repeats) == (25, 20, 5, 97)
    assert [run.stretch for run in packing.runs] == [
        (1, 1, 1), (1, 2, 2), (1, 1, 1), (4, 4, 4), (2, 2, 2), (1, 1, 1), (1, 1, 1),
    ]  # fmt: skip
    assert packing.temporal(45) == [0, *range(26, 45)]
    assert Packing.parse("f4s1_g2").temporal(5) == []
