"""What one step of the video generator hands to its network: packed history, masks, condition latents, rays and
correspondences.

The release mixes two pixel conventions, and so does this file: one pinhole matrix per frame (`framing.matrix`) serves
warps, with integer pixel centres, and ray maps, with half-integer ones. Source: the public description of Lyra 2.0
(nv-tlabs/lyra, models/lyra2_model.py and inference/lyra2_ar_inference.py); written anew.

Shapes: B batch (1), C channels, L history latents, T latents of the window (history, then new), F target frames,
H W pixels, h w rows and columns of a latent (8 x 8 pixels).
"""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lyra_sim.core.record import record
from lyra_sim.memory.packing import FRAMES_PER_LATENT, Packing
from lyra_sim.memory.spatial import SpatialMemory
from lyra_sim.memory.warp import CHUNK
from lyra_sim.worldgen.lyra2.correspondence import (
    BLOCK,
    CHANNELS,
    Geometry,
    fill_targets,
    of_slots,
    space_to_depth,
    to_torch,
)

MASK_CHANNELS = 4
RAY_CHANNELS = 6 * BLOCK * BLOCK
Encode = Callable[[Tensor], Tensor]
"""Frames (1 + 4 k, 3, H, W) in [-1, 1], encoded on their own, to latents (C, 1 + k, h, w)."""
Way = Literal["memory", "hard_warp", "global_cloud", "none"]
"""How the past reaches the generator.

memory: remembered views beside the history, correspondences to each (Lyra 2.0).
hard_warp: pixels only (as in GEN3C, Ren et al. 2025): remembered views, warped by their depth, fill the holes of the
    warped last frame, the best first; no correspondences, and the memory slots hold frame 0.
global_cloud: as `memory`, but the retrieved views are one cloud with one z-test, so that a target pixel corresponds to
    one view only.
none: the last frame and the recent history only.

The last three are ablations whose details are not published (table 3 of the paper names "global point cloud" and no
more), so they are built to differ from `memory` in one thing each. In hard_warp that is the way of remembered views:
through the condition latent, which GEN3C has alone; the last frame stays in front, as everywhere, and a better view
goes before a worse one, as in the order of the slots. In global_cloud it is the fusion: the views are those that
`memory` would use, for a network with five slots can be told of no others, and only which of them is seen where is
decided by all their points together.
"""


@record
class Known:
    """What is known before a step that generates frames `frames`, `frames` + 1, ...

    Frame 0 is the first image. Cameras are those of all frames so far and of the targets; there may be more (training
    retrieves from the future too).
    """

    frames: int
    """How many frames there are so far; one more than a multiple of 4."""
    pixels: Callable[[int], np.ndarray]
    """Frame id to image, (3, H, W) float32 in [-1, 1]. Asked for the last frame and remembered ones."""
    latents: Float[Tensor, "C L h w"]
    """All latents so far, repeats of frame 0 in front (`Packing.repeats`)."""
    w2c: Float[np.ndarray, "M 4 4"]
    K: Float[np.ndarray, "M 3 3"]
    last_depth: Float[np.ndarray, "H W"]
    """z-depth of the last frame, scene units; 0 where unknown."""
    memory: SpatialMemory
    depth: Callable[[int], np.ndarray]
    """Id of a remembered frame to its z-depth, (H, W), scene units; 0 where unknown."""


@record
class Conditioning:
    """One step's input to the network, without its noise, text and image tokens. Float32, where the latents are."""

    latents: Float[Tensor, "1 C N h w"]
    """Clean history in packed order, images of remembered views among them."""
    y: Float[Tensor, "1 Y T h w"]
    """Mask (4), condition latents (C), rays (384)."""
    buffer: Float[Tensor, "1 X T h w"]
    """Correspondences, 256 for every memory slot; 0 at temporal history."""
    retrieved: tuple[int, ...]
    """Ids of the retrieved frames, best last."""
    slots: tuple[int, ...]
    """Ids of the frames whose images fill the memory slots."""
    kinds: Int[np.ndarray, "T"]
    """Per latent of the window: 0 temporal history, 1 remembered view, 2 new."""
    index: Int[np.ndarray, "T"]
    """Which history latent, which frame, or history length + j for new latent j."""
    warped: Float[Tensor, "F 3 H W"]
    """Pixels of the condition: the last frame in every target, -1 in holes."""
    warped_mask: Bool[Tensor, "F H W"]


