"""A worker process as its parent sees it: fed through one pipe, heard through another, within a memory limit and a
deadline.

The local engine holds several; on Ray every actor holds one, on its own host. So there is one way to keep limits, to
see progress and to survive a crash. The parent measures the child, because a native library that allocates while it
holds Python's lock could not measure itself.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

from pipelines.engine import WORKER_ENV, Outcome, Task, lost
from pipelines.worker import plain

LOOK_S = 0.25
"""Longest time between two looks at a worker's memory."""


class WorkerProcess:
    """One process that runs one task after the other; start it from a thread that lives as long as it shall.

    Args:
        store: folder of the store that its tasks commit to; what the process prints goes to `logs` below it.
        number: tells the workers of one parent apart.
        threads: for numba, the one library that is allowed more than one.
        visible: CUDA_VISIBLE_DEVICES of the process; None leaves it as it is.
    """

    def __init__(self, store: Path, number: int, threads: int, visible: str | None = None) -> None:
        task_read, self._write_fd = os.pipe()
        self._read_fd, answer_write = os.pipe()
        logs = store / "logs"
        logs.mkdir(exist_ok=True)
        seen = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
        with (logs / f"worker-{os.uname().nodename}-{os.getpid()}-{number}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipelines.worker"]
                + [str(part) for part in (task_read, answer_write, os.getpid(), store)],
                env={**os.environ, **WORKER_ENV, "NUMBA_NUM_THREADS": str(threads), **seen},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(task_read, answer_write),
                start_new_session=True,  # Ctrl-C is for the driver, which lets running stages finish
            )
        os.close(task_read)
        os.close(answer_write)
        self._buffer, self._since, self._ended = b"", 0.0, False
        self.task: Task | None = None
        self.note = ""
        """The task's last progress line."""

    def fileno(self) -> int:
        return self._read_fd

    @property
    def alive(self) -> bool:
        """True until the process has ended by itself or was ended."""
        return self._process.poll() is None

    @property
    def seconds(self) -> float:
        """Since the task was given."""
        return time.monotonic() - self._since

    def give(self, task: Task) -> None:
        """Start the task; the process must be idle."""
        self.task, self._since, self.note = task, time.monotonic(), ""
        line = (json.dumps(plain(task)) + "\n").encode()
        try:
            os.write(self._write_fd, line)
        except BrokenPipeError:  # it died while idle: heard as the end of its answers
            return

    def hear(self) -> Outcome | None:
        """Take in what the process has said; waits if that is nothing. Its death is an outcome too."""
        chunk = os.read(self._read_fd, 65536)
        if not chunk:
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
            self.end()
            code = self._process.returncode
            return self._lose(f"the worker process died with status {code} (crash or killed for memory)")
        self._buffer += chunk
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            message: dict[str, Any] = json.loads(line)
            if "progress" in message:
                self.note = message["progress"]
            else:
                task, self.task = self.task, None
                assert task is not None
                outcome = Outcome(task, **message["outcome"])
                if task.stage.gpu and outcome.failure is not None and outcome.failure["class"] == "suspect":
                    self.end()  # after an error on a GPU nothing in the process can be trusted
                return outcome
        return None

    def over_limit(self) -> Outcome | None:
        """End the process if its task is past its deadline, or it and its children are beyond its memory."""
        if self.task is None:
            return None
        stage = self.task.stage
        if self.seconds > stage.deadline_s:
            return self._lose(f"no result within the deadline of {stage.deadline_s:.0f} s")
        used_mb = _used_mb(self._process.pid)
        if used_mb > stage.memory_mb:
            return self._lose(f"used {used_mb} MB, over the limit of {stage.memory_mb} MB")
        return None

    def _lose(self, what: str) -> Outcome:
        self.end()
        task, self.task = self.task, None
        assert task is not None
        return lost(task, self.seconds, what)

    def end(self) -> None:
        """Kill the process with everything it started; once is enough."""
        if self._ended:
            return
        self._ended = True
        if self._process.returncode is None:  # not waited for yet, so that the number is still its own
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        os.close(self._write_fd)
        os.close(self._read_fd)


def _used_mb(pid: int) -> int:
    """Resident memory of a process and all that it started; 0 when it is gone."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    used = 0
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):  # children come and go
            used += member.memory_info().rss
    return used // 2**20


def hear_all(workers: Iterable[WorkerProcess], timeout_s: float) -> list[Outcome]:
    """What the busy ones among `workers` say within `timeout_s`, with the outcomes of those over a limit.

    Returns at the first answer of any of them; `timeout_s` should not exceed `LOOK_S`.
    """
    busy = [worker for worker in workers if worker.task is not None]
    ready, _, _ = select.select(busy, [], [], timeout_s)
    outcomes = [worker.hear() for worker in ready] + [worker.over_limit() for worker in busy]
    return [outcome for outcome in outcomes if outcome is not None]
