"""Scale from camera centres: as published, refused where the centres say nothing, sure where it says so."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lyra_sim.depth.align import MAX_SIGMA, fit_centres, judge, normalise_cameras, separate_centres
from pipelines.vectors.compare import open_vectors
from pipelines.vectors.depth_align import figures
from tests.data import shared_data

DEPTH = np.full((4, 6, 8), 5.0, np.float32)


def cameras(centres: np.ndarray, seed: int = 0) -> np.ndarray:
    """w2c of cameras that stand there and look anywhere."""
    w2c = np.tile(np.eye(4), (len(centres), 1, 1))
    w2c[:, :3, :3] = Rotation.random(len(centres), rng=np.random.default_rng(seed)).as_matrix().reshape(-1, 3, 3)
    w2c[:, :3, 3] = -np.einsum("nij,nj->ni", w2c[:, :3, :3], centres)
    return w2c


def walk(count: int, seed: int, noise: float = 0.0, scale: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Given and predicted centres of a walk of about a metre."""
    rng = np.random.default_rng(seed)
    centres = np.cumsum(rng.normal(0, 0.15, (count, 3)), 0)
    turned = Rotation.random(rng=np.random.default_rng(seed)).apply(centres)
    return centres, scale * turned + [1, 2, 3] + rng.normal(0, noise, (count, 3))


def fitted(given: np.ndarray, predicted: np.ndarray, depth: np.ndarray = DEPTH):
    fit = fit_centres(separate_centres(given), predicted)
    return fit, judge(fit, given, predicted, depth)


def test_reference_numbers_are_met_also_where_they_mean_nothing():
    path = Path(shared_data()).parent / "vectors" / "depth_align.safetensors"
    if not path.exists():
        pytest.skip("reference vectors not on this machine: depth_align")
    kind, vectors = open_vectors(path)
    assert kind == "depth_align"
    assert [f.name for f in figures(vectors) if not f.ok] == []
    for case in json.loads(vectors.metadata["cases"]):
        given, predicted = vectors[f"{case}/given_w2c"], vectors[f"{case}/predicted_w2c"]
        verdict = fitted(given, predicted, vectors[f"{case}/predicted_depth"])[1]
        assert verdict.trusted or case != "general"
        assert not (verdict.trusted and case.startswith("rotation")), verdict


@pytest.mark.parametrize("count", [4, 9, 10, 15])
def test_outliers_do_not_count_from_ten_views_on(count: int):
    centres, moved = walk(count, 5)
    moved[1] += 3.0
    fit, verdict = fitted(cameras(centres), cameras(moved, 1))
    assert fit is not None
    if count >= 10:
        assert fit.sim3.scale == pytest.approx(2.0, rel=1e-6)
        assert 1 not in fit.inliers
        assert verdict.trusted
    else:
        assert fit.sim3.scale != pytest.approx(2.0, rel=0.01)
        assert not verdict.trusted


def test_sigma_is_as_large_as_the_error_is():
    errors = []
    for seed in range(40):
        centres, moved = walk(8, seed, noise=0.03)
        fit, verdict = fitted(cameras(centres), cameras(moved, 1), 0.01 * DEPTH)
        assert fit is not None
        errors.append(np.log(fit.sim3.scale / 2.0) / verdict.sigma)
    assert 0.6 < np.sqrt(np.mean(np.square(errors))) < 1.6


@pytest.mark.parametrize("views", [1, 2, 3, 7, 10, 14])
@pytest.mark.parametrize("spread", [0.0, 1e-4])
def test_a_turn_on_the_spot_is_refused_with_its_reason(views: int, spread: float):
    rng = np.random.default_rng(views)
    given = cameras(rng.normal(0, spread, (views, 3)) if spread else np.zeros((views, 3)))
    for noise in (0.0, 1e-3, 1e-2):
        fit, verdict = fitted(given, cameras(rng.normal(0, noise, (views, 3)) if noise else np.zeros((views, 3))))
        assert not verdict.trusted
        assert verdict.sigma > MAX_SIGMA
        assert verdict.why
        if noise == 1e-3 and not spread and views > 2:
            assert fit is not None
            assert fit.sim3.scale > 50, "noise over a millionth: what the guard is there for"


def test_a_straight_path_keeps_its_scale():
    centres = np.linspace(0, 1, 10)[:, None] * [1.0, 0.0, 0.0]
    moved = 3.0 * centres @ Rotation.random(rng=np.random.default_rng(2)).as_matrix().T
    fit, verdict = fitted(cameras(centres), cameras(moved, 1))
    assert fit is not None
    assert fit.offsets_added
    assert fit.sim3.scale == pytest.approx(3.0, rel=1e-4)
    assert verdict.trusted


def test_normalised_cameras_start_at_the_first_and_are_as_far_as_the_median():
    centres, _ = walk(6, 3)
    w2c = cameras(centres)
    made = normalise_cameras(w2c)
    assert np.allclose(made[0], np.eye(4), atol=1e-6)
    apart = np.array([np.linalg.norm(np.linalg.inv(m)[:3, 3]) for m in made])
    assert np.sort(apart)[2] == pytest.approx(1.0, abs=1e-5), "the lower of the two middle values"
    near = normalise_cameras(cameras(centres / 1000))
    assert np.allclose(near[:, :3, 3], made[:, :3, 3] * np.sort(np.linalg.norm(centres - centres[0], axis=1))[2] / 100,
                       atol=1e-5)  # fmt: skip
