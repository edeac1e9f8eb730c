"""The Ray engine: one Ray Core actor per worker, every Ray retry off; paths travel through Ray and arrays do not."""

import logging
import os
import time
from pathlib import Path

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, WorkerCrashedError

from lyra_sim.core.errors import ResourceError
from pipelines.engine import WORKER_ENV, Outcome, Task, execute, lost

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_process_group_cleanup_enabled": "1",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class _Runner:
    """Lives in the actor's process; runs one task at a time."""

    def run(self, task: Task) -> Outcome:
        return execute(task)


class RayEngine:
    """`workers` actors on the cluster at `address` ("local" starts one on this machine); see `Engine` for the verbs."""

    def __init__(self, workers: int, address: str, temp_dir: Path | None = None) -> None:
        self._count, self._address, self._temp_dir = workers, address, temp_dir
        self._actors: list[ray.actor.ActorHandle] = []
        self._running: dict[ray.ObjectRef, tuple[ray.actor.ActorHandle, Task, float]] = {}

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
                expected="a Ray cluster that can be joined",
                got=str(error),
                todo="Check --ray-address, or use --engine local.",
            ) from error

    def _spawn(self) -> ray.actor.ActorHandle:
        threads = str(max(1, (os.cpu_count() or 1) // self._count))
        env = {**WORKER_ENV, "NUMBA_NUM_THREADS": threads}
        options = {"max_restarts": 0, "max_task_retries": 0, "max_concurrency": 1, "num_cpus": 1}
        return ray.remote(_Runner).options(runtime_env={"env_vars": env}, **options).remote()

    def submit(self, task: Task) -> bool:
        busy = {actor for actor, _, _ in self._running.values()}
        actor = next((a for a in self._actors if a not in busy), None)
        if actor is None:
            if len(self._actors) >= self._count:
                return False
            actor = self._spawn()
            self._actors.append(actor)
        self._running[actor.run.remote(task)] = (actor, task, time.monotonic())
        return True

    def running(self) -> list[tuple[Task, float, str]]:
        """Tasks under way and their seconds so far."""
        now = time.monotonic()
        return [(task, now - since, "") for _, task, since in self._running.values()]

    def poll(self, timeout_s: float) -> list[Outcome]:
        if not self._running:
            time.sleep(timeout_s)
            return []
        ready, _ = ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        outcomes = [self._collect(ref) for ref in ready]
        for ref, (_, task, since) in list(self._running.items()):
            if time.monotonic() - since > task.stage.deadline_s:
                outcomes.append(self._drop(ref, f"no result within the deadline of {task.stage.deadline_s:.0f} s"))
        return outcomes

    def _collect(self, ref: ray.ObjectRef) -> Outcome:
        try:
            outcome = ray.get(ref, timeout=60)
        except (RayActorError, WorkerCrashedError, GetTimeoutError) as error:
            return self._drop(ref, f"the worker was lost: {type(error).__name__}")
        del self._running[ref]
        return outcome

    def _drop(self, ref: ray.ObjectRef, what: str) -> Outcome:
        actor, task, since = self._running.pop(ref)
        self._actors.remove(actor)
        ray.kill(actor, no_restart=True)
        return lost(task, time.monotonic() - since, what)

    def kill(self) -> None:
        for actor in self._actors:
            ray.kill(actor, no_restart=True)
        self._actors.clear()
        self._running.clear()
        self.stop()

    def stop(self) -> None:
        if ray.is_initialized():
            ray.shutdown()
