"""Start and goal pairs that are known to be drivable, with their shortest distance and a path that was checked.

Goals are spread over the largest island; starts are drawn from a goal's distance field by distance; easy pairs
(nearly straight) are thinned as Habitat does (Habitat, PointNav generator): a pair with geodesic / euclidean
ratio < 1.1 is kept with probability 20 (ratio - 0.98)^2. Where the space is so simple that too few remain (a convex
room has only straight pairs), the thinned ones fill the quota, most crooked first.

A distance is only worth learning from when it is certain. The map is cautious: what nobody saw is not free, and gaps
are measured narrow. So each pair's distance is also found on the most hopeful map (all that is unknown is free,
obstacles are as thin as they can be); the truth lies between the two, and a pair for which they differ by more than
`CERTAIN` is left out: it leads round a gap that may be open.
"""

import itertools

import numpy as np
from jaxtyping import Float64

from lyra_sim.config.tasks import RobotConfig, TasksConfig
from lyra_sim.core.record import record
from robot_tasks import footprint, plan
from robot_tasks.fields import DRIVE_MARGIN_M, Fields
from robot_tasks.navmap import NavMap

CERTAIN = 1.02
"""Most that a distance may exceed that on the hopeful map: within 3 % of the truth, with the grid's own error."""
_EASY_RATIO = 1.1
_BINS = 8
_TRIES = 4
"""Pairs drawn for each episode wanted."""


Pair = tuple[int, tuple[int, int]]
"""Goal number and start cell."""


@record
class Episode:
    """One navigation task. World frame, metres, yaw 0 along +x."""

    start: Float64[np.ndarray, "2"]
    start_yaw: float
    goal: Float64[np.ndarray, "2"]
    geodesic_m: float
    """Shortest way of the robot's centre, at the map radius from everything."""
    path: Float64[np.ndarray, "N 2"]
    """A path whose swept outline is free; a little longer than the shortest."""
    path_m: float
    clearance_m: float
    """Smallest distance of the path to anything blocked."""

    @property
    def euclidean_m(self) -> float:
        """Straight distance of start and goal."""
        return float(np.hypot(*(self.goal - self.start)))


def make_episodes(
    nav: NavMap, fields: Fields, robot: RobotConfig, config: TasksConfig, seed: int
) -> tuple[Episode, ...]:
    """Up to `config.episodes` verified episodes.

    The shortest geodesic asked for is `config.min_geodesic_m`, in small worlds half of the longest one found there
    (never below 0.5 m).
    """
    if config.episodes == 0 or len(fields.goals) == 0:
        return ()
    rng = np.random.default_rng([seed, 1])
    low = min(config.min_geodesic_m, max(0.5, 0.5 * fields.longest_m))
    high = min(config.max_geodesic_m, fields.longest_m)
    found: list[Episode] = []

    def plan_all(pairs: list[Pair]) -> None:
        for pair in pairs:
            spin = rng.permutation(footprint.YAWS)
            made = plan_episode(nav, fields, pair, robot, spin) if len(found) < config.episodes else None
            if made is not None and made.geodesic_m >= low - 0.05:
                found.append(made)

    pairs = _draw_pairs(fields, config, low, high, rng)
    ratio = np.array([_ratio(fields, pair) for pair in pairs])
    thinned = (ratio < _EASY_RATIO) & (rng.random(len(pairs)) > 20 * np.maximum(ratio - 0.98, 0) ** 2)
    plan_all([pairs[k] for k in np.flatnonzero(~thinned)])
    spare = np.flatnonzero(thinned)
    plan_all([pairs[k] for k in spare[np.argsort(-ratio[spare].round(2), kind="stable")]])
    return tuple(found)


def _ratio(fields: Fields, pair: Pair) -> float:
    g, start = pair
    straight = float(np.hypot(*(fields.spots_m[start] - fields.goals[g])))
    return float(fields.distance_m[g][start]) / max(straight, 1e-9)


def _draw_pairs(fields: Fields, config: TasksConfig, low: float, high: float, rng: np.random.Generator) -> list[Pair]:
    """Candidate (goal number, start cell) pairs: goals in turn, distances spread evenly over low..high."""
    if high < low:
        return []
    roomy = fields.ends
    edges = np.linspace(low, high, _BINS + 1)
    each = -(-_TRIES * config.episodes // (len(fields.goals) * _BINS))
    pairs: list[Pair] = []
    for g in range(len(fields.goals)):
        far = fields.distance_m[g][roomy[:, 0], roomy[:, 1]]
        certain = far <= CERTAIN * fields.hopeful_m[g][roomy[:, 0], roomy[:, 1]]
        for k in range(_BINS):
            fits = np.flatnonzero(certain & (far >= edges[k]) & (far <= edges[k + 1]))
            for m in rng.choice(fits, min(each, len(fits)), replace=False):
                pairs.append((g, (int(roomy[m, 0]), int(roomy[m, 1]))))
    return [pairs[k] for k in rng.permutation(len(pairs))]


def plan_episode(nav: NavMap, fields: Fields, pair: Pair, robot: RobotConfig, spin: np.ndarray) -> Episode | None:
    """Shortest distance, a drivable path and a start heading for one pair; None where the outline does not fit."""
    g, start = pair
    cells = plan.descend(fields.distance_m[g], start)
    if not np.array_equal(cells[-1], fields.cells[g]):
        return None
    raw = fields.spots_m[tuple(cells.T)]
    shortest = plan.tighten(raw, nav, robot.radius_m, robot.radius_m)
    if shortest is None:
        return None
    for margin in (DRIVE_MARGIN_M, footprint.circumscribed_m(robot) - robot.radius_m + DRIVE_MARGIN_M):
        path = plan.tighten(shortest, nav, robot.radius_m, robot.radius_m + margin)
        yaw = None if path is None else _start_yaw(nav, robot, path, spin)
        if path is not None and yaw is not None:
            room = plan.least_clearance(path, nav)
            return Episode(
                start=path[0].copy(), start_yaw=yaw, goal=path[-1].copy(), path=path, path_m=plan.length(path),
                geodesic_m=min(plan.length(shortest), plan.length(path)), clearance_m=room,
            )  # fmt: skip
    return None


def _start_yaw(nav: NavMap, robot: RobotConfig, path: np.ndarray, spin: np.ndarray) -> float | None:
    """A heading from which the whole path can be driven and with which the outline is free on the written map: one of
    16 in the order `spin`, else straight along the path."""
    along = float(footprint.headings(path)[0])
    if not footprint.sweep_clear(nav, robot, footprint.poses_along(path, along)):
        return None
    turns = (float(k) * 2 * np.pi / footprint.YAWS for k in spin)
    for yaw in itertools.chain(turns, [along]):
        free = footprint.free_on_map(nav, robot, float(path[0, 0]), float(path[0, 1]), yaw)
        if free and footprint.sweep_clear(nav, robot, footprint.poses_along(path[:2], yaw)):
            return yaw
    return None
