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

import numpy as np
from jaxtyping import Float64

from lyra_sim.config.tasks import RobotConfig, TasksConfig
from lyra_sim.core.record import record
from robot_tasks import footprint, plan
from robot_tasks.geodesic import goal_field, sample
from robot_tasks.islands import Space
from robot_tasks.navmap import NavMap

DRIVE_MARGIN_M = 0.03
"""Driven paths keep this much more than the map radius where there is room."""
CERTAIN = 1.02
"""Most that a distance may exceed that on the hopeful map: within 3 % of the truth, with the grid's own error."""
_THINNER_M = 0.01
"""How much nearer obstacles may be passed on the hopeful map than their lower bound says: what reconstruction adds."""
_EASY_RATIO = 1.1
_BINS = 8
_ROOMY_SHARE = 0.1
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


@record
class Fields:
    """Distance fields of the goals on the cells of the robot's space."""

    goals: Float64[np.ndarray, "G 2"]
    cells: np.ndarray
    """Int64 (G, 2): the goals' cells."""
    distance_m: Float64[np.ndarray, "G X Y"]
    """inf where the robot's centre cannot be or not come from."""
    hopeful_m: Float64[np.ndarray, "G X Y"]
    """The same on the most hopeful map: never longer than the true distance, but for the grid's error."""

    @property
    def longest_m(self) -> float:
        """The longest geodesic found, 0 without goals."""
        finite = self.distance_m[np.isfinite(self.distance_m)]
        return float(finite.max()) if len(finite) else 0.0


def _end_cells(nav: NavMap, space: Space, robot: RobotConfig) -> np.ndarray:
    """Cells (N, 2) of the main island where starts and goals may lie: with room to turn on the spot, unless only a
    small part of the island has that; then with the margin of driven paths, or anywhere."""
    cells = np.argwhere(space.main)
    room = sample(nav.clearance_m, nav.origin_m, nav.fine_m, space.centre(cells))
    for need in (footprint.circumscribed_m(robot) + DRIVE_MARGIN_M, robot.radius_m + DRIVE_MARGIN_M):
        roomy = room >= need
        if len(cells) and roomy.mean() >= _ROOMY_SHARE:
            return cells[roomy]
    return cells


def make_fields(nav: NavMap, space: Space, robot: RobotConfig, config: TasksConfig, seed: int) -> Fields:
    """Goals spread over the main island (farthest-point choice from a seeded first one) and their fields."""
    cells = _end_cells(nav, space, robot)
    centres = space.centre(cells)
    chosen: list[int] = []
    if len(cells):
        chosen.append(int(np.random.default_rng(seed).integers(len(cells))))
        apart = np.hypot(*(centres - centres[chosen[0]]).T)
        while len(chosen) < config.goals and apart.max() >= max(2 * robot.radius_m, 0.25):
            chosen.append(int(np.argmax(apart)))
            apart = np.minimum(apart, np.hypot(*(centres - centres[chosen[-1]]).T))
    goals = cells[chosen].reshape(-1, 2)
    return Fields(
        goals=centres[chosen].reshape(-1, 2),
        cells=goals,
        distance_m=_distances(space.main, goals, space.cell_m),
        hopeful_m=_distances(_hopeful(nav, space, robot), goals, space.cell_m),
    )


def _distances(free: np.ndarray, goals: np.ndarray, cell_m: float) -> Float64[np.ndarray, "G X Y"]:
    fields = [goal_field(free, (int(i), int(j)), cell_m) for i, j in goals]
    return np.stack(fields) if fields else np.zeros((0, *free.shape))


def _hopeful(nav: NavMap, space: Space, robot: RobotConfig) -> np.ndarray:
    """Cells where the robot's centre could be if all that is unknown were free."""
    cells = np.indices(space.island.shape).reshape(2, -1).T
    room = sample(nav.most_clearance_m(), nav.origin_m, nav.fine_m, space.centre(cells)).reshape(space.island.shape)
    return space.main | (room >= robot.radius_m - _THINNER_M)


