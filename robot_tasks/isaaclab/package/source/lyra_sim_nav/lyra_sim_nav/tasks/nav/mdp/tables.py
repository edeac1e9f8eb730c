"""Episodes and distance fields of all worlds as tensors on one device."""

from collections.abc import Sequence

import numpy as np
import torch

from lyra_sim_nav.worlds import DISTANCE_UNIT_M, NO_WAY, World

_HALF = 32768


class NavTables:
    """W worlds; the distance fields of world w are rows `first_field[w]` and on, its episodes, nearest first, rows
    `first[w]` to `first[w] + count[w]`.

    Attributes:
        world (E,), start (E, 3), yaw (E,), goal (E, 3), field (E,), geodesic_m (E,): the episodes.
    """

    def __init__(self, worlds: Sequence[World], device: str) -> None:
        nx, ny = np.max([w.distance.shape[1:] for w in worlds], axis=0)
        padded = [
            np.pad(
                w.distance,
                ((0, 0), (0, nx - w.distance.shape[1]), (0, ny - w.distance.shape[2])),
                constant_values=NO_WAY,
            )
            for w in worlds
        ]
        # torch computes little with uint16: stored less _HALF, in half the memory of float32
        stored = (np.concatenate(padded).astype(np.int32) - _HALF).astype(np.int16)
        self._distance = torch.from_numpy(stored).to(device).reshape(-1)
        self._shape = (int(nx), int(ny))
        self._origin = torch.tensor(np.array([w.origin_m for w in worlds]), dtype=torch.float32, device=device)
        self._cell = torch.tensor([w.cell_m for w in worlds], dtype=torch.float32, device=device)
        fields = np.cumsum([0] + [len(w.distance) for w in worlds])
        ends = np.cumsum([0] + [len(w.yaw) for w in worlds])
        self.first = torch.tensor(ends[:-1], device=device)
        self.count = torch.tensor(np.diff(ends), device=device)
        self.world = torch.repeat_interleave(torch.arange(len(worlds), device=device), self.count)
        self.field = torch.tensor(
            np.concatenate([w.field + at for w, at in zip(worlds, fields, strict=False)]), device=device
        )
        self.start, self.yaw, self.goal, self.geodesic_m = (
            torch.tensor(np.concatenate([getattr(w, name) for w in worlds]), dtype=torch.float32, device=device)
            for name in ("start", "yaw", "goal", "geodesic_m")
        )

    def way_m(self, episode: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        """Way to the goal of episodes (N,) from positions (N, 2) in their worlds, bilinear between cell centres; inf
        where it is not known."""
        cell = self._cell[self.world[episode]]
        return self._sample(episode, (position - self._origin[self.world[episode]]) / cell[:, None])

    def downhill(self, episode: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        """Direction (N, 2) in the world frame in which the way shortens, of length at most 1, less where ways part; 0
        where it is not known."""
        cell = self._cell[self.world[episode]][:, None]
        at = (position - self._origin[self.world[episode]]) / cell
        shift = torch.tensor([[1.0, 0.0], [0.0, 1.0]], device=at.device)
        fall = [self._sample(episode, at - s) - self._sample(episode, at + s) for s in shift]
        found = torch.stack(fall, -1) / (2 * cell)
        found = torch.where(torch.isfinite(found), found, torch.zeros_like(found))
        return found / torch.linalg.vector_norm(found, dim=-1, keepdim=True).clamp(min=1)

    def _sample(self, episode: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        """Looked up cell by cell: `grid_sample` gives the same, but copies a whole field for every robot."""
        nx, ny = self._shape
        most = torch.tensor([nx - 1, ny - 1], dtype=torch.float32, device=at.device)
        at = torch.minimum((at - 0.5).clamp(min=0), most)
        low = torch.minimum(at.long(), (most - 1).long())
        a, b = (at - low).unbind(-1)
        base = (self.field[episode] * nx + low[:, 0]) * ny + low[:, 1]
        corners = torch.stack([self._distance[base + off].float() + _HALF for off in (0, 1, ny, ny + 1)])
        p, q, r, s = corners
        left, right = p + b * (q - p), r + b * (s - r)
        return torch.where((corners < NO_WAY).all(0), (left + a * (right - left)) * DISTANCE_UNIT_M, torch.inf)
