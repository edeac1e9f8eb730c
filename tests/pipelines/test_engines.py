"""What both engines must do alike: keep limits, show progress, leave nothing behind."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest

from lyra_sim.core.errors import LockedError
from pipelines import store as store_module
from pipelines.engine import Engine, Outcome, Task
from pipelines.store import Store
from tests.fake_stages import GRAPH
from tests.pipelines.driver import drive, engine_of

ROOT = Path(__file__).resolve().parents[2]
ENGINES = ["local", "ray"]
MARK = "LYRA_SIM_TEST_MARK"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def task(store: Path, name: str) -> Task:
    """The misbehaving stage of the fake graph on a world of this name."""
    source = {"key": name, "name": name, "kind": "photo", "path": ""}
    stage = dataclasses.replace(GRAPH[1], deadline_s=60)
    return Task(stage, f"{name:0<64}", {}, name, source, {}, {}, str(store), 1)


def finish(engine: Engine, notes: set[str], timeout_s: float = 90.0) -> list[Outcome]:
    """Outcomes of everything under way; `notes` gathers the progress lines seen while waiting."""
    outcomes, give_up = [], time.monotonic() + timeout_s
    while engine.running():
        assert time.monotonic() < give_up
        outcomes += engine.poll(0.25)
        notes.update(note for _, _, note in engine.running())
    return outcomes


@pytest.mark.parametrize("name", ENGINES)
def test_worker_over_its_memory_is_ended_and_the_next_task_runs(tmp_path, name):
    engine = engine_of(name, 1)
    engine.start()
    try:
        for world in ("hog", "hoglock", "hogchild"):
            assert engine.submit(task(tmp_path, world))
            assert not engine.submit(task(tmp_path, "other")), "a busy worker took a second task"
            (outcome,) = finish(engine, set())
            assert not outcome.ok and outcome.failure is not None
            assert (outcome.failure["class"], outcome.failure["error"]) == ("suspect", "WorkerLost")
            assert outcome.failure["message"].startswith("used ")
            assert outcome.failure["message"].endswith("MB, over the limit of 600 MB")
        assert engine.submit(task(tmp_path, "a"))
        assert [outcome.ok for outcome in finish(engine, set())] == [True]
    finally:
        engine.stop()


@pytest.mark.parametrize("name", ENGINES)
def test_progress_within_a_stage_reaches_the_driver(tmp_path, name):
    engine, notes = engine_of(name, 2), set()
    engine.start()
    try:
        assert engine.submit(task(tmp_path, "talk")) and engine.submit(task(tmp_path, "a"))
        assert all(outcome.ok for outcome in finish(engine, notes))
    finally:
        engine.stop()
    assert len(notes & {"step 0", "step 1", "step 2"}) >= 2


def test_faults_cost_the_same_on_ray(tmp_path):
    names = ["a", "scene1", "exit1", "hang1", "hog1"]
    said = {}
    for name in ENGINES:
        worlds = drive(tmp_path / name, name, 2, names).worlds
        failures = {w.name: {"stage": w.failed_stage, **(w.failure or {})} for w in worlds}
        for failure in failures.values():
            failure["message"] = re.sub(r"used \d+ MB", "used N MB", failure.get("message", ""))
        said[name] = failures
    assert said["ray"] == said["local"]
    assert [name for name, failure in said["ray"].items() if failure["message"]] == names[1:]


def left_over(mark: str) -> list[str]:
    """Command lines of processes that were started by the driver with this mark in its environment.

    Without Ray's two agents: idle, they ask for their killed head for up to a minute more before they end too.
    """
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()).strip())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return [line for line in found if line not in ("ray::DashboardAgent", "ray::RuntimeEnvAgent")]


@pytest.mark.parametrize("name", ENGINES)
def test_killed_driver_leaves_no_process(tmp_path, name):
    mark = uuid.uuid4().hex
    command = [sys.executable, "-m", "tests.pipelines.driver", str(tmp_path), name, "2", "hang1", "hang2"]
    driver = subprocess.Popen(command, cwd=ROOT, env={**os.environ, MARK: mark}, start_new_session=True)
    give_up = time.monotonic() + 60
    while sum("pipelines.worker" in line for line in left_over(mark)) < 2:
        assert time.monotonic() < give_up and driver.poll() is None
        time.sleep(0.1)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    give_up = time.monotonic() + 20
    while left := left_over(mark):
        assert time.monotonic() < give_up, left
        time.sleep(0.1)


@pytest.mark.parametrize("name", ENGINES)
def test_ctrl_c_lets_running_stages_finish(tmp_path, name):
    """A terminal sends SIGINT to the whole group, not to the driver alone."""
    command = [sys.executable, "-m", "tests.pipelines.driver", str(tmp_path), name, "2", "talk1", "talk2"]
    driver = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    give_up = time.monotonic() + 60
    while not (tmp_path / "partial").exists():
        assert time.monotonic() < give_up and driver.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)
    os.killpg(driver.pid, signal.SIGINT)
    assert driver.wait(timeout=60) == 128 + signal.SIGINT
    assert len(list((tmp_path / "store" / "second").iterdir())) >= 1
    assert not list((tmp_path / "tmp").iterdir()), "a stage was cut off"


def test_worker_of_an_ended_parent_does_not_start(tmp_path):
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "pipelines.worker", str(reading), str(writing), "1", str(tmp_path)]
    worker = subprocess.run(command, cwd=ROOT, pass_fds=(reading, writing), timeout=60, check=False)
    os.close(reading)
    os.close(writing)
    assert worker.returncode == 1
    assert not (tmp_path / "WORKERS").exists()


def test_run_waits_for_the_workers_of_a_killed_run(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "WORKERS_GONE_S", 0.3)
    os.close(Store(tmp_path).lock())
    worker = Store(tmp_path).join()
    with pytest.raises(LockedError, match="worker of an earlier run"):
        Store(tmp_path).lock()
    os.close(worker)
    os.close(Store(tmp_path).lock())
