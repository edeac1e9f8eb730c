"""Gates of a written scene: does what lies on the disk keep its promises.

Owns the limits (`limits.py`, the one table), the rules for scene files, the measures and the drop test. Everything is
computed from the written files. Does not own the map comparison, which `robot_tasks` computes and hands in.
Start reading at `judge.py`.
"""

from usd_export.validate.any_scene import validate_any
from usd_export.validate.judge import gates

__all__ = ["gates", "validate_any"]
