"""The light simulation's kernels on a Warp device: a GPU, or the CPU to compare with."""

from typing import Any

import numpy as np
import warp as wp

from robot_tasks.envs.atlas import Atlas
from robot_tasks.envs.kernels import Outcome, Rules, State
from robot_tasks.envs.warp_kernels import Law, Result, Robots, Tables, cast_kernel, look_kernel, move_kernel


class WarpEngine:
    """`move` and `look` of `kernels` on a Warp device, for `VectorNav(engine=...)`. On a CPU the arrays are shared, on
    a GPU the tables lie there and the state is copied there and back in each call."""

    def __init__(self, device: str = "cpu") -> None:
        """Args: device: a Warp device, such as cpu or cuda:0."""
        self._device = wp.get_device(device)
        self._tables: tuple[Atlas, Any] | None = None

    def move(
        self, atlas: Atlas, state: State, command: np.ndarray, rules: Rules, order: np.ndarray, out: Outcome
    ) -> None:
        """As `kernels.move`; the order is not used."""
        robots, back = self._filled(Robots, state)
        law, _ = self._filled(Law, rules)
        result, results = self._filled(Result, out)
        inputs = [self._atlas(atlas), robots, self._up(command), law, result]
        wp.launch(move_kernel, dim=len(command), inputs=inputs, device=self._device)
        self._down(back + results)

    def look(
        self, atlas: Atlas, state: State, rows: np.ndarray, beams: np.ndarray, range_m: float, ranges: np.ndarray,
        way: np.ndarray,
    ) -> None:  # fmt: skip
        """As `kernels.look`."""
        robots, back = self._filled(Robots, state)
        seen, ahead = self._up(ranges), self._up(way)
        inputs = [self._atlas(atlas), robots, self._up(rows), self._up(beams), float(range_m), seen, ahead]
        wp.launch(look_kernel, dim=ranges.shape, inputs=inputs, device=self._device)
        self._down([*back, (ranges, seen), (way, ahead)])

    def _atlas(self, atlas: Atlas) -> Any:
        if self._tables is None or self._tables[0] is not atlas:
            self._tables = atlas, self._filled(Tables, atlas)[0]
        return self._tables[1]

    def _filled(self, struct: Any, fields: Any) -> tuple[Any, list[tuple[np.ndarray, Any]]]:
        """A struct of the named tuple's arrays on the device, and (host, device) pairs of them."""
        made, pairs = struct(), []
        for name, value in fields._asdict().items():
            there = self._up(value) if isinstance(value, np.ndarray) else value
            setattr(made, name, there)
            if isinstance(value, np.ndarray):
                pairs.append((value, there))
        return made, pairs

    def _up(self, host: np.ndarray) -> Any:
        return wp.array(host, device=self._device, copy=not self._device.is_cpu)

    def _down(self, pairs: list[tuple[np.ndarray, Any]]) -> None:
        if not self._device.is_cpu:
            for host, there in pairs:
                host[...] = there.numpy()


class WarpRays:
    """First hits of rays on triangles, as `lyra_sim.geometry.rays.RayScene.cast`, by Warp's bounding volumes."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, device: str = "cpu") -> None:
        """Args: vertices (N, 3) metres, faces (M, 3), at least one; device: a Warp device."""
        self._device = wp.get_device(device)
        points = wp.array(np.ascontiguousarray(vertices, np.float32), dtype=wp.vec3, device=self._device)
        indices = wp.array(np.ascontiguousarray(faces, np.int32).ravel(), dtype=wp.int32, device=self._device)
        self._mesh = wp.Mesh(points=points, indices=indices)

    def cast(self, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `RayScene.cast`."""
        n = len(origins)
        rays = [
            wp.array(np.ascontiguousarray(v, np.float32), dtype=wp.vec3, device=self._device)
            for v in (origins, directions)
        ]
        found = [wp.zeros(n, dtype=kind, device=self._device) for kind in (wp.float32, wp.int32, wp.vec2)]
        wp.launch(cast_kernel, dim=n, inputs=[self._mesh.id, *rays, *found], device=self._device)
        depth, face, bary = (array.numpy() for array in found)
        return depth.astype(np.float64), face.astype(np.int64), bary.astype(np.float64)
