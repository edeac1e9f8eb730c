"""The command line reaches what it calls."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lyra_sim.core.errors import ConfigError
from lyra_sim.io.images import write_png
from lyra_sim.procedural import example
from pipelines.cli import app

ROOT = Path(__file__).resolve().parents[2]


def test_example_writes_into_a_new_folder_only(tmp_path, monkeypatch):
    made: list[Path] = []
    monkeypatch.setattr(example, "write_example", made.append)
    result = CliRunner().invoke(app, ["example", str(tmp_path / "new")])
    assert result.exit_code == 0 and made == [tmp_path / "new"]
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="new or empty"):
        CliRunner().invoke(app, ["example", str(tmp_path)], catch_exceptions=False)


PROFILE = (ROOT / "configs" / "robots" / "jetbot.yaml").read_text()


@pytest.mark.parametrize("command", ["run in --out out --fresh", "plan in --out out", "check"])
@pytest.mark.parametrize(
    ("robots", "profile", "said"),
    [
        ("[jetbot, nova_cartr]", "", ["tasks.robots", "anymal_d, g1, go2", "Did you mean 'nova_carter'?"]),
        ("[mine.yaml]", None, ["mine.yaml", "No such file"]),
        (
            "[mine.yaml]",
            PROFILE.replace("radius_m:", "raduis_m:", 1),
            ["mine.yaml: raduis_m", "Did you mean 'radius_m'?"],
        ),
        ("[mine.yaml]", PROFILE.replace("asset:", "# asset:", 1), ["mine.yaml: asset", "got nothing"]),
        ("[mine.yaml]", PROFILE + "wheels: 4\n", ["mine.yaml: wheels", "Known here: accel_m_s2"]),
        ("[mine.yaml, jetbot]", PROFILE, ["each robot once"]),
    ],
)
def test_robots_are_checked_before_anything_starts(tmp_path, command, robots, profile, said):
    write_png(tmp_path / "in" / "photo.png", np.zeros((240, 320, 3), np.uint8))
    kept = tmp_path / "out" / ".lyra" / "store" / "capture"
    kept.mkdir(parents=True)
    if profile is not None:
        (tmp_path / "mine.yaml").write_text(profile)
    before = sorted(tmp_path.rglob("*"))
    arguments = [sys.executable, "-m", "pipelines", *command.split(), "--set", f"tasks.robots={robots}"]
    made = subprocess.run(arguments, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert made.returncode == 2 and made.stdout == "" and len(made.stderr.splitlines()) == 1, made.stderr
    assert all(part in made.stderr for part in said), made.stderr
    assert sorted(tmp_path.rglob("*")) == before, "--fresh forgot finished work"


def test_a_run_that_finds_everything_done_loads_nothing_heavy(tmp_path):
    """Otherwise a run over finished worlds would take seconds to start."""
    heavy = {"numpy", "scipy", "numba", "beartype", "jaxtyping", "ray", "psutil", "rich", "PIL", "pxr"}
    code = "import sys; import lyra_sim.config.load, pipelines.cli, pipelines.run; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not heavy & set(loaded.split())


def test_progress_goes_on_when_nobody_reads_it_any_more():
    code = (
        "import sys; from pipelines.progress import Progress\n"
        "progress = Progress([], 1); sys.stdin.readline()\n"
        "for k in range(3): progress._line(f'line {k}')\n"
        "print('done')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        process.stderr.close()
        out, _ = process.communicate("go\n", timeout=60)
    assert (process.returncode, out) == (0, "done\n")
