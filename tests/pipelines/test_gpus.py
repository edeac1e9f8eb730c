"""Stages whose networks are on a GPU have workers of their own, which run beside those for the CPU."""

import functools
import json
import os
import time
import types
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lyra_sim.config.load import load_config
from lyra_sim.core.errors import ConfigError
from pipelines import engine_ray
from pipelines.engine import describe
from pipelines.engine_local import LocalEngine
from pipelines.gpus import gpu_slots, refuse_numbers
from pipelines.graph import BY_NAME, STAGES, stages_for
from pipelines.scheduler import Scheduler, WorldRun
from pipelines.stage import Job, Stage
from pipelines.store import Store

_TORCH_WITH_A_GPU = """
__version__ = "of this test"
class accelerator:
    is_available = staticmethod(lambda: True)
"""
GRAPH = (
    Stage("first", 1, ("capture",), (), "tests.pipelines.test_gpus:where", deadline_s=20, memory_mb=1500),
    Stage("second", 1, ("capture",), ("first",), "tests.pipelines.test_gpus:where", 20, 1500, gpu=True),
    Stage("third", 1, ("capture",), ("second",), "tests.pipelines.test_gpus:where", deadline_s=20, memory_mb=1500),
)


def where(job: Job) -> None:
    """Writes down which process did it, when, and which GPU it saw."""
    start = time.monotonic()
    time.sleep(0.4 if job.stage == "second" else 0.1)
    fact = [job.stage, job.world, os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES"), start, time.monotonic()]
    with Path(os.environ["FACTS"]).open("a") as log:
        log.write(json.dumps(fact) + "\n")
    if job.stage == "second" and job.world.startswith("bug"):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    (job.out / "done.txt").write_text(job.world)


def drive(root: Path, worlds: list[str], monkeypatch, *, workers: int, gpus: list[str], engine=LocalEngine):
    """The scheduler after the run, and what `where` wrote."""
    monkeypatch.setenv("FACTS", str(root / "facts.jsonl"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    store = Store(root / "store")
    lock = store.lock()
    runs = [WorldRun(name, {"key": name, "name": name, "kind": "photo", "path": ""}, []) for name in worlds]
    config = load_config("default").model_dump(mode="json")
    scheduler = Scheduler(
        store, lambda: engine(workers, gpus), config, runs, lambda *_: None, lambda: None, stages=GRAPH
    )
    try:
        scheduler.run()
    finally:
        os.close(lock)
    facts = root / "facts.jsonl"
    return scheduler, [json.loads(line) for line in facts.read_text().splitlines()] if facts.exists() else []


@pytest.fixture
def gpu_in_workers(tmp_path, monkeypatch):
    (tmp_path / "fake" / "torch").mkdir(parents=True)
    (tmp_path / "fake" / "torch" / "__init__.py").write_text(_TORCH_WITH_A_GPU)
    tree = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path / "fake"), tree])))


def test_stages_on_a_gpu_share_its_worker_and_others_run_beside_it(tmp_path, monkeypatch, gpu_in_workers):
    scheduler, facts = drive(tmp_path, ["a", "b", "c", "d"], monkeypatch, workers=1, gpus=["3"])
    assert all(world.complete for world in scheduler.worlds)
    on_gpu, on_cpu = ([f for f in facts if (f[0] == "second") == gpu] for gpu in (True, False))
    assert {f[3] for f in on_gpu} == {"3"} and {f[3] for f in on_cpu} == {None}
    assert len({f[2] for f in on_gpu}) == 1 and not {f[2] for f in on_gpu} & {f[2] for f in on_cpu}
    beside = [c for c in on_cpu for g in on_gpu if c[1] != g[1] and c[4] < g[5] and g[4] < c[5]]
    assert beside, "no stage on the CPU ran while the GPU was busy"


def test_every_gpu_has_a_worker(tmp_path, monkeypatch, gpu_in_workers):
    _, facts = drive(tmp_path, ["a", "b", "c", "d"], monkeypatch, workers=2, gpus=["0", "1"])
    assert {f[3] for f in facts if f[0] == "second"} == {"0", "1"}


def test_every_gpu_of_a_ray_cluster_has_a_worker(tmp_path, monkeypatch, gpu_in_workers):
    """Ray hands out GPUs that it is told of, and shows each actor its own."""
    monkeypatch.setattr(engine_ray.ray, "init", functools.partial(engine_ray.ray.init, num_gpus=2))
    scheduler, facts = drive(
        tmp_path, ["a", "b", "c", "d"], monkeypatch, workers=2, gpus=["any"],
        engine=lambda workers, gpus: engine_ray.RayEngine(workers, "local", gpus=bool(gpus)),
    )  # fmt: skip
    assert all(world.complete for world in scheduler.worlds)
    on_gpu = [f for f in facts if f[0] == "second"]
    assert {f[3] for f in on_gpu} == {"0", "1"} and len({f[2] for f in on_gpu}) == 2
    assert not {f[2] for f in on_gpu} & {f[2] for f in facts if f[0] != "second"}


