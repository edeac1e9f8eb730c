"""The Ray engine: Ray Core actors that each hold one worker process; every Ray retry off, paths travel, arrays do not.

An actor starts the same process as the local engine, on its own host, and keeps its limits there. The driver has one
call open at every busy actor, which comes back with a progress line, at most once a second, or with the outcome.
"""

import logging
import os
import time
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, WorkerCrashedError

from lyra_sim.core.errors import ResourceError
from pipelines.child import LOOK_S, WorkerProcess, hear_all
from pipelines.engine import Outcome, Task, describe, lost

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_process_group_cleanup_enabled": "1",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # deadlines are those of the local engine, so is the priority
}
_NOTE_S = 1.0
"""Progress of an actor travels at most this often."""
_GRACE_S = 60.0
"""The actor keeps the deadline; the driver gives it up this much later."""


class _Runner:
    """Lives in the actor's process; Ray runs its methods one after the other in the main thread."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._child: WorkerProcess | None = None
        self._told = ""

    def begin(self, task: Task) -> str | Outcome:
        """Start the task; an outcome only when it cannot be started here."""
        store = Path(task.store)
        if not store.is_dir():
            return Outcome(task, False, 0.0, _no_store(store))
        if self._child is None or not self._child.alive:
            if self._child is not None:
                self._child.end()
            self._child = WorkerProcess(store, 0, max(1, (os.cpu_count() or 1) // self._workers))
        self._child.give(task)
        self._told = ""
        return ""

    def watch(self) -> str | Outcome:
        """The outcome, or a progress line that the driver has not seen yet."""
        assert self._child is not None
        start = time.monotonic()
        while True:
            outcomes = hear_all([self._child], LOOK_S)
            if outcomes:
                return outcomes[0]
            if self._child.note != self._told and time.monotonic() - start >= _NOTE_S:
                self._told = self._child.note
                return self._told


class RayEngine:
    """`workers` actors on the cluster at `address` ("local" starts one on this machine) for stages on the CPU; see
    `Engine` for the verbs.

    Args:
        gpus: one more actor for every GPU of the cluster, for stages on a GPU.
    """

    def __init__(self, workers: int, address: str, temp_dir: Path | None = None, *, gpus: bool = False) -> None:
        self._count, self._address, self._temp_dir, self._gpus = workers, address, temp_dir, gpus
        self._actors: list[_Actor] = []
        self.gpu_workers = 0

    def start(self) -> None:
        os.environ.update({name: value for name, value in _SETTINGS.items() if name not in os.environ})
        local = {
            "num_cpus": self._count,
            "object_store_memory": 200 * 2**20,
            "include_dashboard": False,
            "_temp_dir": str(self._temp_dir) if self._temp_dir else None,
        }
        try:
            ray.init(
                address=self._address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                **(local if self._address == "local" else {}),
            )
        except (RayError, ConnectionError, ValueError, OSError) as error:
            raise ResourceError(
                f"Ray at {self._address!r}",
                expected="a Ray that starts here" if self._address == "local" else "a Ray cluster that can be joined",
                got=str(error),
                todo="Use --engine local, or check --ray-address: 'local' starts Ray here, 'auto' joins a running one.",
            ) from error
        if self._gpus:
            self.gpu_workers = int(ray.cluster_resources().get("GPU", 0))
            if not self.gpu_workers:
                raise ResourceError(
                    f"Ray at {self._address!r}",
                    expected="a cluster with a GPU, as the configuration's `device` says",
                    got="none in its resources",
                    todo="Start Ray with --num-gpus on the hosts that have one, or choose another configuration.",
                )

    def submit(self, task: Task) -> bool:
        actors = [a for a in self._actors if a.gpu == task.stage.gpu]
        actor = next((a for a in actors if a.task is None), None)
        if actor is None:
            if len(actors) >= (self.gpu_workers if task.stage.gpu else self._count):
                return False
            actor = _Actor(self._count, task.stage.gpu)
            self._actors.append(actor)
        actor.give(task)
        return True

    def running(self) -> list[tuple[Task, float, str]]:
        return [(a.task, time.monotonic() - a.since, a.note) for a in self._actors if a.task is not None]

    def poll(self, timeout_s: float) -> list[Outcome]:
        busy = {actor.call: actor for actor in self._actors if actor.call is not None}
        if not busy:
            time.sleep(timeout_s)
            return []
        ready, _ = ray.wait(list(busy), num_returns=1, timeout=timeout_s)
        outcomes = [outcome for call in ready if (outcome := busy[call].hear()) is not None]
        outcomes += [outcome for actor in busy.values() if (outcome := actor.overdue()) is not None]
        self._actors = [actor for actor in self._actors if not actor.gone]
        return outcomes

    def kill(self) -> None:
        for actor in self._actors:
            actor.end()
        self._actors.clear()
        self.stop()

    def stop(self) -> None:
        self._actors.clear()
        if ray.is_initialized():
            ray.shutdown()


class _Actor:
    """One actor as the driver sees it."""

    def __init__(self, workers: int, gpu: bool) -> None:
        share = {"num_cpus": 0, "num_gpus": 1} if gpu else {"num_cpus": 1}  # a GPU must not wait for a core
        options = {"max_restarts": 0, "max_task_retries": 0, "max_concurrency": 1, **share}
        self.gpu = gpu
        self._handle: Any = ray.remote(_Runner).options(**options).remote(workers)
        self.gone = False
        self.task: Task | None = None
        self.call: ray.ObjectRef | None = None
        self.since, self.note = 0.0, ""
        self._begun = False

    def give(self, task: Task) -> None:
        self.task, self.since, self._begun, self.note = task, time.monotonic(), False, "waits for a Ray worker"
        self.call = self._handle.begin.remote(task)

    def hear(self) -> Outcome | None:
        """Take in the answer of the open call, which is there, and open the next one."""
        assert self.call is not None
        try:
            answer = ray.get(self.call, timeout=_GRACE_S)
        except (RayActorError, WorkerCrashedError, GetTimeoutError) as error:
            return self._lose(f"the worker was lost: {type(error).__name__}")
        if isinstance(answer, Outcome):
            self.task = self.call = None
            return answer
        if not self._begun:
            self._begun, self.since = True, time.monotonic()
        self.note, self.call = answer, self._handle.watch.remote()
        return None

    def overdue(self) -> Outcome | None:
        """An actor that has not kept its task's deadline itself is given up; waiting for a free host does not count."""
        if self.task is None or not self._begun:
            return None
        deadline_s = self.task.stage.deadline_s
        if time.monotonic() - self.since <= deadline_s + _GRACE_S:
            return None
        return self._lose(f"no result within the deadline of {deadline_s:.0f} s")

    def _lose(self, what: str) -> Outcome:
        task = self.task
        assert task is not None
        self.end()
        return lost(task, time.monotonic() - self.since, what)

    def end(self) -> None:
        """Kill the actor; its worker process ends with it."""
        self.task, self.call, self.gone = None, None, True
        ray.kill(self._handle, no_restart=True)


def _no_store(store: Path) -> dict[str, Any]:
    return describe(
        ResourceError(
            f"Ray worker on {os.uname().nodename}",
            expected=f"the output folder {store.parent}, shared between all hosts",
            got="no such folder",
            todo="Put --out on a file system that every host mounts at the same path.",
        )
    )
