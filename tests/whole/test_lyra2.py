"""The loop of the video generator on one frame of an example, through the command: at tiny size, and with the truth in
place of the network."""

import json
import shutil
from pathlib import Path

import pytest

from tests.tree_hash import tree_hash
from tests.whole.test_run import EXAMPLES, lyra

FRAME = 20


@pytest.fixture(scope="module")
def frame(tmp_path_factory) -> Path:
    """An RGB-D walk of one frame, with its truth."""
    walk, made = EXAMPLES / "walk_flat_1", tmp_path_factory.mktemp("lyra2") / "frame"
    for part in ("color", "depth"):
        (made / part).mkdir(parents=True)
        shutil.copy(sorted((walk / part).iterdir())[FRAME], made / part)
    shutil.copy(walk / "camera.json", made)
    rows = [line for line in (walk / "poses.txt").read_text().splitlines() if not line.startswith("#")]
    (made / "poses.txt").write_text(rows[FRAME] + "\n")
    shutil.copytree(walk / "truth", made / "truth")
    return made


def generated(out: Path) -> dict:
    (path,) = (out / ".lyra" / "store" / "explore").glob("*/generated.json")
    return json.loads(path.read_text())


@pytest.mark.slow
def test_three_segments_of_the_tiny_network(frame, tmp_path):
    results = [lyra("run", frame, "--config", "lyra2_tiny", "--out", tmp_path / name) for name in "ab"]
    assert [r.returncode for r in results] in ([0, 0], [3, 3]), results[0].stderr
    assert tree_hash(tmp_path / "a") == tree_hash(tmp_path / "b")
    told = generated(tmp_path / "a")
    assert [s["frames"] for s in told["segments"].values()] == [[1, 80], [81, 160], [161, 240]]
    for segment in told["segments"].values():
        assert segment["retrieved"] and max(segment["retrieved"]) < segment["frames"][0]
    assert told["licences"][0]["subject"] == "weights of the video generator"
    (world,) = json.loads((tmp_path / "a" / "summary.json").read_text())["worlds"]
    report = json.loads(next((tmp_path / "a").rglob("report.json")).read_text())
    assert report["generated"] == told and told["weights"]
    assert world["status"] == ("quarantined" if report["reason"] else "published")
    attribution = next((tmp_path / "a").rglob("report.html")).read_text()
    assert "random weights" in attribution


@pytest.mark.slow
def test_the_same_walk_with_the_truth_instead_is_published(frame, tmp_path):
    sets = ("explore.generator={backend: truth}", "explore.height_px=120")
    extra = [part for item in sets for part in ("--set", item)]
    result = lyra("run", frame, "--config", "lyra2_tiny", *extra, "--out", tmp_path)
    assert result.returncode == 0, result.stderr + result.stdout
    (world,) = json.loads((tmp_path / "summary.json").read_text())["worlds"]
    assert world["status"] == "published" and "jetbot" in world["trainable"]
    assert len(generated(tmp_path)["segments"]) == 3
