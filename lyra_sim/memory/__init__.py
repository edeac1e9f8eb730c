"""Per-frame spatial memory: what was seen from where, retrieval by visibility, forward warping.

Owns: the forward warp with its continuity mask, ray and coordinate images (`warp.py`), the memory with greedy coverage
retrieval (`spatial.py`), both in torch too (`twin.py`), how a window packs what it is given (`packing.py`), how much of
a frame other views cover (`overlap.py`), how well frames show again what frames long before them showed
(`revisits.py`). Numbers are checked against the published method.
Does not own: what is done with retrieved views (`worldgen`), when frames are remembered (`explore`).
Start reading at `spatial.SpatialMemory`.
"""
