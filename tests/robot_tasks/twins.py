"""The light simulation on two engines side by side."""

import numpy as np

from robot_tasks.envs.vector import VectorNav


def differences(a: VectorNav, b: VectorNav, steps: int, seed: int = 0) -> tuple[float, int, int]:
    """Largest difference of observations, rewards, ends and states of the same robots over random steps; how many
    episodes ended, and steps with contact."""
    a.reset(seed), b.reset(seed)
    rng, action, worst, ends, hits = np.random.default_rng(0), np.zeros((a.num_envs, a.action_size)), 0.0, 0, 0
    for _ in range(steps):
        action = np.clip(0.9 * action + 0.5 * rng.standard_normal(action.shape), -1, 1)
        one, two = a.step(action), b.step(action)
        pairs = [(one[0]["critic"], two[0]["critic"]), *zip(one[1:4], two[1:4], strict=True)]
        pairs += list(zip(a.state, b.state, strict=True))
        worst = max(worst, *(float(np.abs(u.astype(np.float64) - v).max()) for u, v in pairs))
        ends += len(one[4]["env"])
        hits += int(one[4]["contacts"].sum())
    return worst, ends, hits
