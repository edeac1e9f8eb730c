"""The loop of plan, generate and remember, one committed segment at a time.

Owns: the order of these steps and what is remembered between them (`loop.py`, `past.py`), and
which path is followed (`course.py`), and what all that would do, told before anything is generated (`outline.py`).
Does not own: planning (`trajectory`), drawing (`worldgen`), retrieval (`memory`), files (`pipelines`).
Start reading at `loop.explore`.
"""

from lyra_sim.explore.loop import Explored, explore
from lyra_sim.explore.past import PLANNED

__all__ = ["PLANNED", "Explored", "explore"]
