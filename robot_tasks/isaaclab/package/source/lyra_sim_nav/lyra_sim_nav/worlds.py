"""Finished worlds as this package reads them at run time: where they lie, episodes, distance fields. numpy only."""

import gzip
import json
import math
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

OUT, SPLIT, NAMES, SCENES = "LYRA_SIM_OUT", "LYRA_SIM_SPLIT", "LYRA_SIM_WORLDS", "LYRA_SIM_SCENES"
"""Environment variables: output folder (else the one this package lies in), split, names of worlds (comma between),
`per_env` or `shared`."""
DISTANCE_UNIT_M, NO_WAY = 2e-3, 65535
"""Of tables of distances, as the light simulation keeps them."""
_SLACK_CELLS = 0.3
"""What bodies are smaller by: in gaps the clearance at cell centres reads less than on the raster that islands and
paths were found on."""
_RIM_CELLS = 2
"""Cells past those that are filled too: the corners of a bilinear sample lie there."""


class WorldsError(RuntimeError):
    """What a user or the files can cause."""

    def __init__(self, where: object, expected: str, got: object, todo: str) -> None:
        super().__init__(f"{where}: expected {expected}, got {got}. {todo}")


@dataclass(frozen=True)
class World:
    """One world for one robot. World frame: Z up, metres, yaw 0 along +x; grids are indexed [x, y], cell (i, j) covers
    `origin_m + [i, j] * cell_m` and one cell on."""

    folder: Path
    origin_m: np.ndarray
    """(2,)"""
    cell_m: float
    distance: np.ndarray
    """(G, X, Y) uint16: way from cell centres to each goal in `DISTANCE_UNIT_M`; `NO_WAY` where nothing is known."""
    start: np.ndarray
    """(E, 3), on the floor. Episodes come nearest first."""
    yaw: np.ndarray
    """(E,)"""
    goal: np.ndarray
    """(E, 3)"""
    field: np.ndarray
    """(E,) row of `distance`."""
    geodesic_m: np.ndarray
    """(E,) shortest way from start to goal."""


def out_folder() -> Path:
    """The output folder of lyra-sim.

    Raises:
        WorldsError: it has no worlds.jsonl.
    """
    here = Path(__file__).resolve()
    out = Path(os.environ[OUT]) if os.environ.get(OUT) else here.parents[4]
    if not (out / "worlds.jsonl").is_file():
        raise WorldsError(
            out, "an output folder of lyra-sim, with worlds.jsonl", "none",
            f"Install this package with `pip install -e` in OUT/isaaclab, or set {OUT} to the folder.",
        )  # fmt: skip
    return out


@cache
def task() -> dict[str, Any]:
    """task.json beside this package, or that of the output folder: `robots` (profiles by name) and `env` (reward,
    success, time, curriculum)."""
    beside = Path(__file__).resolve().parents[3] / "task.json"
    path = beside if beside.is_file() else out_folder() / "isaaclab" / "task.json"
    try:
        found = json.loads(path.read_text())
        _ = found["robots"], found["env"]
    except (OSError, ValueError, KeyError) as error:
        raise WorldsError(path, "the settings of the tasks", f"{type(error).__name__}: {error}", _AGAIN) from error
    return found


_AGAIN = "Run `lyra-sim run` with the same --out again: it writes this package anew."


def camel(robot: str) -> str:
    """NovaCarter of nova_carter."""
    return "".join(part[:1].upper() + part[1:] for part in robot.replace("-", "_").split("_"))


def scenes() -> str:
    """`per_env`: every environment has a world of its own; `shared`: all robots are in one world and cannot touch."""
    found = os.environ.get(SCENES) or "per_env"
    if found not in ("per_env", "shared"):
        raise WorldsError(SCENES, "per_env or shared", repr(found), "Set it to one of these.")
    return found


def world_folders(robot: str, split: str = "train") -> list[Path]:
    """Worlds for a robot, in the order of worlds.jsonl: of the split (`all` for any) or with the names that the
    environment variables say; only the first for shared scenes.

    Raises:
        WorldsError: there is none.
    """
    out = out_folder()
    rows = [json.loads(line) for line in (out / "worlds.jsonl").read_text().splitlines() if line.strip()]
    names = [name.strip() for name in os.environ.get(NAMES, "").split(",") if name.strip()]
    split = os.environ.get(SPLIT) or split
    offered = [row for row in rows if robot in row["robots"]]
    wanted = [row for row in offered if (row["world"] in names if names else split in ("all", row["split"]))]
    if unknown := sorted(set(names) - {row["world"] for row in offered}):
        raise WorldsError(NAMES, f"worlds of {out} for {robot}", ", ".join(unknown), "Name others.")
    if not wanted:
        there = ", ".join(f"{row['world']} ({row['split']})" for row in offered) or "no world"
        raise WorldsError(out, f"worlds of split {split} for {robot}", there, f"Set {SPLIT} or make more worlds.")
    folders = [out / row["path"] for row in wanted]
    return folders[:1] if scenes() == "shared" else folders


