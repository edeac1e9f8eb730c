"""An install without the extra `networks`: a command that needs it says so and exits 5.

The packages are hidden from a process of its own by a module that Python imports at its start.
"""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from PIL import Image

from lyra_sim.core.packages import GET_NETWORKS, NETWORKS

ROOT = Path(__file__).resolve().parents[2]
HIDE = f"""
import sys
from importlib.abc import MetaPathFinder

class Hidden(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {(*NETWORKS, "huggingface_hub")!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())
"""
COMMANDS = {
    "vectors": ("pipelines", "vectors", "{tmp}/any.safetensors"),
    "convert-weights": ("pipelines", "convert-weights", "{tmp}/model.pth", "{tmp}/out"),
    **{
        f"run {name}": ("pipelines", "run", "{tmp}/a.png", "--out", "{tmp}/worlds", "--config", name)
        for name in ("photo_net", "lyra2", "lyra2_fast", "lyra2_tiny")
    },
    **{
        f"check {name}": ("pipelines", "check", "--config", name)
        for name in ("photo_net", "lyra2", "lyra2_tiny")
    },
    "training": ("lyra_sim.training.lyra2", "{tmp}", "--out", "{tmp}/run"),
    "start of training": ("lyra_sim.training.start", "{tmp}/wan", "{tmp}/start"),
    "height network": ("lyra_sim.training.height", "{tmp}", "--out", "{tmp}/net.npz"),
}  # fmt: skip


def hidden(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a process in which none of the packages can be imported."""
    (tmp_path / "hide").mkdir()
    (tmp_path / "hide" / "sitecustomize.py").write_text(HIDE)
    path = os.pathsep.join([str(tmp_path / "hide"), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run([sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_needs_networks_says_how_to_get_them(command, tmp_path):
    Image.effect_noise((96, 80), 50).convert("RGB").save(tmp_path / "a.png")
    module, *arguments = (part.format(tmp=tmp_path) for part in COMMANDS[command])
    result = hidden(tmp_path, "-m", module, *arguments)
    told = result.stdout + result.stderr
    assert result.returncode == 5, told
    assert "Traceback" not in told and GET_NETWORKS in told and "torch" in told
    if not command.startswith("check"):
        assert "expected" in told and "got no " in told and not result.stdout


def test_check_tells_all_that_is_missing_at_once(tmp_path):
    told = hidden(tmp_path, "-m", "pipelines", "check", "--config", "lyra2")
    assert told.returncode == 5
    for what in (
        "MISSING  package torch",
        "MISSING  weights transformer",
        "licence",
        "disk for",
        "plain 58 GiB",
        "no torch",
    ):
        assert what in told.stdout, what


def test_the_packages_are_hidden_there_and_the_rest_is_not(tmp_path):
    code = (
        "import importlib, pipelines.run, lyra_sim.training.height_photos\n"
        f"for name in {NETWORKS!r}:\n"
        "    try: importlib.import_module(name)\n"
        "    except ImportError: print(name)"
    )
    assert hidden(tmp_path, "-c", code).stdout.split() == list(NETWORKS)


def test_the_packages_are_those_of_the_extra():
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["networks"]
    assert {line.partition(">")[0] for line in extra} | {"tokenizers"} == set(NETWORKS)  # that comes with transformers
