"""The loop of plan, generate and remember, one committed segment at a time.

Owns: the order of these steps and what is remembered between them (`loop.py`).
Does not own: planning (`trajectory`), drawing (`worldgen`), retrieval (`memory`), files (`pipelines`).
Start reading at `loop.explore`.
"""

from lyra_sim.explore.loop import PLANNED, Explored, explore

__all__ = ["PLANNED", "Explored", "explore"]
