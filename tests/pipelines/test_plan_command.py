"""`lyra-sim plan`: what it tells, what it draws, and that it generates nothing."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lyra_sim.config.explore import ExploreConfig
from lyra_sim.config.load import load_config
from lyra_sim.core.errors import ConfigError
from lyra_sim.core.records import PosedFrames, Segment
from lyra_sim.explore.outline import Outline, expected_floor, outline
from lyra_sim.io.records import load_record
from lyra_sim.io.world import save_segment
from lyra_sim.procedural.cameras import photo_camera, pinhole, walk_cameras
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.write import write_photo, write_walk
from lyra_sim.sources.discover import discover
from lyra_sim.trajectory.given import collisions, frame_ranges
from lyra_sim.trajectory.survey import Survey
from pipelines.costs import MEASURED_S, cost_of
from pipelines.engine import Engine
from pipelines.graph import stages_for
from pipelines.plan import plan_all
from pipelines.report.drawing import RED
from pipelines.report.plan_views import AREAS, from_above, in_the_photo
from pipelines.run import world_of
from pipelines.scheduler import Scheduler
from pipelines.store import Store
from pipelines.weights import weights_of
from tests.trajectory.box_room import CAMERA, all_around, pose_at, room_frames, start_of

ROOT = Path(__file__).resolve().parents[2]
SETS = ["explore.photo_frames=30", "explore.least_frames=8"]
SIZE = (680, 510)


def plan(folder: Path, *arguments: str, sets: list[str] = SETS) -> subprocess.CompletedProcess[str]:
    given = [part for one in sets for part in ("--set", one)]
    command = [sys.executable, "-m", "pipelines", "plan", "in", "--out", "out", *given, *arguments]
    return subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A photo, a short walk, a damaged photo and a file that is no input."""
    made, flat = tmp_path_factory.mktemp("plan"), make_flat(4)
    lens = pinhole(300, 200, 69.0)
    (made / "in").mkdir()
    write_photo(
        made / "in" / "room.png", flat, photo_camera(flat, 1, height_m=1.4, pitch_deg=16, intrinsics=lens), lens
    )
    small = pinhole(160, 120, 75.0)
    write_walk(made / "in" / "walk", flat, walk_cameras(flat, 0, 6), small)
    shutil.rmtree(made / "in" / "room.truth")
    (made / "in" / "broken.png").write_bytes((made / "in" / "room.png").read_bytes()[:2000])
    (made / "in" / "notes.txt").write_text("not an input")
    return made


@pytest.fixture(scope="module")
def told(folder) -> dict:
    """The plan of all of it, and how the command ended."""
    result = plan(folder, "--json")
    assert "Traceback" not in result.stderr
    return {"exit": result.returncode, **json.loads(result.stdout)}


def row(told: dict, name: str) -> dict:
    return next(row for row in told["inputs"] if row["name"].startswith(name))


def no_engine() -> Engine:
    raise AssertionError("nothing is to be run")


def events(folder: Path) -> Counter:
    lines = (folder / "out" / ".lyra" / "events.jsonl").read_text().splitlines()
    return Counter(line["stage"] for line in map(json.loads, lines) if line["event"] == "start")


def observed(folder: Path, name: str) -> PosedFrames:
    """What the store holds of an input."""
    commits = (folder / "out" / ".lyra" / "store" / "observe").glob("*/COMMIT.json")
    (path,) = (p for p in commits if json.loads(p.read_text())["world"].startswith(name))
    return load_record(PosedFrames, path.parent)


def test_the_table_tells_what_is_planned_and_a_damaged_input_costs_only_itself(folder, told):
    assert told["exit"] == 3
    broken = row(told, "broken")
    assert broken["status"] == "failed" and broken["stage"] == "capture" and "broken" in broken["reason"]
    assert [Path(item["path"]).name for item in told["skipped"]] == ["notes.txt"]
    photo, made = row(told, "room"), outline(observed(folder, "room"), ExploreConfig(photo_frames=30), source_dir=None)
    assert (photo["status"], photo["kind"], photo["frames"], photo["segments"]) == ("planned", "photo", 30, 2)
    assert len(made.poses) == 30 and photo["end"] == "30 frames" and photo["collisions"] == []
    assert photo["reachable_m2"] == pytest.approx(made.reachable.sum() * 0.05**2, abs=0.01) and made.reachable.any()
    low = made.poses[np.abs(made.poses[:, 2, 3] - 0.6) < 1e-6]
    assert len(low) and all(made.reachable[made.free.cell(pose[:3, 3])] for pose in low)
    steps = np.diff(np.concatenate([made.home[None], made.poses])[:, :3, 3], axis=0)
    assert photo["path_m"] == pytest.approx(np.sqrt((steps**2).sum(1)).sum(), abs=0.01) and photo["path_m"] > 0.5
    assert [photo["new_floor_m2"], photo["curve"][-1][1]] == pytest.approx([made.curve_m2[-1]] * 2, abs=0.01)
    assert photo["seconds"] == pytest.approx(30 * MEASURED_S["reproject"], abs=0.1) and photo["seconds"] > 0
    walk = row(told, "walk")
    assert (walk["kind"], walk["frames"], walk["end"]) == ("rgbd", 0, "no new frames were asked for")


