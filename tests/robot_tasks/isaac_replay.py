"""Replays recorded drives through the Isaac Lab package's terms and compares numbers. Needs `isaaclab` (the real one
under stubs of its simulator, or the stand-in of fake_isaaclab.py), torch and numpy; nothing of lyra-sim."""

import gzip
import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch


class Wrapped:
    """Isaac Lab 3 hands out arrays that are no tensors."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.torch = tensor


class Robot:
    """A robot whose state is set from outside, or by the writes of the reset event."""

    def __init__(self, count: int, lab: int) -> None:
        self.lab, self.wheels = lab, torch.zeros(count, 2)
        self.state = {
            "root_pos_w": torch.zeros(count, 3), "root_quat_w": self.quaternion(torch.zeros(count)),
            "root_lin_vel_b": torch.zeros(count, 3), "root_ang_vel_b": torch.zeros(count, 3),
            "default_joint_pos": torch.zeros(count, 2), "joint_pos": torch.ones(count, 2),
        }  # fmt: skip
        self.actuators = SimpleNamespace(target_command=SimpleNamespace(set_velocity_index=self._spin))

    @property
    def data(self) -> SimpleNamespace:
        wrap = Wrapped if self.lab == 3 else lambda value: value
        return SimpleNamespace(**{name: wrap(value.clone()) for name, value in self.state.items()})

    def quaternion(self, yaw: torch.Tensor) -> torch.Tensor:
        parts = {"w": torch.cos(yaw / 2), "z": torch.sin(yaw / 2)}
        order = "wxyz" if self.lab == 2 else "xyzw"
        return torch.stack([parts.get(name, torch.zeros_like(yaw)) for name in order], -1)

    def find_joints(self, name: str) -> tuple[list[int], list[str]]:
        return [0 if "left" in name else 1], [name]

    def drive_to(self, pose: np.ndarray, velocity: np.ndarray, origins: torch.Tensor) -> None:
        pose_, speed = torch.tensor(pose), torch.tensor(velocity)
        self.state["root_pos_w"] = torch.cat([pose_[:, :2], torch.zeros(len(pose), 1)], 1) + origins
        self.state["root_quat_w"] = self.quaternion(pose_[:, 2])
        self.state["root_lin_vel_b"] = speed * torch.tensor([1.0, 1.0, 0.0])
        self.state["root_ang_vel_b"] = speed * torch.tensor([0.0, 0.0, 1.0])

    def _place(self, pose: torch.Tensor, env_ids: torch.Tensor) -> None:
        self.state["root_pos_w"][env_ids] = pose[:, :3]
        self.state["root_quat_w"][env_ids] = pose[:, 3:]

    def _push(self, velocity: torch.Tensor, env_ids: torch.Tensor) -> None:
        self.state["root_lin_vel_b"][env_ids] = velocity[:, :3]
        self.state["root_ang_vel_b"][env_ids] = velocity[:, 3:]

    def _spin(self, value: torch.Tensor, joint_ids: list[int]) -> None:
        self.wheels[:, joint_ids] = value

    def __getattr__(self, name: str) -> Any:
        writes = {
            2: {
                "write_root_pose_to_sim": lambda pose, env_ids: self._place(pose, env_ids),
                "write_root_velocity_to_sim": lambda velocity, env_ids: self._push(velocity, env_ids),
                "write_joint_state_to_sim": lambda pos, vel, env_ids: None,
                "set_joint_velocity_target": lambda value, joint_ids: self._spin(value, joint_ids),
            },
            3: {
                "write_root_pose_to_sim_index": lambda *, root_pose, env_ids: self._place(root_pose, env_ids),
                "write_root_velocity_to_sim_index": lambda *, root_velocity, env_ids: self._push(
                    root_velocity, env_ids
                ),
                "write_joint_position_to_sim_index": lambda *, position, env_ids: None,
                "write_joint_velocity_to_sim_index": lambda *, velocity, env_ids: None,
            },
        }
        if name in writes[self.lab]:
            return writes[self.lab][name]
        raise AttributeError(name)


class Scene:
    """One robot, scanner and contact sensor per environment; environments stand 10 m apart in a row."""

    def __init__(self, cfg: Any, lab: int, history: int) -> None:
        self.cfg, count = cfg, cfg.num_envs
        self.robot = Robot(count, lab)
        apart = 0.0 if cfg.env_spacing == 0 else 10.0
        self.env_origins = torch.stack(
            [torch.arange(count) * apart, torch.arange(count) * -apart, torch.zeros(count)], 1
        )
        self.env_prim_paths = [f"/World/envs/env_{n}" for n in range(count)]
        self.sensors = {"lidar": SimpleNamespace(data=None), "contact": SimpleNamespace(data=None)}
        self.lab, self.history = lab, history
        self.stage: Any = None
        self.feel(np.zeros(count, bool))

    def __getitem__(self, name: str) -> Any:
        return {"robot": self.robot, **self.sensors}[name]

    def feel(self, hit: np.ndarray) -> None:
        """Forces in the middle of the history; the floor's are always there."""
        forces = torch.zeros(len(hit), self.history, 1, 3)
        forces[..., 2] = 100.0
        forces[torch.tensor(hit), self.history // 2, 0, 1] = -7.0
        if self.lab == 2:
            self.sensors["contact"].data = SimpleNamespace(net_forces_w_history=forces)
        else:
            self.sensors["contact"].data = SimpleNamespace(net_normal_forces_w_history=Wrapped(forces))

    def see(self, ranges: np.ndarray, range_m: float) -> None:
        """Hits at the recorded ranges, none where a ray met nothing, round the robot's heading as it is now."""
        position = self.robot.state["root_pos_w"] + torch.tensor([0.0, 0.0, 0.3])
        quat = self.robot.state["root_quat_w"]
        z, w = (quat[:, 3], quat[:, 0]) if self.lab == 2 else (quat[:, 2], quat[:, 3])
        angle = 2 * torch.atan2(z, w)[:, None] + torch.arange(ranges.shape[1]) * 2 * math.pi / ranges.shape[1]
        far = torch.tensor(ranges)
        far[far >= range_m * (1 - 1e-6)] = math.inf
        far = torch.where(torch.isfinite(far), far, torch.full_like(far, math.inf))
        along = torch.stack([torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)], -1)
        hits = torch.where(torch.isfinite(far)[..., None], position[:, None] + far[..., None] * along, math.inf)
        wrap = Wrapped if self.lab == 3 else lambda value: value
        self.sensors["lidar"].data = SimpleNamespace(pos_w=wrap(position), ray_hits_w=wrap(hits))


