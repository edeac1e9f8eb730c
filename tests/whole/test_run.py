"""Whole runs of the command on the examples: what is written, that it is complete, resumable and repeatable."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pxr import Usd, UsdGeom

from tests.faults.kill import kill_matrix
from tests.tree_hash import tree_hash

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
SCENE_FILES = (
    "scene.usda stage.usda geometry.usdc colliders.usdc colliders_convex.usdc splats.usdc labels.usda "
    "nav_collision.usdc scene.usdz mesh.glb splats.ply points.ply walk.mp4 trajectory.npz preview.png "
    "ATTRIBUTION.json colliders.json report.json report.html omap/occupancy_map.yaml omap/occupancy_map.png "
    "mesh.stage_config.json"
).split()
NAV_FILES = (
    "map.yaml map.png map.pgm episodes.json.gz fields.npz lidar.npz free_points.csv gates.json robot.json preview.png "
    "isaac.npz igibson/floor_trav_0.png mobility_gen/config.json mobility_gen/stage.usd"
).split()
GATES = (
    "usd_errors collider_surface_median_m collider_surface_p95_m collider_surface_max_m "
    "collider_depth_p95_m free_blocked_share floor_hole_m2 floor_fit_p95_m scale_sigma "
    "drop_rest_share map_reraster_iou reprojection_psnr_db input_coverage_share licence_complete"
).split()
ROBOT_GATES = (
    "usd_errors map_reraster_iou origin_floor_m origin_away_m nav_area_m2 floor_share largest_island_share "
    "rooms_reached_share end_clearance_m spawn_overlap_count path_overlap_count follower_success follower_spl "
    "random_success straight_success visual_map_iou door_margin_m episodes"
)


def lyra(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pipelines", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A finished run over one walk, one photo, one broken image and a file that is no input."""
    folder = tmp_path_factory.mktemp("whole")
    sources = folder / "in"
    shutil.copytree(EXAMPLES / "walk_flat_1", sources / "walk_flat_1")
    shutil.copy(EXAMPLES / "photo_indoor.jpg", sources)
    (sources / "photo_indoor.captions.json").write_text('{"81": "words that no generator reads here"}')
    (sources / "broken.jpg").write_bytes((EXAMPLES / "photo_street.jpg").read_bytes()[:9000])
    (sources / "notes.txt").write_text("not an input")
    result = lyra("run", sources, "--out", folder / "out", "--workers", 2)
    assert result.returncode == 3, result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    return folder


def summary(folder: Path) -> dict:
    return json.loads((folder / "out" / "summary.json").read_text())


def by_prefix(folder: Path, prefix: str) -> dict:
    return next(row for row in summary(folder)["worlds"] if row["name"].startswith(prefix))


@pytest.mark.parametrize("prefix", ["walk-flat-1", "photo-indoor"])
def test_good_inputs_become_complete_worlds(finished, prefix):
    row = by_prefix(finished, prefix)
    assert row["status"] == "published", row["reason"]
    world = finished / "out" / row["path"]
    for name in SCENE_FILES:
        assert (world / name).stat().st_size > 0, name
    report = json.loads((world / "report.json").read_text())
    assert [gate["name"] for gate in report["gates"]] == GATES
    assert all(gate["ok"] for gate in report["gates"])
    report_gates = {gate["name"]: gate["value"] for gate in report["gates"]}
    for robot in ("jetbot", "nova_carter"):
        for name in NAV_FILES:
            assert (world / "nav" / robot / name).exists(), f"{robot}/{name}"
        rows = {row["name"]: row for row in json.loads((world / "nav" / robot / "gates.json").read_text())["gates"]}
        assert " ".join(rows) == ROBOT_GATES and rows["usd_errors"]["value"] == 0
        assert rows["map_reraster_iou"]["value"] >= report_gates["map_reraster_iou"] >= 0.99
    assert report["world"] == row["name"] and report["licences"]
    assert not list(world.rglob("COMMIT.json"))


def test_walk_is_trainable_for_both_robots(finished):
    assert by_prefix(finished, "walk-flat-1")["trainable"] == ["jetbot", "nova_carter"]


def test_broken_input_is_quarantined_with_its_reason_and_costs_nobody_else(finished):
    row = by_prefix(finished, "broken")
    assert (row["status"], row["stage"]) == ("quarantined", "capture")
    assert "broken" in row["reason"]
    folder = finished / "out" / row["path"]
    assert folder.parent.name == "quarantined" and not (folder / "stage.usda").exists()
    assert any(item["path"].endswith("notes.txt") for item in summary(finished)["skipped"])
    assert summary(finished)["counts"]["published"] == 2


def test_captions_that_nothing_reads_are_a_warning_where_they_are_wrong(finished):
    reports = {
        name: json.loads(next((finished / "out").glob(f"{name}*/report.json")).read_text())
        for name in ("walk", "photo")
    }
    assert reports["walk"]["warnings"] == [] and len(reports["photo"]["warnings"]) == 1
    assert 'photo_indoor.captions.json: expected an object with the key "0"' in reports["photo"]["warnings"][0]
    page = next((finished / "out").glob("photo*/report.html")).read_text()
    assert "photo_indoor.captions.json" in page


def test_only_a_report_of_generated_frames_shows_what_memory_had_to_do_with_them(finished):
    pages = {
        name: next((finished / "out").glob(f"{name}*/report.html")).read_text() for name in ("walk-flat-1", "photo")
    }
    assert "<h2>Memory</h2>" in pages["photo"] and "<h2>Memory</h2>" not in pages["walk-flat-1"]
    assert len(pages["photo"]) < 4_000_000