def time_line(packing: Packing, frames: int) -> list[int]:
    """Frame id of every pixel frame of the time line, which begins with repeats of frame 0. Latent i ends at 4 i."""
    return [0] * packing.repeats + list(range(1, frames))


def retrieve(known: Known, packing: Packing, views: int = 1) -> tuple[int, ...]:
    """Ids of remembered frames that cover `views` evenly spaced targets, the last one among them; best last.

    The release takes targets linspace(0, new - 1, views + 1)[1:]; how it makes frames of fractions is not published.
    They are cut off here, as arrays of either kind do when they become indices; only the last, a whole number, is used
    by default.
    """
    new = FRAMES_PER_LATENT * packing.new_latents
    targets = [known.frames + (new - 1) * v // views for v in range(1, views + 1)]
    found = known.memory.retrieve(
        known.w2c[targets], known.K[targets], known.last_depth.shape, count=packing.spatial_slots
    )
    return tuple(frame_id for _, frame_id in found)


def condition(
    known: Known,
    packing: Packing,
    encode: Encode,
    geometry: Geometry,
    *,
    way: Way = "memory",
    views: int = 1,
    retrieved: Sequence[int] | None = None,
    chunk: int = CHUNK,
) -> Conditioning:
    """Everything that the network is told in one step.

    Args:
        geometry: where warps and rays are computed, `memory.warp` or a `memory.twin.Twin`.
        views: how many targets retrieval covers.
        retrieved: these frames, best last, in place of retrieval (training).
        chunk: targets that are warped together; the release was trained with the default.
    """
    _check(known, packing)
    ids = () if way == "none" else retrieve(known, packing, views) if retrieved is None else tuple(retrieved)
    assert len(set(ids)) == len(ids) <= packing.spatial_slots, "as many frames as slots at most, each once"
    matched = () if way == "hard_warp" else ids
    slots = (0,) * (packing.spatial_slots - len(matched)) + matched
    kinds, index = _window(packing, known.latents.shape[1], slots)
    warped, mask = _warped(known, packing, geometry, ids if way == "hard_warp" else (), chunk)
    latents = _history(known, encode, kinds, index)
    tail = encode(torch.cat([warped[:1], warped]))[:, 1:]
    cond = torch.cat([latents, tail.to(latents)], 1)
    y = latents.new_ones(MASK_CHANNELS + len(cond) + RAY_CHANNELS, *cond.shape[1:])
    y[MASK_CHANNELS:-RAY_CHANNELS] = cond
    _draw_rays(y[-RAY_CHANNELS:], known, packing, geometry, kinds, index)
    return Conditioning(
        latents=latents[None],
        y=y[None],
        buffer=_buffer(known, packing, geometry, matched, way == "global_cloud", chunk)[None],
        retrieved=ids,
        slots=slots,
        kinds=kinds,
        index=index,
        warped=warped,
        warped_mask=mask,
    )


def _check(known: Known, packing: Packing) -> None:
    begin, latents = known.frames, known.latents.shape[1]
    assert (begin - 1) % FRAMES_PER_LATENT == 0, "the first frame, then whole latents"
    assert latents == packing.history_latents + (begin - 1) // FRAMES_PER_LATENT, "repeats of frame 0, then the history"
    assert len(known.w2c) >= begin + FRAMES_PER_LATENT * packing.new_latents, "a camera for every target"
    assert known.last_depth.shape == tuple(BLOCK * side for side in known.latents.shape[2:])


def _targets(known: Known, packing: Packing) -> tuple[np.ndarray, np.ndarray]:
    """w2c and K of the frames to generate."""
    targets = slice(known.frames, known.frames + FRAMES_PER_LATENT * packing.new_latents)
    return known.w2c[targets], known.K[targets]


def _window(packing: Packing, latents: int, slots: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """`kinds` and `index` of `Conditioning`."""
    sources = {"k": iter(packing.temporal(latents)), "s": iter(slots), "g": count(latents)}
    index = [next(sources[kind]) for kind in packing.kinds]
    return np.array(["ksg".index(kind) for kind in packing.kinds]), np.array(index)


def _history(known: Known, encode: Encode, kinds: np.ndarray, index: np.ndarray) -> Tensor:
    """(C, N, h, w): recent latents, and remembered views each encoded as a picture of its own."""
    latents = known.latents.float()
    images = {}
    for frame_id in {*index[kinds == 1].tolist()}:
        pixels = to_torch(known.pixels(frame_id), latents.device)
        images[frame_id] = encode(pixels[None])[:, 0].to(latents)
    chosen = [
        images[i] if kind == 1 else latents[:, i] for kind, i in zip(kinds, index.tolist(), strict=True) if kind < 2
    ]
    return torch.stack(chosen, 1)


def _warped(
    known: Known, packing: Packing, geometry: Geometry, fill: tuple[int, ...], chunk: int
) -> tuple[Tensor, Tensor]:
    """The last frame seen from every target, and where it has pixels; in its holes views of `fill`, best first."""
    device = known.latents.device

    def show(frame_id: int, depth: np.ndarray) -> tuple[Tensor, Tensor]:
        source = (known.pixels(frame_id)[None], depth[None], known.w2c[[frame_id]], known.K[[frame_id]])
        made = geometry.forward_warp(*source, *_targets(known, packing), chunk=chunk)
        return to_torch(made.images, device), to_torch(made.mask, device) > 0

    images, mask = show(known.frames - 1, known.last_depth)
    for frame_id in reversed(fill):
        behind, more = show(frame_id, known.depth(frame_id))
        images, mask = torch.where(mask[:, None], images, behind), mask | more
    return images, mask


def _draw_rays(
    out_CThw: Tensor, known: Known, packing: Packing, geometry: Geometry, kinds: np.ndarray, index: np.ndarray
) -> None:
    """Rays of every latent's camera, relative to the last frame."""
    line = time_line(packing, known.frames + FRAMES_PER_LATENT * packing.new_latents)
    reference = np.asarray(known.w2c[known.frames - 1], np.float64)
    for place, (kind, i) in enumerate(zip(kinds, index, strict=True)):
        camera = i if kind == 1 else line[FRAMES_PER_LATENT * i]
        relative = reference @ np.linalg.inv(np.asarray(known.w2c[camera], np.float64))
        rays_NHWC = geometry.ray_maps(relative[None], known.K[[camera]], *known.last_depth.shape)
        out_CThw[:, [place]] = space_to_depth(to_torch(rays_NHWC, out_CThw.device).permute(0, 3, 1, 2))


def _buffer(
    known: Known, packing: Packing, geometry: Geometry, ids: tuple[int, ...], together: bool, chunk: int
) -> Tensor:
    """(256 S, T, h, w)."""
    size, device, slots = known.last_depth.shape, known.latents.device, packing.spatial_slots
    out = torch.zeros(CHANNELS * slots, len(packing.kinds), *known.latents.shape[2:], device=device)
    if not slots:
        return out
    places = [i for i, kind in enumerate(packing.kinds) if kind == "s"]
    out[:, places] = of_slots(geometry, slots, (size[0], size[1]), device)
    frames = list(ids)
    depth = np.stack([known.depth(i) for i in frames]) if frames else np.empty((0, *size))
    cameras = (known.w2c[frames], known.K[frames], *_targets(known, packing))
    new = out[:, -packing.new_latents :]
    fill_targets(new, geometry, depth, *cameras, together=together, chunk=chunk)
    return out