class Env:
    """What Isaac Lab's managers ask of an environment, with its managers."""

    def __init__(self, cfg: Any, managers: Any, scene: Scene) -> None:
        self.cfg, self.device, self.num_envs = cfg, "cpu", cfg.scene.num_envs
        self.physics_dt, self.step_dt = cfg.sim.dt, cfg.sim.dt * cfg.decimation
        self.max_episode_length_s = cfg.episode_length_s
        self.sim = SimpleNamespace(is_playing=lambda: True)
        self.scene = scene
        self.episode_length_buf = torch.zeros(self.num_envs, dtype=torch.long)
        self.command_manager = managers.CommandManager(cfg.commands, self)
        self.event_manager = managers.EventManager(cfg.events, self)
        self.action_manager = managers.ActionManager(cfg.actions, self)
        self.termination_manager = managers.TerminationManager(cfg.terminations, self)
        self.reward_manager = managers.RewardManager(cfg.rewards, self)
        self.curriculum_manager = managers.CurriculumManager(cfg.curriculum, self)
        self.observation_manager = managers.ObservationManager(cfg.observations, self)

    def start(self, env_ids: torch.Tensor, shares: Callable[[], torch.Tensor]) -> None:
        """As `ManagerBasedRLEnv._reset_idx`; `shares` gives what episodes are drawn by."""
        self.curriculum_manager.compute(env_ids=env_ids)
        drawn = shares()
        with patch.object(torch, "rand", lambda *a, **k: drawn):
            self.event_manager.apply(mode="reset", env_ids=env_ids, global_env_step_count=0)
        for manager in (self.action_manager, self.reward_manager, self.curriculum_manager, self.command_manager):
            manager.reset(env_ids)
        self.termination_manager.reset(env_ids)
        self.episode_length_buf[env_ids] = 0


