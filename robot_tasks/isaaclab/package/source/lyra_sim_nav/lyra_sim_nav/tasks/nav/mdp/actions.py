"""Shares of the top speeds, forward and turning, to a differential drive."""

from collections.abc import Sequence
from dataclasses import MISSING
from typing import Any

import torch
from isaaclab.managers import ActionTerm, ActionTermCfg

from lyra_sim_nav.compat import configclass, spin_wheels


class DifferentialDriveAction(ActionTerm):
    """Actions (N, 2) in -1..1; negative forward is braking to a stop. Commanded speeds change at most as fast as the
    robot's accelerations allow. `raw_actions` are the actions after clipping, as policies observe them."""

    def __init__(self, cfg: Any, env: Any) -> None:
        super().__init__(cfg, env)
        self._joint_ids = [self._asset.find_joints(name)[0][0] for name in (cfg.left, cfg.right)]
        self._raw = torch.zeros(self.num_envs, 2, device=self.device)
        self._wanted, self._speed = torch.zeros_like(self._raw), torch.zeros_like(self._raw)
        self._top = torch.tensor([cfg.speed_m_s, cfg.turn_rad_s], device=self.device)
        self._gain = torch.tensor([cfg.accel_m_s2, cfg.turn_accel_rad_s2], device=self.device) * env.physics_dt

    @property
    def action_dim(self) -> int:
        """Forward and turn."""
        return 2

    @property
    def raw_actions(self) -> torch.Tensor:
        """(N, 2), clipped."""
        return self._raw

    @property
    def processed_actions(self) -> torch.Tensor:
        """Commanded speed forward and turning (N, 2), m/s and rad/s, before the limit of acceleration."""
        return self._wanted

    def process_actions(self, actions: torch.Tensor) -> None:
        """Once per control step."""
        self._raw[:] = actions.clamp(-1, 1)
        self._wanted[:] = self._raw * self._top
        self._wanted[:, 0].clamp_(min=0)

    def apply_actions(self) -> None:
        """Once per physics step."""
        self._speed += (self._wanted - self._speed).clamp(-self._gain, self._gain)
        forward, half = self._speed[:, 0], self._speed[:, 1] * self.cfg.wheel_distance_m / 2
        spin_wheels(
            self._asset, torch.stack([forward - half, forward + half], -1) / self.cfg.wheel_radius_m, self._joint_ids
        )

    def reset(self, env_ids: Sequence[int] | None = None) -> None:
        """New episodes start at rest."""
        rows = slice(None) if env_ids is None else env_ids
        for zeroed in (self._raw, self._wanted, self._speed):
            zeroed[rows] = 0


@configclass
class DifferentialDriveActionCfg(ActionTermCfg):
    """Configuration of `DifferentialDriveAction`."""

    class_type: type = DifferentialDriveAction
    left: str = MISSING
    right: str = MISSING
    """Wheel joints."""
    wheel_radius_m: float = MISSING
    wheel_distance_m: float = MISSING
    speed_m_s: float = MISSING
    turn_rad_s: float = MISSING
    accel_m_s2: float = MISSING
    turn_accel_rad_s2: float = MISSING
