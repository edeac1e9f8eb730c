"""Correspondence buffer: for every pixel to generate, which pixel of which remembered view shows the same point.

A memory slot's coordinate image (x, y, slot) is carried into the targets by the depth of its view, the carried depth
beside it. Source: the public description of Lyra 2.0 (nv-tlabs/lyra, models/lyra2_model.py).

Shapes: S memory slots, R retrieved views (worst first), F target frames, H W pixels, h w rows and columns of a latent.
Channels: 256 for each slot, the best view's first; of these 64 (an 8 x 8 block of pixels) each for x, y, slot, depth.
"""

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from lyra_sim.memory.packing import FRAMES_PER_LATENT

BLOCK = 8
"""Pixels along each side of a latent pixel."""
CHANNELS = 4 * BLOCK * BLOCK
"""Of one memory slot."""
_NONE = -1.0
_FAR = 1.0


class Geometry(Protocol):
    """Where warps are computed: module `memory.warp` (numpy) or a `memory.twin.Twin` (torch), with its arguments."""

    def forward_warp(self, *args: Any, **settings: Any) -> Any: ...
    def ray_maps(self, *args: Any, **settings: Any) -> Any: ...
    def canonical_coords(self, *args: Any, **settings: Any) -> Any: ...


def to_torch(numbers: np.ndarray | Tensor, device: torch.device | str) -> Tensor:
    """Float32 on `device`; arrays are copied."""
    return (numbers if isinstance(numbers, Tensor) else torch.tensor(numbers)).to(device, torch.float32)


def space_to_depth(x_NCHW: Tensor) -> Tensor:
    """(C 64, N, h, w): blocks of 8 x 8 pixels as channels, ordered (channel, row, column)."""
    n, c, height, width = x_NCHW.shape
    x = x_NCHW.reshape(n, c, height // BLOCK, BLOCK, width // BLOCK, BLOCK).permute(1, 3, 5, 0, 2, 4)
    return x.reshape(c * BLOCK * BLOCK, n, height // BLOCK, width // BLOCK)


def of_slots(geometry: Geometry, slots: int, size: tuple[int, int], device: torch.device | str) -> Tensor:
    """(256 S, S, h, w) at the places of the remembered views themselves: each slot's own coordinates in every group of
    channels. It does not depend on what was retrieved."""
    coords_SCHW = to_torch(geometry.canonical_coords(*size, slots), device)
    nearest, farthest = (torch.full_like(coords_SCHW[:, :1], depth) for depth in (_NONE, _FAR))
    groups = [torch.cat([coords_SCHW, farthest if group else nearest], 1) for group in range(slots)]
    return torch.cat([space_to_depth(group) for group in groups])


def fill_targets(
    out_XThw: Tensor,
    geometry: Geometry,
    depth_RHW: np.ndarray,
    source_w2c_R44: np.ndarray,
    source_K_R33: np.ndarray,
    target_w2c_F44: np.ndarray,
    target_K_F33: np.ndarray,
    *,
    together: bool,
    chunk: int,
) -> None:
    """At the places to generate: what of each retrieved view lands in the last frame of every latent. Depths of all
    views and frames, holes (0) among them, are mapped jointly to [-1, 1].

    Args:
        out_XThw: (256 S, F / 4, h, w), written here: it is large.
        together: the views are one cloud with one z-test; then only the first group of channels says anything.
    """
    views, height, width = depth_RHW.shape
    slots, device = len(out_XThw) // CHANNELS, out_XThw.device
    assert views <= slots, "at most one view per slot"
    out = out_XThw.unflatten(0, (slots, 4, -1))
    out[:, :3], out[:, 3] = _NONE, _FAR
    if not views:
        return
    coords = geometry.canonical_coords(height, width, slots)[slots - views :]
    groups = [slice(None)] if together else [slice(j, j + 1) for j in reversed(range(views))]
    low, high = float("inf"), 0.0
    for group, j in enumerate(groups):
        sources = (coords[j], depth_RHW[j], source_w2c_R44[j], source_K_R33[j])
        made = geometry.forward_warp(*sources, target_w2c_F44, target_K_F33, together=together, chunk=chunk)
        low, high = min(low, float(made.depth.min())), max(high, float(made.depth.max()))
        last = slice(FRAMES_PER_LATENT - 1, None, FRAMES_PER_LATENT)
        shown = [to_torch(made.images[last], device), to_torch(made.depth[last], device)[:, None]]
        out[group] = space_to_depth(torch.cat(shown, 1)).unflatten(0, (4, -1))
    depths = out[: len(groups), 3]
    depths.sub_(low).mul_(2.0 / max(high - low, 1e-6)).sub_(1.0)