def test_after_an_error_on_a_gpu_the_process_is_not_used_again(tmp_path, monkeypatch, gpu_in_workers):
    scheduler, facts = drive(tmp_path, ["bug", "well"], monkeypatch, workers=1, gpus=["0"])
    bug, well = scheduler.worlds
    assert bug.failed_stage == "second" and bug.failure is not None and "illegal memory" in bug.failure["message"]
    assert well.complete
    failed = [f[2] for f in facts if f[0] == "second" and f[1] == "bug"]
    assert len({*failed}) == 2 and not {*failed} & {f[2] for f in facts if f[0] == "second" and f[1] == "well"}


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_run_stops_and_says_so(tmp_path, monkeypatch):
    scheduler, facts = drive(tmp_path, ["a", "b"], monkeypatch, workers=1, gpus=["0"])
    assert scheduler.stopped_by is not None and scheduler.stopped_by["exit_code"] == 5
    assert "expected a GPU" in scheduler.stopped_by["message"] and "second" not in {f[0] for f in facts}


def test_stages_get_the_worker_and_the_limits_of_their_networks():
    assert stages_for(_plain("default")) == STAGES
    dreaming = dict(zip([s.name for s in STAGES], stages_for(_plain("lyra2")), strict=True))
    changed = [old.name for old in STAGES if dreaming[old.name] != old]
    assert changed == ["observe", "explore", "validate"] and dreaming["explore"].memory_mb > 100_000
    assert [name for name, stage in dreaming.items() if stage.gpu] == ["observe", "explore"]
    assert dreaming["explore"].deadline_s > 3600
    assert dreaming["validate"] == replace(BY_NAME["validate"], captions=("rgbd",)), "explore reads those of photos"
    seeing = stages_for(_plain("photo_net"))
    assert {stage.memory_mb for stage in seeing} == {24_000} and not any(stage.gpu for stage in seeing)
    both = stages_for(_plain("photo_net", "observe.photo.device=cuda"))
    assert [stage.name for stage in both if stage.gpu] == ["observe"]
    assert [replace(s, gpu=False) for s in both if s.name != "observe"] == [s for s in STAGES if s.name != "observe"]


def test_every_gpu_of_the_machine_is_used_unless_one_is_named(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 3)
    assert gpu_slots(_plain("default")) == gpu_slots(_plain("lyra2_tiny")) == []
    assert gpu_slots(_plain("lyra2")) == ["0", "1", "2"]
    assert gpu_slots(_plain("lyra2", "explore.generator.device=cuda:1")) == [None]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, GPU-8932f937")
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    assert gpu_slots(_plain("lyra2")) == ["5", "GPU-8932f937"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 0)
    assert gpu_slots(_plain("lyra2")) == [None], "what hides the GPUs stays, and the error says that there is none"


def test_a_number_means_nothing_to_workers_of_a_cluster():
    refuse_numbers(_plain("lyra2"))
    refuse_numbers(_plain("lyra2_tiny"))
    with pytest.raises(ConfigError, match=r"without a number.*cuda:1.*Write cuda"):
        refuse_numbers(_plain("lyra2", "explore.generator.device=cuda:1"))


def test_the_time_left_counts_the_gpus_of_the_engine():
    stages = [replace(stage, gpu=stage.name == "second") for stage in GRAPH]
    runs = [WorldRun(name, {"key": name, "name": name, "kind": "photo", "path": ""}, []) for name in "abcd"]
    runs[0].seconds = {"first": 1.0, "second": 100.0, "third": 1.0}
    scheduler = Scheduler.__new__(Scheduler)
    vars(scheduler).update(stages=stages, worlds=runs)
    for gpus, left in ((1, 400.0), (4, 100.0)):
        vars(scheduler)["_engine"] = types.SimpleNamespace(gpu_workers=gpus)
        assert scheduler.eta_s(2) == left
    assert (LocalEngine(2, ["0", "1", None]).gpu_workers, LocalEngine(2).gpu_workers) == (3, 0)


def test_a_gpu_without_memory_left_is_not_the_fault_of_a_world():
    for full in (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("CUDA error: out of memory (20.00 GiB)"),
    ):
        told = describe(full)
        assert (told["class"], told["error"], told["exit_code"]) == ("run", "ResourceError", 5)
        assert "20.00 GiB" in told["message"] and "explore.generator.memory" in told["message"]
    assert describe(RuntimeError("CUDA error: an illegal memory access was encountered"))["class"] == "suspect"


def _plain(name: str, *sets: str) -> dict:
    return load_config(name, [*sets]).model_dump(mode="json")
