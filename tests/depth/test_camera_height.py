"""Camera height: the levelled view against scipy's rotations, the network against scipy's correlation, Bayes' rule
against closed forms, and the shipped weights on places they have never seen."""

import math

import cv2
import numpy as np
import pytest
from scipy.signal import correlate
from scipy.spatial.distance import mahalanobis
from scipy.spatial.transform import Rotation

from lyra_sim.config.observe import GroundConfig
from lyra_sim.core.records import Intrinsics
from lyra_sim.depth import familiar, height_net
from lyra_sim.depth.camera_height import find_height, weigh
from lyra_sim.depth.height_net import HeightGuess, guess_height, shipped_weights
from lyra_sim.depth.levelled import COLUMNS, ROWS, STEP_DEG, TOP_DEG, level_view
from lyra_sim.procedural.cameras import photo_camera, pinhole
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.render import render
from lyra_sim.procedural.street import make_street
from tests.data import shared_data


@pytest.mark.parametrize(("pitch", "roll", "hfov"), [(0, 0, 65), (25, 4, 80), (-8, -3, 50), (40, 2, 90)])
def test_rows_are_elevations_and_columns_azimuths_whatever_the_camera(pitch: float, roll: float, hfov: float):
    camera = pinhole(600, 400, hfov)
    turn = Rotation.from_euler("XZ", [-pitch, roll], degrees=True).as_matrix()  # camera to level, y down
    v, u = np.mgrid[:400, :600] + 0.5
    ray = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], -1) @ turn.T
    elevation = np.degrees(np.arctan2(-ray[..., 1], np.hypot(ray[..., 0], ray[..., 2])))
    azimuth = np.degrees(np.arctan2(-ray[..., 0], ray[..., 2]))
    image = np.stack([elevation + 128, azimuth + 128, np.full(u.shape, 77.0)], -1).round().astype(np.uint8)
    colours, seen = level_view(image, np.ones(u.shape, bool), camera, turn.T @ np.array([0.0, 1.0, 0.0]))
    row = (TOP_DEG - STEP_DEG * np.arange(ROWS))[:, None] + 128
    column = (STEP_DEG * ((COLUMNS - 1) / 2 - np.arange(COLUMNS)))[None] + 128
    assert seen.mean() > 0.15
    assert np.abs(colours[..., 0].astype(float) - row)[seen].max() < 1.6
    off = (colours[..., 1].astype(float) - column)[seen]
    assert np.abs(off - np.median(off)).max() < 2.1  # heading is the optical axis, which roll moves sideways
    assert np.abs(np.median(off)) < 1.0 if roll == 0 else True
    assert (colours[~seen] == 0).all()


