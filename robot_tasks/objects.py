"""Object navigation: which labelled objects a robot can look at, from where, and how far that is from its starts.

An object is a prim of the scene that carries a label; its category is what the label says, nothing is guessed. Where
one prim holds all objects of a class, it is one goal, and any place beside its surface is beside it. A view point is a
place on the robot's largest island within `REACH_M` of the object's surface, with a clear line from the camera to the
nearest spot of it (rays against all that is seen), from which the camera, turned there, sees some of it.
"""

import gzip
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from lyra_sim.config.tasks import RobotConfig
from lyra_sim.core.errors import InputError
from lyra_sim.core.record import record
from lyra_sim.geometry.rays import RayScene
from robot_tasks.colliders import Soup, Thing, rays_of
from robot_tasks.episodes import Episode
from robot_tasks.fields import domain
from robot_tasks.geodesic import nearest_field
from robot_tasks.islands import Space
from robot_tasks.navmap import NavMap
from robot_tasks.place import Site
from robot_tasks.sensors import camera_rays
from robot_tasks.swept import Stances

STRUCTURE = frozenset({"floor", "wall", "ceiling"})
"""Labels of what is no object."""
REACH_M = 1.0
OBJECTS = "objects.json.gz"
_STEP_M = 0.25
"""Between view points."""
_WIDE_PX = 32
"""Columns of the picture by which a view is judged."""
_TOUCH_M = 0.02


@record
class ObjectGoal:
    """An object with the places that it can be looked at from. World frame."""

    thing: Thing
    position: Float64[np.ndarray, "3"]
    """The spot of its surface nearest its middle."""
    views: Float64[np.ndarray, "V 4"]
    """x, y and the height that the robot stands at, yaw."""
    iou: Float64[np.ndarray, "V"]
    """Of the object's pixels with the middle half (in width and height) of the picture, as habitat-lab defines it."""


