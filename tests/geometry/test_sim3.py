"""The similarity fit against OpenCV's, and against the transform that made the points."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from lyra_sim.geometry.sim3 import Sim3, umeyama


def _made(seed: int, count: int, scale: float) -> tuple[np.ndarray, Sim3]:
    rng = np.random.default_rng(seed)
    turn = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    return rng.normal(size=(count, 3)), Sim3(scale, turn, rng.normal(size=3))


@given(st.integers(0, 10_000), st.integers(3, 20), st.floats(0.05, 20))
def test_exact_points_give_their_transform_back(seed: int, count: int, scale: float):
    points, truth = _made(seed, count, scale)
    found = umeyama(points, truth.apply(points))
    assert found is not None
    assert found.scale == pytest.approx(scale, rel=1e-6)
    assert np.allclose(found.rotation, truth.rotation, atol=1e-5)
    assert np.allclose(found.apply(points), truth.apply(points), atol=1e-5 * scale)


@pytest.mark.parametrize("mirrored", [False, True])
def test_noisy_and_mirrored_points_as_opencv_fits_them(mirrored: bool):
    points, truth = _made(4, 12, 2.5)
    target = truth.apply(points * ([1, 1, -1] if mirrored else 1)) + np.random.default_rng(1).normal(0, 0.3, (12, 3))
    found = umeyama(points, target)
    affine, scale = cv2.estimateAffine3D(points, target, force_rotation=True)
    assert found is not None
    assert found.scale == pytest.approx(scale, rel=1e-9)
    assert np.allclose(found.rotation, affine[:, :3], atol=1e-9)
    assert np.linalg.det(found.rotation) == pytest.approx(1)


def test_points_on_a_line_or_in_one_spot_determine_no_rotation():
    line = np.arange(6.0)[:, None] * [1.0, 0.0, 0.0]
    assert umeyama(line, line + 1) is None
    assert umeyama(np.zeros((5, 3)), np.random.default_rng(0).normal(size=(5, 3))) is None
