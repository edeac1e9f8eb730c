"""What all robots of one world share: its colliders, floor, rooms, and how far colliders and what is seen agree."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from scipy import ndimage

from lyra_sim.config.tasks import RobotConfig
from lyra_sim.core.record import record
from lyra_sim.core.records import FloorGrid
from lyra_sim.geometry.rays import RayScene
from robot_tasks.colliders import Nearby, Soup, Thing, rays_of, together
from robot_tasks.free_points import DROP_SLAB
from robot_tasks.navmap import (
    OCCUPIED,
    UNKNOWN,
    Ground,
    NavMap,
    Slab,
    build_map,
    build_maps,
    measure_ground,
    robot_slab,
)
from robot_tasks.rooms import WALL_SLAB, Rooms, find_rooms

COMPASS_SLAB = Slab(low_m=0.10, high_m=0.62, step_m=0.10, slope_deg=15.0)
COMPASS_CELL_M = 0.05
"""What COMPASS' own map generator uses (NVlabs/COMPASS)."""
_ORIGIN_M = 0.1
"""How far above and below the world's origin its floor is looked for."""


@record
class Site:
    """One world, before any robot."""

    soup: Soup
    nearby: Nearby
    rays: RayScene
    ground: Ground
    offered: tuple[Soup, ...]
    """Every variant of the colliders: free points hold on all of them."""
    band: NavMap
    """Map of the height band in which free points must be clear."""
    rooms: Rooms
    visual_iou: float | None
    """How far the map of the visual mesh agrees with that of the colliders, between 0.10 and 0.62 m; None where there
    is no visual mesh."""
    visual: Soup | None
    things: tuple[Thing, ...]
    """Labelled parts of what is seen."""
    origin_floor_m: float | None
    """Height of the highest collider at the world's origin below 0.1 m; None where there is none down to -0.1 m."""


def look_at(
    soups: Sequence[Soup],
    visual: Soup | None,
    floor: FloorGrid,
    robots: Sequence[RobotConfig],
    cell_m: float,
    things: Sequence[Thing] = (),
) -> tuple[Site, NavMap, tuple[NavMap, ...]]:
    """The site, the map that COMPASS gets, and each robot's map.

    Args:
        soups: collider triangles: those that maps and episodes are made of, then other variants of them.
        visual: triangles of what is seen.
        things: labelled parts of it.

    Raises:
        SceneError: the floor record is empty.
    """
    soup = soups[0]
    rays = rays_of(soup)
    ground = measure_ground(rays, floor)
    slabs = [WALL_SLAB, *(robot_slab(robot) for robot in robots)]
    if cell_m == COMPASS_CELL_M:
        compass, walls, *navs = build_maps(soup, ground, [COMPASS_SLAB, *slabs], cell_m)
    else:
        compass = build_map(soup, ground, COMPASS_SLAB, COMPASS_CELL_M)
        walls, *navs = build_maps(soup, ground, slabs, cell_m)
    seen = None if visual is None else build_map(visual, ground, COMPASS_SLAB, COMPASS_CELL_M)
    site = Site(
        soup=soup,
        nearby=Nearby(soup.triangles),
        rays=rays,
        ground=ground,
        offered=tuple(soups),
        band=build_map(together(soups), ground, DROP_SLAB, cell_m),
        rooms=find_rooms(walls),
        visual_iou=None if seen is None else agreement(compass.state, seen.state),
        visual=visual,
        things=tuple(things),
        origin_floor_m=_floor_at_origin(rays),
    )
    return site, compass, tuple(navs)


def _floor_at_origin(rays: RayScene) -> float | None:
    depth, _, _ = rays.cast(np.array([[0.0011, 0.0007, _ORIGIN_M]]), np.array([[0.0, 0.0, -1.0]]))
    return _ORIGIN_M - float(depth[0]) if depth[0] <= 2 * _ORIGIN_M else None


def agreement(colliders: UInt8[np.ndarray, "X Y"], visual: UInt8[np.ndarray, "X Y"]) -> float:
    """Occupied cells of both maps over those of either; what one map alone has within a cell of the other's does not
    count, nor what is unknown (a wall is surface to the one, solid to the other)."""
    near = np.ones((3, 3), bool)
    a, b = colliders == OCCUPIED, visual == OCCUPIED
    known = (colliders != UNKNOWN) & (visual != UNKNOWN)
    lost = b & known & ~np.asarray(ndimage.binary_dilation(a, near), bool)
    invented = a & known & ~np.asarray(ndimage.binary_dilation(b, near), bool)
    either = (a | b).sum()
    return float(1 - (lost | invented).sum() / either) if either else 1.0
