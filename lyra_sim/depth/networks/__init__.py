"""Depth networks behind one interface: Depth Anything V2 (metres), Depth Anything 3 (many views), a tiny random one.

Owns: finding weights on this machine, their licences and hashes, preparing images, depth at the size of the images, one
Gaussian per pixel where a network has a head for it.
Does not own: where the floor is (`depth.photo_network`), scale by known cameras (`depth.align`, `depth.new_frames`),
Gaussians in the world (`lyra_sim.reconstruct`).
Nothing is ever downloaded. Start reading at `prediction.py`, then `build.py`.
"""
