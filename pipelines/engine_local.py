"""The local engine: worker processes on this machine, no boot cost, each with a memory limit and a deadline."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.child import LOOK_S, WorkerProcess, hear_all
from pipelines.engine import Outcome, Task


@dataclass
class _Slot:
    """Place of one worker."""

    gpu: bool
    visible: str | None = None
    worker: WorkerProcess | None = None

    @property
    def free(self) -> bool:
        """No task; a worker that died over one is free when that was heard."""
        return self.worker is None or self.worker.task is None

    @property
    def ready(self) -> bool:
        """A worker waits for a task."""
        return self.worker is not None and self.free and self.worker.alive


class LocalEngine:
    """Up to `workers` processes for stages on the CPU; see `Engine` for the verbs.

    Args:
        gpus: CUDA_VISIBLE_DEVICES of each further process, which runs stages on a GPU; None leaves that as it is.
    """

    def __init__(self, workers: int, gpus: Sequence[str | None] = ()) -> None:
        self._started = 0
        self._threads = max(1, (os.cpu_count() or 1) // workers)
        self._slots = [_Slot(False) for _ in range(workers)] + [_Slot(True, visible) for visible in gpus]

    @property
    def gpu_workers(self) -> int:
        return sum(slot.gpu for slot in self._slots)

    def start(self) -> None:
        """Workers start with their first task."""

    def submit(self, task: Task) -> bool:
        free = [slot for slot in self._slots if slot.gpu == task.stage.gpu and slot.free]
        if not free:
            return False
        slot = next((slot for slot in free if slot.ready), free[0])
        if slot.worker is None or not slot.worker.alive:
            if slot.worker is not None:
                slot.worker.end()
            slot.worker = WorkerProcess(Path(task.store), self._started, self._threads, slot.visible)
            self._started += 1
        slot.worker.give(task)
        return True

    @property
    def _workers(self) -> list[WorkerProcess]:
        return [slot.worker for slot in self._slots if slot.worker is not None]

    def running(self) -> list[tuple[Task, float, str]]:
        return [(w.task, w.seconds, w.note) for w in self._workers if w.task is not None]

    def poll(self, timeout_s: float) -> list[Outcome]:
        return hear_all(self._workers, min(timeout_s, LOOK_S))

    def kill(self) -> None:
        for worker in self._workers:
            worker.end()
        for slot in self._slots:
            slot.worker = None

    def stop(self) -> None:
        self.kill()
