"""Warps, continuity, rays, coordinate images and retrieval, by the numpy reference and by its torch twin; images also
by the twin in float32, as a GPU computes them for the generator (which retrieves by the numpy reference).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lyra_sim.memory import warp
from lyra_sim.memory.packing import RELEASED, Packing
from lyra_sim.memory.spatial import SpatialMemory
from lyra_sim.memory.twin import Twin
from pipelines.vectors.figure import Figure, Vectors, differing, largest, splatted

BAR = 1e-4


@dataclass
class Carry:
    """Which view is warped into which, with which coordinate image."""

    source_frame: int
    target_frame: int
    coords_slot: int


@dataclass
class Rays:
    """Of which views, in the frame of which one."""

    frames: list[int]
    reference: int


def figures(vectors: Vectors) -> Iterator[Figure]:
    """Images and depth in the file's units; masks and choices must be equal."""
    for history, slots in vectors.value("temporal_selection", dict[int, list[int]]).items():
        made = np.array(Packing.parse(RELEASED).temporal(history))
        yield differing(f"temporal selection of {history}", made, np.array(slots))
    K, w2c, depths = vectors["intrinsics"], vectors["w2c"], vectors["depths"]
    memory = SpatialMemory(downsample=vectors.value("cache_downsample", int))
    for i, frame_id in enumerate(vectors.value("cache_frame_ids", list[int])):
        memory.add(frame_id, depths[i], w2c[i], K[0])
    twin = Twin()
    retrievals = {"numpy": memory.retrieve, "twin": lambda *target: twin.retrieve(memory, *target)}
    for label, geometry in (("numpy", warp), ("twin", twin)):
        yield from _images(vectors, f"{label}: ", geometry)
        for name, targets in vectors.value("targets", dict[str, list[int]]).items():
            got = retrievals[label](w2c[targets], np.repeat(K, len(targets), 0), depths.shape[1:])
            yield differing(f"{label}: {name}", np.array(got), np.array(vectors.value(name, list[tuple[int, int]])))
    yield from _images(vectors, "twin, float32: ", Twin(dtype=torch.float32), single=True)


def _images(vectors: Vectors, label: str, geometry: Any, *, single: bool = False) -> Iterator[Figure]:
    K, w2c, depths = vectors["intrinsics"], vectors["w2c"], vectors["depths"]
    carry, rays = vectors.value("warp", Carry), vectors.value("rays", Rays)
    wanted = vectors.shaped("canonical_coords", None, 3, None, None)
    coords = geometry.canonical_coords(*depths.shape[1:], len(wanted))
    yield largest(label + "canonical coordinates", coords, wanted, BAR)
    cameras = (depths[[carry.source_frame]], w2c[[carry.source_frame]], K, w2c[[carry.target_frame]], K)
    image = geometry.forward_warp(vectors["warp_source_image"][0], *cameras)
    carried = geometry.forward_warp(coords[[carry.coords_slot]], *cameras)
    continuous = geometry.continuity_mask(depths[[carry.source_frame]])
    for name, made, out, bar in (
        ("warped image", image.images, "warped_image", BAR),
        ("warped depth", image.depth, "warped_depth", BAR),
        ("warped mask", image.mask, "warped_mask", 0),
        ("warped coordinates", carried.images, "warped_coords", BAR),
        ("their depth", carried.depth, "warped_coords_depth", BAR),
        ("continuity mask", continuous, "reliable_depth_mask", 0),
    ):
        wanted = vectors[out][0] if bar == 0 else vectors[out]
        yield from splatted(label + name, made, wanted, bar, single=single)
    relative = w2c[rays.reference].astype(np.float64) @ np.linalg.inv(w2c[rays.frames].astype(np.float64))
    made = geometry.ray_maps(relative, K, *depths.shape[1:])
    yield largest(label + "rays", made, vectors["rays"][0], BAR)
