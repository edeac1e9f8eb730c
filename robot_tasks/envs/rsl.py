"""The environments as rsl_rl's VecEnv: observation groups `policy` and `critic` as a TensorDict."""

from typing import Any

import numpy as np
import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict

from robot_tasks.envs.vector import Observations, VectorNav


class RslNav(VecEnv):
    """rsl_rl 5.5 over a `VectorNav`.

    `extras["time_outs"]` marks episodes cut by time, whose return rsl_rl bootstraps; `extras["log"]` holds means over
    the episodes that ended in the step: success, spl, softspl, contacts, and the curriculum's level.
    """

    def __init__(self, env: VectorNav, device: str = "cpu") -> None:
        self.env, self.device = env, torch.device(device)
        self.num_envs, self.num_actions = env.num_envs, env.action_size
        self.max_episode_length = int(_longest(env))
        self.cfg = {"robot": env.robot.name, "env": env.config.model_dump(mode="json")}
        self._tensors = self._dict(env.reset())

    @property
    def episode_length_buf(self) -> torch.Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Control steps of each episode so far (N,)."""
        return torch.from_numpy(self.env.state.age.astype(np.int64)).to(self.device)

    @episode_length_buf.setter
    def episode_length_buf(self, value: torch.Tensor) -> None:
        # rsl_rl spreads the first ends over time with this; the episodes' own limits differ, so never past them
        age = value.cpu().numpy().astype(np.int32)
        self.env.state.age[:] = np.minimum(age, self.env.state.last_age - 1)

    def get_observations(self) -> TensorDict:
        """Observations of now."""
        return self._tensors

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """One control step: observations, rewards (N,), dones (N,), extras."""
        observed, reward, terminated, truncated, info = self.env.step(actions.detach().cpu().numpy())
        self._tensors = self._dict(observed)
        extras: dict[str, Any] = {"time_outs": self._tensor(truncated)}
        if len(info["env"]):
            means = {name: float(np.mean(info[name])) for name in ("success", "spl", "softspl", "contacts")}
            extras["log"] = {**means, "curriculum_level": float(self.env.pool.level)}
        return self._tensors, self._tensor(reward), self._tensor(terminated | truncated).long(), extras

    def _dict(self, observed: Observations) -> TensorDict:
        groups = {name: self._tensor(value) for name, value in observed.items()}
        return TensorDict(groups, batch_size=[self.num_envs], device=self.device)

    def _tensor(self, value: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(value)).to(self.device)


def _longest(env: VectorNav) -> float:
    """Control steps of the longest episode offered, at the robot's own speed."""
    rules = env.config
    seconds = rules.time_factor * env.pool.geodesic_m.max() / env.robot.speed_m_s
    return np.ceil((seconds + rules.time_turns * 2 * np.pi / env.robot.turn_rad_s) / env.step_s)
