"""Trains a policy by PPO with rsl-rl's algorithm, networks and storage; resumable, within a budget of time and steps.

A checkpoint has the layout of rsl-rl's runner (`actor_state_dict`, `critic_state_dict`, `optimizer_state_dict`, `iter`,
`infos`), so `rsl_rl.runners.OnPolicyRunner.load` reads it, Isaac Lab's included.
"""

import json
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rsl_rl.algorithms import PPO

from lyra_sim.config.nav_training import NavTrainingConfig
from lyra_sim.core.errors import ConfigError
from robot_tasks.envs.rsl import RslNav
from robot_tasks.training.networks import build_ppo
from robot_tasks.training.scores import MEASURES

CHECKPOINT, LOG = "checkpoint.pt", "log.jsonl"
BUDGET = frozenset(("minutes", "steps", "checkpoint_s", "eval_episodes", "eval_draws"))
"""Settings that may change when a training goes on."""
_RECENT = 200
"""Steps in which episodes ended that a line of the log tells of."""
_PROGRESS_S = 10.0


class Training:
    """One training: what has been learned, how far it is, and its log."""

    def __init__(self, env: RslNav, config: NavTrainingConfig, folder: Path) -> None:
        torch.set_num_threads(1)  # two threads on small networks are many times slower than one
        torch.manual_seed(config.seed)
        self.env, self.config, self.folder = env, config, folder
        self.ppo: PPO = build_ppo(env, config)
        self.iteration, self.steps, self.seconds = 0, 0, 0.0
        self.log: list[dict[str, Any]] = []
        self.ended: deque[tuple[float, ...]] = deque(maxlen=_RECENT)
        """Steps in which episodes ended: how many, then means over them of success, SPL, SoftSPL, contacts, return."""
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / CHECKPOINT).exists():
            self._go_on()

    @property
    def done(self) -> bool:
        """Whether the budget is spent."""
        return self.seconds >= 60 * self.config.minutes or self.steps >= self.config.steps

    def run(self, progress: Callable[[str], None]) -> None:
        """Train until the budget is spent; writes checkpoints and `log.jsonl`."""
        began, told = time.monotonic() - self.seconds, -_PROGRESS_S
        saved = self.seconds
        self.ppo.train_mode()
        returns = np.zeros(self.env.num_envs)
        while not self.done:
            losses = self._iterate(returns)
            self.seconds = time.monotonic() - began
            self.log.append(self._line(losses))
            with (self.folder / LOG).open("a") as file:
                file.write(json.dumps(self.log[-1]) + "\n")
            if self.seconds - saved >= self.config.checkpoint_s:
                self.save()
                saved = self.seconds
            if self.seconds - told >= _PROGRESS_S:
                progress(self._told())
                told = self.seconds
        self.save()

    def save(self) -> None:
        """Write the checkpoint; a kill leaves the one before whole."""
        tree = {
            **self.ppo.save(),
            "iter": self.iteration,
            "infos": {
                "steps": self.steps,
                "seconds": self.seconds,
                "level": self.env.env.pool.level,
                "config": self.config.model_dump_json(),
            },
        }
        fresh = self.folder / f"{CHECKPOINT}.new"
        torch.save(tree, fresh)
        fresh.replace(self.folder / CHECKPOINT)

    def _iterate(self, returns: np.ndarray) -> dict[str, float]:
        """One rollout and one update; `returns` are those of the running episodes so far."""
        obs = self.env.get_observations()
        with torch.inference_mode():
            for _ in range(self.config.num_steps_per_env):
                obs, reward, done, extras = self.env.step(self.ppo.act(obs))
                self.ppo.process_env_step(obs, reward, done, extras)
                returns += reward.numpy()
                self._note(done.numpy() > 0, extras.get("log", {}), returns)
                returns[done.numpy() > 0] = 0.0
            self.ppo.compute_returns(obs)
        losses = self.ppo.update()
        self.iteration += 1
        self.steps += self.config.num_steps_per_env * self.env.num_envs
        return losses

    def _note(self, done: np.ndarray, log: dict[str, float], returns: np.ndarray) -> None:
        if ended := int(done.sum()):
            self.ended.append((ended, *(log[name] for name in MEASURES), float(returns[done].mean())))

    def _line(self, losses: dict[str, float]) -> dict[str, Any]:
        line = {}
        if self.ended:
            recent = np.array(self.ended)
            means = np.average(recent[:, 1:], axis=0, weights=recent[:, 0])
            line = {name: round(float(v), 4) for name, v in zip((*MEASURES, "return"), means, strict=True)}
        return {
            "iter": self.iteration,
            "steps": self.steps,
            "seconds": round(self.seconds, 2),
            "curriculum_level": self.env.env.pool.level,
            **line,
            **{f"{name}_loss": round(value, 5) for name, value in losses.items()},
            "learning_rate": self.ppo.learning_rate,
            "std": round(float(self.ppo.get_policy().output_std.detach().mean()), 4),
        }

    def _told(self) -> str:
        line, rate = self.log[-1], self.steps / max(self.seconds, 1e-9)
        left = min(60 * self.config.minutes - self.seconds, (self.config.steps - self.steps) / rate)
        seen = f"success {line['success']:.2f}, SPL {line['spl']:.2f}" if "success" in line else "no episode ended yet"
        return (
            f"{self.steps / 1e6:.2f} M steps, {self.seconds / 60:.1f} min, {rate / 1e3:.1f} k steps/s, {seen}, "
            f"ends in {max(left, 0) / 60:.1f} min"
        )

    def _go_on(self) -> None:
        """Take up the checkpoint of the folder, the curriculum's level, and the log up to there. Successes that were
        counted towards the next level are counted anew."""
        tree = torch.load(self.folder / CHECKPOINT, weights_only=True)
        before = json.loads(tree["infos"]["config"])
        now = json.loads(self.config.model_dump_json())
        if changed := sorted(k for k in now if k not in BUDGET and before.get(k) != now[k]):
            raise ConfigError(
                self.folder / CHECKPOINT,
                expected="the settings that this training began with",
                got=f"other {', '.join(changed)}",
                todo="Give the same settings, or another --out.",
            )
        self.ppo.load(tree, None, strict=True)
        self.iteration, self.steps = tree["iter"], tree["infos"]["steps"]
        self.seconds = tree["infos"]["seconds"]
        self.env.env.pool.open_to(tree["infos"].get("level", 0))  # once it was not kept
        torch.manual_seed(self.config.seed + self.iteration)
        self.log = [line for line in read_log(self.folder) if line["iter"] <= self.iteration]
        (self.folder / LOG).write_text("".join(json.dumps(line) + "\n" for line in self.log))


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of a training's `log.jsonl`; a line that a kill cut short is left out."""
    path = folder / LOG
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("}\n")]