def find_goals(things: Sequence[Thing], seen: Soup, stances: Stances, space: Space) -> tuple[ObjectGoal, ...]:
    """The objects of which the robot sees something from a view point.

    Args:
        seen: everything visible, the objects too.
        stances: heights that the robot stands at.
    """
    stride = max(round(_STEP_M / space.cell_m), 1)
    cells = np.argwhere(space.main)
    spots = space.centre(cells[(cells % stride == stride // 2).all(1)])
    feet = np.column_stack([spots, stances.at(spots)])
    everything, found = rays_of(seen), []
    for thing in things if len(feet) else ():
        alone = RayScene(thing.triangles.reshape(-1, 3), np.arange(3 * len(thing.triangles)).reshape(-1, 3))
        views, iou = _views(alone, everything, feet, stances.robot)
        if len(views):
            corners = thing.triangles.reshape(-1, 3)
            position, _ = alone.closest((corners.min(0) + corners.max(0))[None] / 2)
            found.append(ObjectGoal(thing=thing, position=position[0].copy(), views=views, iou=iou))
    return tuple(found)


def _views(
    alone: RayScene, everything: RayScene, feet: Float64[np.ndarray, "F 3"], robot: RobotConfig
) -> tuple[Float64[np.ndarray, "V 4"], Float64[np.ndarray, "V"]]:
    """Of the places `feet` those from which the object `alone` can be looked at, and how well."""
    camera = robot.camera.model_copy(
        update={"width": _WIDE_PX, "height": max(round(_WIDE_PX * robot.camera.height / robot.camera.width), 2)}
    )
    near, _ = alone.closest(feet + np.array([0.0, 0.0, camera.height_m]))
    way = near[:, :2] - feet[:, :2]
    apart = np.hypot(*way.T)
    close = (apart <= REACH_M) & (apart > max(camera.forward_m, 0.0) + _TOUCH_M)
    feet, near, yaw = feet[close], near[close], np.arctan2(way[close, 1], way[close, 0])
    c, s = np.cos(yaw), np.sin(yaw)
    eye = feet + np.column_stack([camera.forward_m * c, camera.forward_m * s, np.full(len(feet), camera.height_m)])
    to = near - eye
    first, _, _ = everything.cast(eye, to)
    clear = first * np.linalg.norm(to, axis=1) >= np.linalg.norm(to, axis=1) - _TOUCH_M
    eye, c, s = eye[clear], c[clear, None, None], s[clear, None, None]
    pixels = camera_rays(camera)
    turned = [c * pixels[..., 0] - s * pixels[..., 1], s * pixels[..., 0] + c * pixels[..., 1]]
    rays = np.stack([*turned, np.broadcast_to(pixels[..., 2], turned[0].shape)], -1)
    starts = np.repeat(eye, pixels.shape[0] * pixels.shape[1], 0)
    depth, limit = [scene.cast(starts, rays.reshape(-1, 3))[0].reshape(rays.shape[:3]) for scene in (alone, everything)]
    shown = (depth <= camera.range_m) & (depth <= limit + 1e-3)
    kept = shown.any((1, 2))
    return np.column_stack([feet[clear], yaw[clear]])[kept], _iou(shown[kept])


def _iou(shown: Bool[np.ndarray, "V H W"]) -> Float64[np.ndarray, "V"]:
    rows, columns = shown.shape[1], shown.shape[2]
    middle = np.zeros((rows, columns), bool)
    middle[round(rows / 4) : round(rows * 3 / 4), round(columns / 4) : round(columns * 3 / 4)] = True
    return (shown & middle).sum((1, 2)) / (shown | middle).sum((1, 2))


def write_objects(
    site: Site,
    nav: NavMap,
    space: Space,
    episodes: Sequence[Episode],
    robot: RobotConfig,
    least_m: float,
    path: Path,
) -> dict[str, Any]:
    """`objects.json.gz`: goals, and for each start of `episodes` and category an episode when the way to its nearest
    view point is at least `least_m` long. The same input gives the same bytes; without goals nothing is written.

    Returns:
        `categories`: number of objects, view points and episodes of each; `why` there are none, else empty.
    """
    things = [thing for thing in site.things if thing.category not in STRUCTURE]
    stances = Stances(site.ground, robot)
    goals = () if site.visual is None else find_goals(things, site.visual, stances, space)
    if not goals:
        why = f"none is in sight within {REACH_M:g} m of where the robot can be"
        return {"categories": {}, "why": why if things else "nothing seen has a label but floor, wall and ceiling"}
    starts = np.array([e.start for e in episodes]).reshape(-1, 2)
    floor = stances.at(starts)
    free = domain(space, round(nav.cell_m / space.cell_m))
    rows: list[dict[str, Any]] = []
    told: dict[str, dict[str, int]] = {}
    for category in sorted({goal.thing.category for goal in goals}):
        own = [goal for goal in goals if goal.thing.category == category]
        views = np.concatenate([goal.views[:, :2] for goal in own])
        far, before = _ways(free, nav, starts, views), len(rows)
        for k in map(int, np.flatnonzero((far >= least_m) & np.isfinite(far))):
            straight = float(np.hypot(*(views - starts[k]).T).min())
            row = {
                "episode_id": str(len(rows)),
                "object_category": category,
                "start_position": _rounded([*starts[k], floor[k]]),
                "start_rotation": _about_z(episodes[k].start_yaw),
                "info": {
                    "geodesic_distance": round(max(float(far[k]), straight), 4),
                    "euclidean_distance": round(straight, 4),
                },
            }
            rows.append(row)
        told[category] = {"objects": len(own), "view_points": len(views), "episodes": len(rows) - before}
    tree = {"objects": [_goal_row(k, goal) for k, goal in enumerate(goals)], "episodes": rows}
    text = json.dumps(tree, separators=(",", ":"), sort_keys=True)
    path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))
    return {"categories": told, "why": ""}


def _ways(free: np.ndarray, nav: NavMap, starts: np.ndarray, views: np.ndarray) -> Float64[np.ndarray, "E"]:
    """Geodesic distance of each start to the nearest view point, by cells; inf where there is no way."""
    sources, at = (np.floor((points - nav.origin_m) / nav.cell_m).astype(np.int64) for points in (views, starts))
    return nearest_field(free, np.unique(sources, axis=0), nav.cell_m)[at[:, 0], at[:, 1]]


def _goal_row(number: int, goal: ObjectGoal) -> dict[str, Any]:
    return {
        "object_id": str(number),
        "prim": goal.thing.prim,
        "object_category": goal.thing.category,
        "position": _rounded(goal.position),
        "view_points": [
            {"position": _rounded(view[:3]), "rotation": _about_z(float(view[3])), "iou": round(float(iou), 4)}
            for view, iou in zip(goal.views, goal.iou, strict=True)
        ],
    }


def _rounded(point: Sequence[float] | np.ndarray) -> list[float]:
    return [round(float(v), 4) for v in point]


def _about_z(yaw: float) -> list[float]:
    """w, x, y, z."""
    return [round(math.cos(yaw / 2), 9), 0.0, 0.0, round(math.sin(yaw / 2), 9)]


def read_objects(path: Path) -> dict[str, Any]:
    """A file of `write_objects`: `objects` and `episodes`, in the frame of `episode_files.FRAME`.

    Raises:
        InputError: the file is not one of ours.
    """
    try:
        tree = json.loads(gzip.decompress(path.read_bytes()))
        return {"objects": tree["objects"], "episodes": tree["episodes"]}
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            path, expected="an objects.json.gz", got=str(error), todo="Make the world again with --fresh."
        ) from error
