"""The driver's loop: which stage of which world runs next, what a failure means, when to stop.

Furthest stage first, so that worlds finish one after the other instead of all at the end. The truth is on disk: a
killed driver finds every committed stage again.
"""

import dataclasses
import signal
import statistics
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.engine import Engine, Outcome, Task
from pipelines.graph import STAGES
from pipelines.stage import Stage, digest, key_fields
from pipelines.store import Store

ATTEMPTS = 2
"""A world whose worker crashed is tried this often before it is quarantined."""
BREAKER = 5
"""So many different worlds lost in a row at the same stage means the fault is not theirs."""


@dataclasses.dataclass
class WorldRun:
    """One input on its way through the stages."""

    name: str
    source: dict[str, Any]
    sources: list[str]
    keys: dict[str, str] = dataclasses.field(default_factory=dict)
    contents: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    reused: list[str] = dataclasses.field(default_factory=list)
    failure: dict[str, Any] | None = None
    failed_stage: str | None = None
    running: bool = False

    complete: bool = False

    @property
    def finished(self) -> bool:
        return self.failure is not None or self.complete


class Scheduler:
    """Drives worlds through the stages on an engine.

    Args:
        make_engine: called when there is something to run, so that a finished run costs no engine.
        config: the whole configuration as plain values.
        on_change: called after every outcome with the world it belongs to, and on finished worlds.
        on_wait: called about four times a second while waiting.
        weights: hash of the networks' weights that a stage works with, by stage name.
    """

    def __init__(
        self,
        store: Store,
        make_engine: Callable[[], Engine],
        config: dict[str, Any],
        worlds: list[WorldRun],
        on_change: Callable[[WorldRun, Outcome | None], None],
        on_wait: Callable[[], None],
        stages: tuple[Stage, ...] = STAGES,
        weights: Mapping[str, str] | None = None,
    ) -> None:
        self.store, self._make_engine, self.config, self.worlds = store, make_engine, config, worlds
        self._engine: Engine | None = None
        self._on_change, self._on_wait, self.stages, self._weights = on_change, on_wait, stages, weights or {}
        self.signal_number = 0
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._lost_in_row: dict[str, int] = {}
        self.draining = 0
        self.stopped_by: dict[str, Any] | None = None

    def advance(self, world: WorldRun) -> None:
        """Take over everything that is already committed, up to the first stage that is not."""
        for stage in self.stages[len(world.contents) :]:
            fields = self.key_fields(world, stage)
            key = digest(fields)
            world.keys[stage.name] = key
            commit = self.store.commit_of(stage.name, key)
            if commit is None:
                failure = self.store.failure_of(stage.name, key)
                if failure is not None:
                    world.failure, world.failed_stage = failure, stage.name
                return
            world.contents[stage.name] = commit["content"]
            if stage.name not in world.seconds:
                world.reused.append(stage.name)
                world.seconds[stage.name] = commit["seconds"]
        world.complete = True

    def key_fields(self, world: WorldRun, stage: Stage) -> dict[str, Any]:
        """What the key of this stage of this world is made from; upstream must be committed."""
        upstream = {name: world.contents[name] for name in stage.upstream}
        return key_fields(stage, self.config, upstream, world.source, self._weights.get(stage.name))

    def run(self) -> None:
        """Until every world is finished, or stopped by a signal, a missing resource or the breaker."""
        for world in self.worlds:
            self.advance(world)
            if world.finished:
                self._on_change(world, None)
        if all(world.finished for world in self.worlds):
            return
        previous = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        engine = self._engine = self._make_engine()
        engine.start()
        for number in previous:  # engines may install their own
            signal.signal(number, self._on_signal)
        try:
            self._loop(engine)
        finally:
            if self.draining > 1 or self.stopped_by is not None:
                engine.kill()
            else:
                engine.stop()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _loop(self, engine: Engine) -> None:
        while True:
            if not self.draining and self.stopped_by is None:
                self._dispatch(engine)
            if self.draining > 1 or not any(world.running for world in self.worlds):
                return
            for outcome in engine.poll(0.25):
                self._settle(outcome)
            self._on_wait()

    def _dispatch(self, engine: Engine) -> None:
        ready = [world for world in self.worlds if not world.finished and not world.running]
        ready.sort(key=lambda world: -len(world.contents))  # stable: input order within a stage
        full: set[bool] = set()
        for world in ready:
            stage = self.stages[len(world.contents)]
            if stage.gpu in full:
                continue
            key = world.keys[stage.name]
            self._attempts[(stage.name, key)] += 1
            inputs = {name: str(self.store.folder(name, world.keys[name])) for name in stage.upstream}
            task = Task(
                stage=stage,
                key=key,
                key_fields=self.key_fields(world, stage),
                world=world.name,
                source=world.source,
                config=self.config,
                inputs=inputs,
                store=str(self.store.root),
                attempt=self._attempts[(stage.name, key)],
            )
            if not engine.submit(task):
                self._attempts[(stage.name, key)] -= 1
                full.add(stage.gpu)
                continue
            world.running = True

    def running(self) -> list[tuple[Task, float, str]]:
        """Tasks under way, their seconds so far and their last progress line."""
        return self._engine.running() if self._engine is not None else []

    def _settle(self, outcome: Outcome) -> None:
        task = outcome.task
        world = next(w for w in self.worlds if w.name == task.world)
        world.running = False
        if outcome.ok:
            world.seconds[task.stage.name] = round(outcome.seconds, 3)
            self._lost_in_row.pop(task.stage.name, None)
            self.advance(world)
        else:
            self._fail(world, outcome)
        self._on_change(world, outcome)

    def _fail(self, world: WorldRun, outcome: Outcome) -> None:
        failure, task = outcome.failure, outcome.task
        assert failure is not None
        if failure["class"] == "run":
            self.stopped_by = failure
            return
        if failure["class"] == "suspect":
            if self._attempts[(task.stage.name, task.key)] < ATTEMPTS:
                return
            lost = self._lost_in_row[task.stage.name] = self._lost_in_row.get(task.stage.name, 0) + 1
            if lost >= BREAKER:
                self.stopped_by = {
                    "exit_code": 4,
                    "message": f"{BREAKER} worlds in a row were lost at stage {task.stage.name}; the last: "
                    f"{failure['message']}. See the logs below .lyra/logs; finished work is kept.",
                }
                return
        self.store.record_failure(task.stage.name, task.key, failure)
        world.failure, world.failed_stage = failure, task.stage.name

    def _on_signal(self, number: int, _frame: object) -> None:
        self.draining += 1
        self.signal_number = number

    def eta_s(self, workers: int) -> float | None:
        """Seconds until all is done, from the medians of finished stages; None before there is anything to go by.

        Args:
            workers: for stages on the CPU; those on a GPU run beside them, on as many workers as the engine has.
        """
        medians = {}
        for stage in self.stages:
            seen = [w.seconds[stage.name] for w in self.worlds if stage.name in w.seconds]
            medians[stage.name] = statistics.median(seen) if seen else None
        known = [m for m in medians.values() if m is not None]
        if not known:
            return None
        missing = statistics.mean(known)
        open_worlds = [w for w in self.worlds if not w.finished]
        left = {True: 0.0, False: 0.0}
        for world in open_worlds:
            for stage in self.stages[len(world.contents) :]:
                median = medians[stage.name]
                left[stage.gpu] += missing if median is None else median
        at_once = {False: workers, True: self._engine.gpu_workers if self._engine is not None else 1}
        return max(left[gpu] / max(1, min(n, len(open_worlds))) for gpu, n in at_once.items())
