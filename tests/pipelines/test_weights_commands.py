"""`lyra-sim check` and `lyra-sim convert-weights` for the video generator, as a user calls them."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner, Result

from lyra_sim.config.load import load_config
from lyra_sim.config.lyra2 import LICENCE, Lyra2Config
from lyra_sim.core.errors import ConfigError
from lyra_sim.worldgen.lyra2.checkpoint import load_transformer
from pipelines.cli import app
from tests.worldgen.lyra2.tiny import SIZES, network, velocity


def _call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


@pytest.mark.parametrize("name", ["lyra2", "lyra2_fast"])
def test_check_says_what_this_machine_lacks(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    result = _call("check", "--config", name)
    assert result.exit_code == 5
    lines = result.stdout.splitlines()
    transformer = next(line for line in lines if "weights transformer" in line)
    assert transformer.startswith("MISSING") and "hf download nvidia/Lyra-2.0" in transformer and LICENCE in transformer
    licence = next(line for line in lines if "licence of the weights" in line)
    assert licence.startswith("MISSING") and "accept_licence" in licence
    modes = next(line for line in lines if "each memory mode" in line)
    assert all(f"{mode} " in modes for mode in ("plain", "offload", "offload_fp8")) and "17.03 B parameters" in modes
    assert any("disk for what is missing" in line and "GB needed" in line for line in lines)
    assert ("lora" in result.stdout) == (name == "lyra2_fast")
    assert "weights transformer" in result.stderr


def test_accepting_the_licence_and_finding_weights_changes_the_lines(tmp_path):
    (tmp_path / "model").mkdir()
    result = _call(
        "check", "--config", "lyra2", "--set", f"explore.generator.accept_licence={LICENCE}",
        "--set", f"explore.generator.weights.transformer={tmp_path / 'model'}",
    )  # fmt: skip
    found = [line for line in result.stdout.splitlines() if "licence of the" in line or "weights transformer" in line]
    assert len(found) == 2 and all(line.startswith("ok") for line in found) and result.exit_code == 5


def test_check_of_the_default_needs_no_weights():
    result = _call("check")
    assert "no weights, no GPU needed" in result.stdout and "lyra2" not in result.stdout
    assert result.exit_code == (5 if "MISSING" in result.stdout else 0)


def test_the_packaged_configurations_are_the_release():
    full, fast = (load_config(name).explore.generator for name in ("lyra2", "lyra2_fast"))
    assert isinstance(full, Lyra2Config) and isinstance(fast, Lyra2Config)
    assert (full.sampler, full.steps, fast.sampler, fast.steps) == ("unipc", 35, "distilled", 4)
    assert fast.lora_files() == ((Path("weights/Lyra-2.0/checkpoints/lora/dmd_distillation.safetensors"), 1.0),)
    with pytest.raises(ConfigError, match="4 steps"):
        load_config("lyra2_fast", ["explore.generator.steps=5"])
    with pytest.raises(ConfigError, match="not both"):
        load_config("lyra2", ["explore.generator.random_weights={}"])


def test_convert_weights_writes_what_loads_and_its_hashes(tmp_path):
    torch.save({f"net.{name}": tensor for name, tensor in network().state_dict().items()}, tmp_path / "model.pth")
    random = {name: SIZES[name] for name in SIZES if name not in ("framepack_type", "buffer_in_dim")}
    tree = {"backend": "lyra2", "dtype": "float32", "packing": SIZES["framepack_type"], "random_weights": random}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({"explore": {"generator": tree}}))
    result = _call("convert-weights", tmp_path / "model.pth", tmp_path / "out", "--config", tmp_path / "tiny.yaml")
    assert result.exit_code == 0 and LICENCE in result.stderr and "100%" in result.stderr
    assert torch.equal(velocity(load_transformer(tmp_path / "out", dtype=torch.float32)), velocity(network()))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())["sha256"]
    for line in result.stdout.splitlines():
        digest, name = line.split()
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == digest == manifest.pop(name)
    assert not manifest


def test_convert_weights_leaves_nothing_half_made(tmp_path):
    torch.save({"net.head.head.bias": torch.zeros(64)}, tmp_path / "model.pth")
    with pytest.raises(ConfigError, match="1434 missing"):
        _call("convert-weights", tmp_path / "model.pth", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["model.pth"]
