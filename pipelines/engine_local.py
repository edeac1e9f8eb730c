"""The local engine: worker processes on this machine, no boot cost, each with a memory limit and a deadline."""

import os
from pathlib import Path

from pipelines.child import LOOK_S, WorkerProcess, hear_all
from pipelines.engine import Outcome, Task


class LocalEngine:
    """Up to `workers` processes; see `Engine` for the verbs."""

    def __init__(self, workers: int) -> None:
        self._count, self._started = workers, 0
        self._threads = max(1, (os.cpu_count() or 1) // workers)
        self._workers: list[WorkerProcess] = []

    def start(self) -> None:
        """Workers start with their first task."""

    def submit(self, task: Task) -> bool:
        self._bury()
        worker = next((w for w in self._workers if w.task is None), None)
        if worker is None:
            if len(self._workers) >= self._count:
                return False
            worker = WorkerProcess(Path(task.store), self._started, self._threads)
            self._started += 1
            self._workers.append(worker)
        worker.give(task)
        return True

    def _bury(self) -> None:
        """Forget workers that died; one that died over a task is kept until that is heard."""
        for worker in [w for w in self._workers if w.task is None and not w.alive]:
            worker.end()
            self._workers.remove(worker)

    def running(self) -> list[tuple[Task, float, str]]:
        return [(w.task, w.seconds, w.note) for w in self._workers if w.task is not None]

    def poll(self, timeout_s: float) -> list[Outcome]:
        return hear_all(self._workers, min(timeout_s, LOOK_S))

    def kill(self) -> None:
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def stop(self) -> None:
        self.kill()
