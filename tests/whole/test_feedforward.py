"""Splats by a network through the command: refused before any work where it cannot be, kept to the end where it can."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lyra_sim.config.load import load_config, packaged_names
from lyra_sim.core.records import Fused, GaussianSplats, PosedFrames, Surface, World
from lyra_sim.geometry.rays import RayScene
from lyra_sim.io.meshes import read_splats_ply
from lyra_sim.io.records import load_record
from lyra_sim.reconstruct.build import build
from pipelines import stages
from pipelines.graph import BY_NAME
from pipelines.stage import Job
from tests.depth import da3_stand_in
from tests.whole.test_run import EXAMPLES, ROOT, lyra

WALK = EXAMPLES / "walk_flat_1"
VIEWS = [
    "reconstruct.device=cpu", "reconstruct.side_px=168", "reconstruct.max_views=12", "reconstruct.frames_per_view=2",
    "reconstruct.overlap=2", "reconstruct.most_splats=30000",
]  # fmt: skip


def settings(weights: Path) -> list[str]:
    return ["reconstruct.backend=feedforward", f"reconstruct.weights={weights}", *VIEWS]


def run_stages(folder: Path, config: dict, names: str) -> None:
    """These stages of a walk, one after the other in this process."""
    plain = {"kind": "rgbd", "path": str(WALK), "digest": "ab", "name": "walk", "notice": None}
    for name in names.split():
        inputs = {before: folder / before for before in BY_NAME[name].upstream}
        (folder / name).mkdir()
        work = getattr(stages, name)
        work(
            Job(
                stage=name, key="0" * 64, world="walk", source=plain, config=config, inputs=inputs, out=folder / name,
                partial=folder / "partial", report=lambda _: None, piece_done=lambda _: None,
            )
        )  # fmt: skip


def on_the_walls(splats: GaussianSplats, fused: Fused) -> np.ndarray:
    return RayScene(fused.mesh.vertices, fused.mesh.faces).distance(splats.means.astype(np.float64))


def test_stages_keep_the_splats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    da3_stand_in.install(monkeypatch)
    monkeypatch.setattr(da3_stand_in.StandIn, "answer", da3_stand_in.walk_answer(WALK))
    weights = da3_stand_in.save(tmp_path / "DA3-GIANT")
    coarse = ["reconstruct.voxel_m=0.04", "collide.backends=[{backend: static_mesh}]", "surface.texture_px=512"]
    config = load_config("default", [*settings(weights), *coarse]).model_dump(mode="json")
    run_stages(tmp_path, config, "capture observe explore reconstruct surface collide usd")
    fused = load_record(Fused, tmp_path / "reconstruct")
    loads = []
    monkeypatch.setattr(da3_stand_in.StandIn, "from_pretrained", lambda path: loads.append(path))
    again = build(load_config("default", [*settings(weights), *coarse]).reconstruct)(
        World(start=load_record(PosedFrames, tmp_path / "observe"), segments=())
    )
    assert not loads and again.splats is not None, "a worker keeps the network for its next world"
    assert fused.splats is not None and 10_000 < len(fused.splats.means) <= 30_000
    assert np.median(on_the_walls(fused.splats, fused)) < 0.01
    painted = load_record(Surface, tmp_path / "surface").splats
    assert np.array_equal(painted.means, fused.splats.means) and np.array_equal(painted.sh, fused.splats.sh)
    written = read_splats_ply(tmp_path / "usd" / "splats.ply")
    assert np.array_equal(written.means, fused.splats.means)
    assert np.allclose(written.opacity, 0.9, atol=1e-6)
    colours = 0.5 + 0.28209479 * written.sh[:, 0]
    assert colours.min() > -0.01 and colours.max() < 1.01 and colours.std() > 0.05
    lines = json.loads((tmp_path / "usd" / "ATTRIBUTION.json").read_text())["licences"]
    assert [line["name"] for line in lines if line["subject"] == "weights DA3-GIANT"] == ["CC-BY-NC-4.0"]


@pytest.mark.slow
def test_the_whole_run_says_what_made_the_splats(tmp_path: Path):
    package, weights = tmp_path / "path" / "depth_anything_3", da3_stand_in.save(tmp_path / "DA3-GIANT")
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "api.py").write_text(
        "from pathlib import Path\nfrom tests.depth.da3_stand_in import StandIn as DepthAnything3, walk_answer\n"
        f"DepthAnything3.answer = walk_answer(Path({str(WALK)!r}))\n"
    )
    sets = [part for item in settings(weights) for part in ("--set", item)]
    command = [sys.executable, "-m", "pipelines", "run", str(WALK), *sets, "--out", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": f"{package.parent}{os.pathsep}{ROOT}"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr + result.stdout
    (world,) = json.loads((tmp_path / "out" / "summary.json").read_text())["worlds"]
    report = json.loads((tmp_path / "out" / world["path"] / "report.json").read_text())
    told = report["reconstruction"]
    digest = hashlib.sha256((weights / "model.safetensors").read_bytes()).hexdigest()
    assert told["weights"]["model.safetensors"] == digest and told["surface_median_m"] < 0.01
    assert told["left_out_share"]["floating"] < 0.02 and len(told["chunks"]) == 2
    assert "weights DA3-GIANT" in [line["subject"] for line in report["licences"]]
    splats = read_splats_ply(tmp_path / "out" / world["path"] / "splats.ply")
    assert len(splats.means) == told["splats"] <= 30_000


def test_what_is_missing_stops_the_command_before_any_work(tmp_path: Path):
    sets = ("--set", "reconstruct.backend=feedforward", "--set", f"reconstruct.weights={tmp_path / 'none'}")
    result = lyra("run", WALK, *sets, "--out", tmp_path / "out")
    assert result.returncode == 5
    assert "hf download" in result.stderr and "depth_anything_3" in result.stderr
    assert not (tmp_path / "out" / "summary.json").exists()
    checked = lyra("check", *sets)
    assert checked.returncode == 5
    for what in ("package depth_anything_3", f"weights {tmp_path / 'none'}, licence not stated", "device cuda"):
        assert f"MISSING  {what}" in checked.stdout


def test_any_configuration_may_choose_it():
    for name in packaged_names():
        config = load_config(name, ["reconstruct.backend=feedforward", "reconstruct.voxel_m=0.03"]).reconstruct
        assert config.backend == "feedforward" and config.voxel_m == 0.03
        assert load_config(name).reconstruct.backend == "tsdf"
