"""Figures of the vectors command: what passes, what is missed, what is only told."""

import numpy as np
import pytest

from pipelines.vectors.figure import Figure, differing, largest, splatted


def test_a_bar_is_met_or_missed_and_no_number_is_no_pass():
    made, wanted = np.array([1.0, 2.0]), np.array([1.0, 2.5])
    assert largest("x", made, wanted, 0.5).ok and not largest("x", made, wanted, 0.4).ok
    assert not largest("x", np.array([np.nan]), np.array([0.0]), 1.0).ok
    assert not largest("x", made, wanted[:1], 9.0).ok and not differing("x", made, wanted).ok
    assert Figure("told", 99.0, None).ok


@pytest.mark.parametrize(("off", "passes"), [(0, True), (7, True), (9, False)])
def test_single_precision_may_move_few_values_of_a_splat(off, passes):
    wanted = np.zeros((10, 100), np.float32)
    made = wanted.copy()
    made.ravel()[:off] = 1.0
    told, share = splatted("x", made, wanted, 1e-4, single=True)
    assert told.bar is None and told.error == (off > 0)
    assert share.error == pytest.approx(off / 1000) and share.ok == passes
    (alone,) = splatted("x", made, wanted, 1e-4, single=False)
    assert alone.ok == (off == 0)


@pytest.mark.parametrize("made", [np.zeros((10, 99)), np.full((10, 100), np.nan)])
def test_single_precision_excuses_no_wrong_shape_and_no_missing_number(made):
    assert not all(figure.ok for figure in splatted("x", made, np.zeros((10, 100)), 1e-4, single=True))
