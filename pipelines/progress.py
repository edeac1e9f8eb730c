"""How far a run is, on stderr: a live table on a terminal, plain lines elsewhere."""

import os
import sys
import time
from typing import TYPE_CHECKING

from pipelines.engine import Outcome
from pipelines.graph import STAGES
from pipelines.scheduler import Scheduler, WorldRun

if TYPE_CHECKING:  # loaded for a terminal only: a tenth of the start-up time
    from rich.live import Live
    from rich.table import Table


class Progress:
    """Shows outcomes as they come and an ETA from the medians of finished stages.

    Args:
        workers: how many there are for stages on the CPU.
    """

    def __init__(self, worlds: list[WorldRun], workers: int) -> None:
        self._worlds, self._workers = worlds, workers
        self._start = time.monotonic()
        self._live = _live() if sys.stderr.isatty() else None
        self.scheduler: Scheduler | None = None

    def __enter__(self) -> "Progress":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def changed(self, world: WorldRun, outcome: Outcome | None) -> None:
        """One line per finished stage, or for a world that needed nothing."""
        if outcome is None:
            if not self._live:
                self._line(
                    f"{world.name}: nothing to do" if world.failure is None else f"{world.name}: quarantined before"
                )
            return
        stage, seconds = outcome.task.stage.name, outcome.seconds
        if outcome.ok:
            self._line(f"{world.name}: {stage} done in {seconds:.1f} s ({self._where()})")
        else:
            assert outcome.failure is not None
            verdict = "quarantined" if world.failure else "will be tried again"
            self._line(f"{world.name}: {stage} failed, {verdict}: {outcome.failure['message']}")

    def waiting(self) -> None:
        """Redraw the live table."""
        if self._live:
            self._live.update(self._table())

    def _where(self) -> str:
        each = len(self.scheduler.stages) if self.scheduler else len(STAGES)
        done = sum(len(w.contents) if w.failure is None else each for w in self._worlds)
        total = len(self._worlds) * each
        eta = self.scheduler.eta_s(self._workers) if self.scheduler else None
        left = "" if eta is None else f", about {_duration(eta)} left"
        return f"{done}/{total} stages, {_duration(time.monotonic() - self._start)} so far{left}"

    def _line(self, text: str) -> None:
        if self._live:
            self._live.console.print(text, highlight=False, markup=False)
            return
        try:
            print(text, file=sys.stderr, flush=True)
        except BrokenPipeError:  # nobody reads any more; the work goes on
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())

    def _table(self) -> "Table":
        from rich.table import Table

        table = Table(title=self._where(), title_justify="left", expand=False)
        for column in ("world", "stage", "s", ""):
            table.add_column(column, overflow="ellipsis", no_wrap=True)
        running = self.scheduler.running() if self.scheduler else []
        for task, seconds, note in running:
            table.add_row(task.world, task.stage.name, f"{seconds:.0f}", note)
        return table


def _live() -> "Live":
    from rich.console import Console
    from rich.live import Live

    return Live(console=Console(stderr=True), refresh_per_second=4)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
