"""Torch twin of the spatial memory's numpy reference: the same functions on any device, in float32 or float64.

In float64 on a CPU it equals `warp` and `spatial` up to the order of sums. In float32 a splat that falls a hair beside
a pixel centre can fill a neighbour or leave it a hole, so a few pixels differ.

Shapes: S sources, N targets, C channels, H W rows and columns, V target views of a retrieval, E entries of the
memory, P points of an entry.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lyra_sim.memory.spatial import OCCLUSION_M, SpatialMemory
from lyra_sim.memory.warp import CHUNK, FAR_M, canonical_coords, source_to_target, sources_of

Numbers = np.ndarray | Tensor


@dataclass(frozen=True)
class Splat:
    """`warp.Warped` as tensors: images (N, C, H, W), mask (N, H, W), depth (N, H, W)."""

    images: Tensor
    mask: Tensor
    depth: Tensor


class Twin:
    """The functions of `warp` and the retrieval of `spatial`, with their arguments; gives tensors on its device.

    Args:
        device: where it computes.
        dtype: float32 or float64; camera matrices are combined in float64 in both cases.
    """

    def __init__(self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float64) -> None:
        self.device, self.dtype = torch.device(device), dtype

    def tensor(self, numbers: Numbers) -> Tensor:
        """These numbers here, in this precision."""
        return (numbers if isinstance(numbers, Tensor) else torch.tensor(numbers)).to(self.device, self.dtype)

    def known_depth(self, depth: Numbers) -> Tensor:
        """See `warp.known_depth`."""
        return self.tensor(depth).nan_to_num(nan=FAR_M, posinf=FAR_M, neginf=0.0).clamp(0.0, FAR_M)

    def continuity_mask(self, depth: Numbers, window: int = 5, ratio: float = 0.05) -> Tensor:
        """See `warp.continuity_mask`; (N, H, W), bool."""
        d = self.tensor(depth)[:, None]
        pool = (window, 1, window // 2)
        top, low = functional.max_pool2d(d, *pool), -functional.max_pool2d(-d, *pool)
        mean = functional.avg_pool2d(d, *pool)  # zeros beyond the border count
        return ((top - low) / (mean + 1e-6) < ratio)[:, 0]

    def forward_warp(
        self,
        images: Numbers,
        depth: Numbers,
        source_w2c: np.ndarray,
        source_K: np.ndarray,
        target_w2c: np.ndarray,
        target_K: np.ndarray,
        *,
        size: tuple[int, int] | None = None,
        source_mask: Numbers | None = None,
        together: bool = False,
        chunk: int = CHUNK,
    ) -> Splat:
        """See `warp.forward_warp`."""
        d = self.known_depth(depth)
        allowed = self.continuity_mask(d) if source_mask is None else self.tensor(source_mask) > 0
        keep, values = (d > 0) & allowed, self.tensor(images)
        n, (height, width) = len(target_w2c), size or values.shape[2:]
        sources = sources_of(len(values), n, together)
        paths = self.tensor(source_to_target(source_w2c, source_K, target_w2c, target_K, sources))
        origin_z = self.tensor(np.array(target_w2c, np.float64)[:, 2, 3])
        drawn = []
        with _fixed_order():
            for begin in range(0, n, chunk):
                part = range(begin, min(begin + chunk, n))
                tops = [
                    self._farthest(d[s], keep[s], paths[i, k], origin_z[i])
                    for i in part
                    for k, s in enumerate(sources[i])
                ]
                far = torch.log1p(torch.stack(tops).amax().clamp(min=0.0)) + 1e-7
                for i in part:
                    total = torch.zeros(
                        values.shape[1] + 2, (height + 2) * (width + 2), dtype=self.dtype, device=self.device
                    )
                    for k, s in enumerate(sources[i]):
                        self._scatter(values[s], d[s], keep[s], paths[i, k], far, total, width)
                    drawn.append(_settled(total.reshape(-1, height + 2, width + 2)[:, 1:-1, 1:-1]))
        return Splat(*(torch.stack(parts) for parts in zip(*drawn, strict=True)))

    def canonical_coords(self, height: int, width: int, slots: int) -> Tensor:
        """See `warp.canonical_coords`."""
        return self.tensor(canonical_coords(height, width, slots))

    def ray_maps(self, relative_c2w: np.ndarray, K: np.ndarray, height: int, width: int) -> Tensor:
        """See `warp.ray_maps`; (N, H, W, 6)."""
        pose, inverse = self.tensor(relative_c2w), self.tensor(np.linalg.inv(np.asarray(K, np.float64)))
        v, u = torch.meshgrid(self._arange(height) + 0.5, self._arange(width) + 0.5, indexing="ij")
        pixels = torch.stack([u, v, torch.ones_like(u)], -1)
        rays = torch.einsum("hwk,nik->nhwi", pixels, inverse).expand(len(pose), -1, -1, -1)
        rays = rays / torch.linalg.vector_norm(rays, dim=-1, keepdim=True)
        rays = torch.einsum("nhwk,nik->nhwi", rays, pose[:, :3, :3])
        return torch.cat([pose[:, None, None, :3, 3].expand_as(rays), rays], -1)

    def retrieve(
        self,
        memory: SpatialMemory,
        target_w2c: np.ndarray,
        target_K: np.ndarray,
        size: tuple[int, int],
        *,
        count: int = 5,
        exclude_recent: bool = True,
    ) -> list[tuple[int, int]]:
        """See `SpatialMemory.retrieve`."""
        if not len(memory):
            return []
        seen = torch.cat([self._visible(memory, *camera) for camera in memory.cameras(target_w2c, target_K, size)], 1)
        return memory.cover(seen.cpu().numpy(), count=count, exclude_recent=exclude_recent)

    def _visible(self, memory: SpatialMemory, w2c: np.ndarray, K: np.ndarray, height: int, width: int) -> Tensor:
        """(E, pixels): does this entry see this pixel's foremost surface?"""
        P, forward = self.tensor(K @ w2c[:3]), self.tensor(w2c[2])
        nearest = torch.full((height * width,), torch.inf, dtype=self.dtype, device=self.device)
        landed = []
        for points in memory.points:
            x, y, w = self.tensor(points).unbind(-1)
            z = forward[0] * x + forward[1] * y + forward[2] * w + forward[3]
            u = torch.round((P[0, 0] * x + P[0, 1] * y + P[0, 2] * w + P[0, 3]) / (z + 1e-7))
            v = torch.round((P[1, 0] * x + P[1, 1] * y + P[1, 2] * w + P[1, 3]) / (z + 1e-7))
            inside = (z > 0) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
            where, z = v[inside].long() * width + u[inside].long(), z[inside]
            nearest.scatter_reduce_(0, where, z, "amin")
            landed.append((where, z))
        seen = torch.zeros(len(landed), height * width, dtype=torch.bool, device=self.device)
        for row, (where, z) in zip(seen, landed, strict=True):
            row[where[z <= nearest[where] + OCCLUSION_M]] = True
        return seen

    def _path(self, depth_HW: Tensor, P: Tensor, row: int) -> Tensor:
        """Homogeneous target coordinate `row` of every source pixel."""
        v, u = self._arange(depth_HW.shape[0])[:, None], self._arange(depth_HW.shape[1])
        return (P[row, 0] * u + P[row, 1] * v + P[row, 2]) * depth_HW + P[row, 3]

    def _farthest(self, depth_HW: Tensor, keep_HW: Tensor, P: Tensor, origin_z: Tensor) -> Tensor:
        return torch.where(keep_HW, self._path(depth_HW, P, 2), origin_z).amax()

    def _scatter(
        self, values_CHW: Tensor, depth_HW: Tensor, keep_HW: Tensor, P: Tensor, far: Tensor, total: Tensor, width: int
    ) -> None:
        """Bilinear splat with soft z-test, adding to [values, depth, weight] of a canvas with a border of one pixel."""
        height = total.shape[1] // (width + 2) - 2
        z = self._path(depth_HW, P, 2)
        x, y = (self._path(depth_HW, P, row) / (z + 1e-7) for row in (0, 1))
        lands = keep_HW & (z > 0) & (x > -1) & (x < width) & (y > -1) & (y < height)
        x, y, z, values = x[lands], y[lands], z[lands], values_CHW[:, lands]
        near = 1.0 / (torch.exp((50.0 * torch.log1p(z) / far).clamp(max=80.0)) + 1e-7)
        given = torch.cat([values, z[None], torch.ones_like(z)[None]])
        for yy, wy in ((y.floor(), 1.0 - (y - y.floor())), (y.ceil(), 1.0 - (y.ceil() - y))):
            for xx, wx in ((x.floor(), 1.0 - (x - x.floor())), (x.ceil(), 1.0 - (x.ceil() - x))):
                where = (yy.long() + 1) * (width + 2) + xx.long() + 1
                total.index_add_(1, where, given * (wx * wy * near))

    def _arange(self, length: int) -> Tensor:
        return torch.arange(length, dtype=self.dtype, device=self.device)


@contextmanager
def _fixed_order() -> Iterator[None]:
    """Sums on CUDA in a fixed order, at some cost: the same past must give the same bytes."""
    before, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)


def _settled(total: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Image, mask and depth of one target."""
    weight = total[-1]
    mask = weight > 0
    means = total[:-1] / torch.where(mask, weight, 1.0)
    return torch.where(mask, means[:-1].clamp(-1.0, 1.0), -1.0), mask, means[-1]