def test_nothing_is_generated(folder, told):
    out = folder / "out"
    assert {path.name for path in (out / ".lyra" / "store").iterdir()} == {"capture", "observe", "plan"}
    pictures = {Path(row["picture"]).name for row in told["inputs"] if row["status"] == "planned"}
    assert {path.name for path in out.iterdir()} == {".lyra", *pictures} and len(pictures) == 2


def test_pictures_are_drawn(folder, told):
    for name in ("room", "walk"):
        with Image.open(folder / row(told, name)["picture"]) as image:
            pixels = np.asarray(image)
        assert pixels.shape[1] == 1402 and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1000
        for area in ("something stands there", "unknown"):
            assert (pixels == AREAS[area]).all(-1).sum() > 500


def test_again_it_makes_nothing_and_a_run_takes_over_capture_and_observe(folder, told):
    before, result = events(folder), plan(folder)
    assert result.returncode == 3 and events(folder) == before and before["plan"] == 2
    (line,) = (line for line in result.stdout.splitlines() if "room" in line and "│" in line)
    cells = [cell.strip() for cell in line.split("│")]
    photo = row(told, "room")
    assert cells[2:7] == ["photo", "30", "2", f"{photo['path_m']:.1f}", f"{photo['new_floor_m2']:.1f}"]
    assert f"failed  {row(told, 'broken')['name']}" in result.stdout and "notes.txt" in result.stdout
    config = load_config("default", SETS)
    plain = config.model_dump(mode="json")
    world = world_of(next(s for s in discover([folder / "in"]).sources if s.name == "room"))
    store, ignore = Store(folder / "out" / ".lyra"), lambda *_: None
    Scheduler(store, no_engine, plain, [world], ignore, lambda: None, stages_for(plain), weights_of(config)).advance(
        world
    )
    assert world.reused == ["capture", "observe"]


def test_a_path_that_collides_is_an_error_of_its_input_with_frame_numbers(folder, told):
    zoom = [*SETS, "explore.path.kind=zoom", "explore.path.distance_m=7"]
    result = plan(folder, "--json", sets=zoom)
    photo = row(json.loads(result.stdout), "room")
    start, config = observed(folder, "room"), load_config("default", zoom).explore
    made = outline(start, config, source_dir=None)
    hit = collisions(made.poses, made.home, made.survey.space, config.clearance_m)
    assert result.returncode == 3 and photo["status"] == "refused"
    assert photo["collisions"] == hit.tolist() and 0 < len(hit) < len(made.poses)
    assert frame_ranges(hit) in photo["reason"]
    with Image.open(folder / photo["picture"]) as image:
        assert (np.asarray(image) == RED).all(-1).sum() > 50
    states = sorted(line["status"] for line in json.loads(result.stdout)["inputs"])
    assert states.count("planned") == 0 and states.count("refused") == 2, f"a walk drives a given path too: {states}"


def test_a_network_that_is_not_here_is_planned_for_and_its_seconds_are_not_made_up(folder, told):
    result = plan(
        folder, "--json", "--config", "lyra2", sets=["observe.photo.backend=ground", "explore.photo_frames=80"]
    )
    photo = row(json.loads(result.stdout), "room")
    assert (photo["frames"], photo["segments"], photo["denoising_steps"], photo["seconds"]) == (80, 1, 35, None)
    assert "not measured" in photo["seconds_from"]


