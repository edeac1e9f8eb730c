"""Colliders of a procedural flat's world held against the exact flat: what they close that is open, and the reverse.

Truth and colliders go through the rasteriser of the project's maps, on one lattice in the flat's own frame, so that
errors of gravity and of the world frame count in full.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _flat_truth import FlatTruth
from scipy import ndimage
from scipy.optimize import linprog
from scipy.spatial import ConvexHull, QhullError

from lyra_sim.config.tasks import RobotConfig
from lyra_sim.config.world import WorldConfig
from lyra_sim.core.records import ColliderPart
from lyra_sim.geometry.camera import transform
from lyra_sim.procedural.truth import floor_height
from lyra_sim.sources.discover import discover
from pipelines.graph import STAGES
from pipelines.inputs import plain_source
from pipelines.stage import Job
from robot_tasks.colliders import Soup, rays_of, soup_of_parts
from robot_tasks.navmap import FREE, OCCUPIED, Ground, NavMap, build_map, robot_slab

CELL_M = 0.025
FLOOR_TOL_M = 0.02
"""A collider this near the true floor carries the robot."""


@dataclass(frozen=True)
class Opened:
    """Colliders against the truth, over seen floor; shares 0..1."""

    blocked: float
    """Of the map cells (2.5 cm) that are free in truth, those that hold collider between the robot's step and top."""
    kept: float
    """Of the places for the robot's centre in the largest true island, those that remain in one island."""
    wrongly_free: float
    """Of the remaining places, those where the robot would touch something in truth."""


@dataclass(frozen=True)
class Shapes:
    """What the parts are made of."""

    parts: int
    triangles: int
    most_vertices: int
    thinnest_m: float
    """Smallest distance between two parallel planes that enclose a hull, one of them on a face; inf without hulls."""
    longest_to_insphere: float
    """Largest extent of a hull by the radius of its largest inscribed ball, of all hulls the largest; PhysX wants at
    most 100 on a GPU."""


class OpenSpace:
    """The true navigable floor of one flat, restricted to what its walk saw."""

    def __init__(self, truth: FlatTruth, robot: RobotConfig) -> None:
        self.truth, self.robot = truth, robot
        self.origin, self.seen = truth.seen_floor(0.5 * CELL_M)
        centres = self.origin + (np.indices(self.seen.shape).reshape(2, -1).T + 0.5) * CELL_M
        self.height = floor_height(truth.scene, centres).reshape(self.seen.shape)
        corners = truth.scene.vertices[truth.scene.faces].astype(np.float64)
        self.true = self._map(Soup(triangles=corners, hull=np.full(len(corners), -1, np.int32)))
        _, whole = truth.seen_floor(robot.radius_m)
        self.island = _largest(self._places(self.true) & self._fine(whole, self.true))

    def judge(self, parts: tuple[ColliderPart, ...]) -> Opened:
        """Figures of one set of colliders, given in the world's frame."""
        soup = soup_of_parts(parts)
        nav = self._map(Soup(triangles=transform(self.truth.T_scene_world, soup.triangles), hull=soup.hull))
        free = (self.true.state == FREE) & self.seen
        label, _ = ndimage.label(self._places(nav))
        inside = np.bincount(label[self.island])[1:]
        kept = int(inside.max()) if len(inside) else 0
        reached = (label == int(inside.argmax()) + 1 if kept else np.zeros_like(self.island)) & self._fine(
            self.seen, nav
        )
        wrong = reached & (self.true.most_clearance_m() < self.robot.radius_m)
        return Opened(
            blocked=float((nav.state[free] == OCCUPIED).mean()),
            kept=kept / int(self.island.sum()),
            wrongly_free=float(wrong.sum() / max(int(reached.sum()), 1)),
        )

    def _map(self, soup: Soup) -> NavMap:
        present = np.isfinite(self.height)
        cells = np.argwhere(present)
        start = np.column_stack([self.origin + (cells + 0.5) * CELL_M, self.height[present] + FLOOR_TOL_M])
        start[:, :2] += (1.1e-3, 0.7e-3)  # off the exact centre, where the diagonals of level rectangles run
        depth, _, _ = rays_of(soup).cast(start, np.broadcast_to([0.0, 0.0, -1.0], start.shape))
        present[present] = depth <= 2 * FLOOR_TOL_M
        height = np.nan_to_num(self.height).astype(np.float32)
        ground = Ground(origin_m=self.origin, cell_m=CELL_M, present=present, height_m=height)
        return build_map(soup, ground, robot_slab(self.robot), CELL_M)

    def _places(self, nav: NavMap) -> np.ndarray:
        return nav.clearance_m >= self.robot.radius_m

    def _fine(self, cells: np.ndarray, nav: NavMap) -> np.ndarray:
        split = round(CELL_M / nav.fine_m)
        return np.repeat(np.repeat(cells, split, 0), split, 1)


def _largest(places: np.ndarray) -> np.ndarray:
    label, _ = ndimage.label(places)
    return label == int(np.bincount(label[label > 0]).argmax())


def shapes(parts: tuple[ColliderPart, ...]) -> Shapes:
    """Count and extreme proportions of the parts."""
    hulls = [hull_proportions(part.vertices.astype(np.float64)) for part in parts if part.kind == "hull"]
    return Shapes(
        parts=len(parts),
        triangles=sum(len(part.faces) for part in parts),
        most_vertices=max((len(part.vertices) for part in parts if part.kind == "hull"), default=0),
        thinnest_m=min((thin for thin, _ in hulls), default=np.inf),
        longest_to_insphere=max((ratio for _, ratio in hulls), default=0.0),
    )


def hull_proportions(vertices: np.ndarray) -> tuple[float, float]:
    """Least width over the normals of the faces, and largest extent by the radius of the inscribed ball; 0 and inf
    for a flat hull."""
    try:
        hull = ConvexHull(vertices)
    except QhullError:
        return 0.0, np.inf
    normals, offsets = hull.equations[:, :3], hull.equations[:, 3]
    width = float((-(normals @ vertices.T + offsets[:, None]).min(axis=1)).min())
    best = linprog([0, 0, 0, -1], A_ub=np.column_stack([normals, np.ones(len(normals))]), b_ub=-offsets,
                   bounds=[(None, None)] * 3 + [(0, None)])  # fmt: skip
    return width, float(np.ptp(vertices, axis=0).max() / max(best.x[3], 1e-9))


def stages_of(walk: Path, folder: Path, last: str = "surface") -> dict[str, Path]:
    """The stages of a walk up to `last`, run in this process with the default configuration; those whose folder
    is there already are not run again. Folders by name of the stage."""
    (source,) = discover([walk], "rgbd").sources
    config, done = WorldConfig().model_dump(mode="json"), {}
    for stage in STAGES[: [stage.name for stage in STAGES].index(last) + 1]:
        out = done[stage.name] = folder / stage.name
        if out.exists():
            continue
        partial = folder / f"{stage.name}.partial"
        partial.mkdir(parents=True)
        making = partial / "out"
        making.mkdir()
        job = Job(
            stage=stage.name, key=stage.name, world=walk.name, source=plain_source(source), config=config,
            inputs={name: done[name] for name in stage.upstream}, out=making, partial=partial,
            report=lambda _: None, piece_done=lambda _: None,
        )  # fmt: skip
        stage.open()(job)
        making.rename(out)
        shutil.rmtree(partial)
    return done