def shares_of(goal: Any, env_ids: torch.Tensor, order: list[np.ndarray], world: np.ndarray, episode: np.ndarray) -> Any:
    """Draws by which the package comes to the recorded episodes; it sorts those of a world by their way."""
    rows = [int(np.flatnonzero(order[w] == e)[0]) for w, e in zip(world, episode, strict=True)]
    assert goal.world[env_ids].tolist() == world.tolist(), "environments are in other worlds than recorded"
    return (torch.tensor(rows) + 0.5) / goal.share_open[goal.world[env_ids]]


NEAR_M = 0.1
"""Nearer to the goal, differences of the direction to it count by the distance: a centimetre away, float32 a hundred
metres from the origin turns it by 1e-3."""


def replay(
    cfg: Any, drives: dict[str, np.ndarray], order: list[np.ndarray], managers: Any, lab: int, stage: Any = None
) -> dict[str, float]:
    """Largest differences: `policy`, `critic`, `reward`; numbers of steps whose `terminated` or `truncated` differ;
    `level`: steps at which another class of the curriculum is open.

    Args:
        cfg: of the task, with as many environments as robots recorded.
        drives: as `record_drives` returns.
        order: for each world, numbers of its episodes, nearest first.
        managers: Isaac Lab's module of managers.
    """
    scene = Scene(cfg.scene, lab, cfg.decimation)
    scene.stage = stage
    lidar = cfg.scene.lidar
    beams, range_m = round(360.0 / lidar.pattern_cfg.horizontal_res), lidar.max_distance
    scene.see(drives["policy"][0][:, :beams] * range_m, range_m)
    env = Env(cfg, managers, scene)
    goal, every = env.command_manager.get_term("goal"), torch.arange(env.num_envs)
    worst: dict[str, float] = dict.fromkeys(("policy", "critic", "reward", "terminated", "truncated", "level"), 0.0)

    def compare(name: str, mine: torch.Tensor, theirs: np.ndarray) -> None:
        assert mine.shape == theirs.shape, (name, mine.shape, theirs.shape)
        worst[name] = max(worst[name], float((mine - torch.tensor(theirs)).abs().max()))

    def look(t: int) -> None:
        scene.see(drives["policy"][t][:, :beams] * range_m, range_m)
        found = env.observation_manager.compute()
        near = np.minimum(np.expm1(drives["policy"][t][:, beams : beams + 1]) / NEAR_M, 1)
        for group in ("policy", "critic"):
            scale = np.ones_like(drives[group][t])
            scale[:, beams + 1 : beams + 3] = near
            compare(group, found[group] * torch.tensor(scale), drives[group][t] * scale)

    env.start(every, partial(shares_of, goal, every, order, drives["world"][0], drives["episode"][0]))
    look(0)
    for t in range(len(drives["action"])):
        env.action_manager.process_action(torch.tensor(drives["action"][t]))
        env.action_manager.apply_action()
        scene.robot.drive_to(drives["pose"][t], drives["velocity"][t], scene.env_origins)
        scene.feel(drives["hit"][t])
        env.episode_length_buf += 1
        ends = env.termination_manager.compute()
        worst["terminated"] += float((env.termination_manager.terminated.numpy() != drives["terminated"][t]).sum())
        worst["truncated"] += float((env.termination_manager.time_outs.numpy() != drives["truncated"][t]).sum())
        compare("reward", env.reward_manager.compute(dt=env.step_dt), drives["reward"][t])
        if len(rows := ends.nonzero().flatten()):
            world, episode = (drives[name][t + 1][rows.numpy()] for name in ("world", "episode"))
            env.start(rows, partial(shares_of, goal, rows, order, world, episode))
        worst["level"] += float(level_of(env) != drives["level"][t + 1])
        env.command_manager.compute(dt=env.step_dt)
        look(t + 1)
    return worst


def level_of(env: Any) -> float:
    """Open class of the curriculum."""
    states = env.curriculum_manager.get_active_iterable_terms(0)
    return float(states[0][1][0]) if states else 0.0


def nearest_first(world: Path, robot: str) -> np.ndarray:
    """Numbers of a world's episodes by the length of their way."""
    rows = json.loads(gzip.decompress((world / "nav" / robot / "episodes.json.gz").read_bytes()))["episodes"]
    return np.argsort([row["info"]["geodesic_distance"] for row in rows], kind="stable")
