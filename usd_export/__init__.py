"""USD scenes: the only package that imports pxr, and nothing of pxr leaves it.

Owns the files of a world folder that describe the scene (`write_scene`), reading any USD scene back as plain arrays
(`read_scene`) and, in `validate/`, the gates that decide publication. Does not own maps and episodes (`robot_tasks`)
nor how a world is made. Start reading at `scene.py` (writing) and `reader.py` (reading).
"""

from typing import TYPE_CHECKING, Any

from usd_export.reader import read_scene
from usd_export.records import ColliderShape, SceneGeometry, VisualMesh

if TYPE_CHECKING:
    from usd_export.scene import write_scene

__all__ = ["ColliderShape", "SceneGeometry", "VisualMesh", "read_scene", "write_scene"]


def __getattr__(name: str) -> Any:
    """The writer is loaded when asked for: it needs packages that reading does without."""
    if name == "write_scene":
        from usd_export.scene import write_scene

        return write_scene
    raise AttributeError(name)
