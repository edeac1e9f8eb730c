"""Recipes: the video generator of Lyra 2.0 on posed clips, and the small networks that lyra-sim ships.

Owns: data, losses and training loops. `lyra2` trains the generator: `clips` (data), `examples` and `self_augment` (what
a step sees), `flow` (loss), `recipe` (what learns, how fast), `start` (from Wan 2.1). `height` trains the camera height
network. Needs torch; nothing else imports this package.
Does not own: the networks and their use (`lyra_sim.worldgen.lyra2`, `lyra_sim.depth`).
Start reading at `lyra2.py` or `height.py`."""
