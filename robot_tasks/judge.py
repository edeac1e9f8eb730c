"""What is measured for one robot in one world before it counts as trainable."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from lyra_sim.config.tasks import RobotConfig, TasksConfig
from robot_tasks import footprint
from robot_tasks.episodes import Episode
from robot_tasks.follower import Drive, success_and_spl
from robot_tasks.gates import Findings
from robot_tasks.geodesic import sample
from robot_tasks.islands import Space
from robot_tasks.navmap import FREE, NavMap, distance_to
from robot_tasks.place import Site
from robot_tasks.rooms import room_in, unreached
from robot_tasks.simple import simple_success
from robot_tasks.swept import Stances, path_hits

_REACHED_M2 = 0.25
"""A room is reached where so much of it belongs to the largest island."""


def measure(
    site: Site,
    nav: NavMap,
    space: Space,
    episodes: Sequence[Episode],
    drives: Sequence[Drive],
    door_margin_m: float | None,
    robot: RobotConfig,
    config: TasksConfig,
    seed: int,
) -> Findings:
    """Everything that the gates of one robot ask for.

    Args:
        door_margin_m: of the narrowest door that an episode leads through; None without doors.
    """
    total = sum(space.areas_m2)
    area = space.areas_m2[0] if space.areas_m2 else 0.0
    spots = space.centre(np.argwhere(space.main))
    success, spl = success_and_spl(drives, episodes)
    chance, straight = simple_success(episodes, nav, robot, seed)
    stances = Stances(site.ground, robot)
    return Findings(
        origin_floor_m=site.origin_floor_m,
        origin_away_m=float(np.hypot(*spots.T).min()) if len(spots) else None,
        area_m2=area,
        floor_share=floor_share(nav, space, robot),
        largest_share=area / total if total else 0.0,
        rooms=len(site.rooms.areas_m2),
        unreached=tuple(unreached(site.rooms, space.main, space.cell_m, _REACHED_M2)),
        end_clearance_m=end_clearance_m(nav, episodes) - robot.radius_m if episodes else 0.0,
        cell_m=nav.cell_m,
        overlaps=count_overlaps(site, stances, episodes),
        path_overlaps=sum(path_hits(site.nearby, stances, e.path, e.start_yaw) is not None for e in episodes),
        success=success,
        spl=spl,
        random_success=chance,
        straight_success=straight,
        visual_iou=site.visual_iou,
        door_margin_m=door_margin_m,
        episodes=len(episodes),
        min_episodes=config.min_episodes,
    )


def door_margins(site: Site, nav: NavMap, robot: RobotConfig) -> list[float]:
    """Of each door of the site, what it is wider for this robot than the robot, metres."""
    return [room_in(nav, door, robot.radius_m) - 2 * robot.radius_m for door in site.rooms.doors]


def floor_share(nav: NavMap, space: Space, robot: RobotConfig) -> float:
    """Of the map's free cells, the share that the robot's disc covers from its largest island; 0 without free cells."""
    free = nav.state == FREE
    split = round(nav.cell_m / space.cell_m)
    covered = distance_to(space.coarse(split), nav.cell_m) <= robot.radius_m + nav.cell_m
    return float((free & covered).sum() / free.sum()) if free.any() and space.main.any() else 0.0


def end_clearance_m(nav: NavMap, episodes: Sequence[Episode]) -> float:
    """Least clearance of any start or goal on the written map."""
    ends: Float64[np.ndarray, "N 2"] = np.array([p for e in episodes for p in (e.start, e.goal)])
    return float(sample(nav.map_clearance_m(), nav.origin_m, nav.fine_m, ends).min())


def count_overlaps(site: Site, stances: Stances, episodes: Sequence[Episode]) -> int:
    """Start poses, and goal poses as the path reaches them, at which the robot's box meets a collider triangle."""
    robot, reach = stances.robot, footprint.circumscribed_m(stances.robot)
    starts = [(*e.start, e.start_yaw) for e in episodes]
    goals = [(*e.goal, float(footprint.headings(e.path)[-1])) for e in episodes]
    poses = np.array([*starts, *goals]).reshape(-1, 3)
    return sum(
        footprint.box_hits(site.nearby.around(x, y, reach), robot, x, y, floor, yaw) > 0
        for (x, y, yaw), floor in zip(poses, stances.at(poses[:, :2]), strict=True)
    )
