"""How well a policy drives: success, SPL, SoftSPL and contacts over episodes of many worlds, with intervals.

Success weighted by path length (Anderson et al. 2018, arXiv 1807.06757), SoftSPL (Datta et al. 2020, arXiv
2009.03231). Episodes of one world resemble each other, so intervals resample worlds first, then episodes in them.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from lyra_sim.core.record import record

MEASURES = ("success", "spl", "softspl", "contacts")
"""Of every episode; contacts are steps in which the robot touched something."""


@record
class Scores:
    """Results of `Q` episodes in each of `W` worlds, in the order of `worlds`."""

    worlds: tuple[str, ...]
    success: Float64[np.ndarray, "W Q"]
    """1 where the goal was reached, else 0; of several policies the share that reached it."""
    spl: Float64[np.ndarray, "W Q"]
    softspl: Float64[np.ndarray, "W Q"]
    contacts: Float64[np.ndarray, "W Q"]
    seconds: Float64[np.ndarray, "W Q"]
    """Simulated time of the episode."""
    geodesic_m: Float64[np.ndarray, "W Q"]
    """Shortest way from start to goal."""

    def values(self, measure: str) -> Float64[np.ndarray, "W Q"]:
        """One of `MEASURES` by episode."""
        return getattr(self, measure)


@record
class Estimate:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def as_tree(self) -> dict[str, float]:
        """For JSON."""
        return {"mean": round(self.mean, 4), "low": round(self.low, 4), "high": round(self.high, 4)}


def estimate(values: Float64[np.ndarray, "W Q"], draws: int, seed: int = 0) -> Estimate:
    """Mean over worlds and episodes; percentile bootstrap that draws worlds, then episodes within each drawn world."""
    rng = np.random.default_rng(seed)
    count, each = values.shape
    drawn = np.empty(draws)
    for k in range(draws):
        worlds = rng.integers(count, size=(count, 1))
        drawn[k] = values[worlds, rng.integers(each, size=(count, each))].mean()
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(mean=float(values.mean()), low=float(low), high=float(high))


def difference(a: Float64[np.ndarray, "W Q"], b: Float64[np.ndarray, "W Q"], draws: int, seed: int = 0) -> Estimate:
    """Mean of `a` less `b`, which are of the same episodes of the same worlds: every draw takes the same of both."""
    assert a.shape == b.shape
    return estimate(a - b, draws, seed)


def pooled(parts: Sequence[Scores]) -> Scores:
    """Several policies (seeds of one training) that drove the same episodes as one: the mean of each episode.
    Intervals of it are over worlds and episodes, not over seeds."""
    assert all(part.worlds == parts[0].worlds for part in parts)
    assert all(np.array_equal(part.geodesic_m, parts[0].geodesic_m) for part in parts)
    names = ("success", "spl", "softspl", "contacts", "seconds", "geodesic_m")
    return Scores(
        worlds=parts[0].worlds, **{name: np.mean([getattr(part, name) for part in parts], axis=0) for name in names}
    )


def table(rows: dict[str, Scores], draws: int) -> str:
    """One line per policy: every measure with its interval."""
    width = max([len(name) for name in rows] + [8])
    lines = [f"{'policy':{width}}  {'success':22}  {'SPL':22}  {'SoftSPL':22}  contacts per episode"]
    for name, scores in rows.items():
        cells = [str(estimate(scores.values(measure), draws)) for measure in MEASURES]
        lines.append(f"{name:{width}}  " + "  ".join(f"{cell:22}" for cell in cells).rstrip())
    return "\n".join(lines)


def as_tree(scores: Scores, draws: int) -> dict:
    """For eval.json: every measure with its interval, and each world's means, the worst first."""
    found = {measure: estimate(scores.values(measure), draws) for measure in MEASURES}
    order = np.lexsort((scores.spl.mean(1), scores.success.mean(1)))
    return {
        "episodes": int(scores.success.size),
        "geodesic_m": [round(float(v), 2) for v in np.percentile(scores.geodesic_m, [0, 50, 100])],
        **{measure: interval.as_tree() for measure, interval in found.items()},
        "worlds": [
            {"world": scores.worlds[k], **{m: round(float(scores.values(m)[k].mean()), 4) for m in MEASURES}}
            for k in order
        ],
    }
