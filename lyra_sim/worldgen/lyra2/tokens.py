"""From a window of latents to tokens: patches, pooled rotary angles, camera and correspondence tokens.

Shapes: B batch, C channels, T latents of the window, H W rows and columns of a latent, L tokens, K channels of a head.
Patches of packed history are larger than those of new latents (`Run.stretch`); what does not divide is padded at its
end with its last value. Source: the public description of Lyra 2.0 (nv-tlabs/lyra, networks/wan2pt1_lyra2.py).
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from lyra_sim.memory.packing import Packing, Run

THETA = 10_000.0


def runs_of(packing: Packing, latents: int) -> Iterator[tuple[Run, slice]]:
    """The runs of a window with the latents that each one holds."""
    assert latents == len(packing.kinds), f"a window of {len(packing.kinds)} latents, got {latents}"
    begin = 0
    for run in packing.runs:
        yield run, slice(begin, begin + run.latents)
        begin += run.latents


def pad_to(x_BCTHW: Tensor, multiple: tuple[int, int, int]) -> Tensor:
    """Repeat the last latent, row and column until the sides divide."""
    t, h, w = ((-side) % step for side, step in zip(x_BCTHW.shape[2:], multiple, strict=True))
    return functional.pad(x_BCTHW, (0, w, 0, h, 0, t), mode="replicate") if t or h or w else x_BCTHW


def patches(x_BCTHW: Tensor, size: tuple[int, int, int]) -> Tensor:
    """(B, L, C pt ph pw): features ordered (channel, time, row, column), tokens (time, row, column)."""
    pt, ph, pw = size
    x = pad_to(x_BCTHW, size)
    b, c, t, h, w = x.shape
    x = x.reshape(b, c, t // pt, pt, h // ph, ph, w // pw, pw)
    return x.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(b, -1, c * pt * ph * pw)


def unpatch(x_BLC: Tensor, grid: tuple[int, int, int], size: tuple[int, int, int], rows_columns: tuple[int, int]):
    """Inverse of `patches` for features ordered (time, row, column, channel); cuts the padding off."""
    (f, h, w), (pt, ph, pw) = grid, size
    x = x_BLC.reshape(len(x_BLC), f, h, w, pt, ph, pw, -1)
    x = x.permute(0, 7, 1, 4, 2, 5, 3, 6).reshape(len(x), x.shape[-1], f * pt, h * ph, w * pw)
    return x[..., : rows_columns[0], : rows_columns[1]]


def pooled(x_BCTHW: Tensor, stretch: tuple[int, int, int]) -> Tensor:
    """Means over blocks of `stretch`."""
    if stretch == (1, 1, 1):
        return x_BCTHW
    return functional.avg_pool3d(pad_to(x_BCTHW, stretch).float(), stretch).to(x_BCTHW.dtype)


def _flat(x_BCTHW: Tensor) -> Tensor:
    return x_BCTHW.flatten(2).transpose(1, 2)


def rotary_angles(packing: Packing, rows: int, columns: int, head_dim: int, device: torch.device | str) -> Tensor:
    """(L, K/2) float32 angles [time | row | column] of every token; the time is the place in the window.

    Args:
        rows, columns: of the grid of new tokens (half those of a latent).
    """
    side = head_dim // 6 * 2
    axes = ((len(packing.kinds), head_dim - 2 * side), (rows, side), (columns, side))
    parts = []
    for axis, (length, width) in enumerate(axes):
        exponent = torch.arange(0, width, 2, device=device, dtype=torch.float32) / width
        angle = torch.outer(torch.arange(length, device=device, dtype=torch.float32), 1.0 / THETA**exponent)
        shape = [1, 1, 1, angle.shape[1]]
        shape[axis] = length
        parts.append(angle.reshape(shape).expand(*(size for size, _ in axes), -1))
    grid_BCTHW = torch.cat(parts, -1).permute(3, 0, 1, 2)[None]
    runs = runs_of(packing, len(packing.kinds))
    return torch.cat([_flat(pooled(grid_BCTHW[:, :, where], run.stretch))[0] for run, where in runs])


def camera_tokens(rays_BCTHW: Tensor, packing: Packing) -> Tensor:
    """(B, L, 4 C): ray maps in 2 x 2 blocks, features ordered (channel, row, column), pooled like the angles."""
    x = pad_to(rays_BCTHW, (1, 2, 2))
    b, c, t, h, w = x.shape
    x = x.reshape(b, c, t, h // 2, 2, w // 2, 2).permute(0, 1, 4, 6, 2, 3, 5).reshape(b, 4 * c, t, h // 2, w // 2)
    return torch.cat([_flat(pooled(x[:, :, where], run.stretch)) for run, where in runs_of(packing, t)], 1)


def buffer_tokens(buffer_BCTHW: Tensor, packing: Packing) -> tuple[Tensor, Tensor]:
    """Correspondence tokens (B, L, 4 C), and which of them say anything (1, L, 1): none of temporal history."""
    tokens, said = [], []
    for run, where in runs_of(packing, buffer_BCTHW.shape[2]):
        b, c, _, *sides = buffer_BCTHW.shape
        if run.kind == "k":
            piece = buffer_BCTHW.new_zeros(b, run.tokens(sides), 4 * c)
        else:
            piece = patches(pooled(buffer_BCTHW[:, :, where], run.stretch), (1, 2, 2))
        tokens.append(piece)
        said.append(piece.new_full((1, piece.shape[1], 1), float(run.kind != "k")))
    return torch.cat(tokens, 1), torch.cat(said, 1)
