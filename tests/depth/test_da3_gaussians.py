"""What becomes of the channels of the Gaussian head: against loops, a stand-in of the package, and the package itself
where it is installed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from lyra_sim.core.errors import ConfigError
from lyra_sim.core.records import Intrinsics
from lyra_sim.depth.align import normalise_cameras, separate_centres
from lyra_sim.depth.networks.da3 import DepthAnything3
from lyra_sim.depth.networks.da3_gaussians import Tap
from lyra_sim.geometry.camera import invert
from lyra_sim.reconstruct.gaussians import place
from lyra_sim.reconstruct.views import View
from tests.depth import da3_stand_in
from tests.depth.da3_package import save_tiny

V, H, W = 3, 28, 42
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 255, (V, H, W, 3), np.uint8)
K = np.tile(np.array([[30.0, 0, 20], [0, 31, 15], [0, 0, 1]]), (V, 1, 1))


def cameras(seed: int = 0) -> np.ndarray:
    w2c = np.tile(np.eye(4), (V, 1, 1))
    w2c[:, :3, :3] = Rotation.random(V, rng=seed).as_matrix()
    w2c[:, :3, 3] = np.random.default_rng(seed).normal(size=(V, 3))
    return w2c


def test_channels_mean_what_the_package_says():
    raw = torch.tensor(RNG.normal(size=(1, 2, 3, 4, 37)), dtype=torch.float32)
    raw[0, 0, 0, 0, 5:9] = 0
    depth = torch.tensor(RNG.uniform(1, 5, (1, 2, 3, 4)), dtype=torch.float32)
    opacity = torch.tensor(RNG.random((1, 2, 3, 4)), dtype=torch.float32)
    w2c = cameras()[:2]
    tap = Tap(2, 1e-5, 30.0)
    tap(extrinsics=torch.tensor(w2c)[None], depths=depth, opacities=opacity, raw_gaussians=raw, image_shape=(3, 4))
    kept = depth.numpy().copy()
    depth *= 7  # as the nested network does
    made = tap.take(2.0, w2c)
    assert np.allclose(made.distance, 2.0 * (kept + raw[..., 36].numpy())[0], rtol=1e-6)
    assert np.array_equal(made.offset_px, raw[0, ..., :2].numpy())
    assert np.allclose(made.extent, 1e-5 + (30 - 1e-5) / (1 + np.exp(-raw[0, ..., 2:5].numpy())), rtol=1e-5)
    assert np.array_equal(made.sh_dc, raw[0, ..., [9, 18, 27]].numpy())
    assert np.array_equal(made.opacity, opacity[0].numpy()) and made.w2c is w2c
    for v, i, j in np.ndindex(2, 3, 4):
        if (v, i, j) == (0, 0, 0):
            continue
        x, y, z, w = raw[0, v, i, j, 5:9].numpy()
        mixed = w2c[v, :3, :3].T @ Rotation.from_quat([w, x, y, z]).as_matrix()
        a, b, c, d = Rotation.from_matrix(mixed).as_quat()
        shown = Rotation.from_quat([b, c, d, a]).as_matrix()
        ours = w2c[v, :3, :3].T @ Rotation.from_quat(made.quaternions_xyzw[v, i, j]).as_matrix()
        assert np.allclose(ours, shown, atol=1e-5)
    assert np.isfinite(made.quaternions_xyzw).all() and np.linalg.norm(made.quaternions_xyzw[0, 0, 0]) > 0.5


def test_a_camera_that_is_not_turned_shows_the_quaternion_as_it_is():
    raw = torch.tensor(RNG.normal(size=(1, 1, 2, 2, 37)), dtype=torch.float32)
    tap = Tap(2, 1e-5, 30.0)
    eye, ones = torch.eye(4)[None, None], torch.ones(1, 1, 2, 2)
    tap(extrinsics=eye, depths=ones, opacities=ones, raw_gaussians=raw)
    assert np.allclose(tap.take(1.0, np.eye(4)[None]).quaternions_xyzw, raw[0, ..., 5:9], atol=1e-6)


def test_random_checkpoints_through_the_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    da3_stand_in.install(monkeypatch)
    plain, nested = (
        DepthAnything3(str(da3_stand_in.save(tmp_path / name, name)), device="cpu").gaussians(IMAGES, cameras(), K)
        for name in ("da3-tiny", "da3nested-tiny")
    )
    assert plain.distance.shape == (V, H, W) and plain.w2c is not None and nested.w2c is not None
    assert np.allclose(nested.distance, 3 * plain.distance, rtol=1e-6), "metres, and depth is not scaled twice"
    assert np.allclose(nested.w2c[:, :3, 3], 3 * plain.w2c[:, :3, 3], rtol=1e-6)
    assert np.allclose(nested.w2c[:, :3, :3], plain.w2c[:, :3, :3])
    again = DepthAnything3(str(tmp_path / "da3-tiny"), device="cpu")
    assert np.array_equal(again.gaussians(IMAGES, cameras(), K).distance, plain.distance)
    assert np.array_equal(again.gaussians(IMAGES, cameras(), K).distance, plain.distance), "the tap is put in once"
    other = DepthAnything3(str(da3_stand_in.save(tmp_path / "other", "da3-tiny", seed=1)), device="cpu")
    assert not np.array_equal(other.gaussians(IMAGES, cameras(), K).distance, plain.distance)


@pytest.mark.parametrize(("kind", "got"), [("da3-nogs", "no Gaussian head"), ("da3-colour", "other channels")])
def test_checkpoints_without_the_right_head_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind, got):
    da3_stand_in.install(monkeypatch)
    network = DepthAnything3(str(da3_stand_in.save(tmp_path, kind)), device="cpu")
    with pytest.raises(ConfigError, match=rf"{got}.*DA3-GIANT|DA3-GIANT.*{got}"):
        network.gaussians(IMAGES, cameras(), K)


@pytest.mark.parametrize("kind", ["da3-tiny", "da3nested-tiny"])
def test_the_package_places_them_alike_with_its_own_cameras(tmp_path: Path, kind: str):
    """Only where the package and what it imports are installed: its classes at tiny size with random weights."""
    api = pytest.importorskip("depth_anything_3.api")
    folder = save_tiny(tmp_path, kind)
    made = DepthAnything3(str(folder), device="cpu").gaussians(IMAGES, cameras(), K)
    net = api.DepthAnything3.from_pretrained(str(folder)).eval()
    given = normalise_cameras(separate_centres(cameras()))
    pixels, w2c, k = net.input_processor(list(IMAGES), given, K.astype(np.float32), W, "upper_bound_resize")
    raw = net.forward(pixels[None].float(), w2c[None].float(), k[None].float(), [], True)
    shown, told = raw.gaussians, net.output_processor(raw)
    unit = told.scale_factor or 1.0
    ours = []
    for v in range(V):
        camera = Intrinsics(
            fx=float(told.intrinsics[v, 0, 0]), fy=float(told.intrinsics[v, 1, 1]), cx=W / 2, cy=H / 2, width=W,
            height=H,
        )  # fmt: skip
        pose = np.eye(4)
        pose[:3] = told.extrinsics[v]
        pose[:3, 3] /= unit
        shape = (H, W)
        view = View(IMAGES[v], np.zeros(shape, np.float32), np.ones(shape, bool), camera, invert(pose))
        ours.append(place(made, v, view, unit, np.ones(shape, bool)))
    means = np.concatenate([x.means for x in ours])
    theirs = shown.means[0].numpy()
    scale = float(np.median(np.linalg.norm(theirs, axis=1) / np.linalg.norm(means, axis=1)))
    assert np.abs(theirs - scale * means).max() < 1e-5 * np.abs(theirs).max()
    assert np.allclose(shown.scales[0], scale * np.concatenate([x.scales_m for x in ours]), rtol=1e-4)
    turns = np.concatenate([x.quaternions for x in ours])
    assert np.abs((shown.rotations[0].numpy() * turns).sum(1)).min() > 1 - 1e-5
    assert np.allclose(shown.harmonics[0, :, :, 0], np.concatenate([x.sh[:, 0] for x in ours]), atol=1e-6)
    assert np.allclose(shown.opacities[0], np.concatenate([x.opacity for x in ours]), atol=1e-6)
