"""When an episode ends."""

from typing import Any

import torch

from lyra_sim_nav.compat import contact_forces


def reached(env: Any, command_name: str) -> torch.Tensor:
    """(N,) the goal is reached."""
    return env.command_manager.get_term(command_name).reached()


def time_is_up(env: Any, command_name: str) -> torch.Tensor:
    """(N,) the episode has taken the time that its length allows, and the goal is not reached."""
    goal = env.command_manager.get_term(command_name)
    return (env.episode_length_buf >= goal.limit_steps) & ~goal.reached()


def touches(env: Any, sensor_name: str, threshold_n: float) -> torch.Tensor:
    """(N,) the body was pushed sideways in the last control step: the floor only pushes upwards."""
    forces = contact_forces(env.scene.sensors[sensor_name])
    return (torch.linalg.vector_norm(forces[..., :2], dim=-1) > threshold_n).flatten(1).any(1)
