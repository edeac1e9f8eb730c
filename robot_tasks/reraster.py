"""The gate that asks whether the written scene still gives the maps it was published with."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from lyra_sim.config.robots import load_robots
from lyra_sim.config.tasks import TasksConfig
from lyra_sim.core.records import Colliders, FloorGrid, Gate
from robot_tasks.colliders import rays_of, soup_of_parts, soup_of_scene
from robot_tasks.navmap import build_map, measure_ground, reraster_iou, robot_slab, state_iou

MAP_RERASTER_IOU = 0.99


def map_gates(
    folder: Path, *, floor: FloorGrid, config: TasksConfig, colliders: Colliders | None = None
) -> dict[str, Gate]:
    """`map_reraster_iou` of each robot: its map, made again from `folder/scene.usda`, against the written one in
    `folder/nav/<robot>/map.png` and, where `colliders` are given, against the one from memory; the smaller counts.

    Raises:
        InputError: the scene cannot be read.
    """
    soups = [soup_of_scene(folder / "scene.usda")]
    if colliders is not None:
        soups.append(soup_of_parts(colliders.parts))
    grounds = [measure_ground(rays_of(soup), floor) for soup in soups]
    found = {}
    for robot in load_robots(config.robots):
        maps = [build_map(s, g, robot_slab(robot), config.cell_m) for s, g in zip(soups, grounds, strict=True)]
        with Image.open(folder / "nav" / robot.name / "map.png") as image:
            stored = np.ascontiguousarray(np.asarray(image.convert("L"))[::-1].T)
        shares = {"the written map": state_iou(stored, maps[0].state)}
        if colliders is not None:
            shares["the map from memory"] = reraster_iou(maps[1], maps[0])
        other = min(shares, key=lambda name: shares[name])
        found[robot.name] = _gate(shares[other], f"{robot.name}: the written scene gives another map than {other}")
    return found


def map_gate(gates: Mapping[str, Gate]) -> Gate:
    """The gate of the world: that of the robot with the smallest share."""
    return min(gates.values(), key=lambda gate: gate.value or 0.0, default=_gate(1.0, ""))


def _gate(share: float, why: str) -> Gate:
    ok, value = share >= MAP_RERASTER_IOU, round(share, 5)
    return Gate(name="map_reraster_iou", value=value, limit=MAP_RERASTER_IOU, unit="1", ok=ok, why="" if ok else why)
