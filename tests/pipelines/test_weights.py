"""What a run depends on beside its inputs: weights, hashed into keys, and refused early where they are not there."""

import os

import pytest

from lyra_sim.config.load import load_config
from lyra_sim.config.lyra2 import LICENCE
from lyra_sim.core.errors import ConfigError, ResourceError
from pipelines.graph import BY_NAME, STAGES, stages_for
from pipelines.run import _default_workers
from pipelines.stage import digest, key_fields
from pipelines.weights import weights_of


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_what_has_no_networks_depends_on_none():
    assert weights_of(load_config("default")) == {}


def test_random_weights_are_what_their_seeds_say():
    tiny = weights_of(load_config("lyra2_tiny"))
    assert list(tiny) == ["explore"] and tiny == weights_of(load_config("lyra2_tiny"))
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
    assert list(first) == ["observe"] and first != second


def test_weights_are_part_of_the_key():
    config, stage = load_config("default").model_dump(mode="json"), BY_NAME["explore"]
    upstream = dict.fromkeys(stage.upstream, "x")
    keys = [digest(key_fields(stage, config, upstream, {}, weights)) for weights in (None, "a", "b")]
    assert len({*keys}) == 3


def test_stages_get_the_time_and_memory_of_the_networks_that_their_worker_holds():
    plain = load_config("default").model_dump(mode="json")
    assert stages_for(plain) == STAGES
    dreaming = stages_for(load_config("lyra2").model_dump(mode="json"))
    slower = [new.name for new, old in zip(dreaming, STAGES, strict=True) if new.deadline_s != old.deadline_s]
    assert slower == ["explore"] and min(stage.memory_mb for stage in dreaming) > 100_000
    seeing = stages_for(load_config("photo_net").model_dump(mode="json"))
    assert min(stage.memory_mb for stage in seeing) == max(stage.memory_mb for stage in seeing) == 24_000


def test_a_packing_that_cannot_be_is_refused_before_any_work():
    with pytest.raises(ConfigError, match="packing"):
        weights_of(load_config("lyra2_tiny", ["explore.generator.packing=nonsense"]))


def test_a_generator_on_a_gpu_is_loaded_once():
    assert _default_workers(load_config("lyra2")) == 1
    assert _default_workers(load_config("lyra2_tiny")) == _default_workers(load_config("default")) == os.cpu_count()
