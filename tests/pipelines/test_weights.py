"""What a run depends on beside its inputs: weights, hashed into keys, and refused early where they are not there."""

import json
import re
import shutil
import types
from importlib.resources import files

import pytest
import torch

from lyra_sim.config.load import load_config
from lyra_sim.config.lyra2 import LICENCE
from lyra_sim.core.errors import ConfigError, InputError, ResourceError
from pipelines import weights
from pipelines.graph import BY_NAME, stages_for
from pipelines.stage import digest, key_fields
from pipelines.weights import generator_requirements, insist_on_machine, insist_on_worker, weights_of
from tests.depth import da3_stand_in


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_what_has_no_networks_depends_on_robots_alone():
    assert list(weights_of(load_config("default"))) == ["tasks"]


@pytest.mark.parametrize("packaged", [True, False])
def test_a_robot_counts_by_what_its_profile_says(tmp_path, monkeypatch, packaged):
    text = (files("configs") / "robots" / "jetbot.yaml").read_text()
    shutil.copytree(str(files("configs")), tmp_path / "configs")
    monkeypatch.setattr("lyra_sim.config.robots.resources.files", lambda _: tmp_path / "configs")
    profile = tmp_path / "configs" / "robots" / "jetbot.yaml" if packaged else tmp_path / "mine.yaml"

    def key(content: str) -> str:
        profile.write_text(content)
        config = load_config("default", [f"tasks.robots=[nova_carter, {'jetbot' if packaged else profile}]"])
        plain = config.model_dump(mode="json")
        return digest(key_fields(BY_NAME["tasks"], plain, {}, {}, weights_of(config)["tasks"]))

    first = key(text)
    assert key("# a remark\n" + text) == first
    for change in ("radius_m: 0.14", "step_m: 0.015"):
        assert key(re.sub(rf"(?m)^{change.split(':')[0]}: .*", change, text)) != first, change


def test_random_weights_are_what_their_seeds_say():
    tiny = weights_of(load_config("lyra2_tiny"))
    assert set(tiny) == {"explore", "tasks"} and tiny == weights_of(load_config("lyra2_tiny"))
    for change in ("explore.generator.random_weights.seed=1", "explore.generator.depth.seed=1"):
        assert weights_of(load_config("lyra2_tiny", [change])) != tiny


def test_a_licence_that_is_not_accepted_stops_the_run_before_any_work():
    with pytest.raises(ConfigError, match="accept_licence"):
        weights_of(load_config("lyra2"))


def test_missing_weights_stop_the_run_before_any_work(tmp_path):
    sets = [f"explore.generator.accept_licence={LICENCE}", f"explore.generator.weights.release={tmp_path}"]
    with pytest.raises(ResourceError, match=r"weights transformer.*lyra-sim check"):
        weights_of(load_config("lyra2", sets))


def test_depth_weights_are_hashed_by_content(tmp_path):
    with pytest.raises(ResourceError, match="hf download"):
        weights_of(load_config("photo_net"))
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"one")
    sets = [f"observe.photo.indoor={folder}", f"observe.photo.outdoor={folder}"]
    first = weights_of(load_config("photo_net", sets))
    (folder / "model.safetensors").write_bytes(b"another")
    second = weights_of(load_config("photo_net", sets))
    assert set(first) == {"observe", "tasks"} and first != second


def test_a_camera_path_is_hashed_by_content_and_refused_early(tmp_path):
    sets = ["explore.path.kind=file", f"explore.path.path={tmp_path / 'keys.json'}"]
    with pytest.raises(InputError, match=r"keys\.json"):
        weights_of(load_config("default", sets))
    found = []
    for x in (1, 2):
        keys = [{"frame": 0, "position": [0, 0, 1]}, {"frame": 9, "position": [x, 0, 1]}]
        (tmp_path / "keys.json").write_text(json.dumps({"keyframes": keys}))
        found.append(weights_of(load_config("default", sets)))
    assert set(found[0]) == {"explore", "tasks"} and found[0] != found[1]


def test_weights_are_part_of_the_key():
    config, stage = load_config("default").model_dump(mode="json"), BY_NAME["explore"]
    upstream = dict.fromkeys(stage.upstream, "x")
    keys = [digest(key_fields(stage, config, upstream, {}, weights)) for weights in (None, "a", "b")]
    assert len({*keys}) == 3


