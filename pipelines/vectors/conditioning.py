"""Everything that one autoregressive step hands to the network, by the numpy reference and by its torch twin, in
float64 and, as a GPU computes it, in float32.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lyra_sim.memory import warp
from lyra_sim.memory.packing import FRAMES_PER_LATENT, Packing
from lyra_sim.memory.spatial import SpatialMemory
from lyra_sim.memory.twin import Twin
from lyra_sim.worldgen.lyra2.conditioning import Conditioning, Encode, Known, condition, time_line
from lyra_sim.worldgen.lyra2.correspondence import BLOCK, Geometry
from pipelines.vectors.figure import Figure, Vectors, differing, splatted

BAR = 1e-4
_SPLATTED = ("cond_latent", "buffer_generated", "warped_last_frame")


@dataclass
class Step:
    """Settings of a case."""

    packing: str
    num_retrieval_views: int
    warp_chunk_size: int


def stand_in(weights: np.ndarray) -> Encode:
    """The file's stand-in for the VAE: colours mixed by `weights`, means of 8 x 8 pixels and of frames 1, 4, 4, ..."""

    def encode(frames_T3HW: Tensor) -> Tensor:
        x = torch.einsum("cr,trhw->cthw", torch.tensor(weights, dtype=torch.float64), frames_T3HW.double())
        c, t, height, width = x.shape
        x = x.reshape(c, t, height // 8, 8, width // 8, 8).mean((3, 5))
        rest = x[:, 1:].reshape(c, (t - 1) // 4, 4, height // 8, width // 8).mean(2)
        return torch.cat([x[:, :1], rest], 1).float()

    return encode


def known_of(vectors: Vectors, case: str, packing: Packing) -> Known:
    """What is known before the step of this case."""
    given = f"{case}/in/"
    latents = vectors.shaped(given + "history_latents", 1, None, None, None, None)
    count = 1 + FRAMES_PER_LATENT * (latents.shape[2] - packing.history_latents)
    every, size = count + FRAMES_PER_LATENT * packing.new_latents, [BLOCK * side for side in latents.shape[3:]]
    frames = vectors.shaped(given + "frames_u8", count, 3, *size)
    w2c, K = vectors.shaped(given + "w2c", every, 4, 4), vectors.shaped(given + "K", every, 3, 3)
    ids = vectors.shaped(given + "cache_ids", None).tolist()
    depths = dict(zip(ids, vectors.shaped(given + "cache_depth", len(ids), *size), strict=True))
    downsample = vectors.value("cache_downsample", int)
    memory = SpatialMemory(downsample=downsample)
    for frame_id, depth in depths.items():
        memory.add(frame_id, depth, w2c[frame_id], K[frame_id])
    return Known(
        frames=count,
        pixels=lambda frame_id: frames[frame_id].astype(np.float32) / np.float32(127.5) - 1,
        latents=torch.tensor(latents[0]),
        w2c=w2c,
        K=K,
        last_depth=vectors.shaped(given + "last_depth", *size),
        memory=memory,
        depth=depths.__getitem__,
    )


def figures(vectors: Vectors) -> Iterator[Figure]:
    """Every case of the file, every output."""
    encode = stand_in(vectors["vae_weights"])
    for case in sorted({name.split("/")[0] for name in vectors if "/" in name}):
        step = vectors.value(case, Step)
        packing = Packing.parse(step.packing)
        known = known_of(vectors, case, packing)
        single = Twin(dtype=torch.float32)
        geometries: dict[str, Geometry] = {"numpy": warp, "twin": Twin(), "twin, float32": single}
        for name, geometry in geometries.items():
            made = condition(
                known, packing, encode, geometry, views=step.num_retrieval_views, chunk=step.warp_chunk_size
            )
            label = f"{case}, {name}: "
            yield from _compare(vectors, case, label, known, packing, made, single=geometry is single)


def _compare(
    vectors: Vectors, case: str, label: str, known: Known, packing: Packing, made: Conditioning, *, single: bool
) -> Iterator[Figure]:
    def wanted(name: str) -> np.ndarray:
        if name == "buffer_spatial" and f"{case}/out/{name}" not in vectors:  # equal to that of `five`, not repeated
            return vectors[f"five/out/{name}"]
        return vectors[f"{case}/out/{name}"]

    line = time_line(packing, known.frames + 4 * packing.new_latents)
    yield differing(label + "retrieved ids", np.array(made.retrieved), wanted("retrieved_ids"))
    yield differing(label + "frames of the slots", np.array(made.slots), wanted("spatial_image_ids"))
    yield differing(label + "time line", np.array(line), wanted("video_indices"))
    yield differing(label + "packed kind", made.kinds, wanted("packed_kind"))
    yield differing(label + "packed index", made.index, wanted("packed_index"))
    rays = 6 * 64
    channels = made.y.shape[1] - rays
    parts = {
        "history_latents_packed": made.latents,
        "mask": made.y[:, :4],
        "cond_latent": made.y[:, 4:channels],
        "rays": made.y[:, channels:],
        "buffer_spatial": made.buffer[:, :, np.flatnonzero(made.kinds == 1)],
        "buffer_generated": made.buffer[:, :, made.kinds == 2],
        "warped_last_frame": made.warped,
    }
    for name, part in parts.items():
        both = _stable(vectors, case, name, part.numpy(), wanted(name))
        yield from splatted(label + name, *both, BAR, single=single and name in _SPLATTED)
    history = made.buffer[:, :, made.kinds == 0].numpy()
    yield differing(label + "correspondences of history", history, np.zeros_like(history))
    mask, unstable = wanted("warped_last_mask").astype(bool), np.zeros(made.warped.shape, bool)
    unstable.ravel()[vectors[f"{case}/unstable/warped_last_frame"]] = True
    moves = unstable.any(1)
    yield from splatted(label + "warped_last_mask", made.warped_mask.numpy() | moves, mask | moves, 0, single=single)


def _stable(
    vectors: Vectors, case: str, name: str, made: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Both without the values that a rounding error moves."""
    if f"{case}/unstable/{name}" not in vectors or made.shape != wanted.shape:
        return made, wanted
    stable = np.ones(made.size, bool)
    stable[vectors[f"{case}/unstable/{name}"]] = False
    return made.ravel()[stable], wanted.ravel()[stable]
