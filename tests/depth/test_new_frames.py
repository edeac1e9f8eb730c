"""Depth of new frames: which, at which scale, and what happens where nothing says the scale."""

import json

import numpy as np
import pytest

from lyra_sim.core.errors import SceneError
from lyra_sim.depth.networks.prediction import DepthPrediction
from lyra_sim.depth.networks.tiny import TinyDepth
from lyra_sim.depth.new_frames import DepthUpdate
from tests.depth.test_align import cameras, walk

K = np.tile(np.diag([60.0, 60.0, 1.0]), (10, 1, 1))


class Known:
    """A network that sees everything 4 m away, in a unit of its own and from cameras of its own."""

    name, licences, hashes = "known", (), {}

    def __init__(self, unit: float, *, metric: bool = True, predicted: np.ndarray | None = None) -> None:
        self.unit, self.metric, self.predicted = unit, metric, predicted

    def predict(self, images, w2c=None, K=None) -> DepthPrediction:
        valid = np.ones(images.shape[:3], bool)
        valid[:, 0] = False
        depth = np.where(valid, np.float32(4.0 * self.unit), np.float32(0))
        return DepthPrediction(depth=depth, valid=valid, w2c=self.predicted)


def images(count: int = 10) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, 24, 32, 3), np.uint8)


def test_the_window_is_the_last_frame_and_every_eighth_before_it():
    update = DepthUpdate(Known(1.0))
    assert update.choose(1, 80) == [8, 16, 24, 32, 40, 48, 56, 64, 72, 80]
    assert update.choose(81, 160) == list(range(88, 161, 8))
    assert update.choose(17, 24) == [0, 8, 16, 24]
    assert update.choose(0, 0) == [0]
    assert DepthUpdate(Known(1.0), stride=4, most=40).choose(41, 80) == list(range(0, 81, 4))


def test_a_segment_of_any_length_gives_depth_to_every_frame_that_is_remembered():
    update = DepthUpdate(Known(1.0))
    assert update.choose(1, 12) == [0, 8, 12]
    assert update.choose(13, 24) == [0, 8, 16, 24]
    assert update.choose(25, 36) == [0, 8, 16, 24, 32, 36]
    assert update.choose(1, 100) == [*range(8, 100, 8), 100], "more than ten, when as many are new"


def test_depth_comes_at_the_scale_of_the_given_cameras():
    centres, moved = walk(10, 1, scale=2.5)
    update = DepthUpdate(Known(2.5, predicted=cameras(moved, 3)))
    made = update.estimate(range(10), images(), cameras(centres), K)
    assert made.verdict.trusted
    assert made.trusted_scale == made.scale == pytest.approx(2.5, rel=1e-6)
    assert np.allclose(made.depth_m[made.valid], 4.0, rtol=1e-5)
    assert (made.depth_m[~made.valid] == 0).all()
    assert not made.valid[:, 0].any()
    assert json.loads(json.dumps(made.notes))["from_cameras"] is True


@pytest.mark.parametrize("trusted", [None, 1.7])
@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_a_turn_on_the_spot_keeps_the_last_scale_or_the_metres(trusted: float | None, noise: float):
    predicted = cameras(np.random.default_rng(2).normal(0, noise or 1e-30, (10, 3)), 3)
    update = DepthUpdate(Known(1.0, predicted=predicted))
    made = update.estimate(range(10), images(), cameras(np.zeros((10, 3))), K, trusted_scale=trusted)
    assert made.scale == (trusted or 1.0)
    assert made.trusted_scale == trusted
    assert np.allclose(made.depth_m[made.valid], 4.0 / made.scale)
    assert json.loads(json.dumps(made.notes))["why"]


def test_without_metres_and_without_moving_the_loop_is_stopped():
    update = DepthUpdate(Known(0.3, metric=False, predicted=cameras(np.zeros((10, 3)))))
    with pytest.raises(SceneError, match="tells no metres"):
        update.estimate(range(10), images(), cameras(np.zeros((10, 3))), K, trusted_scale=1.7)
    with pytest.raises(SceneError, match="predicts no cameras"):
        DepthUpdate(Known(0.3, metric=False)).estimate(range(10), images(), cameras(walk(10, 1)[0]), K)


def test_a_network_without_cameras_is_taken_by_its_metres():
    made = DepthUpdate(Known(1.0)).estimate(range(10), images(), cameras(walk(10, 1)[0]), K)
    assert made.scale == 1.0
    assert made.verdict.why == "the network predicts no cameras"


def test_nothing_valid_is_no_depth():
    class Blind(Known):
        def predict(self, images, w2c=None, K=None) -> DepthPrediction:
            none = np.zeros(images.shape[:3], np.float32)
            return DepthPrediction(depth=none, valid=none > 0)

    with pytest.raises(SceneError, match="no valid pixel"):
        DepthUpdate(Blind(1.0)).estimate([3], images(1), cameras(np.zeros((1, 3))), K[:1])


def test_the_tiny_network_goes_the_same_way_and_stays_in_its_range():
    centres, _ = walk(10, 4)
    one, two = (
        DepthUpdate(TinyDepth(seed=5, near_m=1.0, far_m=6.0)).estimate(range(10), images(), cameras(centres), K)
        for _ in range(2)
    )
    assert one.verdict.trusted
    assert one.scale == pytest.approx(1.0, rel=1e-5)
    assert np.array_equal(one.depth_m, two.depth_m)
    assert one.depth_m.min() >= 0.999
    assert one.depth_m.max() <= 6.001
    assert one.depth_m.std() > 0.01
