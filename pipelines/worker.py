"""A worker process: reads tasks as JSON lines, runs them, answers with JSON lines. `pipelines.child` is its parent.

Started as `python -m pipelines.worker READ_FD WRITE_FD PARENT_PID STORE`. Its stdout and stderr go to a log file, so
that native libraries may print what they like.
"""

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

from lyra_sim.io.processes import die_with_parent
from pipelines.engine import Outcome, Task, execute
from pipelines.stage import Stage
from pipelines.store import Store


def task_from(fields: dict[str, Any]) -> Task:
    """A task back from plain values."""
    stage: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in fields["stage"].items()}
    return Task(**{**fields, "stage": Stage(**stage)})


def plain(value: Task | Outcome) -> dict[str, Any]:
    """A task or outcome as plain values."""
    return dataclasses.asdict(value)


def main() -> None:
    read_fd, write_fd, parent = (int(part) for part in sys.argv[1:4])
    die_with_parent(parent)
    Store(Path(sys.argv[4])).join()
    with os.fdopen(read_fd) as tasks, os.fdopen(write_fd, "w") as answers:

        def send(message: dict[str, Any]) -> None:
            answers.write(json.dumps(message) + "\n")
            answers.flush()

        for line in tasks:
            task = task_from(json.loads(line))
            outcome = execute(task, progress=lambda text: send({"progress": text}))
            send({"outcome": {"ok": outcome.ok, "seconds": outcome.seconds, "failure": outcome.failure}})


if __name__ == "__main__":
    main()
