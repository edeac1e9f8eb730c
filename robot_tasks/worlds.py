"""Finished worlds as a trainer reads them: maps, distance fields and episodes of one robot, from an output folder."""

import json
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jaxtyping import Float16, Float32, Float64, Int16, Int32, UInt8
from PIL import Image

from lyra_sim.config.tasks import MAPPED, RobotConfig
from lyra_sim.core.errors import InputError
from lyra_sim.core.record import record
from robot_tasks.episode_files import read_episodes
from robot_tasks.episodes import Episode, Fields
from robot_tasks.islands import Space
from robot_tasks.lidar import read_lidar
from robot_tasks.mapfiles import ROBOT, field_grids
from robot_tasks.navmap import NavMap

_AGAIN = "Make the world again with --fresh."


@record
class EpisodeTable:
    """Navigation tasks, one a row. World frame, metres, yaw 0 along +x."""

    start: Float64[np.ndarray, "E 2"]
    yaw: Float64[np.ndarray, "E"]
    goal: Float64[np.ndarray, "E 2"]
    goal_index: Int32[np.ndarray, "E"]
    """Row of `NavWorld.goals`, hence of the distance fields."""
    geodesic_m: Float64[np.ndarray, "E"]
    """Shortest way of the robot's centre."""
    ratio: Float64[np.ndarray, "E"]
    """Geodesic over straight distance."""
    floor_m: Float64[np.ndarray, "E 2"]
    """Height that the robot stands at, at start and goal."""

    def __len__(self) -> int:
        return len(self.yaw)


@record
class NavWorld:
    """One world for one robot. Grids are indexed [x, y]; cell (i, j) covers `origin_m + [i, j] * cell_m` and one
    cell on."""

    name: str
    robot: str
    split: str
    """train, val or test."""
    scale_sigma: float
    """Standard deviation of the logarithm of the world's scale."""
    folder: Path | None
    """Of the world, with its scene.usda; None for one made in memory."""
    origin_m: Float64[np.ndarray, "2"]
    cell_m: float
    state: UInt8[np.ndarray, "X Y"]
    """0 occupied, 127 unknown, 255 free."""
    clearance_m: Float32[np.ndarray, "X Y"]
    """At cell centres: lower bound of the distance to anything that is not free."""
    island: Int16[np.ndarray, "X Y"]
    """0 where the robot's centre cannot be, 1 the largest island, 2 the next, ..."""
    goals: Float64[np.ndarray, "G 2"]
    distance_m: Float16[np.ndarray, "G X Y"]
    """Shortest way from cell centres to each goal; inf where there is none."""
    lines_m: Float32[np.ndarray, "S 2 2"]
    """Ends x, y of the lines that the robot's lidar meets (`lidar.cut`)."""
    lidar_height_m: float
    """Of that lidar over the floor."""
    episodes: EpisodeTable


def read_worlds(out: Path, robot: RobotConfig, split: str | None = None) -> tuple[NavWorld, ...]:
    """Worlds of an output folder in which `robot` can be trained, in the order of its worlds.jsonl.

    Args:
        split: train, val or test; None for all.

    Raises:
        InputError: no such folder, none of its worlds fits, a file of a world is missing or broken, or a world's maps
            were made for another profile of that name.
    """
    rows = _index(Path(out))
    fits = [row for row in rows if robot.name in row["robots"] and split in (None, row["split"])]
    if not fits:
        offered = sorted({f"{name} ({row['split']})" for row in rows for name in row["robots"]})
        raise InputError(
            out,
            expected=f"worlds for {robot.name}" + (f" of split {split}" if split else ""),
            got=f"{len(rows)} worlds, trainable: {', '.join(offered) or 'none'}",
            todo="Name another robot or split, or make more worlds.",
        )
    return tuple(read_world(Path(out) / row["path"], robot, row["split"], float(row["scale_sigma"])) for row in fits)