def test_pixels_without_a_photo_are_not_seen():
    camera = pinhole(300, 200, 70)
    valid = np.ones((200, 300), bool)
    valid[:, :150] = False
    _, seen = level_view(np.full((200, 300, 3), 200, np.uint8), valid, camera, np.array([0.0, 1.0, 0.0]))
    assert not seen[:, : COLUMNS // 2 - 1].any()
    assert seen[:, COLUMNS // 2 + 1 :].any()


def _random_weights() -> height_net.Weights:
    rng = np.random.default_rng(4)
    weights: height_net.Weights = {"spread": np.float64(1.3)}  # pyright: ignore[reportAssignmentType]
    widths = [height_net.STEM, *(w for w, _ in height_net.BLOCKS)]
    shapes = {"stem": (widths[0], 5, 5, 5)}
    for i, (width, residual) in enumerate(height_net.BLOCKS):
        shapes[f"{i}.down"] = (width, widths[i], 3, 3)
        if residual:
            shapes[f"{i}.first"] = shapes[f"{i}.second"] = (width, width, 3, 3)
    for name, shape in shapes.items():
        weights[f"{name}.w"] = rng.standard_normal(shape) / math.sqrt(np.prod(shape[1:]))
        weights[f"{name}.b"] = 0.1 * rng.standard_normal(shape[0])
    for name, shape in {"hidden": (height_net.HEAD, 4 * widths[-1]), "out": (2, height_net.HEAD)}.items():
        weights[f"{name}.w"] = rng.standard_normal(shape) / math.sqrt(shape[1])
        weights[f"{name}.b"] = 0.1 * rng.standard_normal(shape[0])
    size = 23 + 2 * height_net.BLOCKS[0][0]
    known = familiar.fit(rng.standard_normal((200, size)), rng.standard_normal((50, size)))
    return weights | {f"familiar.{name}": array for name, array in known.items()}


def _slow(x: np.ndarray, weights: height_net.Weights, name: str, stride: int) -> np.ndarray:
    kernel = weights[f"{name}.w"]
    half = kernel.shape[2] // 2
    padded = np.pad(x, ((0, 0), (half, half), (half, half)))
    out = np.stack([correlate(padded, k, mode="valid", method="direct")[0] for k in kernel])
    return out[:, ::stride, ::stride] + weights[f"{name}.b"][:, None, None]


def test_the_network_is_what_scipy_computes():
    weights = _random_weights()
    rng = np.random.default_rng(1)
    colours, seen = rng.integers(0, 256, (ROWS, COLUMNS, 3), np.uint8), rng.random((ROWS, COLUMNS)) < 0.8
    x = np.concatenate([
        (colours.transpose(2, 0, 1) / 127.5 - 1) * seen, seen[None], np.linspace(-1, 1, ROWS)[:, None] * seen[None]
    ])  # fmt: skip
    x = np.maximum(_slow(x, weights, "stem", 2), 0)
    for i, (_, residual) in enumerate(height_net.BLOCKS):
        x = np.maximum(_slow(x, weights, f"{i}.down", 2), 0)
        if residual:
            inner = np.maximum(_slow(x, weights, f"{i}.first", 1), 0)
            x = np.maximum(x + _slow(inner, weights, f"{i}.second", 1), 0)
    hidden = np.maximum(weights["hidden.w"] @ x.mean(2).ravel() + weights["hidden.b"], 0)
    log_m, log_scale = weights["out.w"] @ hidden + weights["out.b"]
    found = guess_height(colours, seen, weights)
    assert found.log_m == pytest.approx(log_m, abs=1e-4)
    assert found.sigma == pytest.approx(1.3 * math.sqrt(2) * math.exp(min(max(log_scale, -4), 1)), abs=1e-4)


def test_with_usual_cameras_only_the_product_of_two_normals():
    config = GroundConfig(unusual_height_share=0.0, size_sigma=0.0, height_prior_sigma=0.25)
    found = weigh(HeightGuess(math.log(1.0), 0.2), config)
    information = 1 / 0.25**2 + 1 / 0.2**2
    assert math.log(found.height_m) == pytest.approx(math.log(1.5) / 0.25**2 / information, abs=0.003)
    assert found.sigma == pytest.approx(information**-0.5, rel=0.02)


def test_a_clear_low_camera_is_believed_and_an_unclear_photo_stays_usual():
    low = weigh(HeightGuess(math.log(0.5), 0.12), GroundConfig())
    assert low.height_m == pytest.approx(0.5, rel=0.08)
    unclear = weigh(HeightGuess(math.log(1.0), 1.2), GroundConfig())
    assert 1.2 < unclear.height_m < 1.6
    assert unclear.sigma > 0.3  # and is not published


def test_the_network_is_not_believed_of_photos_unlike_those_it_learned_from():
    low = weigh(HeightGuess(math.log(0.5), 0.12, strange=1.5), GroundConfig())
    assert 1.1 < low.height_m < 1.5
    assert 0.2 < low.sigma < 0.3
    heights = [
        weigh(HeightGuess(math.log(0.5), 0.12, strange=s), GroundConfig()).height_m for s in (0.5, 0.95, 1.0, 1.3)
    ]
    assert heights == sorted(heights)


def test_strangeness_is_a_mahalanobis_distance_and_one_in_twenty_lies_beyond_one():
    rng = np.random.default_rng(5)
    mix = np.eye(6) + 0.2 * rng.standard_normal((6, 6))
    samples, held = rng.standard_normal((2, 4000, 6)) @ mix + 3.0
    known = familiar.fit(samples, held)
    assert np.mean([familiar.strangeness(row, known) > 1 for row in held]) == pytest.approx(0.05, abs=0.005)
    inverse = np.linalg.inv(np.cov(samples.T))
    far, near = samples.mean(0) + mix[0] * 6, held[0]
    for point in (far, near):
        expected = mahalanobis(point, samples.mean(0), inverse) / mahalanobis(near, samples.mean(0), inverse)
        found = familiar.strangeness(point, known) / familiar.strangeness(near, known)
        assert found == pytest.approx(expected, rel=0.05)


def test_real_photos_are_strange():
    folder = shared_data("single_street")
    camera = pinhole(960, 640, 65)
    for path in sorted(folder.iterdir()):
        image = cv2.resize(cv2.imread(str(path))[..., ::-1], (960, 640), interpolation=cv2.INTER_AREA)
        view = level_view(np.ascontiguousarray(image), np.ones((640, 960), bool), camera, np.array([0.0, 1.0, 0.0]))
        assert guess_height(*view).strange > 0.95, path.name


def test_given_heights_are_taken_and_the_network_can_be_switched_off():
    image, valid, down = np.zeros((40, 60, 3), np.uint8), np.ones((40, 60), bool), np.array([0.0, 1.0, 0.0])
    camera: Intrinsics = pinhole(60, 40, 70)
    given = find_height(image, valid, camera, down, GroundConfig(), 0.7)
    assert (given.height_m, given.source) == (0.7, "camera_height_given")
    prior = find_height(image, valid, camera, down, GroundConfig(height_from_sizes=False), None)
    assert (prior.height_m, prior.sigma, prior.source) == (1.5, 0.25, "camera_height_prior")


def test_shipped_weights_know_the_height_in_places_they_have_not_seen():
    errors, sigmas, strange = [], [], []
    rng = np.random.default_rng(2)
    for k in range(24):
        scene = (make_street if k % 2 else make_flat)(777_000 + k)
        height, pitch = float(rng.uniform(0.4, 1.8)), float(rng.uniform(-5, 40))
        camera = pinhole(384, 256, float(rng.uniform(51, 90)))
        pose = photo_camera(scene, 1, height_m=height, pitch_deg=pitch, intrinsics=camera)
        view = render(scene, pose, camera, noise_seed=k)
        down = pose[:3, :3].T @ np.array([0.0, 0.0, -1.0])
        guess = guess_height(*level_view(view.image, np.ones((256, 384), bool), camera, down))
        errors.append(guess.log_m - math.log(height))
        sigmas.append(guess.sigma)
        strange.append(guess.strange)
    assert np.mean(np.abs(np.expm1(errors))) < 0.2
    assert np.mean(np.array(strange) < 1) > 0.8
    assert np.mean(np.abs(errors) < np.array(sigmas)) > 0.45  # the stated sigma means something
    assert sum(a.nbytes for a in shipped_weights().values()) < 8_000_000