def test_no_input_is_refused_as_by_run(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(ConfigError, match="at least one image or RGB-D walk"):
        plan_all([tmp_path / "in"], tmp_path / "out", load_config(), as_json=False)
    with pytest.raises(ConfigError, match="an existing file or folder"):
        plan_all([tmp_path / "gone"], tmp_path / "out", load_config(), as_json=False)


@pytest.fixture(scope="module")
def walked() -> Outline:
    """The room with one box, from where the camera has come down to robot height."""
    made = outline(start_of(room_frames(pose_at(0.2, 0.1, 1.4)[None])), ExploreConfig(photo_frames=70), source_dir=None)
    low = int(np.flatnonzero(np.abs(made.poses[:, 2, 3] - 0.6) < 1e-6)[0])
    return replace(made, home=made.poses[low], poses=made.poses[low + 1 :])


def test_the_path_on_the_map_lies_on_free_cells(walked):
    frames = room_frames(walked.home[None])
    bare = np.asarray(from_above(frames, replace(walked, poses=walked.poses[:0]), SIZE, 1)).reshape(-1, 3)
    drawn = np.asarray(from_above(frames, walked, SIZE, 1)).reshape(-1, 3)
    below = bare[(drawn != bare).any(1) & (drawn != 255).any(1)]
    shares = {name: (below == colour).all(1).mean() for name, colour in AREAS.items()}
    assert len(below) > 200 and shares["free and reachable"] > 0.6
    assert shares["something stands there"] == shares["unknown"] == 0, shares


def test_the_path_in_the_photo_is_where_the_floor_is_and_hidden_behind_the_box(walked):
    frames = room_frames(pose_at(0.2, 0.1, 1.4)[None])
    ahead = np.stack([pose_at(x, 0.1, 0.6) for x in np.arange(0.3, 3.0, 0.1)])
    made = replace(walked, home=frames.cam_to_world[0], poses=ahead)
    size = (CAMERA.width, CAMERA.height)
    drawn = np.asarray(in_the_photo(frames, made, size, 1)).astype(int)
    off = np.abs(drawn - frames.images[0]).sum(-1) > 30
    down, slope = 1.4, 0.35
    row_of = lambda far: CAMERA.cy + CAMERA.fy * np.tan(np.arctan2(down, far) - slope)  # noqa: E731
    assert off[int(row_of(2.0)), int(CAMERA.cx)] and off[int(row_of(2.5)), int(CAMERA.cx)]
    assert not off[: int(row_of(2.7)) - 6].any(), "nothing above its end"
    behind = np.stack([pose_at(x, -1.1, 0.6) for x in np.arange(3.35, 3.8, 0.1)])
    hidden = replace(walked, home=behind[0], poses=behind[1:])
    top = np.asarray(in_the_photo(frames, hidden, size, 1))[:200]
    assert np.array_equal(top, frames.images[0][:200])


def test_expected_floor_is_what_is_not_known_yet():
    pose = pose_at(0.4, 0.1, 0.6, 0.0, 0.12)
    fresh, known = Survey(pose[:3, 3], 0.6), Survey(pose[:3, 3], 0.6)
    fresh.see(room_frames(pose[None]))
    known.see(room_frames(np.concatenate([pose[None], all_around()[::2]])))
    turned = np.stack([pose_at(0.4, 0.1, 0.6, 0.04 * k, 0.12) for k in range(1, 41)])
    numbers, m2, cells = expected_floor(fresh, turned, CAMERA, (20, 20))
    assert numbers.tolist() == [0, 8, 16, 20, 24, 32, 40] and (np.diff(m2) >= 0).all() and m2[0] == 0
    assert m2[-1] == pytest.approx(cells.sum() * 0.05**2, rel=1e-4) and m2[-1] > 1
    assert expected_floor(known, turned, CAMERA, (20, 20))[1][-1] < 0.3 * m2[-1], "that floor was seen from near"
    still = np.repeat(pose[None], 24, 0)
    gains = np.diff(expected_floor(fresh, still, CAMERA, (24,))[1])
    assert gains[1] < 0.5 * gains[0] and gains[2] < 0.5 * gains[1], "another look at the same brings less"


def test_seconds_come_from_earlier_worlds_with_the_same_generator(tmp_path):
    store, config = Store(tmp_path), ExploreConfig()
    assert cost_of(50, 3, config, store).seconds == pytest.approx(50 * MEASURED_S["reproject"], abs=0.1)
    assert cost_of(50, 3, ExploreConfig(height_px=480), store).seconds is None
    for key, seconds, height in (("a", 50.0, 240), ("b", 75.0, 240), ("c", 9999.0, 480)):
        out = store.begin()
        for index, count in enumerate((10, 15)):
            save_segment(out, Segment(index=index, frames=room_frames(np.repeat(pose_at(0, 0, 1)[None], count, 0))))
        plain = ExploreConfig(height_px=height).model_dump(mode="json")
        store.commit(out, "explore", key, {"seconds": seconds, "key_fields": {"config": {"explore": plain}}})
    cost = cost_of(50, 3, config, store)
    assert cost.seconds == pytest.approx(50 * 2.5) and "2 earlier worlds" in cost.source
    assert cost_of(50, 3, ExploreConfig.model_validate({"generator": {"backend": "truth"}}), store).seconds == (
        pytest.approx(50 * MEASURED_S["truth"], abs=0.1)
    )


def test_a_plan_ends_with_the_segment_that_brings_enough_floor():
    start = start_of(room_frames(pose_at(0.2, 0.1, 1.4)[None]))
    long = outline(start, ExploreConfig(photo_frames=48), source_dir=None)
    after = {n: long.seen_m2 + m2 for n, m2 in zip(long.curve_frames.tolist(), long.curve_m2, strict=True)}
    assert long.segments == (24, 24) and after[24] < after[48]
    short = outline(start, ExploreConfig(photo_frames=48, enough_floor_m2=after[24] - 0.01), source_dir=None)
    assert short.segments == (24,) and np.array_equal(short.poses, long.poses[:24])
    assert short.end == f"{after[24]:.1f} m2 of floor seen after 24 frames"