def make_episodes(
    nav: NavMap, space: Space, fields: Fields, robot: RobotConfig, config: TasksConfig, seed: int
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
            made = plan_episode(nav, space, fields, pair, robot, spin) if len(found) < config.episodes else None
            if made is not None and made.geodesic_m >= low - 0.05:
                found.append(made)

    pairs = _draw_pairs(nav, space, fields, robot, config, low, high, rng)
    ratio = np.array([_ratio(space, fields, pair) for pair in pairs])
    thinned = (ratio < _EASY_RATIO) & (rng.random(len(pairs)) > 20 * np.maximum(ratio - 0.98, 0) ** 2)
    plan_all([pairs[k] for k in np.flatnonzero(~thinned)])
    spare = np.flatnonzero(thinned)
    plan_all([pairs[k] for k in spare[np.argsort(-ratio[spare].round(2), kind="stable")]])
    return tuple(found)


def _ratio(space: Space, fields: Fields, pair: Pair) -> float:
    g, start = pair
    straight = float(np.hypot(*(np.array(start) - fields.cells[g]))) * space.cell_m
    return float(fields.distance_m[g][start]) / max(straight, 1e-9)


def _draw_pairs(
    nav: NavMap, space: Space, fields: Fields, robot: RobotConfig, config: TasksConfig, low: float, high: float,
    rng: np.random.Generator,
) -> list[Pair]:  # fmt: skip
    """Candidate (goal number, start cell) pairs: goals in turn, distances spread evenly over low..high."""
    if high < low:
        return []
    roomy = _end_cells(nav, space, robot)
    edges = np.linspace(low, high, _BINS + 1)
    each = -(-_TRIES * config.episodes // (len(fields.goals) * _BINS))
    pairs: list[Pair] = []
    for g in range(len(fields.goals)):
        far = fields.distance_m[g][roomy[:, 0], roomy[:, 1]]
        certain = far <= CERTAIN * fields.hopeful_m[g][roomy[:, 0], roomy[:, 1]]
        for k in range(_BINS):
            fits = np.flatnonzero(certain & (far >= edges[k]) & (far <= edges[k + 1]))
            for m in fits[rng.permutation(len(fits))[:each]]:
                pairs.append((g, (int(roomy[m, 0]), int(roomy[m, 1]))))
    return [pairs[k] for k in rng.permutation(len(pairs))]


def plan_episode(
    nav: NavMap, space: Space, fields: Fields, pair: Pair, robot: RobotConfig, spin: np.ndarray
) -> Episode | None:
    """Shortest distance, a drivable path and a start heading for one pair; None where the outline does not fit."""
    g, start = pair
    raw = plan.descend(fields.distance_m[g], space, start)
    if not np.array_equal(space.cell(raw[-1:])[0], fields.cells[g]):
        return None
    shortest = plan.tighten(raw, nav, robot.radius_m, robot.radius_m)
    if shortest is None:
        return None
    for margin in (DRIVE_MARGIN_M, footprint.circumscribed_m(robot) - robot.radius_m + DRIVE_MARGIN_M):
        path = plan.tighten(raw, nav, robot.radius_m, robot.radius_m + margin)
        yaw = None if path is None else _start_yaw(nav, robot, path, spin)
        if path is not None and yaw is not None:
            room = plan.least_clearance(path, nav)
            return Episode(
                start=path[0].copy(), start_yaw=yaw, goal=path[-1].copy(), path=path, path_m=plan.length(path),
                geodesic_m=min(plan.length(shortest), plan.length(path)), clearance_m=room,
            )  # fmt: skip
    return None


def _start_yaw(nav: NavMap, robot: RobotConfig, path: np.ndarray, spin: np.ndarray) -> float | None:
    """A heading from which the whole path can be driven: one of 16 in the order `spin`, else straight along it."""
    along = float(footprint.headings(path)[0])
    if not footprint.sweep_clear(nav, robot, footprint.poses_along(path, along)):
        return None
    for k in spin:
        yaw = float(k) * 2 * np.pi / footprint.YAWS
        if footprint.sweep_clear(nav, robot, footprint.poses_along(path[:2], yaw)):
            return yaw
    return along
