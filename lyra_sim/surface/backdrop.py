"""The far field of a photo: its depth image as a picture in space, without collider."""

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from lyra_sim.core.records import FaceOrigin, Frames, Label, TriMesh
from lyra_sim.geometry.camera import invert, pixel_rays
from lyra_sim.geometry.rays import RayScene
from lyra_sim.surface.linear import moved, turned

SPREAD = 1.25
"""A quad whose corners differ more than this in depth straddles an edge; it then hangs at its far end, no skirts."""
BEHIND = 1.02
"""The backdrop hangs this much further than what it shows, so that the near field in front of it wins."""
GAP = 4
"""Quads as near as this to the near field as it is seen are gaps at its edges, which fusion leaves open; they hang
where they were measured."""


def backdrop(frames: Frames, near: TriMesh, near_range_m: float, most_faces: int) -> TriMesh:
    """Quads for the pixels of the first frame that the near mesh does not cover, sky apart.

    Pixels without depth take the farthest depth around them. Gaps between parts of the near mesh are closed behind
    them; nothing else is put closer than `near_range_m`, so that no ghost without collider stands in the near field.
    Two triangles per quad, corners shared where depths agree.
    """
    camera = frames.intrinsics
    step = max(2, int(np.ceil(np.sqrt(2.0 * camera.width * camera.height / max(most_faces, 2)))))
    rows, columns = (np.append(np.arange(0, n, step), n) for n in (camera.height, camera.width))
    wanted, covered = _uncovered(frames, near, rows, columns)
    depth = _corner_depths(frames, rows, columns) * BEHIND
    i, j = np.nonzero(wanted)
    corner = np.stack([[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]], axis=0).transpose(2, 0, 1)
    z = depth[corner[..., 0], corner[..., 1]]
    straddles = z.max(axis=1) > SPREAD * z.min(axis=1)
    z[straddles] = z[straddles].max(axis=1, keepdims=True)
    far = ~np.asarray(ndimage.binary_dilation(covered, iterations=GAP), bool)[i, j]
    z[far] = np.maximum(z[far], near_range_m)
    u, v = columns[corner[..., 1]], rows[corner[..., 0]]
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], axis=-1)
    points = moved(frames.cam_to_world[0], rays * z[..., None])
    vertices, index = np.unique(np.round(points.reshape(-1, 3), 4), axis=0, return_inverse=True)
    index = index.reshape(-1, 4)
    faces = np.concatenate([index[:, [0, 1, 2]], index[:, [0, 2, 3]]]).astype(np.int32).reshape(-1, 3)
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 0] != faces[:, 2])]
    return TriMesh(
        vertices=vertices.astype(np.float32),
        faces=faces,
        vertex_color=_colors(frames, vertices),
        face_label=np.full(len(faces), int(Label.OBSTACLE), np.uint8),
        face_origin=np.full(len(faces), int(FaceOrigin.SEEN), np.uint8),
    )


def _uncovered(
    frames: Frames, near: TriMesh, rows: np.ndarray, columns: np.ndarray
) -> tuple[Bool[np.ndarray, "A B"], Bool[np.ndarray, "A B"]]:
    """Quads with a pixel (of their corners and centre, moved inwards) that is not sky and that near does not cover,
    and quads that it covers whole."""
    camera = frames.intrinsics
    scene = RayScene(near.vertices, near.faces)
    origin = frames.cam_to_world[0, :3, 3]
    R = frames.cam_to_world[0, :3, :3]
    rays = pixel_rays(camera)
    out = np.zeros((len(rows) - 1, len(columns) - 1), bool)
    covered = ~out
    height, width = np.diff(rows), np.diff(columns)
    for fv, fu in ((0.5, 0.5), (0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)):
        v = rows[:-1] + np.floor(fv * (height - 1)).astype(np.int64)
        u = columns[:-1] + np.floor(fu * (width - 1)).astype(np.int64)
        direction = turned(rays[np.ix_(v, u)].reshape(-1, 3), R)
        t, _, _ = scene.cast(np.broadcast_to(origin, direction.shape), direction)
        sky = frames.label[0][np.ix_(v, u)] == Label.SKY
        missed = np.isinf(t).reshape(out.shape)
        out |= missed & ~sky
        covered &= ~missed
    return out, covered


def _corner_depths(frames: Frames, rows: np.ndarray, columns: np.ndarray) -> Float[np.ndarray, "A B"]:
    """Depth at grid corners: the farthest valid depth in the cells that touch it, else of the nearest known corner."""
    depth = np.where(frames.valid[0], frames.depth_m[0], 0.0)
    block = np.maximum.reduceat(np.maximum.reduceat(depth, rows[:-1], axis=0), columns[:-1], axis=1)
    padded = np.pad(block, 1, mode="edge")
    nearest = depth[np.ix_(np.minimum(rows, depth.shape[0] - 1), np.minimum(columns, depth.shape[1] - 1))]
    around = np.maximum.reduce([padded[:-1, :-1], padded[1:, :-1], padded[:-1, 1:], padded[1:, 1:]])
    corner = np.where(nearest > 0, nearest, around).astype(np.float64)
    for _ in range(corner.shape[0] + corner.shape[1]):
        empty = corner <= 0
        if not empty.any() or empty.all():
            break
        ring = np.pad(corner, 1)
        grown = np.maximum.reduce([ring[:-2, 1:-1], ring[2:, 1:-1], ring[1:-1, :-2], ring[1:-1, 2:]])
        corner = np.where(empty, grown, corner)
    return corner


def _colors(frames: Frames, points: Float[np.ndarray, "N 3"]) -> np.ndarray:
    """Colour of the pixel each point projects to."""
    camera = frames.intrinsics
    cam = moved(invert(frames.cam_to_world[0]), points)
    z = np.maximum(cam[:, 2], 1e-6)
    u = np.clip(cam[:, 0] / z * camera.fx + camera.cx, 0, camera.width - 1).astype(np.int64)
    v = np.clip(cam[:, 1] / z * camera.fy + camera.cy, 0, camera.height - 1).astype(np.int64)
    return frames.images[0][v, u]
