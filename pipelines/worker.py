"""A worker process of the local engine: reads tasks as JSON lines, runs them, answers with JSON lines.

Started as `python -m pipelines.worker READ_FD WRITE_FD`. Its stdout and stderr go to a log file, so that native
libraries may print what they like.
"""

import dataclasses
import json
import os
import sys
from typing import Any

from pipelines.engine import Outcome, Task, die_with_parent, execute
from pipelines.stage import Stage


def task_from(fields: dict[str, Any]) -> Task:
    """A task back from plain values."""
    stage = Stage(
        **{**fields["stage"], "reads": tuple(fields["stage"]["reads"]), "upstream": tuple(fields["stage"]["upstream"])}
    )
    return Task(**{**fields, "stage": stage})


def plain(value: Task | Outcome) -> dict[str, Any]:
    """A task or outcome as plain values."""
    return dataclasses.asdict(value)


def main() -> None:
    die_with_parent()
    read_fd, write_fd = int(sys.argv[1]), int(sys.argv[2])
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
