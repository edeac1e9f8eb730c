"""How good a policy is: every listed episode driven exactly once. A trainer's running mean is no measure: it counts
short episodes more often."""

from collections.abc import Callable

import numpy as np

from robot_tasks.envs.vector import Observations, VectorNav

COLUMNS = ("world", "episode", "success", "spl", "softspl", "contacts", "geodesic_m", "driven_m", "steps")


def run_quota(
    env: VectorNav, policy: Callable[[Observations], np.ndarray], rows: np.ndarray | None = None, *, seed: int = 0
) -> dict[str, np.ndarray]:
    """Drive each episode once.

    Args:
        policy: actions (N, A) for observations of all environments.
        rows: rows of `env.pool`; None for all.

    Returns:
        For each name of `COLUMNS` an array (E,), in the order of `rows`; `world` is the number in `env.worlds`,
        `episode` that in its world; `seconds` besides.
    """
    rows = np.arange(len(env.pool.world)) if rows is None else np.asarray(rows, np.int64)
    observed = env.reset(seed, quota=rows)
    found: list[dict[str, np.ndarray]] = []
    while (env.row >= 0).any():
        observed, _, _, _, info = env.step(policy(observed))
        found.append({name: info[name] for name in COLUMNS})
    table = {name: np.concatenate([part[name] for part in found]) for name in COLUMNS}
    where = np.argsort(np.argsort(rows, kind="stable"), kind="stable")
    order = np.argsort(env.pool.first[table["world"]] + table["episode"], kind="stable")[where]
    return {name: value[order] for name, value in table.items()} | {"seconds": table["steps"][order] * env.step_s}