def _index(out: Path) -> list[dict[str, Any]]:
    path = out / "worlds.jsonl"
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        for row in rows:
            _ = row["path"], row["robots"], row["split"], float(row["scale_sigma"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            path, expected="the list of worlds of an output folder", got=f"{type(error).__name__}: {error}",
            todo="Give the folder that `lyra-sim run` wrote to.",
        ) from error  # fmt: skip
    return rows


def read_world(folder: Path, robot: RobotConfig, split: str = "train", scale_sigma: float = 0.0) -> NavWorld:
    """One world from its folder.

    Raises:
        InputError: a file is missing, broken or does not go with the others, or the maps were made for another profile
            of the robot's name. Worlds of earlier versions have no robot.json and are taken as they are.
    """
    nav = folder / "nav" / robot.name
    _insist_on_profile(nav / ROBOT, robot)
    try:
        head = yaml.safe_load((nav / "map.yaml").read_text())
        with Image.open(nav / str(head["image"])) as image:
            state = np.ascontiguousarray(np.asarray(image.convert("L"))[::-1].T)
        with np.load(nav / "fields.npz") as stored:
            grids = {name: stored[name] for name in stored.files}
        if state.shape != grids["island"].shape or abs(float(head["resolution"]) - float(grids["cell_m"])) > 1e-6:
            raise ValueError(f"map of {state.shape} cells, fields of {grids['island'].shape}")
    except (OSError, EOFError, ValueError, KeyError, TypeError, yaml.YAMLError, zipfile.BadZipFile) as error:
        raise InputError(
            nav, expected="map.yaml, its picture and fields.npz that go together",
            got=f"{type(error).__name__}: {error}", todo=_AGAIN,
        ) from error  # fmt: skip
    episodes = _table(read_episodes(nav / "episodes.json.gz"), grids["goals"], nav)
    return _world(folder.name, robot.name, split, scale_sigma, folder, state, grids, read_lidar(nav), episodes)


def _insist_on_profile(path: Path, robot: RobotConfig) -> None:
    """Sensors, accelerations and the asset of a robot may change without new maps; what these were made from may not.

    Raises:
        InputError: it did, or the file is broken.
    """
    if not path.exists():
        return
    given = robot.model_dump(mode="json")
    try:
        made = json.loads(path.read_bytes())
        other = [f"{name} {made[name]}, not {given[name]}" for name in MAPPED if made[name] != given[name]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            path,
            expected="the profile that the maps were made for",
            got=f"{type(error).__name__}: {error}",
            todo=_AGAIN,
        ) from error
    if other:
        raise InputError(
            path, expected=f"maps made for the profile of {robot.name}", got=f"{'; '.join(other)}",
            todo="Run `lyra-sim run` with this profile and the same --out again, or give the profile of the maps.",
        )  # fmt: skip


def _world(
    name: str, robot: str, split: str, scale_sigma: float, folder: Path | None, state: np.ndarray,
    grids: dict[str, Any], lidar: tuple[np.ndarray, float], episodes: EpisodeTable,
) -> NavWorld:  # fmt: skip
    return NavWorld(
        name=name,
        robot=robot,
        split=split,
        scale_sigma=scale_sigma,
        folder=folder,
        origin_m=np.array(grids["origin_m"], np.float64),
        cell_m=float(grids["cell_m"]),
        state=state,
        clearance_m=grids["clearance_m"].astype(np.float32),
        island=grids["island"],
        goals=np.array(grids["goals"], np.float64).reshape(-1, 2),
        distance_m=grids["distance_m"],
        lines_m=lidar[0],
        lidar_height_m=lidar[1],
        episodes=episodes,
    )


def _table(rows: list[dict[str, Any]], goals: np.ndarray, where: Path) -> EpisodeTable:
    try:
        start, goal = (
            np.array([list(pick(row)) for row in rows], np.float64).reshape(-1, 3)
            for pick in (lambda row: row["start_position"], lambda row: row["goals"][0]["position"])
        )
        turned = [row["start_rotation"] for row in rows]
        yaw = np.array([2 * math.atan2(q[3], q[0]) for q in turned], np.float64)
        geodesic = np.array([row["info"]["geodesic_distance"] for row in rows], np.float64)
        ratio = np.array([row["info"]["ratio"] for row in rows], np.float64)
        return _rows(start[:, :2], yaw, goal[:, :2], goals, geodesic, ratio, np.column_stack([start[:, 2], goal[:, 2]]))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(
            where / "episodes.json.gz", expected="episodes towards the goals of fields.npz",
            got=f"{type(error).__name__}: {error}", todo=_AGAIN,
        ) from error  # fmt: skip


def _rows(
    start: np.ndarray, yaw: np.ndarray, goal: np.ndarray, goals: np.ndarray, geodesic: np.ndarray, ratio: np.ndarray,
    floor: np.ndarray,
) -> EpisodeTable:  # fmt: skip
    index = np.zeros(len(goal), np.int32)
    if len(goal):
        away = np.hypot(*(goal[:, None] - goals[None]).transpose(2, 0, 1))
        index = away.argmin(1).astype(np.int32)
        if (worst := float(away.min(1).max())) > 1e-3:
            raise ValueError(f"a goal {worst:.3f} m from that of every distance field")
    return EpisodeTable(
        start=start, yaw=(yaw + np.pi) % (2 * np.pi) - np.pi, goal=goal, goal_index=index, geodesic_m=geodesic,
        ratio=ratio, floor_m=floor,
    )  # fmt: skip


def world_in_memory(
    name: str,
    robot: RobotConfig,
    nav: NavMap,
    space: Space,
    fields: Fields,
    lines_m: Float32[np.ndarray, "S 2 2"],
    episodes: Sequence[Episode],
    *,
    split: str = "train",
    scale_sigma: float = 0.0,
) -> NavWorld:
    """The world that reading the files of the same map, fields, lidar and episodes would give, without files. The floor
    is taken to be at height 0."""
    start, goal = (
        np.array([getattr(e, end) for e in episodes], np.float64).reshape(-1, 2) for end in ("start", "goal")
    )
    table = _rows(
        start,
        np.array([e.start_yaw for e in episodes], np.float64),
        goal,
        fields.goals,
        np.array([e.geodesic_m for e in episodes], np.float64),
        np.array([e.geodesic_m / max(e.euclidean_m, 1e-9) for e in episodes], np.float64),
        np.zeros((len(episodes), 2)),
    )
    grids, lidar = field_grids(nav, space, fields), (lines_m, robot.lidar.height_m)
    return _world(name, robot.name, split, scale_sigma, None, nav.state.copy(), grids, lidar, table)
