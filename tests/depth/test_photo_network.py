"""Photos observed by a depth network: with true depth the floor lies at zero; a given height sets the scale."""

import functools
import math

import numpy as np
import pytest

from lyra_sim.config.depth_network import Da3Config, DepthAnythingConfig, TinyDepthConfig
from lyra_sim.config.load import load_config
from lyra_sim.core.errors import ConfigError, InputError, SceneError
from lyra_sim.core.records import Intrinsics, Label, PosedFrames
from lyra_sim.depth.build import build
from lyra_sim.depth.networks import build as networks
from lyra_sim.depth.networks.prediction import DepthPrediction
from lyra_sim.depth.photo_network import observe_with_network
from lyra_sim.procedural.cameras import photo_camera, pinhole
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.render import render
from tests.depth.checkpoints import save_depth_anything
from tests.depth.test_ground import photo

CONFIG = DepthAnythingConfig(scale_sigma=0.12)


class Given:
    """A network that says the depth it was given, in a unit of its own."""

    name, licences, hashes = "given", (), {"weights": "abc"}

    def __init__(self, depth: np.ndarray, unit: float = 1.0, *, metric: bool = True) -> None:
        self.depth, self.unit, self.metric, self.asked = depth, unit, metric, []

    def predict(self, images, w2c=None, K=None) -> DepthPrediction:
        self.asked.append(K)
        depth = (self.depth * self.unit).astype(np.float32)[None]
        return DepthPrediction(depth=depth, valid=depth > 0)

    def observe(self, image: np.ndarray, camera: Intrinsics, height_m: float | None = None) -> PosedFrames:
        return observe_with_network(photo(image, camera, height_m), CONFIG, lambda _scene: self)


@pytest.fixture(scope="module")
def room():
    scene, camera = make_flat(5007), pinhole(480, 320, 70.0)
    pose = photo_camera(scene, 5007, height_m=1.2, pitch_deg=15.0, intrinsics=camera)
    view = render(scene, pose, camera, noise_seed=1)
    return np.asarray(view.image), np.asarray(view.depth_m, np.float64), np.asarray(view.label), pose, camera


def floor_heights(seen: PosedFrames, on_floor: np.ndarray) -> np.ndarray:
    """World heights of true floor pixels, by projection written out here."""
    frames, camera = seen.frames, seen.frames.intrinsics
    v, u = np.nonzero(on_floor & frames.valid[0])
    z = frames.depth_m[0][v, u].astype(np.float64)
    points = np.stack([(u + 0.5 - camera.cx) / camera.fx * z, (v + 0.5 - camera.cy) / camera.fy * z, z], 1)
    return (points @ frames.cam_to_world[0][:3, :3].T + frames.cam_to_world[0][:3, 3])[:, 2]


@pytest.mark.parametrize(("unit", "height_m"), [(1.0, None), (0.6, 1.2), (1.7, 1.2)])
def test_true_depth_puts_the_floor_at_zero(room, unit: float, height_m: float | None):
    image, depth, label, pose, camera = room
    seen = Given(depth, unit).observe(image, camera, height_m)
    heights = floor_heights(seen, label == Label.FLOOR)
    assert len(heights) > 10_000
    assert np.abs(heights).max() < 0.02
    assert seen.frames.cam_to_world[0][2, 3] == pytest.approx(pose[2, 3], abs=0.02)
    up = pose[:3, :3].T @ [0, 0, 1]
    assert np.degrees(np.arccos(min(seen.frames.cam_to_world[0][2, :3] @ up, 1.0))) < 0.5
    assert seen.frame.metric == ("network" if height_m is None else "camera_height_given")
    if height_m is None:
        assert seen.frame.scale_sigma == 0.12
    else:  # the network is off by more than both sigmas: the stated height is kept, and doubted
        assert seen.frame.scale_sigma == pytest.approx(0.03 * abs(math.log(unit)) / math.hypot(0.12, 0.03), rel=0.05)
        assert not seen.notes["scale"]["agree"]


