"""Observe: metric depth, gravity and scale of a capture, and how sure that is. One file per backend.

Owns: `sensor` (measured depth of RGB-D walks), `ground` (one photo, from its horizon, floor and upright things), where
the world frame lies (`frame.py`, shared by both) and its uncertainty.
Does not own: reading files (`lyra_sim.sources`), fusing several views (`lyra_sim.reconstruct`).
Start reading at `build.py`, then `sensor.py` or `ground.py`."""
