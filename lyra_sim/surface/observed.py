"""What the cameras said: the observer's label of each face, and the floor between a photo's camera and its picture."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, UInt8

from lyra_sim.core.records import Frames, Label, PixelOrigin, TriMesh, World
from lyra_sim.geometry.camera import invert, project
from lyra_sim.surface.linear import moved


def all_frames(world: World) -> Iterator[Frames]:
    """The start frames and those of every segment, in order; segments are loaded one at a time."""
    yield world.start.frames
    for segment in world.segments:
        yield segment.frames


def observe_faces(mesh: TriMesh, world: World) -> UInt8[np.ndarray, "M"]:
    """Label that the observer gave each face; UNKNOWN where it said nothing.

    A frame votes for a face when the face's centre projects onto a pixel whose depth agrees within 5 cm and 3 %.
    A measured pixel counts as much as three generated ones.
    """
    centre = mesh.vertices[mesh.faces].mean(axis=1).astype(np.float64)
    votes = np.zeros((len(centre), len(Label)), np.int32)
    for frames in all_frames(world):
        if not frames.label.any():
            continue  # a sensor walk: nothing is labelled
        for t in range(len(frames)):
            face, v, u = _agreeing(centre, frames, t)
            weight = np.where(frames.origin[t, v, u] == PixelOrigin.MEASURED, 3, 1)
            votes[face, frames.label[t, v, u]] += weight  # each face occurs once per frame
    votes[:, Label.UNKNOWN] = 0
    return np.where(votes.max(axis=1, initial=0) > 0, votes.argmax(axis=1), int(Label.UNKNOWN)).astype(np.uint8)


def _agreeing(centre: Float[np.ndarray, "M 3"], frames: Frames, t: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces whose centre frame t saw, with the pixel row and column."""
    camera = frames.intrinsics
    uv, z = project(moved(invert(frames.cam_to_world[t]), centre), camera)
    ahead = np.nonzero((z > 0.05) & (uv >= 0).all(axis=1) & (uv[:, 0] < camera.width) & (uv[:, 1] < camera.height))[0]
    u, v = (uv[ahead, k].astype(np.int64) for k in range(2))
    depth = frames.depth_m[t, v, u]
    fits = (
        frames.valid[t, v, u]
        & (np.abs(depth - z[ahead]) <= 0.05 + 0.03 * z[ahead])
        & (frames.origin[t, v, u] != PixelOrigin.FILLED)
    )
    return ahead[fits], v[fits], u[fits]


def foot_triangles(world: World) -> Float[np.ndarray, "K 3 2"]:
    """Triangles in the plane between the foot of a photo's camera and the first floor row it saw.

    A column of the image takes part when its lowest pixel is seen floor: what lies further down is out of view, not
    hidden by a thing. Around the foot itself stands the photographer: a disc of 0.3 m. Empty for sensor walks and
    for cameras higher than 3 m (balconies, drones).
    """
    frames = world.start.frames
    none = np.zeros((0, 3, 2))
    position = frames.cam_to_world[0, :3, 3]
    if world.start.frame.measured or not 0.05 < position[2] <= 3.0:
        return none
    rows = max(2, frames.intrinsics.height // 100)
    floor = (frames.label[0] == Label.FLOOR) & frames.valid[0]
    columns = np.nonzero(floor[-rows:].all(axis=0))[0]
    if len(columns) < 2:
        return none
    camera = frames.intrinsics
    rays = np.stack(
        [
            (columns + 0.5 - camera.cx) / camera.fx,
            np.full(len(columns), (camera.height - rows + 0.5 - camera.cy) / camera.fy),
            np.ones(len(columns)),
        ],
        axis=1,
    )
    points = moved(frames.cam_to_world[0], rays * frames.depth_m[0, -rows, columns][:, None].astype(np.float64))
    adjacent = np.diff(columns) <= max(1, frames.intrinsics.width // 30)  # a few doubtful columns do not split it
    foot = np.broadcast_to(position[:2], (int(adjacent.sum()), 2))
    fan = np.stack([foot, points[:-1][adjacent, :2], points[1:][adjacent, :2]], axis=1)
    angle = np.linspace(0, 2 * np.pi, 25)
    rim = position[:2] + 0.3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    disc = np.stack([np.broadcast_to(position[:2], (24, 2)), rim[:-1], rim[1:]], axis=1)
    return np.concatenate([fan, disc])
