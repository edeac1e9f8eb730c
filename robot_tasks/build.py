"""All navigation artefacts of a world, made from its written scene: `build_nav`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lyra_sim.config.tasks import RobotConfig, TasksConfig
from lyra_sim.core.records import FloorGrid
from robot_tasks import gates
from robot_tasks.colliders import Soup, Thing, soups_of_scene
from robot_tasks.episode_files import write_episodes
from robot_tasks.episodes import make_episodes
from robot_tasks.export import export_world
from robot_tasks.fields import make_fields
from robot_tasks.follower import drive
from robot_tasks.free_points import find_free_points, write_free_points
from robot_tasks.islands import find_space
from robot_tasks.judge import door_margins, measure
from robot_tasks.lidar import cut, write_lidar
from robot_tasks.mapfiles import ROBOT, write_fields, write_robot, write_rooms, write_ros_map
from robot_tasks.navmap import NavMap
from robot_tasks.objects import OBJECTS, write_objects
from robot_tasks.place import Site, look_at
from robot_tasks.preview import write_preview
from robot_tasks.rooms import crossed
from robot_tasks.swept import Stances


def build_nav(
    scene: Path, out: Path, *, floor: FloorGrid, robots: Sequence[RobotConfig], config: TasksConfig, seed: int
) -> dict[str, Any]:
    """Write `out/omap/` and `out/nav/<robot>/` for a written USD scene.

    Args:
        scene: the written `scene.usda`; its colliders are the only geometry used.
        out: the world folder.
        floor: which cells are seen or filled floor; elsewhere nothing is known to be free.

    Returns:
        For each robot's name: `trainable`, `why`, the gates' values, `longest_geodesic_m`, `free_points`, `islands`,
        `objects` (see `objects.write_objects`).

    Raises:
        SceneError: the floor record is empty.
        InputError: the scene cannot be read.
    """
    soups, visual, things = soups_of_scene(scene)
    return build_nav_of_soups(
        soups, out, visual=visual, things=things, floor=floor, robots=robots, config=config, seed=seed
    )


def build_nav_of_soups(
    soups: Sequence[Soup],
    out: Path,
    *,
    floor: FloorGrid,
    robots: Sequence[RobotConfig],
    config: TasksConfig,
    seed: int,
    visual: Soup | None = None,
    things: Sequence[Thing] = (),
) -> dict[str, Any]:
    """`build_nav` from collider triangles: those that maps and episodes are made of, then other variants of them, on
    which free points must hold too.

    Args:
        visual: triangles of what is seen, to compare with the colliders.
        things: labelled parts of it.
    """
    site, compass, navs = look_at(soups, visual, floor, robots, config.cell_m, things)
    write_ros_map(compass, out / "omap", "occupancy_map", pgm=False, rgb=True)
    nav = {
        robot.name: _build_robot(site, nav, out / "nav" / robot.name, robot, config, seed)
        for robot, nav in zip(robots, navs, strict=True)
    }
    write_rooms(site.rooms, out / "nav" / "rooms.json")
    export_world(out, robots, config.formats)
    return nav


def _build_robot(
    site: Site, nav: NavMap, folder: Path, robot: RobotConfig, config: TasksConfig, seed: int
) -> dict[str, Any]:
    space = find_space(nav, robot.radius_m, config.cell_m / 2)
    fields = make_fields(nav, space, robot, config, seed)
    episodes = make_episodes(nav, fields, robot, config, seed)
    drives = [drive(episode, nav, robot) for episode in episodes]
    points = find_free_points(site.offered, site.ground, site.band, space, robot, seed)
    doors, margins = [crossed(site.rooms, e.path) for e in episodes], door_margins(site, nav, robot)
    narrowest = min((margins[door] for way in doors for door in way), default=None)
    judged = gates.robot_gates(measure(site, nav, space, episodes, drives, narrowest, robot, config, seed))
    write_ros_map(nav, folder, "map", pgm=True)
    write_robot(robot, folder / ROBOT)
    write_fields(nav, space, fields, folder / "fields.npz")
    write_lidar(cut(site.soup, site.ground, robot.lidar.height_m), robot.lidar.height_m, folder)
    stances = Stances(site.ground, robot)
    heights = [(float(a), float(b)) for a, b in (stances.at(np.stack([e.start, e.goal])) for e in episodes)]
    write_episodes(episodes, drives, heights, doors, site.rooms, margins, robot.name, folder / "episodes.json.gz")
    write_free_points(points, folder / "free_points.csv")
    write_preview(nav, space, points, episodes, folder / "preview.png", rooms=site.rooms, margins_m=margins)
    told = {}
    if "habitat" in config.formats:
        told["objects"] = write_objects(site, nav, space, episodes, robot, config.min_geodesic_m, folder / OBJECTS)
    summary = {
        **gates.verdict(judged, fields.longest_m),
        "longest_geodesic_m": round(fields.longest_m, 3),
        "free_points": len(points),
        "islands_m2": [round(a, 3) for a in space.areas_m2[:10]],
        **told,
    }
    tree = {"robot": robot.name, "gates": gates.as_rows(judged), **summary}
    (folder / "gates.json").write_text(json.dumps(tree, indent=1, sort_keys=True) + "\n")
    return summary
