"""The episodes of all worlds in one table, and which of them may be drawn: near goals first, or each exactly once."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64

from lyra_sim.config.envs import CurriculumConfig
from lyra_sim.core.errors import ConfigError
from robot_tasks.worlds import NavWorld


class Pool:
    """Episodes of all worlds; number e of world k is row `first[k] + e`.

    Attributes:
        world (E,), start (E, 2), yaw (E,), goal (E, 2), goal_index (E,), geodesic_m (E,), ratio (E,): the episodes;
            floor_m (E,) at their starts.
        first (W,), count (W,): rows of each world.
        level: class of start distance that is open, 0..bins-1.
    """

    def __init__(self, worlds: Sequence[NavWorld], curriculum: CurriculumConfig) -> None:
        tables = [world.episodes for world in worlds]
        self.count = np.array([len(t) for t in tables])
        self.first = np.cumsum(self.count) - self.count
        self.world = np.repeat(np.arange(len(worlds), dtype=np.int32), self.count)
        self.start, self.goal, self.yaw, self.goal_index, self.geodesic_m, self.ratio, floor = (
            np.concatenate([getattr(t, name) for t in tables])
            for name in ("start", "goal", "yaw", "goal_index", "geodesic_m", "ratio", "floor_m")
        )
        self.floor_m = floor[:, 0]
        self._curriculum = curriculum
        cuts = np.quantile(self.geodesic_m, np.arange(1, curriculum.bins) / curriculum.bins)
        self.bin = np.searchsorted(cuts, self.geodesic_m)
        self.level = 0
        self._recent: list[bool] = []
        self._open = self._opened()

    def _opened(self) -> tuple[list[Int64[np.ndarray, "_"]], Int64[np.ndarray, "_"]]:
        """Rows that may be drawn: of each world, of all. A world without near goals offers its nearest one."""
        allowed = self.bin <= self.level
        each = []
        for first, count in zip(self.first, self.count, strict=True):
            rows = first + np.flatnonzero(allowed[first : first + count])
            nearest = first + np.argmin(self.geodesic_m[first : first + count])
            each.append(rows if len(rows) else np.array([nearest]))
        return each, np.flatnonzero(allowed)

    def rows(self, named: np.ndarray) -> Int64[np.ndarray, "M"]:
        """Episodes (M,) that a caller names.

        Raises:
            ConfigError: not whole numbers of rows that are there.
        """
        given, count = np.atleast_1d(np.asarray(named)), len(self.world)
        wrong = given[(given < 0) | (given >= count) | (given != np.floor(given))]
        if len(wrong):
            raise ConfigError(
                "episode", expected=f"whole numbers from 0 to {count - 1}", got=", ".join(map(str, wrong[:8])),
                todo="Name episodes that the worlds have.",
            )  # fmt: skip
        return given.astype(np.int64)

    def draw(self, rng: np.random.Generator, worlds: Int64[np.ndarray, "N"] | None, count: int) -> np.ndarray:
        """`count` random rows: of the given world each, or of any for None."""
        each, every = self._open
        if worlds is None:
            return every[rng.integers(len(every), size=count)]
        share = rng.random(count)
        return np.array([each[w][int(s * len(each[w]))] for w, s in zip(worlds, share, strict=True)], np.int64)

    def learn(self, rows: Int64[np.ndarray, "M"], success: Bool[np.ndarray, "M"]) -> None:
        """Episodes that ended; opens the next class when enough of the farthest open one succeeded."""
        rules = self._curriculum
        if self.level + 1 >= rules.bins:
            return
        self._recent.extend(bool(s) for s in success[self.bin[rows] == self.level])
        self._recent = self._recent[-rules.window :]
        if len(self._recent) == rules.window and np.mean(self._recent) > rules.promote:
            above = self.bin[self.bin > self.level]  # equal distances leave classes empty: nothing to learn from
            self.open_to(int(above.min()) if len(above) else rules.bins - 1)

    def open_to(self, level: int) -> None:
        """Offer the classes up to `level`, and count successes anew."""
        self.level = level
        self._recent = []
        self._open = self._opened()
