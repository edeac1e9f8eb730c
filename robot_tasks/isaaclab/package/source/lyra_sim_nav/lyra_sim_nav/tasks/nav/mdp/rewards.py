"""What a step is worth. Isaac Lab multiplies by weight and step time: the weights of nav_env_cfg are per second."""

from typing import Any

import torch

from lyra_sim_nav.tasks.nav.mdp.terminations import reached, touches


def progress(env: Any, command_name: str) -> torch.Tensor:
    """(N,) metres that the way to the goal has shrunk in this step."""
    goal = env.command_manager.get_term(command_name)
    return goal.previous_m - goal.way_m()


def success(env: Any, command_name: str) -> torch.Tensor:
    """(N,) 1 at the goal."""
    return reached(env, command_name).float()


def contact(env: Any, sensor_name: str, threshold_n: float) -> torch.Tensor:
    """(N,) 1 for a step with a contact."""
    return touches(env, sensor_name, threshold_n).float()


def time(env: Any) -> torch.Tensor:
    """(N,) 1 for every step."""
    return torch.ones(env.num_envs, device=env.device)
