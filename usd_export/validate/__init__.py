"""Gates of a written scene: does what lies on the disk keep its promises.

Owns the limits (`limits.py`), the rules for scene files (`rule_table.py`, each table the only one), the measures and
the drop test. Everything is computed from the written files. Does not own the map comparison, which `robot_tasks`
computes and hands in. Start reading at `judge.py` for our worlds, `any_scene.py` for anybody's scene.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from usd_export.validate.any_scene import validate_any
    from usd_export.validate.judge import gates

__all__ = ["gates", "validate_any"]


def __getattr__(name: str) -> Any:
    """Loaded when asked for: judging a stranger's scene must not import what measuring our own needs."""
    if name == "gates":
        from usd_export.validate.judge import gates

        return gates
    if name == "validate_any":
        from usd_export.validate.any_scene import validate_any

        return validate_any
    raise AttributeError(name)
