"""The local engine: worker processes on this machine, no boot cost, each with a memory limit and a deadline."""

import dataclasses
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from pipelines.engine import WORKER_ENV, Outcome, Task, lost
from pipelines.worker import plain


@dataclasses.dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    write_fd: int
    read_fd: int
    buffer: bytes = b""
    task: Task | None = None
    since: float = 0.0
    note: str = ""


class LocalEngine:
    """`workers` processes fed through pipes; see `Engine` for the verbs."""

    def __init__(self, workers: int, log_dir: Path) -> None:
        self._count, self._log_dir = workers, log_dir
        self._workers: list[_Worker] = []

    def start(self) -> None:
        self._log_dir.mkdir(parents=True, exist_ok=True)

    def _spawn(self) -> _Worker:
        task_read, task_write = os.pipe()
        answer_read, answer_write = os.pipe()
        threads = str(max(1, (os.cpu_count() or 1) // self._count))
        with (self._log_dir / f"worker-{os.getpid()}-{len(self._workers)}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "pipelines.worker", str(task_read), str(answer_write)],
                env={**os.environ, **WORKER_ENV, "NUMBA_NUM_THREADS": threads},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(task_read, answer_write),
                start_new_session=True,  # Ctrl-C is for the driver, which lets running stages finish
            )
        os.close(task_read)
        os.close(answer_write)
        return _Worker(process, task_write, answer_read)

    def submit(self, task: Task) -> bool:
        worker = next((w for w in self._workers if w.task is None), None)
        if worker is None:
            if len(self._workers) >= self._count:
                return False
            worker = self._spawn()
            self._workers.append(worker)
        worker.task, worker.since, worker.note = task, time.monotonic(), ""
        os.write(worker.write_fd, (json.dumps(plain(task)) + "\n").encode())
        return True

    def running(self) -> list[tuple[Task, float, str]]:
        """Tasks under way, their seconds so far and their last progress line."""
        now = time.monotonic()
        return [(w.task, now - w.since, w.note) for w in self._workers if w.task is not None]

    def poll(self, timeout_s: float) -> list[Outcome]:
        busy = {w.read_fd: w for w in self._workers if w.task is not None}
        ready, _, _ = select.select(list(busy), [], [], timeout_s)
        outcomes = [outcome for fd in ready if (outcome := self._read(busy[fd])) is not None]
        outcomes += [outcome for w in list(self._workers) if (outcome := self._over_limit(w)) is not None]
        return outcomes

    def _read(self, worker: _Worker) -> Outcome | None:
        chunk = os.read(worker.read_fd, 65536)
        if not chunk:
            code = worker.process.wait()
            return self._drop(worker, f"the worker process died with status {code} (crash or killed for memory)")
        worker.buffer += chunk
        *lines, worker.buffer = worker.buffer.split(b"\n")
        for line in lines:
            message: dict[str, Any] = json.loads(line)
            if "progress" in message:
                worker.note = message["progress"]
            else:
                task, worker.task = worker.task, None
                assert task is not None
                return Outcome(task, **message["outcome"])
        return None

    def _over_limit(self, worker: _Worker) -> Outcome | None:
        if worker.task is None:
            return None
        stage = worker.task.stage
        if time.monotonic() - worker.since > stage.deadline_s:
            return self._drop(worker, f"no result within the deadline of {stage.deadline_s:.0f} s")
        try:
            used_mb = psutil.Process(worker.process.pid).memory_info().rss // 2**20
        except psutil.NoSuchProcess:
            return None
        if used_mb > stage.memory_mb:
            return self._drop(worker, f"used {used_mb} MB, over the limit of {stage.memory_mb} MB")
        return None

    def _drop(self, worker: _Worker, what: str) -> Outcome:
        self._workers.remove(worker)
        _end(worker)
        assert worker.task is not None
        return lost(worker.task, time.monotonic() - worker.since, what)

    def kill(self) -> None:
        for worker in self._workers:
            _end(worker)
        self._workers.clear()

    def stop(self) -> None:
        self.kill()


def _end(worker: _Worker) -> None:
    worker.process.kill()
    worker.process.wait()
    os.close(worker.write_fd)
    os.close(worker.read_fd)
