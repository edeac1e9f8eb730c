"""Store, engines and scheduler under faults, with small stages in place of the real ones."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from lyra_sim.core.errors import LockedError
from pipelines.store import Store
from tests.pipelines.driver import drive

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["a", "b", "c", "d"]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def events(root: Path, kind: str) -> list[tuple[str, str]]:
    lines = [json.loads(line) for line in (root / "events.jsonl").read_text().splitlines()]
    return [(line["stage"], line["key"]) for line in lines if line["event"] == kind]


def contents(root: Path) -> dict:
    return json.loads((root / "contents.json").read_text())


def test_second_run_does_nothing(tmp_path):
    drive(tmp_path, "local", 2, NAMES)
    first = len(events(tmp_path, "start"))
    assert first == 3 * len(NAMES)
    drive(tmp_path, "local", 2, NAMES)
    assert len(events(tmp_path, "start")) == first


def test_each_fault_costs_only_its_own_world(tmp_path):
    bad = ["scene1", "exit1", "segv1", "hang1", "bug1", "hog1"]
    scheduler = drive(tmp_path, "local", 2, ["a", *bad, "b"])
    by_name = {world.name: world for world in scheduler.worlds}
    assert by_name["a"].complete and by_name["b"].complete and scheduler.stopped_by is None
    said = {name: by_name[name].failure["message"] for name in bad}
    assert "expected a floor" in said["scene1"] and "Take another photo" in said["scene1"]
    assert "status 7" in said["exit1"]
    assert "status -11" in said["segv1"]
    assert "deadline" in said["hang1"]
    assert "KeyError" in said["bug1"]
    assert "over the limit" in said["hog1"]
    tries = Counter(stage_key for stage_key in events(tmp_path, "start") if stage_key[0] == "second")
    assert sorted(tries.values()) == [1, 1, 1, 2, 2, 2, 2, 2]  # a, b and the scene's own fault once, suspects twice
    again = json.loads((tmp_path / "contents.json").read_text())
    assert set(again["exit1"]) == {"first"}


def test_full_disk_stops_the_run_and_quarantines_nobody(tmp_path):
    scheduler = drive(tmp_path, "local", 1, ["full1", "a"])
    assert scheduler.stopped_by is not None and scheduler.stopped_by["exit_code"] == 5
    assert not (tmp_path / "failed").exists()


def test_breaker_stops_when_many_worlds_in_a_row_are_lost(tmp_path):
    scheduler = drive(tmp_path, "local", 2, [f"exit{i}" for i in range(7)])
    assert scheduler.stopped_by is not None and scheduler.stopped_by["exit_code"] == 4
    assert sum(world.failure is not None for world in scheduler.worlds) == 4


def test_changed_setting_reruns_only_its_readers(tmp_path):
    drive(tmp_path, "local", 1, ["a"])
    before = len(events(tmp_path, "start"))
    drive(tmp_path, "local", 1, ["a"], ["surface.snap_m=0.01"])
    again = [stage for stage, _ in events(tmp_path, "start")[before:]]
    assert again == ["second"]  # third's inputs have the same content, so it is not run again


def driver(root: Path, engine: str, workers: int = 2) -> list[str]:
    return [sys.executable, "-m", "tests.pipelines.driver", str(root), engine, str(workers), *NAMES]


def wait_for_events(root: Path, process: subprocess.Popen[bytes]) -> None:
    """Until the run logs something new, or has ended."""
    log = root / "events.jsonl"
    before = log.stat().st_size if log.exists() else 0
    while process.poll() is None and (not log.exists() or log.stat().st_size == before):
        time.sleep(0.02)


def kill_and_rerun(root: Path, engine: str, kills: int, sent: signal.Signals) -> None:
    """Kill the driver `kills` times at random moments, then let it finish."""
    chance = random.Random(5)
    for _ in range(kills):
        process = subprocess.Popen(driver(root, engine), cwd=ROOT, start_new_session=True)
        if engine == "ray":  # its start takes longer than all the work
            wait_for_events(root, process)
        time.sleep(chance.uniform(0.3, 1.6) if engine == "local" else chance.uniform(0.0, 0.6))
        process.send_signal(sent)
        code = process.wait(timeout=60)
        assert code in (-sent, 128 + sent, 0)
    subprocess.run(driver(root, engine), cwd=ROOT, check=True, timeout=120)


@pytest.mark.parametrize(
    ("engine", "kills", "sent"), [("local", 3, signal.SIGKILL), ("local", 3, signal.SIGINT), ("ray", 2, signal.SIGKILL)]
)
def test_killed_driver_goes_on_without_repeating_work(tmp_path, engine, kills, sent):
    drive(tmp_path / "clean", "local", 2, NAMES)
    kill_and_rerun(tmp_path / "killed", engine, kills, sent)
    assert contents(tmp_path / "killed") == contents(tmp_path / "clean")
    commits = Counter(events(tmp_path / "killed", "commit"))
    assert set(commits.values()) == {1}
    starts = events(tmp_path / "killed", "start")
    order = [json.loads(line) for line in (tmp_path / "killed" / "events.jsonl").read_text().splitlines()]
    done: set[tuple[str, str]] = set()
    for line in order:
        assert line["event"] == "commit" or (line["stage"], line["key"]) not in done
        if line["event"] == "commit":
            done.add((line["stage"], line["key"]))
    pieces = Counter((tmp_path / "killed" / "pieces.log").read_text().splitlines())
    assert set(pieces.values()) == {1}, "a committed piece was made again"
    assert len(starts) >= 3 * len(NAMES)


def test_ray_gives_the_same_contents(tmp_path):
    drive(tmp_path / "local", "local", 1, NAMES)
    drive(tmp_path / "ray", "ray", 2, NAMES)
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")


def test_one_run_at_a_time(tmp_path):
    descriptor = Store(tmp_path).lock()
    with pytest.raises(LockedError, match="running lyra-sim"):
        Store(tmp_path).lock()
    os.close(descriptor)
    os.close(Store(tmp_path).lock())


def test_first_committer_wins(tmp_path):
    store = Store(tmp_path)
    first, late = store.begin(), store.begin()
    (first / "x").write_text("same")
    (late / "x").write_text("same")
    assert store.commit(first, "s", "k" * 64, {}) == store.commit(late, "s", "k" * 64, {})
    assert not late.exists()
    assert (store.folder("s", "k" * 64) / "x").read_text() == "same"
