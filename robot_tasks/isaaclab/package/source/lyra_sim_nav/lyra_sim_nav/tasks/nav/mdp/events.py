"""What happens at the start of an episode."""

from typing import Any

import torch

from lyra_sim_nav.compat import place


def reset_from_episodes(
    env: Any, env_ids: torch.Tensor, command_name: str, base_height_m: float, lift_m: float
) -> None:
    """Draw verified episodes and put the robots at rest on their starts.

    Args:
        base_height_m: of the robot's root above the floor when it stands.
        lift_m: wheels that start exactly on the floor get a violent kick from the solver.
    """
    goal = env.command_manager.get_term(command_name)
    start, yaw = goal.draw(env_ids)
    up = torch.tensor([0.0, 0.0, base_height_m + lift_m], device=start.device)
    place(goal.robot, start + up + goal.origins[env_ids], yaw, env_ids)
