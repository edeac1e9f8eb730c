"""What a USD scene holds, as plain arrays in the world frame (Z up, metres)."""

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from lyra_sim.core.record import record
from lyra_sim.core.records import ColliderPart


@record
class VisualMesh:
    """One visible mesh, triangulated; outward winding whatever its transform or authored orientation."""

    path: str
    """Path of the prim in the scene."""
    label: str
    """Semantic class ('floor', 'wall', ...), its own or inherited; empty where none is authored."""
    labelled: str
    """Path of the prim that carries the label; empty where none does."""
    vertices: Float32[np.ndarray, "N 3"]
    faces: Int32[np.ndarray, "M 3"]
    uv: Float32[np.ndarray, "M 3 2"] | None
    """Per face corner; (0, 0) is the lower left corner of the texture. None where the mesh has no `st`."""
    texture: UInt8[np.ndarray, "H W 3"] | None
    color: Float32[np.ndarray, "3"]
    """Mean displayed colour (linear, 0..1) for meshes without texture."""


@record
class ColliderShape(ColliderPart):
    """One collider as a physics engine sees it: a hull part holds the realised hull, primitives are tessellated.

    `name` is the path of the prim, `label` the `Label` its class stands for (UNKNOWN for classes that are not ours).
    """

    approximation: str
    """`none`, `convexHull`, ... as authored; `Cube`, `Sphere`, ... for primitives; empty where a mesh states none."""
    static_friction: float | None
    """Of the bound physics material; None where none is bound."""
    dynamic_friction: float | None


@record
class SceneGeometry:
    """A scene's visible meshes and colliders, in stage order."""

    visuals: tuple[VisualMesh, ...]
    colliders: tuple[ColliderShape, ...]

    def collider_mesh(self) -> tuple[np.ndarray, np.ndarray]:
        """All colliders as one soup: (N, 3) float32 vertices and (M, 3) int32 faces."""
        return merge(self.colliders)

    def visual_mesh(self) -> tuple[np.ndarray, np.ndarray]:
        """All visible meshes as one soup: (N, 3) float32 vertices and (M, 3) int32 faces."""
        return merge(self.visuals)


def merge(parts: "tuple[VisualMesh, ...] | tuple[ColliderShape, ...]") -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of all parts, one after the other."""
    vertices = [np.zeros((0, 3), np.float32)]
    faces = [np.zeros((0, 3), np.int32)]
    offset = 0
    for part in parts:
        vertices.append(part.vertices)
        faces.append(part.faces + np.int32(offset))
        offset += len(part.vertices)
    return np.concatenate(vertices), np.concatenate(faces)