def test_index_and_world_list(finished):
    lines = [json.loads(line) for line in (finished / "out" / "worlds.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    assert all(line["split"] in ("train", "val", "test") and line["robots"] for line in lines)
    data_sets = json.loads((finished / "out" / "habitat" / "manifest.json").read_text())["datasets"]
    for robot, data in data_sets.items():
        listed = {(w, split) for split, of in data["splits"].items() for w in of["episodes"]}
        assert listed == {(line["path"], line["split"]) for line in lines if robot in line["robots"]}
    scenes = json.loads((finished / "out" / "compass" / "scenes.json").read_text())
    assert set(scenes) == {line["path"] for line in lines}
    page = (finished / "out" / "index.html").read_text()
    assert all(row["name"] in page for row in summary(finished)["worlds"])
    assert "http://" not in page and "https://" not in page


def test_isaac_lab_package_offers_all_worlds(finished):
    package = finished / "out" / "isaaclab"
    lines = [json.loads(line) for line in (finished / "out" / "worlds.jsonl").read_text().splitlines()]
    assert set(json.loads((package / "task.json").read_text())["robots"]) == {
        r for line in lines for r in line["robots"]
    }
    assert {path.stem for path in (package / "worlds").iterdir()} == {line["path"] for line in lines}


def test_second_run_does_nothing_and_changes_no_byte(finished):
    before = tree_hash(finished / "out")
    events = (finished / "out" / ".lyra" / "events.jsonl").read_text()
    assert lyra("run", finished / "in", "--out", finished / "out").returncode == 3
    assert (finished / "out" / ".lyra" / "events.jsonl").read_text() == events
    assert tree_hash(finished / "out") == before


def test_show_explain_and_validate(finished):
    row = by_prefix(finished, "walk-flat-1")
    assert row["name"] in lyra("show", finished / "out").stdout
    assert json.loads(lyra("show", finished / "out", "--json").stdout)["worlds"]
    assert "first run" in lyra("explain", finished / "out", row["name"]).stdout
    result = lyra("validate", finished / "out" / row["path"] / "scene.usda")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("prefix", ["walk-flat-1", "photo-indoor"])
def test_gates_from_the_files_are_those_before_writing(finished, prefix):
    world = finished / "out" / by_prefix(finished, prefix)["path"]
    result = lyra("validate", world, "--json")
    rows = {row["name"]: row for row in json.loads(result.stdout)["gates"]}
    assert result.returncode == 0, rows
    reported = {gate["name"]: gate["value"] for gate in json.loads((world / "report.json").read_text())["gates"]}
    assert list(rows) == GATES
    for name in GATES:
        assert rows[name]["written"] == pytest.approx(reported[name], abs=1e-6), name
    for name in ("collider_surface_p95_m", "free_blocked_share", "floor_fit_p95_m", "input_coverage_share"):
        assert rows[name]["before"] is not None, name
    told = json.loads((world / "colliders.json").read_text())
    measured = told["measured"][told["backend"]]  # by the collide stage, which chose by it
    for name in ("surface_median_m", "surface_p95_m", "surface_max_m"):
        assert measured[name] == pytest.approx(reported[f"collider_{name}"], abs=5e-4), name
    assert measured["free_blocked_share"] == pytest.approx(reported["free_blocked_share"], abs=1e-3)


def test_a_world_whose_collider_was_moved_has_other_gates(finished, tmp_path):
    world = finished / "out" / by_prefix(finished, "photo-indoor")["path"]
    shutil.copytree(world, tmp_path / world.name)
    (tmp_path / ".lyra").symlink_to(finished / "out" / ".lyra")
    stage = Usd.Stage.Open(str(tmp_path / world.name / "colliders.usdc"))
    UsdGeom.Xformable(stage.GetPrimAtPath("/World/Colliders")).AddTranslateOp().Set((0, 0, 0.01))
    stage.Save()
    result = lyra("validate", tmp_path / world.name, "--json")
    differ = {row["name"] for row in json.loads(result.stdout)["gates"] if not row["same"]}
    assert result.returncode == 1
    assert {"collider_surface_p95_m", "floor_fit_p95_m"} <= differ
    assert "licence_complete" not in differ


def test_wrong_command_lines_exit_with_two_and_say_what_to_do(tmp_path):
    for arguments in (
        ("run", tmp_path / "nowhere", "--out", tmp_path / "out"),
        ("run", EXAMPLES, "--out", tmp_path / "out", "--set", "surface.snapp_m=1"),
        ("run", tmp_path, "--out", tmp_path / "out"),
        ("show", tmp_path),
        ("run", EXAMPLES),
    ):
        result = lyra(*arguments)
        assert result.returncode == 2, result.stderr
        assert "Traceback" not in result.stderr and result.stderr.strip()


@pytest.fixture(scope="module")
def kills(tmp_path_factory) -> Path:
    """Runs that are killed, and the undisturbed one they are all compared with."""
    return tmp_path_factory.mktemp("kills")


@pytest.mark.parametrize(("engine", "sent"), [("local", signal.SIGKILL), ("ray", signal.SIGINT)])
def test_killed_run_ends_in_the_same_bytes(kills, engine, sent):
    photo = [str(EXAMPLES / "photo_indoor.jpg")]
    result = kill_matrix(photo, kills, engine=engine, workers=1, kills=1, sent=sent, sets=[], seed=3)
    assert result["ok"], result
