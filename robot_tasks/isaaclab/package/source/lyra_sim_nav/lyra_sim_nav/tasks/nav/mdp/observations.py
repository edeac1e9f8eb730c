"""What a policy sees, all about 0..1: `lidar`, `goal_polar`, `speeds`, `last_action`; its critic also `way_left`."""

from typing import Any

import torch

from lyra_sim_nav.compat import tensor


def lidar(env: Any, sensor_name: str, range_m: float) -> torch.Tensor:
    """(N, B) ranges over the scanner's range, first straight ahead, then to the left; 1 where nothing is met."""
    data = env.scene.sensors[sensor_name].data
    far = torch.linalg.vector_norm(tensor(data.ray_hits_w) - tensor(data.pos_w)[:, None], dim=-1)
    return torch.nan_to_num(far, nan=range_m, posinf=range_m).clamp(max=range_m) / range_m


def goal_polar(env: Any, command_name: str) -> torch.Tensor:
    """(N, 3): log(1 + metres) to the goal, cosine and sine of its bearing."""
    away = env.command_manager.get_command(command_name)
    bearing = torch.atan2(away[:, 1], away[:, 0])
    far = torch.linalg.vector_norm(away, dim=-1)
    return torch.stack([torch.log1p(far), torch.cos(bearing), torch.sin(bearing)], -1)


def speeds(env: Any, asset_name: str, speed_m_s: float, turn_rad_s: float) -> torch.Tensor:
    """(N, 2): speed forward and turning, over their tops."""
    data = env.scene[asset_name].data
    forward, turn = tensor(data.root_lin_vel_b)[:, 0], tensor(data.root_ang_vel_b)[:, 2]
    return torch.stack([forward / speed_m_s, turn / turn_rad_s], -1)


def last_action(env: Any, action_name: str) -> torch.Tensor:
    """(N, 2): the last action after clipping."""
    return env.action_manager.get_term(action_name).raw_actions


def way_left(env: Any, command_name: str) -> torch.Tensor:
    """(N, 3): log(1 + metres) of the way to the goal, and the direction, forward and to the left, in which it
    shortens."""
    goal = env.command_manager.get_term(command_name)
    return torch.cat([torch.log1p(goal.way_m())[:, None], goal.downhill()], -1)
