"""Generators of unseen frames behind one interface.

Owns: the request and its answer (`request.py`), the backends `reproject` (shows remembered views from new cameras and
fills the rest) and `truth` (renders the procedural place an input came from), `build.py` that chooses between them.
Does not own: where cameras go (`trajectory`), what is remembered (`memory`), when (`explore`).
Start reading at `request.Generator`.
"""

from lyra_sim.worldgen.build import build

__all__ = ["build"]
