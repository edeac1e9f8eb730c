"""Recipes of the small networks that lyra-sim ships: data from the procedural places, losses, export of the weights.

Owns: `height` (camera height from one levelled photo). Needs the `train` extra (torch); nothing else imports this
package. Does not own: the networks' use (`lyra_sim.depth`), which needs numpy only.
Start reading at `height.py`."""
