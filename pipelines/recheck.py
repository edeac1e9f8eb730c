"""`lyra-sim validate OUT/WORLD`: the gates of a finished world measured again on its written scene, beside the same
gates measured on the records it was written from. What a scene is held against (frames, fused surface, seen space) is
read from the run's store both times."""

import dataclasses
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from lyra_sim.config.tasks import TasksConfig
from lyra_sim.core.errors import ConfigError
from lyra_sim.core.records import Colliders, Fused, Gate, Surface
from lyra_sim.io.records import load_record
from lyra_sim.memory.revisits import returns
from pipelines.stages import stored_world
from pipelines.store import Store
from robot_tasks import map_gate, map_gates
from usd_export.in_memory import scenes_of
from usd_export.validate import gates

TOLERANCE = {"m": 5e-4, "m2": 1e-4, "1": 1e-3, "dB": 0.01}
"""How far a gate may be from what it was before writing, by unit: hulls are triangulated anew when they are written, so
that samples fall on other spots. All else stays the same to the last bit of a float32."""
REPEATABLE = 1e-6
"""The same files give the same number."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One gate, measured three times. None: not computed, or nothing that exists before writing."""

    name: str
    unit: str
    before: float | bool | None
    written: float | bool | None
    reported: float | bool | None
    same: bool


def recheck_world(folder: Path, *, as_json: bool) -> int:
    """Print every gate of a published world before writing, from the written files, and as reported.

    Returns:
        The exit code: 0 where all agree, else 1.

    Raises:
        ConfigError: not the folder of a published world, or the run's store is gone.
    """
    rows = compare(folder)
    same = all(row.same for row in rows)
    if as_json:
        told = {"world": str(folder), "same": same, "gates": [dataclasses.asdict(row) for row in rows]}
        json.dump(told, sys.stdout, indent=1)
        print()
        return 0 if same else 1
    table = Table(expand=False)
    for column in ("gate", "unit", "before writing", "from the files", "report.json", ""):
        table.add_column(column, overflow="fold")
    for row in rows:
        values = ("-" if v is None else f"{v:g}" for v in (row.before, row.written, row.reported))
        table.add_row(row.name, row.unit, *values, "" if row.same else "differs")
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    return 0 if same else 1


def compare(folder: Path) -> tuple[Row, ...]:
    """The rows of `recheck_world`, in the order of the report."""
    report, inputs, config = _origins(folder)
    surface = load_record(Surface, inputs["surface"])
    colliders = load_record(Colliders, inputs["collide"])
    world = stored_world(inputs)
    known: dict[str, Any] = {
        "world": world,
        "returned": returns(world),
        "surface": surface,
        "space": load_record(Fused, inputs["reconstruct"]).space,
    }
    maps = partial(map_gates, folder, floor=surface.floor, config=config, colliders=colliders)
    before = {gate.name: gate for gate in gates(folder, **known, scenes=scenes_of(surface, colliders))}
    reported = {gate["name"]: gate["value"] for gate in report["gates"]}
    return tuple(
        _row(gate, before.get(gate.name), reported.get(gate.name))
        for gate in gates(folder, **known, reraster=lambda: map_gate(maps()))
    )


def _row(gate: Gate, before: Gate | None, reported: float | bool | None) -> Row:
    same = _near(gate.value, reported, REPEATABLE)
    same &= before is None or _near(gate.value, before.value, TOLERANCE.get(gate.unit, 0.0))
    return Row(gate.name, gate.unit, before.value if before else None, gate.value, reported, same)


def _near(a: float | bool | None, b: float | bool | None, tolerance: float) -> bool:
    return a is b if a is None or b is None else abs(float(a) - float(b)) <= tolerance


def _origins(folder: Path) -> tuple[dict[str, Any], dict[str, Path], TasksConfig]:
    """The world's report, the committed stages it was made from, and the settings of its maps."""
    try:
        report = json.loads((folder / "report.json").read_bytes())
        keys = {stage["name"]: stage["key"] for stage in report["stages"]}
        store = Store(folder.absolute().parent / ".lyra")
        commit = store.commit_of("validate", keys["validate"])
        inputs = {name: store.folder(name, key) for name, key in keys.items()}
        missing = [name for name, path in inputs.items() if not path.is_dir()]
    except (OSError, ValueError, KeyError) as error:
        raise _no_world(folder, f"no report of a finished world ({error})") from error
    if commit is None or missing or report["status"] != "published":
        raise _no_world(folder, f"a world whose stages are not in {store.root}")
    return report, inputs, TasksConfig.model_validate(commit["key_fields"]["config"]["tasks"])


def _no_world(folder: Path, got: str) -> ConfigError:
    return ConfigError(
        folder,
        expected="the folder of a published world, OUT/WORLD, with OUT/.lyra beside it",
        got=got,
        todo="Give a world that lyra-sim run made, where it was made; or a scene file, for what is wrong with it.",
    )
