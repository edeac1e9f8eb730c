"""Chooses which camera images colour which faces: the best unoccluded view of each, from few keyframes."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int, UInt8

from lyra_sim.core.records import Frames, Intrinsics, PixelOrigin, TriMesh, World
from lyra_sim.geometry.camera import invert, project
from lyra_sim.geometry.rays import RayScene
from lyra_sim.surface.clean import face_normals_areas
from lyra_sim.surface.linear import moved
from lyra_sim.surface.observed import all_frames

CANDIDATES = 40
"""At most this many frames of the input, and as many generated ones, are looked at, evenly spread."""
KEYFRAMES = 24
LEAST_GAIN = 0.004
"""A keyframe that improves the whole texture by less is not worth its pixels."""
SLACK = 0.7
"""A face goes to the earliest chosen keyframe that is this good relative to its best: fewer seams."""
MARGIN_PX = 1.0


@dataclass(frozen=True)
class View:
    """One image that may colour faces."""

    image: UInt8[np.ndarray, "H W 3"]
    origin: UInt8[np.ndarray, "H W"]
    camera: Intrinsics
    cam_to_world: Float64[np.ndarray, "4 4"]
    depth_m: Float32[np.ndarray, "H W"]
    """Measured z-depth; 0 where there is none."""

    def pixels(self, points: Float[np.ndarray, "N 3"]) -> tuple[Float[np.ndarray, "N 2"], Float[np.ndarray, "N"]]:
        """Pixel coordinates and z-depth of world points."""
        return project(moved(invert(self.cam_to_world), points.astype(np.float64)), self.camera)


def candidate_views(world: World) -> list[View]:
    """Frames spread evenly over the input, then over what was generated (frames that are all fill do not count)."""
    views: list[View] = []
    for number, frames in enumerate(all_frames(world)):
        if number == 0:
            picks = _spread(len(frames), CANDIDATES)
        else:
            share = max(1, CANDIDATES // max(len(world.segments), 1))
            picks = _spread(len(frames), share)
        views += [_view(frames, t) for t in picks if _usable(frames.origin[t]).any()]
    return views


def _spread(count: int, most: int) -> list[int]:
    return sorted({int(t) for t in np.linspace(0, count - 1, min(count, most)).round()}) if count else []


def _view(frames: Frames, t: int) -> View:
    return View(
        image=frames.images[t].copy(),  # not a view: the segment's other frames may go
        origin=frames.origin[t].copy(),
        camera=frames.intrinsics,
        cam_to_world=frames.cam_to_world[t],
        depth_m=np.where(frames.valid[t], frames.depth_m[t], np.float32(0)),
    )


def _usable(origin: UInt8[np.ndarray, "*S"]) -> Bool[np.ndarray, "*S"]:
    return (origin == PixelOrigin.MEASURED) | (origin == PixelOrigin.GENERATED)


def look(mesh: TriMesh, views: list[View]) -> tuple[Float32[np.ndarray, "V M"], UInt8[np.ndarray, "V M 3"]]:
    """How well each view shows each face, and in which colour.

    Returns:
        quality: pixels per metre times the cosine of the viewing angle; 0 where a corner is out of the image, behind
            something, or the pixel was filled in. Generated views count for faces that no input saw.
        color: of the pixel at the face's centre; 0 where quality is.
    """
    scene = RayScene(mesh.vertices, mesh.faces)
    normal, _ = face_normals_areas(mesh.vertices, mesh.faces)
    centre = mesh.vertices[mesh.faces].mean(axis=1).astype(np.float64)
    quality = np.zeros((len(views), len(mesh.faces)), np.float32)
    color = np.zeros((len(views), len(mesh.faces), 3), np.uint8)
    from_input = np.zeros(quality.shape, bool)
    for n, view in enumerate(views):
        visible = _visible_vertices(scene, mesh.vertices, view)
        face = np.nonzero(visible[mesh.faces].all(axis=1))[0]
        toward = view.cam_to_world[:3, 3] - centre[face]
        distance = np.linalg.norm(toward, axis=1)
        cosine = (normal[face] * toward).sum(axis=1) / np.maximum(distance, 1e-6)
        uv, _ = view.pixels(centre[face])
        cell = np.clip(uv.astype(np.int64), 0, [view.camera.width - 1, view.camera.height - 1])
        origin = view.origin[cell[:, 1], cell[:, 0]]
        good = view.camera.fx * np.maximum(cosine, 0.0) / np.maximum(distance, 0.2) * _usable(origin)
        quality[n, face] = np.where(cosine > 0.1, good, 0.0)
        from_input[n, face] = (origin == PixelOrigin.MEASURED) & (cosine > 0.1)
        color[n, face] = view.image[cell[:, 1], cell[:, 0]]
    quality[~from_input & from_input.any(axis=0)] = 0.0
    return quality, color


def _visible_vertices(scene: RayScene, vertices: Float32[np.ndarray, "N 3"], view: View) -> Bool[np.ndarray, "N"]:
    """Vertices inside the image that no face hides by more than 3 cm and 1 % of the distance."""
    uv, z = view.pixels(vertices)
    size = np.array([view.camera.width, view.camera.height])
    inside = (z > 0.05) & (uv >= MARGIN_PX).all(axis=1) & (uv <= size - MARGIN_PX).all(axis=1)
    index = np.nonzero(inside)[0]
    out = np.zeros(len(vertices), bool)
    if len(index) == 0:
        return out
    origin = view.cam_to_world[:3, 3]
    along = vertices[index].astype(np.float64) - origin
    t, _, _ = scene.cast(np.broadcast_to(origin, along.shape), along)
    distance = np.linalg.norm(along, axis=1)
    out[index] = (1.0 - t) * distance <= 0.03 + 0.01 * distance
    return out


def choose_keyframes(
    quality: Float32[np.ndarray, "V M"], area: Float[np.ndarray, "M"], first: int | None = None
) -> tuple[list[int], Int[np.ndarray, "M"]]:
    """Greedy keyframes that add most to the area-weighted quality, and for each face its place in that list (-1 where
    no chosen view shows it).

    Args:
        first: a view that is taken whatever it adds.
    """
    best_possible = quality.max(axis=0, initial=0.0)
    relative = quality / np.maximum(best_possible, 1e-9)
    weight = area * (best_possible > 0)
    have = np.zeros(len(area))
    chosen: list[int] = []
    while len(chosen) < min(KEYFRAMES, len(quality)):
        gains = np.array([(np.maximum(row - have, 0.0) * weight).sum() for row in relative])
        gains[chosen] = -1.0
        pick = first if first is not None and not chosen else int(gains.argmax())
        if chosen and gains[pick] < LEAST_GAIN * max(weight.sum(), 1e-9):
            break
        chosen.append(pick)
        have = np.maximum(have, relative[pick])
    owner = np.full(len(area), -1, np.int64)
    for place in reversed(range(len(chosen))):
        row = relative[chosen[place]]
        owner[(row > 0) & (row >= SLACK * have)] = place
    return chosen, owner
