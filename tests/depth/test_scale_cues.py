"""Cues of the scale: means and tests against scipy, GPS baselines of walks whose unit is known, doubt of the floor."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.stats import chi2, norm

from lyra_sim.config.observe import SensorConfig
from lyra_sim.core.errors import SceneError
from lyra_sim.depth.floor import CHANCES
from lyra_sim.depth.gps_scale import gps_cue
from lyra_sim.depth.layout import Layout
from lyra_sim.depth.photo_doubt import floor_doubt
from lyra_sim.depth.scale_cues import ScaleCue, combine
from lyra_sim.depth.sensor import observe_sensor
from tests.analytic_room import Room, capture, circle

UP = np.array([0.0, 0.0, 1.0])


def fixes_of(centres: np.ndarray, unit_m: float, *, heading_deg: float = 0.0, sigma_m: float = 5.0) -> np.ndarray:
    """Exact positions to the east and north of cameras of a frame that is turned against the compass."""
    c, s = math.cos(math.radians(heading_deg)), math.sin(math.radians(heading_deg))
    flat = unit_m * centres[:, :2] @ np.array([[c, s], [-s, c]]) + [300.0, -80.0]
    return np.column_stack([flat, np.full(len(flat), sigma_m)])


def test_cues_that_agree_give_the_product_of_their_normals():
    cues = [ScaleCue("sensor", 0.02, 0.05), ScaleCue("camera_height_given", -0.04, 0.03), ScaleCue("gps", 0.1, 0.2)]
    found = combine("walk", cues)
    grid = np.linspace(-0.5, 0.5, 200_001)
    density = np.prod([norm.pdf(grid, c.log_factor, c.sigma) for c in cues], axis=0)
    density /= density.sum()
    middle = float(density @ grid)
    assert math.log(found.factor) == pytest.approx(middle, abs=1e-6)
    assert found.sigma == pytest.approx(math.sqrt(density @ (grid - middle) ** 2), rel=1e-4)
    assert found.source == "camera_height_given" and found.notes["agree"]
    assert found.notes["cues"][0] == {"source": "sensor", "factor": 1.0202, "sigma": 0.05}


def test_cues_that_contradict_keep_the_surest_and_widen_it():
    limit = math.sqrt(chi2.isf(0.05, 1) * (0.03**2 + 0.04**2))
    near, far = (
        combine("walk", [ScaleCue("network", off, 0.04), ScaleCue("camera_height_given", 0.0, 0.03)])
        for off in (0.999 * limit, 1.001 * limit)
    )
    assert near.notes["agree"] and near.sigma == pytest.approx(0.024)
    assert not far.notes["agree"] and far.factor == 1.0
    assert far.sigma == pytest.approx(0.03 * 1.001 * limit / 0.05)


def test_gps_tells_the_unit_of_a_walk_and_how_sure_it_is():
    centres = np.column_stack([np.linspace(-8, 8, 30), 3 * np.sin(np.arange(30.0)), np.zeros(30)])
    cue = gps_cue(centres, UP, fixes_of(centres, 2.5, heading_deg=131.0))
    assert cue is not None and math.exp(cue.log_factor) == pytest.approx(2.5, rel=1e-9)
    spread = 2.5 * np.sqrt((centres[:, :2] - centres[:, :2].mean(0)).var(0).sum())
    assert cue.sigma == pytest.approx(5.0 / (spread * math.sqrt(2)), rel=1e-9)
    short = gps_cue(0.1 * centres, UP, fixes_of(0.1 * centres, 2.5))
    assert short is None, "4 m of walk with fixes that are 5 m off"


def test_the_stated_sigma_of_gps_holds_for_errors_that_drift():
    rng = np.random.default_rng(3)
    centres = np.column_stack([np.linspace(0, 60, 40), np.zeros(40), np.zeros(40)])
    off = []
    for _ in range(300):
        fixes = fixes_of(centres, 1.0)
        ends = rng.normal(0, 5.0, (2, 2))  # each end of the walk is off by its own error, and drifts between
        fixes[:, :2] += np.linspace(1, 0, 40)[:, None] * ends[0] + np.linspace(0, 1, 40)[:, None] * ends[1]
        cue = gps_cue(centres, UP, fixes)
        assert cue is not None
        off.append(cue.log_factor / cue.sigma)
    assert 0.55 < np.mean(np.abs(off) < 1) < 0.95
    assert np.mean(np.abs(off) < 2) > 0.9


def walk(**changes):
    room = Room(low=(-40, -40, 0), high=(40, 40, 2.6))
    made = capture(room, circle(8))
    return dataclasses.replace(made, **changes), made


def test_a_walk_of_unknown_unit_becomes_metric_by_gps_and_its_cameras_keep_their_height():
    _, metric = walk()
    assert metric.cam_to_world is not None and metric.depth_m is not None
    poses = metric.cam_to_world.copy()
    fixes = fixes_of(poses[:, :3, 3], 1.0, heading_deg=20.0, sigma_m=0.05)
    poses[:, :3, 3] /= 4.0
    unit = dataclasses.replace(metric, cam_to_world=poses, depth_m=metric.depth_m / np.float32(4.0))
    seen = observe_sensor(
        dataclasses.replace(unit, facts={"unit_known": False, "fixes_m": fixes.tolist()}), SensorConfig()
    )
    truth = observe_sensor(metric, SensorConfig())
    assert seen.frame.metric == "gps" and seen.notes["scale"]["unit_m"] == pytest.approx(4.0)
    np.testing.assert_allclose(seen.frames.cam_to_world, truth.frames.cam_to_world, atol=2e-3)
    with pytest.raises(SceneError, match="tells the scale"):
        observe_sensor(dataclasses.replace(unit, facts={"unit_known": False}), SensorConfig())


def test_a_walks_stated_height_is_weighed_and_a_wrong_one_is_noted():
    given, plain = walk(camera_height_m=1.4 * 1.02)
    seen = observe_sensor(given, SensorConfig())
    weight = 0.03**-2 / (0.03**-2 + 0.015**-2)
    assert seen.notes["scale"]["agree"] and seen.frame.scale_sigma == pytest.approx(5e3**-0.5 * 0.9487, rel=0.02)
    assert seen.frames.cam_to_world[0, 2, 3] == pytest.approx(1.4 * 1.02**weight, abs=2e-3)
    wrong = observe_sensor(dataclasses.replace(plain, camera_height_m=0.7), SensorConfig())
    assert not wrong.notes["scale"]["agree"]
    assert wrong.frames.cam_to_world[0, 2, 3] == pytest.approx(1.4, abs=2e-3)
    assert wrong.frame.scale_sigma > 0.2
    assert wrong.notes["storey"]["height_m"] == pytest.approx(2.6, abs=0.02) and wrong.notes["storey"]["usual"]


def test_floor_that_may_go_on_makes_the_scale_doubtful():
    below = np.linspace(0.1, 0.6, 300)[:, None] * np.ones((1, 30))
    kind = np.where(below > 0.4, 1, 2)
    depth = np.where(kind == 1, 1.5 / below, 1.5 / 0.4)
    layout = Layout(depth_m=depth, valid=np.ones(kind.shape, bool), kind=kind)
    assert floor_doubt(layout, np.zeros(kind.shape), below, 1.5) == 0
    everywhere = floor_doubt(layout, np.full(kind.shape, CHANCES[-1]), below, 1.5)
    assert everywhere == pytest.approx(math.log(0.4 / 0.35), abs=0.01), "the middle row then lies at its own range"
    half = floor_doubt(layout, np.full(kind.shape, CHANCES[9]), below, 1.5)
    assert half == pytest.approx(everywhere * math.sqrt(0.5), rel=1e-6)
