"""All navigation artefacts of a world, made from its written scene: `build_nav`."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from lyra_sim.config.tasks import RobotConfig, TasksConfig
from lyra_sim.core.record import record
from lyra_sim.core.records import FloorGrid
from lyra_sim.geometry.rays import RayScene
from robot_tasks import footprint, gates
from robot_tasks.colliders import Nearby, Soup, rays_of, soups_of_scene, together
from robot_tasks.episode_files import write_episodes
from robot_tasks.episodes import Episode, make_episodes
from robot_tasks.export import export_world
from robot_tasks.fields import make_fields
from robot_tasks.follower import drive, success_and_spl
from robot_tasks.free_points import DROP_SLAB, find_free_points, write_free_points
from robot_tasks.islands import find_space
from robot_tasks.mapfiles import write_fields, write_ros_map
from robot_tasks.navmap import Ground, NavMap, Slab, build_map, build_maps, measure_ground, robot_slab
from robot_tasks.preview import write_preview

COMPASS_SLAB = Slab(low_m=0.10, high_m=0.62, step_m=0.10, slope_deg=15.0)
COMPASS_CELL_M = 0.05
"""What COMPASS' own map generator uses (NVlabs/COMPASS)."""


@record
class Site:
    """What all robots of one world share."""

    soup: Soup
    nearby: Nearby
    rays: RayScene
    ground: Ground
    offered: tuple[Soup, ...]
    """Every variant of the colliders: free points hold on all of them."""
    band: NavMap
    """Map of the height band in which free points must be clear."""


def build_nav(
    scene: Path, out: Path, *, floor: FloorGrid, robots: Sequence[RobotConfig], config: TasksConfig, seed: int
) -> dict[str, Any]:
    """Write `out/omap/` and `out/nav/<robot>/` for a written USD scene.

    Args:
        scene: the written `scene.usda`; its colliders are the only geometry used.
        out: the world folder.
        floor: which cells are seen or filled floor; elsewhere nothing is known to be free.

    Returns:
        For each robot's name: `trainable`, `why`, the gates' values, `longest_geodesic_m`, `free_points`, `islands`.

    Raises:
        SceneError: the floor record is empty.
        InputError: the scene cannot be read.
    """
    return build_nav_of_soups(soups_of_scene(scene), out, floor=floor, robots=robots, config=config, seed=seed)


def build_nav_of_soups(
    soups: Sequence[Soup], out: Path, *, floor: FloorGrid, robots: Sequence[RobotConfig], config: TasksConfig, seed: int
) -> dict[str, Any]:
    """`build_nav` from collider triangles: those that maps and episodes are made of, then other variants of them, on
    which free points must hold too."""
    soup = soups[0]
    rays = rays_of(soup)
    ground = measure_ground(rays, floor)
    compass, *navs = maps_of(soup, ground, robots, config.cell_m)
    write_ros_map(compass, out / "omap", "occupancy_map", pgm=False, rgb=True)
    band = build_map(together(soups), ground, DROP_SLAB, config.cell_m)
    site = Site(soup=soup, nearby=Nearby(soup.triangles), rays=rays, ground=ground, offered=tuple(soups), band=band)
    nav = {
        robot.name: _build_robot(site, nav, out / "nav" / robot.name, robot, config, seed)
        for robot, nav in zip(robots, navs, strict=True)
    }
    export_world(out, robots, config.formats)
    return nav


def maps_of(soup: Soup, ground: Ground, robots: Sequence[RobotConfig], cell_m: float) -> list[NavMap]:
    """The map that COMPASS gets, then each robot's."""
    slabs = [robot_slab(robot) for robot in robots]
    if cell_m == COMPASS_CELL_M:
        return list(build_maps(soup, ground, [COMPASS_SLAB, *slabs], cell_m))
    return [build_map(soup, ground, COMPASS_SLAB, COMPASS_CELL_M), *build_maps(soup, ground, slabs, cell_m)]


