"""What an engine is: five verbs that run jobs somewhere. The scheduler knows nothing more of machines."""

import dataclasses
import json
import os
import time
import traceback
from pathlib import Path
from typing import Any, Literal, Protocol

from lyra_sim.core.errors import InputError, LyraError, ResourceError, SceneError
from pipelines.gpus import insist_on_gpu
from pipelines.stage import Job, Stage
from pipelines.store import Store
from pipelines.weights import insist_on_worker

FailureClass = Literal["scene", "suspect", "run"]
"""scene: this input cannot become a world. suspect: it may have crashed its worker. run: nothing can go on."""


@dataclasses.dataclass(frozen=True)
class Task:
    """One attempt at one stage of one world; plain values, so that it can travel."""

    stage: Stage
    key: str
    key_fields: dict[str, Any]
    world: str
    source: dict[str, Any]
    config: dict[str, Any]
    inputs: dict[str, str]
    store: str
    attempt: int


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How an attempt ended."""

    task: Task
    ok: bool
    seconds: float
    failure: dict[str, Any] | None = None
    """class, error, where, expected, got, todo; and traceback for what is not a LyraError."""


class Engine(Protocol):
    """Runs tasks on workers: stages on a GPU on those that have one to themselves, all others on the rest."""

    @property
    def gpu_workers(self) -> int:
        """How many workers have a GPU."""
        ...

    def start(self) -> None: ...

    def submit(self, task: Task) -> bool:
        """Give the task to an idle worker of its kind; False when none is idle."""
        ...

    def running(self) -> list[tuple[Task, float, str]]:
        """Tasks under way, their seconds so far and their last progress line."""
        ...

    def poll(self, timeout_s: float) -> list[Outcome]:
        """Outcomes since the last call; waits up to `timeout_s` for one."""
        ...

    def kill(self) -> None:
        """Stop all work at once."""
        ...

    def stop(self) -> None:
        """Let workers go; nothing is running any more."""
        ...


WORKER_ENV = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "KMP_BLOCKTIME": "0",
    "PYTHONHASHSEED": "0",
}
"""One thread per library in a worker: spinning pools of several workers cost ten times on small machines."""


def execute(task: Task, progress=None) -> Outcome:
    """Run one task in this process and commit its output. The only place that catches everything."""
    import psutil  # the driver does without

    store = Store(Path(task.store))
    start, process = time.monotonic(), psutil.Process()
    if store.commit_of(task.stage.name, task.key) is not None:
        return Outcome(task, True, 0.0)
    about = {"stage": task.stage.name, "key": task.key, "world": task.world, "pid": os.getpid()}
    store.log_event(event="start", **about)
    out = store.begin()
    job = Job(
        stage=task.stage.name,
        key=task.key,
        world=task.world,
        source=task.source,
        config=task.config,
        inputs={name: Path(path) for name, path in task.inputs.items()},
        out=out,
        partial=store.partial(task.stage.name, task.key),
        report=progress or (lambda line: None),
        piece_done=lambda number: store.log_event(event="segment", segment=number, **about),
    )
    try:
        if task.stage.gpu:
            insist_on_gpu(task.stage)
            insist_on_worker(json.dumps(task.config))
        task.stage.open()(job)
        seconds = time.monotonic() - start
        cost = {
            "seconds": round(seconds, 3),
            "peak_rss_mb": process.memory_info().rss // 2**20,
            "host": os.uname().nodename,
            "attempt": task.attempt,
            "world": task.world,
            "key_fields": task.key_fields,
        }
        store.commit(out, task.stage.name, task.key, cost)
    except Exception as error:  # whatever a stage does, the batch goes on
        return Outcome(task, False, time.monotonic() - start, describe(error))
    store.log_event(event="commit", **about)
    return Outcome(task, True, seconds)


_NO_DEVICE_MEMORY = ("CUDA out of memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What torch, its driver and its libraries say of a full GPU."""


def describe(error: BaseException) -> dict[str, Any]:
    """A failure as plain values, with its class."""
    text = "".join(traceback.format_exception(error))
    if isinstance(error, LyraError):
        kind: FailureClass = "scene" if isinstance(error, (InputError, SceneError)) else "run"
        parts = {"where": error.where, "expected": error.expected, "got": error.got, "todo": error.todo}
        return {
            "class": kind,
            "error": type(error).__name__,
            "message": str(error),
            "exit_code": error.exit_code,
            **parts,
        }
    if isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_DEVICE_MEMORY):
        return describe(
            ResourceError(
                f"GPU of {os.uname().nodename}",
                expected="the device memory that `lyra-sim check` states",
                got=str(error),
                todo="End what else runs on the GPU, or choose a smaller explore.generator.memory, size, or number of "
                "views, and run the same command again; finished work is kept.",
            )
        )
    if isinstance(error, OSError) and error.errno in (28, 122):  # no space, quota
        return describe(
            ResourceError(
                error.filename or "disk",
                expected="free disk space",
                got=str(error),
                todo="Free space and run the same command again; finished work is kept.",
            )
        )
    return {
        "class": "suspect",
        "error": type(error).__name__,
        "message": f"internal error: {type(error).__name__}: {error}",
        "traceback": text,
    }


def lost(task: Task, seconds: float, what: str) -> Outcome:
    """The outcome of a task whose worker died or had to be killed."""
    failure = {"class": "suspect", "error": "WorkerLost", "message": what}
    return Outcome(task, False, seconds, failure)
