"""Observe: metric depth, gravity and scale of a capture, and how sure that is. One file per backend.

Owns: `sensor` (measured depth of RGB-D walks; what moved is left out by `movers`, exposure evened by `exposure`),
`ground` (one photo, from its horizon, floor and upright things),
`photo_network` (one photo, by a network of `networks`), depth of generated frames (`new_frames`, `align`), where
the world frame lies (`frame.py`, shared by all), where its metres come from (`scale_cues`, `walk_scale`, `gps_scale`)
and how sure they are (`photo_doubt`, `camera_height`).
Does not own: reading files (`lyra_sim.sources`), fusing several views (`lyra_sim.reconstruct`).
Start reading at `build.py`, then `sensor.py`, `ground.py` or `photo_network.py`."""