def _build_robot(
    site: Site, nav: NavMap, folder: Path, robot: RobotConfig, config: TasksConfig, seed: int
) -> dict[str, Any]:
    space = find_space(nav, robot.radius_m, config.cell_m / 2)
    fields = make_fields(nav, space, robot, config, seed)
    episodes = make_episodes(nav, fields, robot, config, seed)
    drives = [drive(episode, nav, robot) for episode in episodes]
    points = find_free_points(site.offered, site.ground, site.band, space, robot, seed)
    success, spl = success_and_spl(drives, episodes)
    total = sum(space.areas_m2)
    area = space.areas_m2[0] if space.areas_m2 else 0.0
    judged = gates.robot_gates(
        area_m2=area,
        largest_share=area / total if total else 0.0,
        overlaps=count_overlaps(site, episodes, robot),
        success=success,
        spl=spl,
        episodes=len(episodes),
        min_episodes=config.min_episodes,
    )
    write_ros_map(nav, folder, "map", pgm=True)
    write_fields(nav, space, fields, folder / "fields.npz")
    heights = [(_floor_m(site.ground, e.start), _floor_m(site.ground, e.goal)) for e in episodes]
    write_episodes(episodes, drives, heights, robot.name, folder / "episodes.json.gz")
    write_free_points(points, folder / "free_points.csv")
    write_preview(nav, space, points, episodes, folder / "preview.png")
    summary = {
        **gates.verdict(judged, fields.longest_m),
        "longest_geodesic_m": round(fields.longest_m, 3),
        "free_points": len(points),
        "islands_m2": [round(a, 3) for a in space.areas_m2[:10]],
    }
    tree = {"robot": robot.name, "gates": gates.as_rows(judged), **summary}
    (folder / "gates.json").write_text(json.dumps(tree, indent=1, sort_keys=True) + "\n")
    return summary


def count_overlaps(site: Site, episodes: Sequence[Episode], robot: RobotConfig) -> int:
    """Start poses, and goal poses as the path reaches them, at which the robot's box meets a collider triangle."""
    poses = []
    for episode in episodes:
        poses.append((episode.start, episode.start_yaw))
        poses.append((episode.goal, float(footprint.headings(episode.path)[-1])))
    reach = footprint.circumscribed_m(robot)
    return sum(
        footprint.box_hits(
            site.nearby.around(p[0], p[1], reach), robot, p[0], p[1], stance_m(site.ground, robot, p), yaw
        )
        > 0
        for p, yaw in poses
    )


def stance_m(ground: Ground, robot: RobotConfig, point: Float64[np.ndarray, "2"]) -> float:
    """Height that a robot stands at, metres: that of the highest floor under it that it climbs from the floor at
    `point`, be that a door sill or the upper part of a slope."""
    reach = footprint.circumscribed_m(robot)
    floor = _floor_m(ground, point)
    low = np.maximum(np.floor((point - reach - ground.origin_m) / ground.cell_m).astype(int), 0)
    high = np.floor((point + reach - ground.origin_m) / ground.cell_m).astype(int) + 1
    window = (slice(low[0], high[0]), slice(low[1], high[1]))
    i, j = (np.arange(low[k], low[k] + n) for k, n in enumerate(ground.present[window].shape))
    away = [ground.origin_m[k] + (m + 0.5) * ground.cell_m - point[k] for k, m in enumerate((i, j))]
    under = ground.present[window] & (away[0][:, None] ** 2 + away[1][None] ** 2 <= reach**2)
    limit = robot.step_m + reach * math.tan(math.radians(robot.slope_deg))
    heights = ground.height_m[window][under]
    return float(heights[heights - floor <= limit].max(initial=floor))


def _floor_m(ground: Ground, point: np.ndarray) -> float:
    cell = np.floor((point - ground.origin_m) / ground.cell_m).astype(int)
    cell = np.minimum(cell, np.array(ground.present.shape) - 1)
    return float(ground.height_m[cell[0], cell[1]])
