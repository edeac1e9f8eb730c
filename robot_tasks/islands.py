"""Where the centre of a robot may be, and which of these places hang together."""

import numpy as np
from jaxtyping import Bool, Float64, Int32
from scipy import ndimage

from lyra_sim.core.record import record
from robot_tasks.geodesic import sample
from robot_tasks.navmap import NavMap, any_of_square


@record
class Space:
    """Places a robot's centre may be, on cells of `cell_m` from the map's origin."""

    origin_m: Float64[np.ndarray, "2"]
    cell_m: float
    island: Int32[np.ndarray, "X Y"]
    """0 not allowed, 1 the largest island, 2 the next, ..."""
    areas_m2: tuple[float, ...]
    """Area of island 1, 2, ..."""

    @property
    def main(self) -> Bool[np.ndarray, "X Y"]:
        """Cells of the largest island."""
        return self.island == 1

    def coarse(self, cells: int) -> Bool[np.ndarray, "U V"]:
        """Squares of so many cells a side in which the largest island has a part.

        Squares of parts that are apart do not touch, but for gaps that lack less than 2 mm (radius 0.25 m, sides of
        5 cm): all of the island is a radius from everything, so nothing fits between places that near to each other.
        """
        return any_of_square(self.main, cells)

    def centre(self, cells: np.ndarray) -> Float64[np.ndarray, "N 2"]:
        """World coordinates of the centres of cells (N, 2)."""
        return self.origin_m + (np.asarray(cells) + 0.5) * self.cell_m

    def cell(self, points: np.ndarray) -> np.ndarray:
        """Cells (N, 2) that hold world points (N, 2)."""
        return np.floor((np.asarray(points) - self.origin_m) / self.cell_m).astype(np.int64)


def find_space(nav: NavMap, radius_m: float, cell_m: float) -> Space:
    """Cells whose centre is at least `radius_m` from everything blocked, split into islands.

    Cells are joined over their sides only, so no path cuts a corner. Islands are numbered by falling area, ties by
    the first cell in scan order.
    """
    shape = (np.array(nav.state.shape) * nav.cell_m / cell_m + 0.5).astype(int)
    x, y = (nav.origin_m[k] + (np.arange(shape[k]) + 0.5) * cell_m for k in (0, 1))
    points = np.stack(np.meshgrid(x, y, indexing="ij"), -1).reshape(-1, 2)
    allowed = (sample(nav.clearance_m, nav.origin_m, nav.fine_m, points) >= radius_m).reshape(tuple(shape))
    labels = np.zeros(tuple(shape), np.int32)
    count = ndimage.label(allowed, output=labels)
    assert isinstance(count, int)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-sizes, kind="stable")
    rank = np.zeros(count + 1, np.int32)
    rank[order + 1] = np.arange(1, count + 1)
    areas = tuple(float(sizes[k]) * cell_m**2 for k in order)
    return Space(origin_m=nav.origin_m, cell_m=cell_m, island=rank[labels], areas_m2=areas)
