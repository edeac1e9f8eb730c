"""From surfaces to what physics sees, with its measured error.

Owns: the collider backends and `measure.py`, the figures by which one is chosen; `usd_export` takes the same figures
from the written scene. Does not own: the surface (`lyra_sim.surface`), maps and robots.
Start reading at `build.py`."""

from lyra_sim.collision.build import collide

__all__ = ["collide"]
