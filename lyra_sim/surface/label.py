"""Says what each face is from its shape and place: floor, wall, ceiling, object or obstacle."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy import ndimage

from lyra_sim.core.records import Label, TriMesh
from lyra_sim.surface.clean import face_components, face_normals_areas
from lyra_sim.surface.floor import Floor
from lyra_sim.surface.floor_mesh import SIDE_M

WALL_AREA_M2 = 1.0
WALL_RISE_M = 1.0
CEILING_M = 2.0
OBJECT_SIDE_M = 2.5
"""A loose thing no longer than this is an object; longer ones are obstacles (a kitchen row, a hedge)."""
FLUSH_M = 0.0105
BURIED_M = 0.1
NOISES = 3.0
"""What is nearer to the floor than so many standard deviations of its measured heights is floor, ..."""
MOST_NOISE_M = 0.05
"""... up to this far from it."""


@dataclass(frozen=True)
class WallPlane:
    """An upright plane n . x = offset_m, n pointing into free space, and the faces on it."""

    normal: Float[np.ndarray, "3"]
    offset_m: float
    faces: Int[np.ndarray, "K"]


def floor_faces(mesh: TriMesh, floor: Floor, snap_m: float, noise_m: Float[np.ndarray, "X Y"]) -> Bool[np.ndarray, "M"]:
    """Faces that the floor grid replaces: up-facing within `snap_m` of the measured floor around them, and what is
    buried in the repaired floor or stands out of it by less than the smallest robot's step (crumbs of noise that
    would push a wheel or a ball aside). Where measured heights scatter more (`noise_m`, one standard deviation on the
    floor's cells), both reach further. At the edge of a door sill the higher floor counts: the grid has its side."""
    normal, _ = face_normals_areas(mesh.vertices, mesh.faces)
    corner = mesh.vertices[mesh.faces].astype(np.float64)
    centre = corner.mean(axis=1)
    patch, cell = floor.sample(centre[:, :2])
    known = floor.grid.state > 0
    beside = ndimage.maximum_filter(np.where(known, floor.grid.height_m, -np.inf), 3, mode="nearest")
    unsure = np.minimum(NOISES * noise_m, MOST_NOISE_M)
    out = np.zeros(len(mesh.faces), bool)
    for number, piece in enumerate(floor.patches):
        here = np.nonzero(patch == number)[0]
        at = cell[here, 0], cell[here, 1]
        local, target, higher = piece.local[at], piece.height[at], beside[at]
        near = np.abs(corner[here, :, 2] - local[:, None]).max(axis=1) <= np.maximum(snap_m * 1.25, unsure[at])
        top, bottom = corner[here, :, 2].max(axis=1), corner[here, :, 2].min(axis=1)
        over = np.where(higher - target <= SIDE_M, np.maximum(higher, target), target)
        buried = (top <= over + np.maximum(FLUSH_M, unsure[at])) & (bottom >= target - BURIED_M)
        out[here] = ((normal[here, 2] >= 0.5) & near) | buried
    return out


def label_faces(
    mesh: TriMesh, on_floor: Bool[np.ndarray, "M"], observed: UInt8[np.ndarray, "M"]
) -> UInt8[np.ndarray, "M"]:
    """One `Label` per face. What an observer named wall, ceiling, obstacle or object keeps that name off the floor."""
    normal, _ = face_normals_areas(mesh.vertices, mesh.faces)
    centre = mesh.vertices[mesh.faces].mean(axis=1).astype(np.float64)
    label = np.full(len(mesh.faces), int(Label.OBSTACLE), np.uint8)
    for wall in wall_planes(mesh, ~on_floor):
        label[wall.faces] = Label.WALL
    label[(normal[:, 2] <= -0.8) & (centre[:, 2] >= CEILING_M)] = Label.CEILING
    label[on_floor] = Label.FLOOR
    loose = np.nonzero(label == Label.OBSTACLE)[0]
    label[loose[_small_components(mesh, loose)]] = Label.OBJECT
    named = np.isin(observed, [Label.WALL, Label.CEILING, Label.OBSTACLE, Label.OBJECT]) & ~on_floor
    label[named] = observed[named]
    return label


def _small_components(mesh: TriMesh, faces: Int[np.ndarray, "K"]) -> Bool[np.ndarray, "K"]:
    """Whether each face belongs to a component (among `faces`) that would fit into a cube of OBJECT_SIDE_M."""
    if len(faces) == 0:
        return np.zeros(0, bool)
    component = face_components(mesh.faces[faces], len(mesh.vertices))
    component = np.unique(component, return_inverse=True)[1]
    low = np.full((component.max() + 1, 3), np.inf)
    high = -low
    corner = mesh.vertices[mesh.faces[faces]]
    np.minimum.at(low, component, corner.min(axis=1))
    np.maximum.at(high, component, corner.max(axis=1))
    return ((high - low).max(axis=1) <= OBJECT_SIDE_M)[component]


def wall_planes(mesh: TriMesh, usable: Bool[np.ndarray, "M"], most: int = 60) -> list[WallPlane]:
    """Large upright planes, largest first: peaks of area over heading (5 degrees) and offset (4 cm), taken greedily.

    A plane counts as wall when it carries WALL_AREA_M2 and rises by WALL_RISE_M.
    """
    normal, area = face_normals_areas(mesh.vertices, mesh.faces)
    centre = mesh.vertices[mesh.faces].mean(axis=1).astype(np.float64)
    left = np.nonzero(usable & (np.abs(normal[:, 2]) <= 0.35) & (area > 0))[0]
    heading = np.arctan2(normal[left, 1], normal[left, 0])
    planes: list[WallPlane] = []
    bins = 72
    tried = np.zeros(len(left), bool)
    while len(planes) < most:
        open_ = ~tried
        if area[left[open_]].sum() < WALL_AREA_M2:
            break
        peak = _peak(heading[open_], centre[left[open_], :2], area[left[open_]], bins)
        if peak is None:
            break
        on, normal_xy, offset = _on_plane(left, tried, normal, centre, area, *peak)
        if len(on) == 0:
            break
        tried[on] = True
        faces = left[on]
        z = centre[faces, 2]
        rise = float(np.percentile(z, 98) - np.percentile(z, 2))
        if area[faces].sum() >= WALL_AREA_M2 and rise >= WALL_RISE_M:
            planes.append(WallPlane(normal=np.array([*normal_xy, 0.0]), offset_m=offset, faces=faces))
    return planes


def _peak(heading, xy, area, bins) -> tuple[float, float] | None:
    """Heading and offset of the strongest plane, or None when it carries less than WALL_AREA_M2."""
    turn = np.round(heading / (2 * np.pi) * bins).astype(np.int64) % bins
    best: tuple[float, float, float] = (0.0, 0.0, 0.0)
    for k in range(bins):
        near = np.isin((turn - k) % bins, (0, 1, 2, bins - 1, bins - 2))
        if area[near].sum() < WALL_AREA_M2:
            continue
        angle = 2 * np.pi * k / bins
        offset = xy[near, 0] * np.cos(angle) + xy[near, 1] * np.sin(angle)
        low = np.floor(offset.min() / 0.04)
        weight = np.bincount((np.floor(offset / 0.04) - low).astype(np.int64), weights=area[near])
        weight = np.convolve(weight, np.ones(3), "same")
        top = int(weight.argmax())
        if weight[top] > best[0]:
            best = (float(weight[top]), angle, (low + top + 0.5) * 0.04)
    return (best[1], best[2]) if best[0] >= WALL_AREA_M2 else None


def _on_plane(left, tried, normal, centre, area, angle, offset):
    """Faces on the plane after two refits; their common horizontal normal and offset."""
    direction = np.array([np.cos(angle), np.sin(angle)])
    on = np.zeros(0, np.int64)
    for _ in range(2):
        along = centre[left, 0] * direction[0] + centre[left, 1] * direction[1]
        turn = normal[left, 0] * direction[0] + normal[left, 1] * direction[1]
        on = np.nonzero(~tried & (np.abs(along - offset) <= 0.06) & (turn >= 0.9))[0]
        if len(on) == 0:
            break
        mean = (normal[left[on], :2] * area[left[on], None]).sum(axis=0)
        direction = mean / np.linalg.norm(mean)
        offset = float(np.median(centre[left[on], 0] * direction[0] + centre[left[on], 1] * direction[1]))
    return on, direction, offset
