"""Readers of what people have: photos, RGB-D walks.

Owns discovery, bounded decoding and turning foreign conventions into ours (pixel centres, poses, depth units).
Does not own meaning: depth of photos, gravity and scale are found by `lyra_sim.depth`.
Start reading at `discover.py` (which files are inputs) and `capture.py` (reading one)."""