def test_a_packing_that_cannot_be_is_refused_before_any_work():
    with pytest.raises(ConfigError, match="packing"):
        weights_of(load_config("lyra2_tiny", ["explore.generator.packing=nonsense"]))


def test_a_gpu_is_asked_of_the_machine_that_works_not_of_the_weights():
    with pytest.raises(ResourceError, match=r"device cuda of observe\.photo.*lyra-sim check"):
        insist_on_machine(load_config("photo_net", ["observe.photo.device=cuda"]))
    with pytest.raises(ResourceError, match=r"device cuda \(torch"):
        insist_on_machine(load_config("lyra2"))
    insist_on_machine(load_config("lyra2_tiny"))
    for device in ("cuda:7", "mps", "meta"):
        with pytest.raises(ResourceError, match=rf"device {device} of observe\.photo"):
            insist_on_machine(load_config("photo_net", [f"observe.photo.device={device}"]))
        with pytest.raises(ResourceError, match=rf"device {device} \(torch"):
            insist_on_machine(load_config("lyra2", [f"explore.generator.device={device}"]))
    for name, setting in (("photo_net", "observe.photo"), ("lyra2", "explore.generator")):
        with pytest.raises(ConfigError, match=rf"{setting}\.device.*'gpu'"):
            insist_on_machine(load_config(name, [f"{setting}.device=gpu"]))


def test_every_worker_with_a_gpu_needs_memory_and_every_gpu_is_asked(monkeypatch):
    def rows(workers: int, *sets: str) -> str:
        config = load_config("lyra2", ["explore.generator.memory=offload", *sets])
        return "\n".join(row.what for row in generator_requirements(config, workers))

    def needed(text: str) -> int:
        return int(re.findall(r"(\d+) GiB needed", text)[0])

    def plain(text: str) -> int:
        return int(re.findall(r"mode: plain (\d+) GiB", text)[0])

    one = rows(1)
    assert needed(one) > 80 and abs(needed(rows(3)) - 3 * needed(one)) <= 2
    splats = rows(1, "reconstruct.backend=feedforward")
    assert plain(splats) > plain(one) + 5 and needed(splats) >= needed(one) + 5, "both are held by one worker"
    cards = [types.SimpleNamespace(name=f"card {i}", total_memory=size << 30) for i, size in enumerate((80, 8, 80))]
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: cards[device])
    assert "card 1 with 8 GiB" in rows(1)
    assert "card 2 with 80 GiB" in rows(1, "explore.generator.device=cuda:2")


def test_a_worker_asks_its_machine_once_before_it_loads_networks(monkeypatch):
    config = load_config("photo_net", ["observe.photo.device=cuda"]).model_dump_json()
    if not torch.cuda.is_available():
        with pytest.raises(ResourceError, match="device cuda"):
            insist_on_worker(config)
    asked = []
    monkeypatch.setattr(weights, "insist_on_machine", asked.append)
    for _ in range(2):
        insist_on_worker(config)
    assert len(asked) == 1
    insist_on_worker.cache_clear()


def test_splats_by_a_network_need_its_package_and_depend_on_its_weights(tmp_path, monkeypatch):
    sets = ["reconstruct.backend=feedforward", f"reconstruct.weights={tmp_path / 'DA3-GIANT'}"]
    with pytest.raises(ResourceError, match=r"package depth_anything_3.*weights .*CC-BY-NC-4\.0.*hf download"):
        weights_of(load_config("default", sets))
    da3_stand_in.install(monkeypatch)
    da3_stand_in.save(tmp_path / "DA3-GIANT")
    if not torch.cuda.is_available():
        with pytest.raises(ResourceError, match="device cuda"):
            insist_on_machine(load_config("default", sets))
    config = load_config("default", [*sets, "reconstruct.device=cpu"])
    first = weights_of(config)
    da3_stand_in.save(tmp_path / "DA3-GIANT", seed=1)
    second = weights_of(config)
    assert set(first) == {"reconstruct", "tasks"} and first != second
    assert [stage.name for stage in stages_for(load_config("default", sets).model_dump(mode="json")) if stage.gpu] == [
        "reconstruct"
    ]
    plain = {stage.name: stage for stage in stages_for(config.model_dump(mode="json"))}
    assert plain["reconstruct"].memory_mb == plain["surface"].memory_mb > BY_NAME["surface"].memory_mb
    assert plain["reconstruct"].deadline_s > BY_NAME["reconstruct"].deadline_s
