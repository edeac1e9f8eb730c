"""The far field behind a near mesh with gaps."""

import numpy as np

from lyra_sim.core.records import Frames, Intrinsics, Label, PixelOrigin, TriMesh
from lyra_sim.surface.backdrop import BEHIND, backdrop

CAMERA = Intrinsics(fx=100.0, fy=100.0, cx=100.0, cy=60.0, width=200, height=120)
WALL_M, NEAR_RANGE_M = 2.0, 5.0


def wall(*spans: tuple[float, float]) -> TriMesh:
    """Strips of a wall across the camera, 2 m away, between image columns."""
    vertices, faces = [], []
    for left, right in spans:
        x0, x1 = ((u - CAMERA.cx) / CAMERA.fx * WALL_M for u in (left, right))
        n = len(vertices)
        vertices += [[x0, -2, WALL_M], [x1, -2, WALL_M], [x1, 2, WALL_M], [x0, 2, WALL_M]]
        faces += [[n, n + 1, n + 2], [n, n + 2, n + 3]]
    return TriMesh(
        vertices=np.array(vertices, np.float32),
        faces=np.array(faces, np.int32),
        vertex_color=np.zeros((len(vertices), 3), np.uint8),
        face_label=np.full(len(faces), int(Label.WALL), np.uint8),
        face_origin=np.ones(len(faces), np.uint8),
    )


def test_gaps_close_where_they_are_and_nothing_else_stands_in_the_near_field():
    shape = (1, CAMERA.height, CAMERA.width)
    frames = Frames(
        images=np.zeros((*shape, 3), np.uint8),
        depth_m=np.full(shape, WALL_M, np.float32),
        valid=np.ones(shape, bool),
        origin=np.full(shape, PixelOrigin.MEASURED, np.uint8),
        label=np.full(shape, int(Label.WALL), np.uint8),
        cam_to_world=np.eye(4)[None],
        intrinsics=CAMERA,
    )
    made = backdrop(frames, wall((-5, 60), (66, 120)), NEAR_RANGE_M, 20_000)
    centre = made.vertices[made.faces].mean(axis=1)
    column = CAMERA.cx + CAMERA.fx * centre[:, 0] / centre[:, 2]
    slit, open_ = (column > 59) & (column < 67), column > 140
    assert slit.sum() > 100 and open_.sum() > 1000
    np.testing.assert_allclose(centre[slit, 2], WALL_M * BEHIND, rtol=1e-5)
    np.testing.assert_allclose(centre[open_, 2], NEAR_RANGE_M, rtol=1e-5)
