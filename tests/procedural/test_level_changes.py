"""Thresholds, kerbs, steps, ramps and bumps: their true size in the mesh, and the floor truth on and around them."""

import numpy as np
import pytest

from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.render import ray_scene
from lyra_sim.procedural.scene import ProceduralScene
from lyra_sim.procedural.street import make_street
from lyra_sim.procedural.truth import floor_height, truth_free

RISE_M = {"threshold": 0.02, "kerb": 0.10, "step": 0.15, "bump": 0.01}
SEEDS = range(41, 51)


def places() -> list[ProceduralScene]:
    """Flats and streets with changes of level."""
    return [make_flat(s, rooms=3, level_changes=True) for s in (41, 44, 45)] + [make_street(31, level_changes=True)]


@pytest.mark.parametrize("place", places(), ids=lambda p: p.name)
def test_every_change_is_in_the_mesh_at_its_true_height(place: ProceduralScene) -> None:
    assert {c.kind for c in place.level_changes} == {*RISE_M, "ramp"}
    rng = np.random.default_rng(0)
    for change in place.level_changes:
        low, high = change.rect_m[:2] + 0.01, change.rect_m[2:] - 0.01
        xy = rng.uniform(low, high, (50, 2))
        height = floor_height(place, xy)
        start = np.column_stack([xy, height + 0.04])
        t, hit, _ = ray_scene(place).cast(start, np.broadcast_to([0.0, 0.0, -1.0], start.shape))
        assert (hit >= 0).all(), f"{change.kind} has a hole"
        assert t == pytest.approx(np.full(50, 0.04), abs=1e-4), change.kind
        if change.kind == "ramp":
            fit = np.linalg.lstsq(np.column_stack([xy, np.ones(50)]), start[:, 2] - t, rcond=None)[0]
            assert np.degrees(np.arctan(np.hypot(*fit[:2]))) == pytest.approx(5.0, abs=0.02)
        else:
            assert height - change.base_m == pytest.approx(np.full(50, RISE_M[change.kind]), abs=1e-6)


@pytest.mark.parametrize("place", places(), ids=lambda p: p.name)
def test_ground_is_free_on_a_ramp_and_not_beside_its_kerb(place: ProceduralScene) -> None:
    for change in (c for c in place.level_changes if c.kind == "ramp"):
        middle = (change.rect_m[:2] + change.rect_m[2:])[None] / 2
        assert truth_free(place, middle, 0.2).all(), "a ramp is ground, not an obstacle"
    step = next(c for c in place.level_changes if c.kind == "step")
    x, y = (step.rect_m[:2] + step.rect_m[2:]) / 2
    half_x, half_y = (step.rect_m[2:] - step.rect_m[:2]) / 2
    around = np.array([[x - half_x - 0.05, y], [x + half_x + 0.05, y], [x, y - half_y - 0.05], [x, y + half_y + 0.05]])
    assert not truth_free(place, around, 0.1).any(), "the side of a step stands in the way"


def test_ten_flats_have_room_for_all_changes() -> None:
    for seed in SEEDS:
        kinds = [c.kind for c in make_flat(seed, rooms=3, level_changes=True).level_changes]
        assert set(kinds) == {*RISE_M, "ramp"}


def test_places_without_the_option_have_no_changes() -> None:
    for place in (make_flat(41, rooms=3), make_street(31)):
        assert place.level_changes == () and "level_changes" not in place.options
