"""Fuses all frames of a world into one surface and carves the space that rays passed through."""

from collections.abc import Iterator

import numpy as np

from lyra_sim.config.geometry3d import FusionConfig
from lyra_sim.core.errors import SceneError
from lyra_sim.core.records import FaceOrigin, Frames, Fused, Label, PixelOrigin, SpaceGrid, TriMesh, World
from lyra_sim.geometry.camera import pixel_rays, transform
from lyra_sim.reconstruct.blocks import allocate, mark_frame
from lyra_sim.reconstruct.consistency import consistent
from lyra_sim.reconstruct.extract import carved, triangles
from lyra_sim.reconstruct.integrate import add_frame
from lyra_sim.reconstruct.paint import vertex_colors
from lyra_sim.reconstruct.volume import Volume, all_frames, evidence

_SURFACE_VOXELS = 0.9
"""A voxel whose centre is nearer to the surface than this (half its diagonal) holds a piece of it."""


def fuse(world: World, config: FusionConfig) -> Fused:
    """Truncated signed distance fusion with free-space carving.

    Measured pixels are fused first. A generated pixel counts only where its surface is new, that is no measured
    surface lies there, and changes only voxels that no measured ray reached. Segments that were only warped from
    earlier frames, filled pixels, sky and pixels without depth are never used. Generated depth is bent first until the
    frames agree (`consistency.py`). Frames are read one batch at a time, several times over.

    Raises:
        SceneError: nothing can be fused.
    """
    world, agreement = consistent(world, config.max_depth_m) if config.bend_depth else (world, {})
    volume = allocate(lambda: all_frames(world), config)
    for frames in all_frames(world):
        for i in range(len(frames)):
            _add(volume, frames, i, evidence(frames, i, PixelOrigin.MEASURED, config.max_depth_m), config, None)
    measured = volume.weight > 0
    if any((frames.origin == PixelOrigin.GENERATED).any() for frames in all_frames(world)):
        measured = _add_generated(volume, world, config)
    distance = carved(volume)
    vertices, faces = triangles(volume, distance)
    if len(faces) == 0:
        raise SceneError(
            "reconstruct",
            expected="surfaces that the frames agree on",
            got="none: every point that was seen is contradicted by rays that pass through it",
            todo="Check the poses and the depth of this input.",
        )
    near_measured = volume.at(measured, vertices)
    return Fused(
        mesh=TriMesh(
            vertices=vertices.astype(np.float32),
            faces=faces,
            vertex_color=vertex_colors(
                vertices, world, tolerance_m=volume.truncation_m, max_depth_m=config.max_depth_m
            ),
            face_label=np.full(len(faces), Label.UNKNOWN, np.uint8),
            face_origin=np.where(near_measured[faces].all(1), FaceOrigin.SEEN, FaceOrigin.GENERATED).astype(np.uint8),
        ),
        space=_space(volume, distance),
        notes={"agreement": agreement} if agreement else {},
    )


def _add(
    volume: Volume, frames: Frames, index: int, told: np.ndarray, config: FusionConfig, closed: np.ndarray | None
) -> None:
    if told.any():
        add_frame(
            volume,
            frames.depth_m[index],
            told,
            frames.intrinsics,
            frames.cam_to_world[index],
            max_depth_m=config.max_depth_m,
            closed=closed,
        )


def _add_generated(volume: Volume, world: World, config: FusionConfig) -> np.ndarray:
    """Add what was generated. Where measured surfaces lie, bool like `volume.weight`."""
    wanted = np.zeros(volume.slot.shape, np.bool_)
    for frames, i, told in _new(volume, volume.weight > 0, world, config):
        mark_frame(wanted, volume, frames, i, told)
    volume.reserve(wanted)
    measured = volume.weight > 0
    closed = measured | (volume.free > 0)
    for frames, i, told in _new(volume, measured, world, config):
        _add(volume, frames, i, told, config, closed)
    return measured


def _new(
    volume: Volume, measured: np.ndarray, world: World, config: FusionConfig
) -> Iterator[tuple[Frames, int, np.ndarray]]:
    """All frames, and what their generated pixels tell where no surface was measured."""
    for frames in all_frames(world):
        rays = pixel_rays(frames.intrinsics)
        for i, T_world_cam in enumerate(frames.cam_to_world):
            told = evidence(frames, i, PixelOrigin.GENERATED, config.max_depth_m)
            known = told > 0
            points = transform(T_world_cam, rays[known] * frames.depth_m[i][known][:, None])
            told[known] *= ~volume.at(measured, points)
            yield frames, i, told


def _space(volume: Volume, distance: np.ndarray) -> SpaceGrid:
    known = volume.weight > 0
    near = ((known | (volume.free > 0)) & (distance > 0)).astype(np.uint8)
    near[known & (np.abs(distance) * volume.truncation_m < _SURFACE_VOXELS * volume.voxel_m)] = 2
    state = volume.seen.copy()
    volume.spread(near, state)
    return SpaceGrid(origin_m=volume.origin, voxel_m=volume.voxel_m, state=state)
