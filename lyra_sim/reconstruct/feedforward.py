"""Splats by a network in one pass over the known views, beside the surface that is fused from remembered depth.

Source: stage 2 of Lyra 2.0 (nv-tlabs/lyra, Gaussian head of Depth Anything 3), as described publicly. Other than there
cameras are known, not estimated; what stands in space that rays went through is left out; and the number of splats is
bounded.
"""

import dataclasses
from typing import Any

import numpy as np

from lyra_sim.config.geometry3d import FeedforwardConfig
from lyra_sim.core.errors import SceneError
from lyra_sim.core.records import Fused, GaussianSplats, World
from lyra_sim.depth.networks.prediction import GaussianNetwork
from lyra_sim.geometry.rays import RayScene
from lyra_sim.reconstruct.gaussians import depth_of, find_scale, place
from lyra_sim.reconstruct.prune import FreeSpace, Reasons, in_order, joined, selected, thinned, wanted
from lyra_sim.reconstruct.views import Chunk, chunks

_SAMPLES = 50_000


def add_splats(fused: Fused, world: World, config: FeedforwardConfig, network: GaussianNetwork) -> Fused:
    """The same surface with the network's Gaussians: of each chunk of views, at its scale, pruned, thinned, in an order
    that depends on nothing but them.

    Raises:
        SceneError: a chunk has no scale, or no Gaussian is left.
        ConfigError: the network has no Gaussian head.
    """
    space = FreeSpace(fused.space)
    kept, reasons, told, total = joined([]), Reasons(), [], 0
    for chunk in chunks(
        world,
        side_px=config.side_px,
        max_views=config.max_views,
        frames_per_view=config.frames_per_view,
        overlap=config.overlap,
    ):
        new, notes, seen = _of_chunk(chunk, network, space, config, reasons)
        everything = joined([kept, *new])
        kept = thinned(everything, config.most_splats, fused.space.voxel_m / 2)
        reasons["beside_others"] += len(everything.means) - len(kept.means)
        told.append(notes)
        total += seen
    if not len(kept.means):
        raise SceneError(
            "reconstruct",
            expected="Gaussians on what was seen",
            got=f"none of {total} is left; left out: {dict(reasons)}",
            todo="Use reconstruct.backend=tsdf, or look at the frames: they may be blank.",
        )
    splats = in_order(kept)
    return dataclasses.replace(
        fused,
        splats=splats,
        licences=tuple(network.licences),
        notes={
            **fused.notes,
            "network": network.name,
            "weights": dict(network.hashes),
            "chunks": told,
            "gaussians": total,
            "left_out_share": {name: count / total for name, count in reasons.items()},
            "splats": len(splats.means),
            **_from_surface(splats, fused, space),
        },
    )


def _of_chunk(
    chunk: Chunk, network: GaussianNetwork, space: FreeSpace, config: FeedforwardConfig, reasons: Reasons
) -> tuple[list[GaussianSplats], dict[str, Any], int]:
    """Splats of the views that are new in this chunk, notes on it, and how many Gaussians those views had."""
    made = network.gaussians(chunk.images, chunk.w2c, chunk.K)
    scale = find_scale(made, chunk, config.min_opacity)
    out: list[GaussianSplats] = []
    for i, view in enumerate(chunk.views):
        if i < chunk.repeated:
            continue
        depth = depth_of(made, i, view.camera) / scale.value
        keep = wanted(view, depth, made.opacity[i], config, reasons)
        placed = place(made, i, view, scale.value, keep)
        floating = space.floating(placed.means, depth[keep])
        reasons["floating"] += int(floating.sum())
        out.append(selected(placed, ~floating))
    notes = {"views": len(chunk.views), "repeated": chunk.repeated, **dataclasses.asdict(scale)}
    return out, notes, (len(chunk.views) - chunk.repeated) * made.opacity[0].size


def _from_surface(splats: GaussianSplats, fused: Fused, space: FreeSpace) -> dict[str, Any]:
    """Distance of the splats of the near field to the fused surface, metres."""
    near = splats.means[space.inside(splats.means)].astype(np.float64)
    near = near[:: max(1, len(near) // _SAMPLES)]
    if not len(near):
        return {"surface_median_m": None, "surface_p95_m": None}
    apart = RayScene(fused.mesh.vertices, fused.mesh.faces).distance(near)
    return {"surface_median_m": float(np.median(apart)), "surface_p95_m": float(np.percentile(apart, 95))}
