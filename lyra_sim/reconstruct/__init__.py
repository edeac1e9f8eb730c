"""From posed frames to one fused surface, with free space carved along the rays that really passed.

Owns: which pixels are evidence (`volume.evidence`), the signed distance volume, the mesh in canonical order, its
colours, the grid of seen, free and occupied space, and splats that a network tells from the frames.
Does not own: cleaning, floor repair, labels (`lyra_sim.surface`), what physics sees (`lyra_sim.collision`).
Start reading at `tsdf.py`; splats at `feedforward.py`."""
