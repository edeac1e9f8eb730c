"""A finished world of a procedural walk held against the place it was rendered from: colliders, maps, ways, the duct.

Everything is compared in the scene's own frame, so that errors of gravity and of the world frame count in full. What
was seen is what rays through the pixels with measured depth meet in the exact scene, from the exact cameras.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import skfmm
from scipy import ndimage

from lyra_sim.config.tasks import RobotConfig
from lyra_sim.core.records import Capture, FloorGrid, Intrinsics, Label, PosedFrames, Surface
from lyra_sim.geometry.camera import invert, pixel_rays, project, transform
from lyra_sim.geometry.rays import RayScene
from lyra_sim.io.records import load_record
from lyra_sim.procedural.scene import ProceduralScene
from lyra_sim.procedural.truth import bounds, floor_height, free_mask, truth_free
from lyra_sim.procedural.write import scene_of
from robot_tasks.colliders import Soup, rays_of, soup_of_scene
from robot_tasks.episode_files import read_episodes
from robot_tasks.navmap import FREE, map_of_soup, robot_slab

SEEN_RANGE_M = 8.0
WAY_CELL_M = 0.02
SEEN_CELL_M = 0.025
SEEN_GAP_CELLS = 2
"""Gaps this wide count as seen floor: pixels at depth edges carry no measurement, which leaves out single cells."""
RUG_M = 0.02
"""What lies on the floor and is no higher belongs to it."""
DUCT_TOP_M, DUCT_WIDTH_M, DUCT_STEP_M = 0.03, 0.05, 0.025


@dataclass(frozen=True)
class Judged:
    """Map and episodes of one robot against the truth."""

    map_iou: float
    centre_iou: float
    """The same for places where the robot's centre may be."""
    unseen_free_right: float
    """Share of the map's free cells outside what was seen that are free in truth; NaN where there are none."""
    success: float
    way_errors: np.ndarray
    """(E,) |geodesic / truth - 1| of every episode; inf where the truth knows no way."""
    way_seen: np.ndarray
    """(E,) whether the truth's shortest way runs over seen floor."""


