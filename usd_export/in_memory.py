"""What a scene is written from, in the form in which a written scene is read: to measure both and compare."""

import io

import numpy as np
from PIL import Image

from lyra_sim.core.records import ColliderPart, Colliders, Label, Surface, TexturedMesh
from lyra_sim.io.images import jpeg_bytes
from usd_export.colliders import DYNAMIC_FRICTION, STATIC_FRICTION, VARIANT_OF
from usd_export.records import ColliderShape, SceneGeometry, VisualMesh


def scenes_of(surface: Surface, colliders: Colliders) -> dict[str, SceneGeometry]:
    """The scene of each collider variant, the default first, straight from the records: no file, no USD. Only the
    texture has gone through JPEG, the one step of writing that is meant to lose something."""
    with Image.open(io.BytesIO(jpeg_bytes(surface.visual.texture))) as image:
        texture = np.array(image.convert("RGB"))
    visuals = tuple(_visual(surface.visual, texture, label) for label in Label)
    return {
        VARIANT_OF[backend]: SceneGeometry(visuals=visuals, colliders=tuple(_shape(part) for part in parts))
        for backend, parts in colliders.variants.items()
    }


def _visual(textured: TexturedMesh, texture: np.ndarray, label: Label) -> VisualMesh:
    faces = np.flatnonzero(textured.mesh.face_label == label)
    return VisualMesh(
        path=label.name.lower(),
        label=label.name.lower(),
        labelled=label.name.lower(),
        vertices=textured.mesh.vertices,
        faces=textured.mesh.faces[faces],
        uv=textured.uv[faces],
        texture=texture,
        color=np.full(3, 0.5, np.float32),
    )


def _shape(part: ColliderPart) -> ColliderShape:
    return ColliderShape(
        **vars(part),
        approximation="convexHull" if part.kind == "hull" else "none",
        static_friction=STATIC_FRICTION,
        dynamic_friction=DYNAMIC_FRICTION,
    )
