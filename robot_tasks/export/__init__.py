"""Maps and episodes in the formats that other programs read already, made from the files of a finished world.

Owns: which formats there are, and one small writer for each. Every writer starts from what `build_nav` has written
(`read_nav`), so that all formats say the same and any finished world can be exported again.
Does not own: maps, fields and episodes themselves; the ROS map, which is always written (`mapfiles.py`).
Start reading at `export_world` and `export_folder`.

Formats of one world lie in its folder, those of many beside `worlds.jsonl`; Habitat has a part in both.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lyra_sim.config.tasks import ExportFormat, RobotConfig
from robot_tasks.export import compass, habitat, igibson, isaac, mobility_gen
from robot_tasks.export.written import read_nav

__all__ = ["export_folder", "export_world"]

_OF_ROBOT = {"igibson": igibson.write, "isaac": isaac.write, "mobility_gen": mobility_gen.write}
_OF_FOLDER = {"compass": compass.write_scenes, "habitat": habitat.write_datasets}


def export_world(world: Path, robots: Sequence[RobotConfig], formats: Sequence[ExportFormat]) -> None:
    """Write the formats that lie in a world's folder, from its `nav/<robot>/`.

    Raises:
        InputError: a file that they are made from is missing or broken.
    """
    if "habitat" in formats:
        habitat.write_stage_config(world)
    for robot in robots:
        nav = read_nav(world / "nav" / robot.name)
        for name, write in _OF_ROBOT.items():
            if name in formats:
                write(nav, robot)


def export_folder(
    out: Path,
    worlds: Sequence[dict[str, Any]],
    robots: Sequence[RobotConfig],
    formats: Sequence[ExportFormat],
    *,
    cell_m: float,
    scratch: Path,
) -> list[str]:
    """Write the formats that cover all worlds of an output folder: `out/habitat`, `out/compass`. Each folder is made
    aside and swapped in whole; one of a format that is off, or without a world, is taken away. Returns the names of
    those that are there now.

    Args:
        worlds: lines of `worlds.jsonl`.
        cell_m: of the occupancy maps, metres.
        scratch: an empty folder on the same disk.

    Raises:
        InputError: a file that they are made from is missing or broken.
    """
    made = []
    for name, write in _OF_FOLDER.items():
        fresh = scratch / name
        if name in formats and worlds:
            fresh.mkdir()
            write(out, worlds, robots, cell_m, fresh)
        if (out / name).exists():
            (out / name).rename(scratch / f"old_{name}")
        if fresh.exists():
            fresh.rename(out / name)
            made.append(name)
    shutil.rmtree(scratch)
    return made
