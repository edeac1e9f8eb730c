"""Maps as files: ROS map_server (which nav2, Isaac Sim, MobilityGen and COMPASS read) and the grids as npz."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lyra_sim.config.tasks import RobotConfig
from robot_tasks.fields import Fields
from robot_tasks.geodesic import sample
from robot_tasks.islands import Space
from robot_tasks.navmap import NavMap
from robot_tasks.rooms import Rooms

ROBOT = "robot.json"
"""Beside the maps of a robot: the profile that they were made for."""


def write_ros_map(nav: NavMap, folder: Path, name: str, *, pgm: bool, rgb: bool = False) -> None:
    """`<name>.yaml` and `<name>.png` (and `.pgm`): 0 occupied, 127 unknown, 255 free; image row 0 is the largest y.
    `rgb`: the PNG has three equal channels; COMPASS takes the first of several and fails on a grey image.

    `origin` is the world position of the lower left corner of the image's lower left pixel.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.ascontiguousarray(nav.state.T[::-1])
    Image.fromarray(np.stack([rows] * 3, axis=2) if rgb else rows).save(folder / f"{name}.png")
    if pgm:
        header = f"P5\n{rows.shape[1]} {rows.shape[0]}\n255\n".encode()
        (folder / f"{name}.pgm").write_bytes(header + rows.tobytes())
    x, y = (round(float(v), 6) for v in nav.origin_m)
    (folder / f"{name}.yaml").write_text(
        f"image: {name}.png\nresolution: {round(nav.cell_m, 6)}\norigin: [{x}, {y}, 0.0]\n"
        "negate: 0\noccupied_thresh: 0.65\nfree_thresh: 0.196\nmode: trinary\n"
    )


def write_robot(robot: RobotConfig, path: Path) -> None:
    """`robot.json`: the profile that the files beside it were made for."""
    path.write_text(json.dumps(robot.model_dump(mode="json"), indent=1, sort_keys=True) + "\n")


def write_fields(nav: NavMap, space: Space, fields: Fields, path: Path) -> None:
    """`fields.npz`: the arrays of `field_grids`."""
    save_arrays(path, field_grids(nav, space, fields))


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """An npz as numpy reads it, the same bytes for the same arrays. Fields are mostly inf: the fastest level makes them
    nearly as small as numpy's own, four times as fast."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)


def field_grids(nav: NavMap, space: Space, fields: Fields) -> dict[str, Any]:
    """All grids on the map's cells, indexed [x, y] from `origin_m`:

    goals (G, 2) metres; distance_m float16 (G, X, Y), inf where unreachable; clearance_m float16 (X, Y);
    island int16 (X, Y), 0 not navigable, 1 the largest; origin_m (2,); cell_m.
    """
    shape = nav.state.shape
    at = (np.indices(shape).reshape(2, -1).T + 0.5) * nav.cell_m + nav.origin_m
    clearance = sample(nav.clearance_m, nav.origin_m, nav.fine_m, at).reshape(shape)
    ratio = round(nav.cell_m / space.cell_m)
    cut = space.island.reshape(shape[0], ratio, shape[1], ratio)
    island = np.where((cut > 0).any((1, 3)), np.where(cut > 0, cut, 10_000).min((1, 3)), 0)
    return {
        "goals": fields.goals,
        "distance_m": fields.distance_m.astype(np.float16),
        "clearance_m": clearance.astype(np.float16),
        "island": island.astype(np.int16),
        "origin_m": nav.origin_m,
        "cell_m": np.float64(nav.cell_m),
    }


def write_rooms(rooms: Rooms, path: Path) -> None:
    """`rooms.json`: rooms by number with their area and middle, doors with the rooms they join, place and width;
    and `rooms.png` beside it: grey value 0 outside, else the room's number, on the lattice given in the file."""
    cells = [np.argwhere(rooms.label == k + 1) for k in range(len(rooms.areas_m2))]
    middles = [rooms.origin_m + (c[np.argmin(np.hypot(*(c - c.mean(0)).T))] + 0.5) * rooms.cell_m for c in cells]
    tree = {
        "frame": "world frame of scene.usda, metres",
        "origin": [round(float(v), 6) for v in rooms.origin_m],
        "resolution": rooms.cell_m,
        "rooms": [
            {"room": k + 1, "area_m2": round(area, 3), "middle": [round(float(v), 3) for v in middles[k]]}
            for k, area in enumerate(rooms.areas_m2)
        ],
        "doors": [
            {
                "door": k,
                "rooms": list(door.rooms),
                "position": [round(float(v), 3) for v in door.centre],
                "width_m": round(door.width_m, 3),
            }
            for k, door in enumerate(rooms.doors)
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree, indent=1, sort_keys=True) + "\n")
    Image.fromarray(np.ascontiguousarray(rooms.label.T[::-1].astype(np.uint8))).save(path.with_suffix(".png"))