def place_file(folder: Path) -> Path:
    """The asset of a world: its scene and its merged mesh for rays."""
    return out_folder() / "isaaclab" / "worlds" / f"{folder.name}.usda"


def size_m(folder: Path, robot: str) -> float:
    """How far the robot's map reaches from the world's origin, metres."""
    with np.load(folder / "nav" / robot / "fields.npz") as stored:
        first = stored["origin_m"]
        last = first + np.array(stored["clearance_m"].shape) * float(stored["cell_m"])
    return float(np.abs([first, last]).max())


def longest_m(folder: Path, robot: str) -> float:
    """Longest way from start to goal among the episodes of a world, metres."""
    rows = json.loads(gzip.decompress((folder / "nav" / robot / "episodes.json.gz").read_bytes()))["episodes"]
    return max(float(row["info"]["geodesic_distance"]) for row in rows)


def read_world(folder: Path, robot: str, radius_m: float) -> World:
    """Episodes and distance fields of one world.

    Raises:
        WorldsError: a file is missing or broken.
    """
    nav = folder / "nav" / robot
    try:
        with np.load(nav / "fields.npz") as stored:
            grids = {name: stored[name] for name in stored.files}
        rows = json.loads(gzip.decompress((nav / "episodes.json.gz").read_bytes()))["episodes"]
        rows.sort(key=lambda row: row["info"]["geodesic_distance"])
        goal = np.array([row["goals"][0]["position"] for row in rows], np.float64).reshape(-1, 3)
        apart = np.hypot(*(goal[:, None, :2] - grids["goals"][None]).transpose(2, 0, 1))
        if not rows or apart.min(1).max() > 1e-3:
            raise ValueError("no episode, or goals without distance field")
        least = radius_m - _SLACK_CELLS * float(grids["cell_m"])
        inside = grids["clearance_m"].astype(np.float32) >= least
        far = fill(grids["distance_m"].astype(np.float32), inside, float(grids["cell_m"]))
        return World(
            folder=folder,
            origin_m=grids["origin_m"],
            cell_m=float(grids["cell_m"]),
            distance=np.minimum(np.floor(far / np.float32(DISTANCE_UNIT_M) + 0.5), NO_WAY).astype(np.uint16),
            start=np.array([row["start_position"] for row in rows], np.float64),
            yaw=np.array([2 * math.atan2(q[3], q[0]) for q in (row["start_rotation"] for row in rows)]),
            goal=goal,
            field=apart.argmin(1),
            geodesic_m=np.array([row["info"]["geodesic_distance"] for row in rows], np.float64),
        )
    except (OSError, EOFError, ValueError, KeyError, IndexError, TypeError) as error:
        raise WorldsError(
            nav, "fields.npz and episodes.json.gz that go together", f"{type(error).__name__}: {error}", _AGAIN
        ) from error


def fill(far: np.ndarray, inside: np.ndarray, cell_m: float) -> np.ndarray:
    """Distance fields with values where a robot may be pushed to: cells `inside` that a way along cells reaches, then
    a rim around all that is known, so that bilinear samples at walls are finite.

    Args:
        far: (G, X, Y), inf where nothing is known.
        inside: (X, Y).
    """
    todo = inside & ~np.isfinite(far)
    while True:
        reached = np.where(todo, np.minimum(far, _from_neighbours(far, cell_m)), far)
        if np.array_equal(reached, far):
            break
        far = reached
    for _ in range(_RIM_CELLS):
        far = np.where(np.isfinite(far), far, _from_neighbours(far, cell_m))
    return far


def _from_neighbours(far: np.ndarray, cell_m: float) -> np.ndarray:
    best = np.full_like(far, np.inf)
    nx, ny = far.shape[1:]
    inner = best[:, 1:-1, 1:-1]
    for di in (0, 1, 2):
        for dj in (0, 1, 2):
            step = np.float32(cell_m * math.hypot(di - 1, dj - 1))
            np.minimum(inner, far[:, di : nx - 2 + di, dj : ny - 2 + dj] + step, out=inner)
    return best
