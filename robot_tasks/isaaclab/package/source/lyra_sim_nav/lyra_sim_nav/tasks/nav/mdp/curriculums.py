"""Near goals first."""

from typing import Any

import torch
from isaaclab.managers import ManagerTermBase


class NearGoalsFirst(ManagerTermBase):
    """Classes of the way from start to goal with equally many episodes, nearest first; the next one opens when more
    than `promote` of the last `window` episodes of the farthest open one succeeded. Its state is the open class."""

    def __init__(self, cfg: Any, env: Any) -> None:
        super().__init__(cfg, env)
        self.level = 0
        self._recent: list[bool] = []
        goal = env.command_manager.get_term(cfg.params["command_name"])
        bins = cfg.params["bins"]
        far = goal.tables.geodesic_m
        self._cuts = torch.quantile(far, torch.arange(1, bins, device=far.device) / bins)
        self._bin = torch.searchsorted(self._cuts, far)
        self._open(goal)

    def __call__(
        self, env: Any, env_ids: Any, command_name: str, bins: int, promote: float, window: int
    ) -> torch.Tensor:
        """Learn from episodes that end; the first reset ends none."""
        goal = env.command_manager.get_term(command_name)
        if self.level + 1 < bins:
            ended = torch.as_tensor(env.episode_length_buf[env_ids] > 0)
            at_level = self._bin[goal.episode[env_ids]] == self.level
            won = env.termination_manager.get_term("success")[env_ids]
            self._recent = (self._recent + won[ended & at_level].tolist())[-window:]
            if len(self._recent) == window and sum(self._recent) > promote * window:
                above = self._bin[self._bin > self.level]  # equal ways leave classes empty: nothing to learn from
                self.level, self._recent = int(above.min()) if len(above) else bins - 1, []
                self._open(goal)
        return torch.tensor(float(self.level))

    def _open(self, goal: Any) -> None:
        """A world without near goals offers its nearest one."""
        allowed = (self._bin <= self.level).long()
        count = torch.zeros_like(goal.share_open).index_add_(0, goal.tables.world, allowed)
        goal.share_open = count.clamp(min=1)
