"""Warps, continuity, rays, coordinate images and retrieval, by the numpy reference and by its torch twin; images also
by the twin in float32, as a GPU computes them for the generator (which retrieves by the numpy reference).
"""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from lyra_sim.memory import warp
from lyra_sim.memory.packing import RELEASED, Packing
from lyra_sim.memory.spatial import SpatialMemory
from lyra_sim.memory.twin import Twin
from pipelines.vectors.figure import Figure, Vectors, differing, largest, splatted

BAR = 1e-4


def figures(vectors: Vectors) -> Iterator[Figure]:
    """Images and depth in the file's units; masks and choices must be equal."""
    meta = {key: json.loads(text) for key, text in vectors.metadata.items() if text[:1] in "[{"}
    for history, slots in meta["temporal_selection"].items():
        yield differing(
            f"temporal selection of {history}", np.array(Packing.parse(RELEASED).temporal(int(history))), slots
        )
    K, w2c, depths = vectors["intrinsics"], vectors["w2c"], vectors["depths"]
    memory = SpatialMemory(downsample=int(vectors.metadata["cache_downsample"]))
    for i, frame_id in enumerate(meta["cache_frame_ids"]):
        memory.add(frame_id, depths[i], w2c[i], K[0])
    twin = Twin()
    retrievals = {"numpy": memory.retrieve, "twin": lambda *target: twin.retrieve(memory, *target)}
    for label, geometry in (("numpy", warp), ("twin", twin)):
        yield from _images(vectors, meta, f"{label}: ", geometry)
        for name, targets in meta["targets"].items():
            got = retrievals[label](w2c[targets], np.repeat(K, len(targets), 0), depths.shape[1:])
            yield differing(f"{label}: {name}", np.array(got), np.array(meta[name]))
    yield from _images(vectors, meta, "twin, float32: ", Twin(dtype=torch.float32), single=True)


def _images(
    vectors: Vectors, meta: dict[str, Any], label: str, geometry: Any, *, single: bool = False
) -> Iterator[Figure]:
    K, w2c, depths = vectors["intrinsics"], vectors["w2c"], vectors["depths"]
    source, target, slot = (meta["warp"][name] for name in ("source_frame", "target_frame", "coords_slot"))
    wanted = vectors["canonical_coords"]
    coords = geometry.canonical_coords(*depths.shape[1:], len(wanted))
    yield largest(label + "canonical coordinates", coords, wanted, BAR)
    cameras = (depths[[source]], w2c[[source]], K, w2c[[target]], K)
    image = geometry.forward_warp(vectors["warp_source_image"][0], *cameras)
    carried = geometry.forward_warp(coords[slot : slot + 1], *cameras)
    continuous = geometry.continuity_mask(depths[[source]])
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
    rays = meta["rays"]
    relative = w2c[rays["reference"]].astype(np.float64) @ np.linalg.inv(w2c[rays["frames"]].astype(np.float64))
    made = geometry.ray_maps(relative, K, *depths.shape[1:])
    yield largest(label + "rays", made, vectors["rays"][0], BAR)
