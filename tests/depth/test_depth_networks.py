"""Depth networks through the files and packages they come in: from this machine only, explained where missing."""

import hashlib
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import DepthAnythingForDepthEstimation

from lyra_sim.config.depth_network import Da3Config, DepthAnythingConfig, TinyDepthConfig
from lyra_sim.core.errors import ConfigError, ResourceError
from lyra_sim.depth.networks.build import build_network
from lyra_sim.depth.networks.requirements import requirements
from lyra_sim.depth.networks.weights import licence_of
from tests.depth.checkpoints import save_depth_anything
from tests.depth.test_align import cameras, walk

IMAGES = np.random.default_rng(0).integers(0, 255, (2, 40, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def indoor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_depth_anything(tmp_path_factory.mktemp("indoor"))


def test_depth_anything_from_a_folder_as_transformers_computes_it(indoor: Path):
    network = build_network(DepthAnythingConfig(indoor=str(indoor)), "indoor")
    made = network.predict(IMAGES)
    assert made.depth.shape == (2, 40, 64)
    assert made.w2c is None
    assert 0 < made.depth[made.valid].min() <= made.depth.max() < 20
    reference = DepthAnythingForDepthEstimation.from_pretrained(indoor).eval()
    shape = (1, 3, 70, 112)  # the nearest multiples of 14 at which the shorter side is 70
    pixels = nn.functional.interpolate(
        torch.tensor(IMAGES[:1]).permute(0, 3, 1, 2).float() / 255, shape[2:], mode="bilinear"
    )  # fmt: skip
    mean, std = (torch.tensor(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    with torch.no_grad():
        raw = reference(pixel_values=(pixels - mean) / std).predicted_depth
    wanted = nn.functional.interpolate(raw[:, None], (40, 64), mode="bilinear")[0, 0].numpy()
    assert np.abs(made.depth[0] / wanted - 1).max() < 0.02, "but for how pixels are resampled"
    assert np.array_equal(
        made.depth, build_network(DepthAnythingConfig(indoor=str(indoor)), "indoor").predict(IMAGES).depth
    )


def test_hashes_are_those_of_the_files(indoor: Path):
    network = build_network(DepthAnythingConfig(indoor=str(indoor)), "indoor")
    assert set(network.hashes) == {"config.json", "model.safetensors", "preprocessor_config.json"}
    for name, digest in network.hashes.items():
        assert digest == hashlib.sha256((indoor / name).read_bytes()).hexdigest()


def test_the_scene_chooses_the_checkpoint(indoor: Path, tmp_path: Path):
    outdoor = save_depth_anything(tmp_path, max_depth=80, seed=1)
    auto = DepthAnythingConfig(indoor=str(indoor), outdoor=str(outdoor))
    assert build_network(auto, "outdoor").name == str(outdoor)
    assert build_network(auto, "outdoor").predict(IMAGES).depth.max() > 20
    assert build_network(auto.model_copy(update={"scene": "indoor"}), "outdoor").name == str(indoor)
    assert DepthAnythingConfig(size="large").weights("outdoor").endswith("V2-Metric-Outdoor-Large-hf")


def test_missing_and_wrong_weights_are_explained(indoor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = DepthAnythingConfig(size="base")
    with pytest.raises(ResourceError, match=r"hf download depth-anything/\S+Indoor-Base-hf.*CC-BY-NC-4\.0"):
        build_network(config, "indoor")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").write_bytes((indoor / "config.json").read_bytes())
    with pytest.raises(ResourceError, match=r"no model\.safetensors"):
        build_network(DepthAnythingConfig(indoor=str(tmp_path / "half")), "indoor")
    relative = save_depth_anything(tmp_path / "relative", kind="relative")
    with pytest.raises(ConfigError, match="metric"):
        build_network(DepthAnythingConfig(indoor=str(relative)), "indoor")
    rows = requirements(DepthAnythingConfig(indoor=str(indoor)), "observe.photo")
    assert [what.split(",")[0] for what, ok, _ in rows if not ok] == [
        f"weights {config.model_copy(update={'size': 'small'}).weights('outdoor')}"
    ]


def test_licences_follow_the_size():
    assert licence_of("depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf").name == "Apache-2.0"
    assert licence_of("some/folder/Depth-Anything-V2-Metric-Outdoor-Large-hf").name == "CC-BY-NC-4.0"
    assert licence_of("depth-anything/DA3NESTED-GIANT-LARGE-1.1").name == "CC-BY-NC-4.0"
    assert licence_of("depth-anything/DA3METRIC-LARGE").name == "Apache-2.0"
    assert licence_of("/mine/finetuned").name == "not stated"


def test_tiny_network_is_the_same_for_the_same_seed_only():
    one, same, other = (build_network(TinyDepthConfig(seed=s), "indoor").predict(IMAGES).depth for s in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


class StandIn(nn.Module):
    """Public parts of `depth_anything_3.api.DepthAnything3` (0.1.1) that the adapter uses, at an eighth of the size."""

    def __init__(self, model_name: str) -> None:
        super().__init__()
        self.model_name, self.asked = model_name, {}

    @classmethod
    def from_pretrained(cls, folder: str) -> "StandIn":
        return cls(json.loads((Path(folder) / "config.json").read_text())["model_name"])

    def input_processor(self, image, extrinsics=None, intrinsics=None, process_res=504,
                        process_res_method="upper_bound_resize", *, num_workers=8):  # fmt: skip
        assert process_res_method == "upper_bound_resize"
        batch = torch.stack([torch.tensor(x).permute(2, 0, 1)[:, ::8, ::8].float() / 255 for x in image])
        small = None
        if intrinsics is not None:
            small = torch.tensor(intrinsics).float()
            small[:, :2] /= 8
        return batch, None if extrinsics is None else torch.tensor(extrinsics).float(), small

    def forward(self, image, extrinsics=None, intrinsics=None, export_feat_layers=None):
        assert export_feat_layers is not None, "the package iterates over it"
        self.asked = {"extrinsics": extrinsics, "intrinsics": intrinsics}
        return image

    def output_processor(self, raw):
        views, _, height, width = raw.shape[1:]
        depth = np.full((views, height, width), 3.0, np.float32)
        depth[:, :, -1] = 1000.0
        sky = np.zeros(depth.shape, bool)
        sky[:, 0] = True
        w2c = np.tile(np.eye(4, dtype=np.float32)[:3], (views, 1, 1))
        w2c[:, 0, 3] = np.arange(views)
        return types.SimpleNamespace(
            depth=depth, sky=sky, conf=np.ones(depth.shape, np.float32), extrinsics=w2c,
            intrinsics=np.tile(np.diag([10.0, 10.0, 1.0]), (views, 1, 1)),
        )  # fmt: skip


@pytest.fixture
def da3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes the adapter on a stand-in of the package, by model name."""
    module = types.ModuleType("depth_anything_3.api")
    module.DepthAnything3 = StandIn  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "depth_anything_3", types.ModuleType("depth_anything_3"))
    monkeypatch.setitem(sys.modules, "depth_anything_3.api", module)

    def make(model_name: str, **settings: object):
        (tmp_path / "config.json").write_text(json.dumps({"model_name": model_name}))
        (tmp_path / "model.safetensors").write_bytes(b"")
        config = {"weights": str(tmp_path), "device": "cpu", **settings}
        return build_network(Da3Config.model_validate(config), "indoor")

    return make


def test_da3_adapter_against_a_stand_in_of_its_package(da3):
    """The package pins numpy below 2 and asks for xformers, so it is no part of the test environment: a stand-in with
    the same public parts shows what is handed to it and what becomes of its answer, not what the network would say."""
    network = da3("da3nested-giant-large")
    assert network.metric
    centres, _ = walk(2, 1)
    K = np.tile(np.array([[60.0, 0, 32], [0, 60, 20], [0, 0, 1]]), (2, 1, 1))
    made = network.predict(IMAGES, cameras(centres), K)
    asked = network._net.asked
    assert torch.allclose(asked["extrinsics"][0, 0], torch.eye(4), atol=1e-6), "relative to the first view"
    assert asked["intrinsics"][0, 0, 0, 0] == pytest.approx(7.5)
    assert made.depth.shape == (2, 40, 64)
    assert not made.valid[:, :4].any(), "sky"
    assert not made.valid[:, :, -4:].any(), "depth of 1000 is none"
    assert (made.depth[made.valid] == 3).all()
    assert (made.depth[~made.valid] == 0).all()
    assert made.w2c is not None
    assert made.w2c.shape == (2, 4, 4)
    assert made.K is not None
    assert made.K[0, 0, 0] == pytest.approx(80.0), "at the size of the images"
    network.predict(IMAGES)
    assert network._net.asked == {"extrinsics": None, "intrinsics": None}


def test_da3_is_on_the_device_only_while_it_is_asked(da3, monkeypatch: pytest.MonkeyPatch):
    places: list[str] = []
    move = StandIn.to

    def told(self: StandIn, device: object) -> StandIn:
        places.append(str(device))
        return move(self, device)

    monkeypatch.setattr(StandIn, "to", told)
    network = da3("da3-large", device="meta", rests=True)
    network.predict(IMAGES)
    assert places == ["cpu", "meta", "cpu"]


def test_da3_networks_that_tell_depth_by_focal_length(da3):
    assert not da3("da3-large").metric
    network = da3("da3metric-large")
    K = np.tile(np.diag([600.0, 600.0, 1.0]), (2, 1, 1))
    made = network.predict(IMAGES, None, K)
    assert np.allclose(made.depth[made.valid], 3.0 * (600 / 8) / 300, rtol=1e-6)
    with pytest.raises(ConfigError, match="intrinsics"):
        network.predict(IMAGES)


def test_da3_without_its_package_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    monkeypatch.setitem(sys.modules, "depth_anything_3", None)
    monkeypatch.setitem(sys.modules, "depth_anything_3.api", None)
    with pytest.raises(ResourceError, match="pip install --no-deps depth-anything-3"):
        build_network(Da3Config(weights=str(tmp_path), device="cpu"), "indoor")
