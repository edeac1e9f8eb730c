"""Many robots in many finished worlds at once: the one core of every training interface (`VectorNav`)."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32

from lyra_sim.config.envs import EnvConfig
from lyra_sim.config.tasks import RobotConfig
from lyra_sim.core.errors import LyraError
from robot_tasks.envs import kernels
from robot_tasks.envs.atlas import pack
from robot_tasks.envs.depth import DepthCamera
from robot_tasks.envs.kernels import Outcome, Rules, State
from robot_tasks.envs.noise import Noise
from robot_tasks.envs.pool import Pool
from robot_tasks.envs.room import largest_bodies
from robot_tasks.worlds import NavWorld

F = np.float32
_SLACK_CELLS = 0.3
"""What bodies are smaller by: in gaps the clearance at cell centres reads up to 0.36 cells less than on the finer
raster on which islands and paths were found."""
Observations = dict[str, Float32[np.ndarray, "N ..."]]


def body_offsets(robot: RobotConfig) -> tuple[float, ...]:
    """Centres, in metres along the robot's axis, of the discs of the map radius that fill the footprint's length."""
    reach = max(robot.footprint_m[0] / 2 - robot.radius_m, 0.0)
    count = 1 if reach < 0.1 * robot.radius_m else math.ceil(2 * reach / (1.2 * robot.radius_m) - 1e-9) + 1
    return tuple(float(v) for v in np.linspace(-reach, reach, count)) if count > 1 else (0.0,)


class VectorNav:
    """N robots of one profile. Environment n starts in world n * W // N and stays there; with fewer environments than
    worlds, or where the settings say so, any world comes next.

    Actions (N, A) in -1..1, A = 2 (forward, turn) or for omni robots 3 (forward, left, turn): shares of the top
    speeds; negative forward is braking to a stop, only omni robots go backward.

    Observations, float32, all about 0..1:
        policy: B lidar ranges over the lidar's range, first straight ahead, then to the left; log(1 + metres) to the
            goal and the cosine and sine of its bearing; A speeds over their tops; the last action.
        critic: policy, then log(1 + metres) of the geodesic and the direction (2,) in which it shortens, in the
            robot's frame.
        depth: where the settings ask for it, (1, H, W) z-depth over the camera's range.
    Environments start the next episode in the step that ends one (gymnasium's SAME_STEP).
    """

    def __init__(
        self,
        worlds: Sequence[NavWorld],
        robot: RobotConfig,
        config: EnvConfig,
        envs: int,
        *,
        seed: int | None = None,
        engine: Any = kernels,
        camera: DepthCamera | None = None,
    ) -> None:
        """
        Args:
            seed: of everything that is drawn; None draws one.
            engine: module or object with the functions `move` and `look` of `kernels`.
            camera: used where the settings ask for depth; None makes one from the worlds' scenes.

        Raises:
            ConfigError: a world has no episodes or was made for another robot.
            InputError: depth is asked for and a scene cannot be read.
        """
        self.worlds, self.robot, self.config, self.num_envs = tuple(worlds), robot, config, envs
        self.action_size = 3 if robot.drive == "omni" else 2
        sigma = np.array([world.scale_sigma for world in self.worlds])
        self.noise = Noise(config.random, envs, self.action_size, sigma)
        bodies = [self._bodies_m(k) for k in range(len(self.worlds))]
        self.atlas = pack(self.worlds, robot, bodies_m=bodies)
        self.pool = Pool(self.worlds, config.curriculum)
        self.step_s = config.decimation * kernels.PHYSICS_S
        self.omni = robot.drive == "omni"
        self.sizes = {"policy": robot.lidar.beams + 3 + 2 * self.action_size}
        self.sizes["critic"] = self.sizes["policy"] + 3
        self.shapes: dict[str, tuple[int, ...]] = {name: (size,) for name, size in self.sizes.items()}
        """Of one environment's observation groups."""
        self.camera: DepthCamera | None = None
        if config.depth:
            self.camera = camera or DepthCamera(self.worlds, robot, envs)
            self.shapes["depth"] = (1, robot.camera.height, robot.camera.width)
        self.rules = _rules(robot, config)
        self._limits = np.array(
            [robot.speed_m_s, robot.side_m_s, robot.turn_rad_s, robot.accel_m_s2, robot.turn_accel_rad_s2]
        )
        bearing = np.arange(robot.lidar.beams) * 2 * np.pi / robot.lidar.beams
        self._beams = np.column_stack([np.cos(bearing), np.sin(bearing)]).astype(F)
        self._engine = engine
        self._home = np.arange(envs) * len(self.worlds) // envs
        self._stays = config.reset_to == "same" and envs >= len(self.worlds)
        self.state = _state(envs)
        self._out = Outcome(np.zeros(envs, F), np.zeros(envs, np.bool_), np.zeros(envs, np.bool_))
        self._room = np.concatenate([self._rooms(k) for k in range(len(self.worlds))])
        self.row = np.zeros(envs, np.int64)
        """Row of `pool` that each environment is in, -1 where a quota has none left."""
        self.observed: Observations = {}
        """The last observations of all environments."""
        self._goal = np.zeros((envs, 2), F)
        self._length = np.ones(envs, F)
        self._action = np.zeros((envs, self.action_size), F)
        self._queue: np.ndarray | None = None
        self._order = np.arange(envs)
        self.rng = np.random.default_rng(seed)

    def _bodies_m(self, world: int) -> tuple[float, float]:
        """Radius of the robot's body discs and of the smallest that may be drawn, in metres of the world on disk."""
        slack, radius = _SLACK_CELLS * self.worlds[world].cell_m, self.robot.radius_m
        return radius - slack, radius * (1 - self.config.random.footprint) / float(self.noise.stretch[world]) - slack

    def _rooms(self, world: int) -> Float32[np.ndarray, "E"]:
        """How much larger the robot may be in each episode of a world, as far as it may be drawn."""
        at, robot = self.worlds[world], self.robot
        most = float((1 + self.config.random.footprint) * self.noise.stretch[world])
        return largest_bodies(
            at, robot.radius_m, self.rules.offsets, slack_m=_SLACK_CELLS * at.cell_m, most=most,
            reach_m=self.config.success_m,
        )  # fmt: skip

    def reset(self, seed: int | None = None, *, quota: np.ndarray | None = None) -> Observations:
        """Start everywhere anew.

        Args:
            quota: rows of `pool`; each is run exactly once, then its environment stays idle. None: episodes are
                drawn for ever.

        Raises:
            ConfigError: `quota` names rows that `pool` does not have.
        """
        self._queue = None if quota is None else self.pool.rows(quota)
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.row[:] = 0
        self.state.world[:] = self._home
        self._begin(np.arange(self.num_envs))
        self.observed = self._observe(np.arange(self.num_envs))
        return self.observed

    def step(
        self, action: np.ndarray
    ) -> tuple[
        Observations,
        Float32[np.ndarray, "N"],
        Bool[np.ndarray, "N"],
        Bool[np.ndarray, "N"],
        dict[str, Any],
    ]:
        """One control step: observations, reward, terminated (success), truncated (time is up), info.

        info holds arrays (M,) of the M episodes that ended: `env`, `world`, `episode` (number in its world), `success`,
        `spl`, `softspl`, `contacts` (control steps with one), `geodesic_m`, `driven_m`, `steps`; and
        `final_obs`, their last observations. M may be 0, then `final_obs` is missing.

        Raises:
            LyraError: actions of another shape, or not finite.
        """
        sent = np.clip(self._checked(action), -1, 1)
        before = self.state.driven.copy()
        self._engine.move(self.atlas, self.state, self._command(sent), self.rules, self._order, self._out)
        self._action[:] = sent
        self.noise.drift(self.rng, self.state.driven - before)
        live = self.row >= 0
        reward = np.where(live, self._out.reward, F(0))
        terminated, truncated = self._out.success & live, self._out.timeout & live
        ended = np.flatnonzero(terminated | truncated)
        info = self._ends(ended)
        if len(ended):
            info["final_obs"] = self._observe(ended)
            self.pool.learn(self.row[ended], terminated[ended])
            self._begin(ended)
        self.observed = self._observe(np.arange(self.num_envs))
        return self.observed, reward, terminated, truncated, info

    def _checked(self, action: np.ndarray) -> Float32[np.ndarray, "N A"]:
        given, wanted = np.asarray(action, F), (self.num_envs, self.action_size)
        if given.shape != wanted:
            raise LyraError(
                "action", expected=f"an array of shape {wanted}", got=f"one of shape {given.shape}",
                todo="Give one row per environment.",
            )  # fmt: skip
        if not (finite := np.isfinite(given).all(1)).all():
            envs = np.flatnonzero(~finite)
            some = ", ".join(map(str, envs[:8])) + (" ..." if len(envs) > 8 else "")
            raise LyraError(
                "action", expected="finite numbers", got=f"{len(envs)} rows with others, of environments {some}",
                todo="Look for where the policy left the numbers: a learning rate too high is the usual cause.",
            )  # fmt: skip
        return given

    def _command(self, sent: np.ndarray) -> np.ndarray:
        arrived = self.noise.delay(sent)
        command = np.zeros((self.num_envs, 3), F)
        command[:, 0] = arrived[:, 0] if self.omni else np.maximum(arrived[:, 0], 0)
        command[:, 1] = arrived[:, 1] * self.noise.mirror if self.omni else 0
        command[:, 2] = arrived[:, -1] * self.noise.mirror
        return command * self.state.limits[:, :3]

    def _begin(self, envs: np.ndarray) -> None:
        """Next episodes of some environments."""
        state, pool = self.state, self.pool
        if self._queue is None:
            worlds = state.world[envs] if self._stays else None
            rows = pool.draw(self.rng, worlds, len(envs))
        else:
            rows = np.full(len(envs), -1)
            taken = self._queue[: len(envs)]
            rows[: len(taken)] = taken
            self._queue = self._queue[len(taken) :]
        self.row[envs] = rows
        state.world[envs] = pool.world[rows]
        state.goal[envs] = pool.goal_index[rows]
        self.noise.start(self.rng, envs, state, self._limits, self.robot.radius_m, self._room[rows])
        scale = state.scale[envs]
        state.radius[envs] -= F(_SLACK_CELLS) * self.atlas.cell[state.world[envs]] * scale
        state.pose[envs, :2] = pool.start[rows] * scale[:, None]
        state.pose[envs, 2] = pool.yaw[rows]
        self._goal[envs] = pool.goal[rows] * scale[:, None]
        self._length[envs] = state.geodesic[envs] = pool.geodesic_m[rows] * scale
        seconds = self.config.time_factor * self._length[envs] / state.limits[envs, 0]
        seconds += self.config.time_turns * 2 * np.pi / state.limits[envs, 2]
        state.last_age[envs] = np.ceil(seconds / self.step_s)
        if self.camera is not None:
            self.camera.start(envs, pool.floor_m[rows])
        state.velocity[envs] = 0
        for zeroed in (state.age, state.driven, state.contacts, self._action):
            zeroed[envs] = 0
        self._order = np.argsort(state.world, kind="stable")

    def _ends(self, ended: np.ndarray) -> dict[str, Any]:
        state, rows = self.state, self.row[ended]
        length, driven = self._length[ended], state.driven[ended]
        success = self._out.success[ended].copy()
        direct = length / np.maximum(driven, length)
        return {
            "env": ended,
            "world": self.pool.world[rows],
            "episode": rows - self.pool.first[self.pool.world[rows]],
            "success": success,
            "spl": success * direct,
            "softspl": np.maximum(1 - state.geodesic[ended] / length, 0) * direct,
            "contacts": state.contacts[ended].copy(),
            "geodesic_m": length,
            "driven_m": driven,
            "steps": state.age[ended].copy(),
        }

    def _observe(self, envs: np.ndarray) -> Observations:
        state, beams, moves = self.state, self.robot.lidar.beams, self.action_size
        most = F(self.robot.lidar.range_m)
        ranges, way = np.empty((len(envs), beams), F), np.empty((len(envs), 2), F)
        self._engine.look(self.atlas, state, envs, self._beams, most, ranges, way)
        way /= np.maximum(np.hypot(way[:, :1], way[:, 1:]), 1)
        mirror = self.noise.mirror[envs]
        self.noise.blur(self.rng, ranges, float(most))
        flipped = mirror < 0
        if flipped.any():
            ranges[flipped] = np.roll(ranges[flipped, ::-1], 1, axis=1)
        critic = np.empty((len(envs), self.sizes["critic"]), F)
        np.multiply(ranges, 1 / most, out=critic[:, :beams])
        away = self._goal[envs] + self.noise.goal_error[envs] - state.pose[envs, :2]
        far = np.hypot(away[:, 0], away[:, 1])
        bearing = np.arctan2(away[:, 1], away[:, 0]) - state.pose[envs, 2] - self.noise.turn_error[envs]
        critic[:, beams] = np.log1p(far)
        critic[:, beams + 1] = np.cos(bearing)
        critic[:, beams + 2] = np.sin(bearing) * mirror
        at = beams + 3
        axes = [0, 1, 2] if self.omni else [0, 2]
        critic[:, at : at + moves] = state.velocity[envs][:, axes] / state.limits[envs][:, axes]
        critic[:, at + 1 : at + moves] *= mirror[:, None]
        at += moves
        critic[:, at : at + moves] = self._action[envs]
        at += moves
        critic[:, at] = np.log1p(state.geodesic[envs])
        critic[:, at + 1 : at + 3] = way
        critic[:, at + 2] *= mirror
        observed = {"policy": critic[:, :at].copy(), "critic": critic}
        if self.camera is not None:
            depth = self.camera.see(state, envs) / F(self.robot.camera.range_m)
            depth[flipped] = depth[flipped, :, ::-1]
            observed["depth"] = depth[:, None]
        return observed


def _rules(robot: RobotConfig, config: EnvConfig) -> Rules:
    offsets = body_offsets(robot) if config.body == "discs" else (0.0,)
    pay = config.reward
    return Rules(
        np.array(offsets, F) / F(robot.radius_m), config.decimation, F(config.success_m), F(config.stop_share),
        F(pay.progress), F(pay.success), F(pay.contact), F(pay.time),
    )  # fmt: skip


def _state(envs: int) -> State:
    floats, ints = (lambda *shape: np.zeros((envs, *shape), F)), (lambda: np.zeros(envs, np.int32))
    return State(
        pose=floats(3), velocity=floats(3), world=ints(), goal=ints(), scale=floats(), radius=floats(),
        limits=floats(5), age=ints(), last_age=ints(), geodesic=floats(), driven=floats(), contacts=ints(),
    )  # fmt: skip
