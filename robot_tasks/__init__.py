"""From a USD scene to navigation training: occupancy maps, islands, geodesics, free points, verified episodes.

Owns: everything below `omap/` and `nav/` of a world folder, made from the colliders of the written scene and the floor
record; the follower that drives every episode before it is published.
Does not own: robot profiles (`lyra_sim.config.robots`), USD (`usd_export` reads it; `colliders.py` is the only file
that asks it), geometry of the world, physics engines.
Start reading at `build.py` (`build_nav`), then `navmap.py`, `plan.py`, `episodes.py`.

Frames and indices: world frame of `lyra_sim.core.conventions`; grids are indexed [x, y], cell (i, j) covers
`origin + [i, j] * cell` and one cell on; images have row 0 at the largest y. Lengths in metres, yaw 0 along +x.
"""

from robot_tasks.build import build_nav
from robot_tasks.reraster import map_gate, map_gates

__all__ = ["build_nav", "map_gate", "map_gates"]
