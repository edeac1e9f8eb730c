"""The goal of a verified episode as a command: where it lies from the robot, and how far the way to it is."""

from collections.abc import Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import torch
from isaaclab.managers import CommandTerm, CommandTermCfg

from lyra_sim_nav.compat import configclass, heading, tensor
from lyra_sim_nav.tasks.nav.mdp.tables import NavTables
from lyra_sim_nav.worlds import World, WorldsError, read_world


class EpisodeGoalCommand(CommandTerm):
    """Goals of episodes that were driven before they were published. The reset event draws an episode and puts the
    robot on its start (`draw`); the command is the goal, (N, 2) metres, forward and to the left of the robot.

    Attributes:
        episode (N,): row of `tables` of each environment.
        previous_m (N,): way that was left at the end of the last step.
        share_open (W,): how many of the nearest episodes of each world may be drawn; a curriculum sets it.
    """

    def __init__(self, cfg: Any, env: Any) -> None:
        super().__init__(cfg, env)
        self.robot = env.scene[cfg.asset_name]
        self.origins = env.scene.env_origins
        worlds = [read_world(Path(folder), cfg.profile, cfg.radius_m) for folder in cfg.worlds]
        self.tables = NavTables(worlds, self.device)
        self.share_open = self.tables.count.clone()
        self.world = torch.tensor(worlds_of_environments(env.scene, worlds, cfg.prim), device=self.device)
        self.episode = self.tables.first[self.world].clone()
        self.previous_m = torch.zeros(self.num_envs, device=self.device)
        self.limit_steps = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        self.metrics["left_m"] = torch.zeros(self.num_envs, device=self.device)
        self.draw(torch.arange(self.num_envs, device=self.device))

    @property
    def command(self) -> torch.Tensor:
        """Goal (N, 2), metres forward and to the left."""
        position, yaw = self.pose()
        away = self.tables.goal[self.episode, :2] - position
        c, s = torch.cos(yaw), torch.sin(yaw)
        return torch.stack([c * away[:, 0] + s * away[:, 1], c * away[:, 1] - s * away[:, 0]], -1)

    def pose(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Position (N, 2) and heading (N,) of the robots in their worlds."""
        position = tensor(self.robot.data.root_pos_w) - self.origins
        return position[:, :2], heading(tensor(self.robot.data.root_quat_w))

    def way_m(self) -> torch.Tensor:
        """Way that is left (N,); what it was before where a robot is off the map."""
        found = self.tables.way_m(self.episode, self.pose()[0])
        return torch.where(torch.isfinite(found), found, self.previous_m)

    def reached(self) -> torch.Tensor:
        """(N,) whether less way is left than `success_m` and both speeds are at most `stop_share` of their tops; a
        share of 1 asks nothing of the speeds: wheels overshoot their tops by a little."""
        near = self.way_m() < self.cfg.success_m
        if self.cfg.stop_share >= 1:
            return near
        forward = tensor(self.robot.data.root_lin_vel_b)[:, 0].abs() / self.cfg.speed_m_s
        turn = tensor(self.robot.data.root_ang_vel_b)[:, 2].abs() / self.cfg.turn_rad_s
        return near & (torch.maximum(forward, turn) <= self.cfg.stop_share)

    def downhill(self) -> torch.Tensor:
        """Direction (N, 2), forward and to the left, in which the way shortens."""
        position, yaw = self.pose()
        x, y = self.tables.downhill(self.episode, position).unbind(-1)
        c, s = torch.cos(yaw), torch.sin(yaw)
        return torch.stack([c * x + s * y, c * y - s * x], -1)

    def draw(self, env_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Next episodes: start positions (M, 3) on the floor and headings (M,), in the worlds' frames."""
        tables, world = self.tables, self.world[env_ids]
        pick = (torch.rand(len(env_ids), device=self.device) * self.share_open[world]).long()
        rows = tables.first[world] + torch.minimum(pick, self.share_open[world] - 1)
        self.episode[env_ids] = rows
        self.previous_m[env_ids] = tables.way_m(rows, tables.start[rows, :2])
        seconds = self.cfg.time_factor * tables.geodesic_m[rows] / self.cfg.speed_m_s
        seconds = seconds + self.cfg.time_turns * 2 * torch.pi / self.cfg.turn_rad_s
        self.limit_steps[env_ids] = torch.ceil(seconds / self._env.step_dt).long()
        return tables.start[rows], tables.yaw[rows]

    def _resample_command(self, env_ids: Sequence[int]) -> None:
        """Nothing: the reset event, which comes before, has drawn."""

    def _update_command(self) -> None:
        self.previous_m = self.way_m()

    def _update_metrics(self) -> None:
        self.metrics["left_m"][:] = self.previous_m


def worlds_of_environments(scene: Any, worlds: Sequence[World], prim: str) -> list[int]:
    """Which world each environment has, read off the stage, so that no robot is put into a wrong one.

    Args:
        prim: of the scene below an environment; empty when all environments share one.

    Raises:
        WorldsError: an environment holds none of the worlds.
    """
    count = len(scene.env_prim_paths)
    if not prim or len(worlds) == 1:
        return [0] * count
    number = {(world.folder / "scene.usda").resolve(): k for k, world in enumerate(worlds)}
    rows = []
    for path in scene.env_prim_paths:
        found = scene.stage.GetPrimAtPath(f"{path}/{prim}")
        layers = [Path(spec.layer.realPath).resolve() for spec in (found.GetPrimStack() if found else [])]
        row = next((number[layer] for layer in layers if layer in number), None)
        if row is None:
            raise WorldsError(f"{path}/{prim}", "a reference to one of the worlds", layers, "Use one world at a time.")
        rows.append(row)
    return rows


@configclass
class EpisodeGoalCommandCfg(CommandTermCfg):
    """Configuration of `EpisodeGoalCommand`."""

    class_type: type = EpisodeGoalCommand
    asset_name: str = MISSING
    """The robot in the scene."""
    profile: str = MISSING
    """Name of its profile: folder below nav/."""
    radius_m: float = MISSING
    speed_m_s: float = MISSING
    turn_rad_s: float = MISSING
    worlds: list[str] = MISSING
    """Folders."""
    prim: str = ""
    """Of the world below each environment; empty for one that all share."""
    success_m: float = MISSING
    """Way that is left at which the goal is reached."""
    stop_share: float = MISSING
    """Share of the top speeds below which the robot must be for it."""
    time_factor: float = MISSING
    """An episode may take this many times the time of its shortest way at top speed ..."""
    time_turns: float = MISSING
    """... plus that of this many full turns."""
    resampling_time_range: tuple[float, float] = (1.0e9, 1.0e9)
    """A goal stays for the whole episode."""
