"""Fuses all frames of a world into one surface and carves the space that rays passed through."""

import numpy as np
from numba import njit, prange

from lyra_sim.config.geometry3d import FusionConfig
from lyra_sim.core.errors import SceneError
from lyra_sim.core.records import FaceOrigin, Frames, Fused, Label, PixelOrigin, SpaceGrid, TriMesh, World
from lyra_sim.geometry.camera import pixel_rays, transform
from lyra_sim.reconstruct.extract import carved, triangles
from lyra_sim.reconstruct.integrate import add_frame
from lyra_sim.reconstruct.paint import vertex_colors
from lyra_sim.reconstruct.volume import TRUNCATION_VOXELS, Volume, all_frames, allocate, evidence

_SURFACE_VOXELS = 0.9
"""A voxel whose centre is nearer to the surface than this (half its diagonal) holds a piece of it."""


def fuse(world: World, config: FusionConfig) -> Fused:
    """Truncated signed distance fusion with free-space carving.

    Measured pixels are fused first. A generated pixel counts only where its surface is new, that is no measured
    surface lies there, and changes only voxels that no measured ray reached. Segments that were only warped from
    earlier frames, filled pixels, sky and pixels without depth are never used. Frames are read one batch at a time,
    three or four times over.

    Raises:
        SceneError: nothing can be fused.
    """
    volume = allocate(all_frames(world), config)
    for frames in all_frames(world):
        for i in range(len(frames)):
            _add(volume, frames, i, evidence(frames, i, PixelOrigin.MEASURED, config.max_depth_m), config, None)
    measured = volume.weight > 0
    if any((frames.origin == PixelOrigin.GENERATED).any() for frames in all_frames(world)):
        _add_generated(volume, world, measured, config)
    distance = carved(volume)
    vertices, faces = triangles(volume, distance)
    if len(faces) == 0:
        raise SceneError(
            "reconstruct",
            expected="surfaces that the frames agree on",
            got="none: every point that was seen is contradicted by rays that pass through it",
            todo="Check the poses and the depth of this input.",
        )
    near_measured = measured[volume.cells(vertices)]
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


def _add_generated(volume: Volume, world: World, measured: np.ndarray, config: FusionConfig) -> None:
    closed = measured | (volume.free > 0)
    for frames in all_frames(world):
        rays = pixel_rays(frames.intrinsics)
        for i, T_world_cam in enumerate(frames.cam_to_world):
            told = evidence(frames, i, PixelOrigin.GENERATED, config.max_depth_m)
            known = told > 0
            points = transform(T_world_cam, rays[known] * frames.depth_m[i][known][:, None])
            told[known] *= ~measured[volume.cells(points)]
            _add(volume, frames, i, told, config, closed)


def _space(volume: Volume, distance: np.ndarray) -> SpaceGrid:
    state = np.empty(distance.shape, np.uint8)
    near = np.float32(_SURFACE_VOXELS / TRUNCATION_VOXELS)
    _states(volume.weight.ravel(), volume.free.ravel(), distance.ravel(), near, state.ravel())
    return SpaceGrid(origin_m=volume.origin, voxel_m=volume.voxel_m, state=state)


@njit(cache=True, parallel=True)
def _states(weight, free, distance, near, out):
    for n in prange(len(out)):
        if weight[n] > 0 and abs(distance[n]) < near:
            out[n] = 2
        else:
            out[n] = distance[n] > 0 and (weight[n] > 0 or free[n] > 0)
