"""The loop of the video generator on one frame of an example, through the command: at tiny size, and with the truth in
place of the network."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.tree_hash import tree_hash
from tests.whole.test_run import EXAMPLES, lyra

FRAME = 20
CAPTIONS = {"0": "a room", "81": "a hall"}
EXPLORED = Path(".lyra/store/explore")
COARSE = (
    "reconstruct.voxel_m=0.04", "surface.texture_px=1024", "surface.visual_faces=20000", "tasks.robots=[jetbot]",
)  # fmt: skip
"""What is drawn does not depend on them; they halve the time of the rest."""


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
    (made / "captions.json").write_text(json.dumps(CAPTIONS))
    return made


def run(source: Path, out: Path, *sets: str) -> subprocess.CompletedProcess[str]:
    extra = [part for item in (*COARSE, *sets) for part in ("--set", item)]
    return lyra("run", source, "--config", "lyra2_tiny", *extra, "--out", out)


def generated(out: Path) -> dict:
    (path,) = (out / EXPLORED).glob("*/generated.json")
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def drawn(frame, tmp_path_factory) -> Path:
    """The output folder of a run with the tiny network."""
    out = tmp_path_factory.mktemp("lyra2") / "out"
    result = run(frame, out)
    assert result.returncode == 3, result.stderr
    return out


@pytest.mark.slow
def test_three_segments_of_the_tiny_network(drawn):
    told = generated(drawn)
    assert [s["frames"] for s in told["segments"].values()] == [[1, 80], [81, 160], [161, 240]]
    for segment in told["segments"].values():
        assert segment["retrieved"] and max(segment["retrieved"]) < segment["frames"][0]
    assert [s["prompt"] for s in told["segments"].values()] == [CAPTIONS["0"], CAPTIONS["81"], CAPTIONS["81"]]
    assert told["licences"][0]["subject"] == "weights of the video generator"
    (world,) = json.loads((drawn / "summary.json").read_text())["worlds"]
    report = json.loads(next(drawn.rglob("report.json")).read_text())
    assert report["generated"] == told and told["weights"]
    failed = {gate["name"] for gate in report["gates"] if not gate["ok"]}
    assert world["status"] == report["status"] == "quarantined" and "generated_likeness" in failed
    attribution = next(drawn.rglob("report.html")).read_text()
    assert "random weights" in attribution


@pytest.mark.slow
def test_the_same_is_drawn_again_and_becomes_the_same_world(frame, drawn):
    """Every byte that explore writes; what follows has these bytes as its key, so that it does not run again."""
    world, (first,) = tree_hash(drawn), (drawn / EXPLORED).glob("*/COMMIT.json")
    content, log = json.loads(first.read_text())["content"], drawn / ".lyra" / "events.jsonl"
    told = len(log.read_text().splitlines())
    shutil.rmtree(drawn / EXPLORED)
    assert run(frame, drawn).returncode == 3
    again = [json.loads(line) for line in log.read_text().splitlines()[told:]]
    assert [line["stage"] for line in again if line["event"] == "commit"] == ["explore"]
    assert json.loads(first.read_text())["content"] == content and tree_hash(drawn) == world


@pytest.mark.slow
def test_the_same_walk_with_the_truth_instead_is_published(frame, tmp_path):
    result = run(frame, tmp_path, "explore.generator={backend: truth}", "explore.height_px=120")
    assert result.returncode == 0, result.stderr + result.stdout
    (world,) = json.loads((tmp_path / "summary.json").read_text())["worlds"]
    assert world["status"] == "published" and "jetbot" in world["trainable"]
    assert 10 <= len(generated(tmp_path)["segments"]) <= 30, "pieces of 8 to 24 frames"
