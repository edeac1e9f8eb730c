"""Intervals of evaluations cover the truth as often as they say, also where worlds differ more than episodes."""

import numpy as np

from robot_tasks.training.scores import Scores, as_tree, difference, estimate, pooled, table


def scores(success: np.ndarray) -> Scores:
    zeros = np.zeros(success.shape)
    names = tuple(f"w{k}" for k in range(len(success)))
    success = success.astype(float)
    spl = success * 0.5
    return Scores(worlds=names, success=success, spl=spl, softspl=spl, contacts=zeros, seconds=zeros, geodesic_m=zeros)


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    hits = 0
    for k in range(200):
        ability = rng.beta(4, 1, 24)  # worlds differ: a bootstrap of episodes alone covers half as often
        found = estimate((rng.random((24, 12)) < ability[:, None]).astype(float), 300, seed=k)
        hits += found.low <= 0.8 <= found.high
    assert 0.90 <= hits / 200 <= 0.99


def test_an_interval_is_as_wide_as_theory_says():
    rng = np.random.default_rng(1)
    values = np.repeat(rng.normal(size=(60, 1)), 20, 1)  # all episodes of a world alike
    found = estimate(values, 4000)
    wanted = 2 * 1.96 * values[:, 0].std() / np.sqrt(60)
    np.testing.assert_allclose(found.high - found.low, wanted, rtol=0.08)


def test_a_difference_takes_the_same_worlds_of_both():
    rng = np.random.default_rng(2)
    hard = rng.normal(size=(40, 1)) * 5  # worlds differ far more than the policies do
    a, b = hard + 0.3 + rng.normal(size=(40, 20)) * 0.1, hard + rng.normal(size=(40, 20)) * 0.1
    apart = difference(a, b, 1000)
    assert 0.28 < apart.low < apart.mean < apart.high < 0.32


def test_a_difference_takes_the_same_episodes_of_both():
    rng = np.random.default_rng(3)
    a = (rng.random((32, 24)) < 0.5).astype(float)  # episodes differ far more than the policies do
    a[:, 0] = 1.0
    b = a.copy()
    b[:, 0] = 0.0
    apart = difference(a, b, 4000)
    wide = 1.96 * np.sqrt(1 / 24 * (1 - 1 / 24) / (32 * 24))  # each drawn episode differs with probability 1 / 24
    np.testing.assert_allclose([apart.low, apart.mean, apart.high], [1 / 24 - wide, 1 / 24, 1 / 24 + wide], atol=0.002)
    nothing = difference(a, a, 100)
    assert nothing.low == nothing.mean == nothing.high == 0.0


def test_more_policies_in_the_same_episodes_are_not_more_episodes():
    rng = np.random.default_rng(4)
    one = scores(rng.random((20, 10)) < 0.7)
    together = pooled([one, one, one])
    np.testing.assert_array_equal(together.success, one.success)
    assert str(estimate(together.success, 500)) == str(estimate(one.success, 500))
    halves = pooled([one, scores(one.success == 0)])
    assert halves.success.shape == (20, 10) and (halves.success == 0.5).all()


def test_the_table_and_the_tree_name_the_worst_world_first():
    success = np.array([[True, True], [False, False], [True, False]])
    tree = as_tree(scores(success), 100)
    assert [row["world"] for row in tree["worlds"]] == ["w1", "w2", "w0"]
    assert tree["success"]["mean"] == 0.5 and tree["spl"]["mean"] == 0.25 and tree["episodes"] == 6
    text = table({"mine": scores(success)}, 100).splitlines()
    assert text[1].startswith("mine") and "0.500 [" in text[1]
