"""From the fused surface to clean, labelled, painted meshes and a repaired floor.

Owns: cleaning, face labels, floor repair (what is flattened, what is filled, what must stay), texture, the far backdrop
of photos, surfels. Does not own: fusion (`lyra_sim.reconstruct`), colliders (`lyra_sim.collision`), files.
Start reading at `build.py`; the floor is decided in `floor.py` and `floor_fill.py`."""

from lyra_sim.surface.build import build_surface

__all__ = ["build_surface"]