class FlatTruth:
    """One finished walk with its truth.

    Args:
        walk: the input folder, with truth/truth.json.
        stages: committed folders of the stages capture, observe and surface by name; of usd for what is asked of the
            final collider, of tasks for what is asked of its maps and ways.
    """

    def __init__(self, walk: Path, stages: dict[str, Path]) -> None:
        self.scene, T_scene_source = scene_of(walk)
        capture = load_record(Capture, stages["capture"])
        start = load_record(PosedFrames, stages["observe"])
        self.T_scene_world = T_scene_source @ invert(start.frame.T_world_source)
        self.floor: FloorGrid = load_record(Surface, stages["surface"]).floor
        self.stages = stages
        assert capture.depth_valid is not None and capture.depth_m is not None
        self.camera = capture.intrinsics
        self.cameras = self.T_scene_world @ start.frames.cam_to_world
        self.measured = capture.depth_valid & (capture.depth_m <= SEEN_RANGE_M)
        self.seen_points, self.seen_faces = _seen(self.scene, self.cameras, self.camera, self.measured)

    @cached_property
    def world_soup(self) -> Soup:
        """The final collider in the world's frame."""
        return soup_of_scene(self.stages["usd"] / "scene.usda")

    @cached_property
    def soup(self) -> Soup:
        """The final collider in the scene's frame."""
        corners = transform(self.T_scene_world, self.world_soup.triangles)
        return Soup(triangles=corners, hull=self.world_soup.hull)

    @cached_property
    def rays(self) -> RayScene:
        """The final collider in the scene's frame."""
        return rays_of(self.soup)

    def collider_errors(self, seed: int = 0, n: int = 100_000) -> tuple[np.ndarray, np.ndarray]:
        """Distances, metres: of even samples of the collider to the true triangles that were seen, and of seen true
        points to the collider."""
        rng = np.random.default_rng(seed)
        tri = self.soup.triangles
        area = np.linalg.norm(np.cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0]), axis=1)
        a, b, c = tri[rng.choice(len(tri), size=n, p=area / area.sum())].transpose(1, 0, 2)
        u, v = np.sqrt(rng.random((n, 1))), rng.random((n, 1))
        samples = a * (1 - u) + b * (u * (1 - v)) + c * (u * v)
        truth = RayScene(self.scene.vertices, self.scene.faces[self.seen_faces])
        pick = rng.choice(len(self.seen_points), size=min(n, len(self.seen_points)), replace=False)
        return truth.distance(samples), self.rays.distance(self.seen_points[pick])

    def duct_kept(self) -> tuple[float, float]:
        """Share of the duct's seen length where the collider lies within 1 cm of its top, and that length, metres."""
        low, high = duct_rectangle(self.scene)
        long = int(np.argmax(high - low))
        count = int((high[long] - low[long]) / DUCT_STEP_M)
        points = self.seen_points
        on_top = (
            (np.abs(points[:, 2] - DUCT_TOP_M) < 1e-3) & (points[:, :2] >= low).all(1) & (points[:, :2] <= high).all(1)
        )
        slices = ((points[on_top][:, long] - low[long]) / DUCT_STEP_M).astype(int)
        seen = np.unique(slices[slices < count])
        start = np.tile([*(low + high) / 2, DUCT_TOP_M + 0.05], (len(seen), 1))
        start[:, long] = low[long] + (seen + 0.5) * DUCT_STEP_M
        depth, _, _ = self.rays.cast(start, np.broadcast_to([0.0, 0.0, -1.0], start.shape))
        kept = np.abs(start[:, 2] - depth - DUCT_TOP_M) <= 0.01
        return float(kept.mean()) if len(seen) else 0.0, len(seen) * DUCT_STEP_M

    def judge(self, robot: RobotConfig, cell_m: float = 0.05) -> Judged:
        """Map and episodes of one robot."""
        nav, nav_folder = map_of_soup(self.world_soup, robot, self.floor, cell_m), self.stages["tasks"] / "nav"
        slab = robot_slab(robot)
        band = (slab.low_m, slab.high_m)
        centres = nav.origin_m + (np.indices(nav.state.shape).reshape(2, -1).T + 0.5) * cell_m
        seen = self._seen_cells(nav.origin_m, nav.state.shape, cell_m, slab.high_m)
        free = nav.state == FREE
        true = self._cell_truth(centres, cell_m, band).reshape(nav.state.shape)
        with np.load(nav_folder / robot.name / "fields.npz") as fields:
            allowed = fields["island"] > 0
        centre = truth_free(self.scene, self._plan(centres), robot.radius_m, slab_m=band).reshape(nav.state.shape)
        beyond = free & ~seen
        episodes = read_episodes(nav_folder / robot.name / "episodes.json.gz")
        errors, way_seen = self._ways(episodes, robot, band)
        return Judged(
            map_iou=_iou(free & seen, true & seen),
            centre_iou=_iou(allowed & seen, centre & seen),
            unseen_free_right=float(true[beyond].mean()) if beyond.any() else np.nan,
            success=float(np.mean([e["info"]["follower"]["success"] for e in episodes])) if episodes else 0.0,
            way_errors=errors,
            way_seen=way_seen,
        )

    def _plan(self, xy: np.ndarray) -> np.ndarray:
        """World points on the floor plane, in the scene's plan."""
        return transform(self.T_scene_world, np.column_stack([xy, np.zeros(len(xy))]))[:, :2]

    def _cell_truth(self, centres: np.ndarray, cell_m: float, band: tuple[float, float]) -> np.ndarray:
        """A cell is free when all 4 x 4 squares in it are free floor, as the map has it."""
        steps = (np.arange(4) + 0.5) / 4 * cell_m - cell_m / 2
        good = np.ones(len(centres), bool)
        for dx in steps:
            for dy in steps:
                good &= truth_free(self.scene, self._plan(centres + np.array([dx, dy])), cell_m / 8, slab_m=band)
        return good

    def _seen_cells(self, origin: np.ndarray, shape: tuple[int, ...], cell_m: float, top_m: float) -> np.ndarray:
        """Cells of the world's map where a true surface below the robot's top was seen."""
        low = self.seen_points[self.seen_points[:, 2] < top_m]
        cell = np.floor((transform(invert(self.T_scene_world), low)[:, :2] - origin) / cell_m).astype(int)
        cell = cell[((cell >= 0) & (cell < shape)).all(1)]
        seen = np.zeros(shape, bool)
        seen[cell[:, 0], cell[:, 1]] = True
        return seen

    def seen_floor(self, radius_m: float) -> tuple[np.ndarray, np.ndarray]:
        """(origin, mask): where a disc of this radius stands on seen floor only; scene frame, `SEEN_CELL_M`."""
        origin, seen = self.visible_floor
        whole = ndimage.binary_closing(seen, iterations=SEEN_GAP_CELLS // 2)
        inside = np.asarray(ndimage.distance_transform_edt(whole)) * SEEN_CELL_M
        return origin, inside >= radius_m

    @cached_property
    def visible_floor(self) -> tuple[np.ndarray, np.ndarray]:
        """(origin, mask) of floor cells whose centre lies in sight of a camera, at a pixel with measured depth.

        Cells are projected into the cameras rather than rays onto cells, since the rays of far pixels lie more than
        a cell apart on the floor they cover.
        """
        origin, shape = bounds(self.scene, SEEN_CELL_M, 0.5)
        centres = origin + (np.indices(shape).reshape(2, -1).T + 0.5) * SEEN_CELL_M
        height = floor_height(self.scene, centres)
        camera, truth = self.camera, RayScene(self.scene.vertices, self.scene.faces)
        spots = np.column_stack([centres, np.nan_to_num(height) + RUG_M])
        down, _, _ = truth.cast(spots, np.broadcast_to([0.0, 0.0, -1.0], spots.shape))
        spots[:, 2] += 1e-3 - np.minimum(down, RUG_M)
        seen = np.zeros(len(spots), bool)
        for pose, measured in zip(self.cameras, self.measured, strict=True):
            left = np.nonzero(np.isfinite(height) & ~seen)[0]
            uv, z = project(transform(invert(pose), spots[left]), camera)
            shown = (z > 0.1) & (z < SEEN_RANGE_M) & (uv >= 0).all(1) & (uv < (camera.width, camera.height)).all(1)
            left, pixel = left[shown], np.floor(uv[shown]).astype(int)
            left = left[measured[pixel[:, 1], pixel[:, 0]]]
            way = pose[:3, 3] - spots[left]
            t, _, _ = truth.cast(spots[left], way)
            seen[left[t >= 1.0]] = True
        return origin, seen.reshape(shape)

    def _ways(
        self, episodes: list[dict], robot: RobotConfig, band: tuple[float, float]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Relative error of each episode's geodesic, and whether the true way was seen."""
        origin, shape = bounds(self.scene, WAY_CELL_M, 0.1)
        free = free_mask(self.scene, origin, shape, WAY_CELL_M, robot.radius_m, slab_m=band)
        seen_origin, seen = self.seen_floor(robot.radius_m)
        fields: dict[tuple[float, ...], np.ndarray] = {}
        errors, covered = np.full(len(episodes), np.inf), np.zeros(len(episodes), bool)
        for k, episode in enumerate(episodes):
            start, goal = self._plan(np.array([episode["start_position"][:2], episode["goals"][0]["position"][:2]]))
            key = tuple(episode["goals"][0]["position"])
            if key not in fields:
                fields[key] = true_distance(free, origin, WAY_CELL_M, goal)
            at = np.floor((start - origin) / WAY_CELL_M).astype(int)
            way = descend(fields[key], at)
            if way is None:
                covered[k] = True  # a way through what is blocked in truth is always an error
                continue
            errors[k] = abs(episode["info"]["geodesic_distance"] / fields[key][tuple(at)] - 1)
            cell = np.floor((origin + (way + 0.5) * WAY_CELL_M - seen_origin) / SEEN_CELL_M).astype(int)
            covered[k] = seen[cell[:, 0], cell[:, 1]].all()
        return errors, covered


def true_distance(free: np.ndarray, origin: np.ndarray, cell_m: float, goal: np.ndarray) -> np.ndarray:
    """Geodesic distance to `goal` over free cells by scikit-fmm, metres; inf where there is no way."""
    axes = [o + (np.arange(n) + 0.5) * cell_m for o, n in zip(origin, free.shape, strict=True)]
    straight = np.hypot(axes[0][:, None] - goal[0], axes[1][None] - goal[1])
    source = 2.5 * cell_m
    if not (free & (straight < source)).any():
        return np.full(free.shape, np.inf)
    far = skfmm.distance(np.ma.MaskedArray(straight - source, ~free), dx=cell_m, order=2) + source
    return np.where(straight < source, straight, np.ma.filled(far, np.inf)) + np.where(free, 0.0, np.inf)


def descend(distance: np.ndarray, start: np.ndarray) -> np.ndarray | None:
    """Cells (N, 2) of the steepest way down a distance field; None where it does not reach the goal from here."""
    at = np.asarray(start)
    if not ((at >= 1) & (at < np.array(distance.shape) - 1)).all() or not np.isfinite(distance[tuple(at)]):
        return None
    way = [at]
    steps = np.array([(i, j) for i in (-2, -1, 0, 1, 2) for j in (-2, -1, 0, 1, 2) if abs(i) + abs(j) in (1, 2, 3)])
    length = np.hypot(*steps.T)
    while distance[tuple(at)] > 0.06:
        near = np.clip(at + steps, 0, np.array(distance.shape) - 1)
        drop = (distance[tuple(at)] - distance[near[:, 0], near[:, 1]]) / length
        if drop.max() <= 0:
            break
        at = near[int(np.argmax(drop))]
        way.append(at)
    return np.array(way)


def duct_rectangle(scene: ProceduralScene) -> tuple[np.ndarray, np.ndarray]:
    """Corners (2,), (2,) of the cable duct's top in the plan."""
    corners = scene.vertices[scene.faces].astype(np.float64)
    flat = (np.abs(corners[:, :, 2] - DUCT_TOP_M) < 1e-5).all(1) & (scene.face_label == int(Label.OBJECT))
    size = np.ptp(corners[:, :, :2], axis=1)
    duct = flat & (np.abs(size.min(1) - DUCT_WIDTH_M) < 1e-4) & (size.max(1) > 0.5)
    assert duct.any(), "this flat has no cable duct"
    points = corners[duct][:, :, :2].reshape(-1, 2)
    return points.min(0), points.max(0)


def _seen(
    scene: ProceduralScene, cameras: np.ndarray, camera: Intrinsics, measured: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """True points (N, 3) behind all pixels with measured depth, and which faces of the scene they lie on."""
    truth, rays = RayScene(scene.vertices, scene.faces), pixel_rays(camera)
    points, faces = [], np.zeros(len(scene.faces), bool)
    for pose, valid in zip(cameras, measured, strict=True):
        way = rays[valid] @ pose[:3, :3].T
        t, face, _ = truth.cast(np.broadcast_to(pose[:3, 3], way.shape), way)
        hit = face >= 0
        points.append((pose[:3, 3] + way[hit] * t[hit, None]).astype(np.float32))
        faces[np.unique(face[hit])] = True
    return np.concatenate(points), faces


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    either = (a | b).sum()
    return float((a & b).sum() / either) if either else 0.0
