"""What a robot's forward depth camera sees: one ray per pixel against the world's collider triangles."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Float32

from lyra_sim.config.tasks import RobotConfig
from lyra_sim.core.errors import ConfigError
from lyra_sim.geometry.rays import RayScene
from robot_tasks.colliders import Soup, soup_of_scene
from robot_tasks.envs.kernels import State
from robot_tasks.sensors import camera_rays
from robot_tasks.worlds import NavWorld


class Rays(Protocol):
    """Part of `RayScene` that is used."""

    def cast(self, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...


class DepthCamera:
    """The depth cameras of N robots. They stand level at the height of the floor below the robot's centre."""

    def __init__(
        self,
        worlds: Sequence[NavWorld],
        robot: RobotConfig,
        envs: int,
        *,
        soup_of: Callable[[NavWorld], Soup] | None = None,
        caster: Callable[[np.ndarray, np.ndarray], Rays] = RayScene,
    ) -> None:
        """
        Args:
            soup_of: colliders of a world; None reads its scene.usda.
            caster: `RayScene` (Embree, on the CPU) or `warp_engine.WarpRays`, from vertices and faces.

        Raises:
            ConfigError: a world has no folder.
            InputError: a scene cannot be read.
        """
        soups = [(soup_of or _soup)(world).triangles.reshape(-1, 3) for world in worlds]
        self._scenes = [caster(v, np.arange(len(v), dtype=np.int32).reshape(-1, 3)) for v in soups]
        self._robot, self._pixels = robot, camera_rays(robot.camera)
        self.floor_m = np.zeros(envs)
        """Height of the floor under each robot, metres of the world as it is on disk."""

    def start(self, envs: np.ndarray, floor_m: np.ndarray) -> None:
        """Robots `envs` (M,) were put on floor of heights (M,)."""
        self.floor_m[envs] = floor_m

    def see(self, state: State, envs: np.ndarray) -> Float32[np.ndarray, "M H W"]:
        """Z-depth in metres of robots `envs` (M,), at most the camera's range."""
        camera = self._robot.camera
        seen = np.empty((len(envs), camera.height, camera.width), np.float32)
        world = state.world[envs]
        for k in np.unique(world):
            here = np.flatnonzero(world == k)
            robots = envs[here]
            scale = state.scale[robots].astype(np.float64)
            x, y = (state.pose[robots, axis] / scale for axis in (0, 1))
            c, s = np.cos(state.pose[robots, 2]), np.sin(state.pose[robots, 2])
            self._stand(self._scenes[k], robots, np.column_stack([x, y]), self._robot.slab_m[1] / scale)
            ahead, up = camera.forward_m / scale, camera.height_m / scale
            eye = np.column_stack([x + c * ahead, y + s * ahead, self.floor_m[robots] + up])
            rays = np.broadcast_to(self._pixels, (len(here), *self._pixels.shape)).copy()
            c, s = c[:, None, None], s[:, None, None]
            rays[..., 0], rays[..., 1] = (
                c * self._pixels[..., 0] - s * self._pixels[..., 1],
                s * self._pixels[..., 0] + c * self._pixels[..., 1],
            )
            starts = np.repeat(eye, camera.height * camera.width, 0)
            depth, _, _ = self._scenes[k].cast(starts, rays.reshape(-1, 3))
            metres = depth.reshape(len(here), camera.height, camera.width) * scale[:, None, None]
            seen[here] = np.minimum(metres, camera.range_m)
        return seen

    def _stand(self, scene: Rays, robots: np.ndarray, at: np.ndarray, top_m: np.ndarray) -> None:
        """Floor under robots: the first thing below the top of the space that they fill, which is empty; the old
        height where there is nothing."""
        starts = np.column_stack([at, self.floor_m[robots] + top_m])
        depth, _, _ = scene.cast(starts, np.broadcast_to([0.0, 0.0, -1.0], starts.shape))
        found = np.isfinite(depth)
        self.floor_m[robots[found]] += (top_m - depth)[found]


def _soup(world: NavWorld) -> Soup:
    if world.folder is None:
        raise ConfigError(
            "envs.depth", expected="worlds with a scene.usda", got=f"{world.name}, made in memory",
            todo="Leave depth off or read the worlds from a folder.",
        )  # fmt: skip
    return soup_of_scene(world.folder / "scene.usda")
