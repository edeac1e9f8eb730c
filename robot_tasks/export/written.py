"""What `build_nav` wrote for a robot, read back: the map, fields and episodes that all formats are made from."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jaxtyping import Float64, UInt8
from PIL import Image

from lyra_sim.core.errors import InputError
from lyra_sim.core.record import record
from robot_tasks.episode_files import read_episodes

_TODO = "Make the world again with --fresh."


@record
class WrittenMap:
    """A ROS map as it lies on disk."""

    origin_m: Float64[np.ndarray, "2"]
    """World position of the lower left corner of cell (0, 0)."""
    cell_m: float
    state: UInt8[np.ndarray, "X Y"]
    """0 occupied, 127 unknown, 255 free."""


@record
class WrittenNav:
    """The files of one robot in one world."""

    folder: Path
    map: WrittenMap
    fields: dict[str, np.ndarray]
    """Arrays of `fields.npz` (see `mapfiles.write_fields`)."""
    episodes: list[dict[str, Any]]
    """Rows of `episodes.json.gz`."""


def read_map(path: Path) -> WrittenMap:
    """A map of ours by its yaml file.

    Raises:
        InputError: it or its image is missing or not one of ours.
    """
    try:
        meta = yaml.safe_load(path.read_text())
        with Image.open(path.parent / meta["image"], formats=("PNG",)) as image:
            rows = np.asarray(image.convert("L"))
        origin, cell_m = np.array(meta["origin"][:2], np.float64), float(meta["resolution"])
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise InputError(path, expected="a ROS map with its image", got=str(error)[:200], todo=_TODO) from error
    return WrittenMap(origin_m=origin, cell_m=cell_m, state=np.ascontiguousarray(rows[::-1].T))


def read_nav(folder: Path) -> WrittenNav:
    """The files of `nav/<robot>/`.

    Raises:
        InputError: one is missing or broken.
    """
    try:
        with np.load(folder / "fields.npz") as stored:
            fields = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        where = folder / "fields.npz"
        raise InputError(where, expected="the robot's fields", got=str(error)[:200], todo=_TODO) from error
    found = read_map(folder / "map.yaml")
    return WrittenNav(folder=folder, map=found, fields=fields, episodes=read_episodes(folder / "episodes.json.gz"))