def test_labels_are_the_true_ones_where_depth_is_true(room):
    image, depth, label, _, camera = room
    seen = Given(depth).observe(image, camera)
    floor, truth = seen.frames.label[0] == Label.FLOOR, (label == Label.FLOOR) & seen.frames.valid[0]
    assert (floor & truth).sum() > 0.98 * floor.sum()
    assert (floor & truth).sum() > 0.95 * truth.sum()
    ceiling = (seen.frames.label[0] == Label.CEILING) & (label != Label.CEILING)
    assert ceiling.mean() < 0.01


def test_smeared_edges_and_the_far_have_no_depth(room):
    image, depth, _, _, camera = room
    smeared = depth.copy()
    near = depth[:, :-1] < 0.8 * depth[:, 1:]
    smeared[:, 1:][near] = (0.5 * depth[:, :-1] + 0.5 * depth[:, 1:])[near]
    far = np.where(np.arange(480) < 40, 30.0, smeared)
    seen = Given(far).observe(image, camera)
    assert near.sum() > 20
    assert not seen.frames.valid[0][:, 1:][near].any()
    assert not seen.frames.valid[0][:, :40].any()
    assert (seen.frames.depth_m[~seen.frames.valid] == 0).all()


def test_the_network_is_told_the_camera_and_written_into_the_world(room):
    image, depth, _, _, camera = room
    network = Given(depth)
    seen = network.observe(image, camera)
    assert np.allclose(network.asked[0], [[[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]]])
    assert seen.provenance.backend == "depth_anything"
    assert seen.provenance.inputs == ("abc",)


def test_a_floor_that_contradicts_the_lines_is_refused(room):
    image, depth, _, _, camera = room
    tilted = 1 / (1 / depth + 0.45)  # planes stay planes; the floor turns by 25 degrees
    with pytest.raises(SceneError, match=r"tilted by 2\d degrees"):
        Given(tilted).observe(image, camera)


def test_no_depth_no_metres_and_walks_are_refused(room):
    image, depth, _, _, camera = room
    with pytest.raises(SceneError, match="at least 5%"):
        Given(np.where(np.arange(480) < 4, depth, 0)).observe(image, camera)
    with pytest.raises(ConfigError, match="camera_height_m"):
        Given(depth, metric=False).observe(image, camera)
    assert Given(depth, 0.3, metric=False).observe(image, camera, 1.2).frame.metric == "camera_height_given"
    two = photo(image, camera).__class__
    capture = photo(image, camera)
    walk = two(**{**vars(capture), "images": np.stack([image] * 2), "image_valid": np.ones((2, 320, 480), bool)})
    with pytest.raises(InputError):
        observe_with_network(walk, CONFIG, lambda _scene: Given(depth))


def test_random_checkpoints_go_the_same_way_and_make_no_world(room, tmp_path):
    """What a network of random weights says has no floor: a scene error, not a crash and not a world."""
    image, _, _, _, camera = room
    checkpoint = save_depth_anything(tmp_path)
    for config in (DepthAnythingConfig(indoor=str(checkpoint), scene="indoor"), TinyDepthConfig()):
        with pytest.raises(SceneError):
            build(config)(photo(image, camera))


def test_a_worker_loads_the_network_once_for_all_its_photos(room, monkeypatch):
    image, depth, _, _, camera = room
    loads = []
    monkeypatch.setattr(networks, "open_network", functools.cache(lambda *a, **k: loads.append((a, k)) or Given(depth)))
    for _ in range(3):
        build(Da3Config(side_px=252))(photo(image, camera))
    assert len(loads) == 1 and loads[0][0][0].rests, "between photos the device is for others"
    monkeypatch.undo()
    made = [networks.open_network(TinyDepthConfig(seed=s), "indoor", setting="observe.photo") for s in (5, 5, 6)]
    assert made[0] is made[1] is not made[2]


def test_packaged_configuration_takes_the_small_network():
    chosen = load_config("photo_net").observe.photo
    assert isinstance(chosen, DepthAnythingConfig)
    assert chosen.weights("indoor") == "depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf"
