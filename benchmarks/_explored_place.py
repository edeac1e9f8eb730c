"""A procedural place that is explored without colours: what is reachable, what frames see, and how a walk scores."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from lyra_sim.core.records import Frames, PixelOrigin
from lyra_sim.geometry.camera import invert
from lyra_sim.procedural.cameras import look, pinhole
from lyra_sim.procedural.render import ray_scene, render
from lyra_sim.procedural.scene import ProceduralScene
from lyra_sim.procedural.truth import bounds, floor_height, free_mask, truth_distance, truth_free

CELL_M = 0.05
RADIUS_M = 0.25
REACH_M = 6.0
CLEARANCE_M = 0.30
JUDGE = pinhole(832, 480, 70.0)
DEPTH = pinhole(208, 120, 70.0)
"""Same view, for the depth that planners get."""
MAX_RANGE_M = 25.0
"""Of the depth, as of that of photos."""
RUG_M = 0.03
"""What lies flat on the floor is floor."""


@dataclass(frozen=True)
class Score:
    """How one walk did."""

    coverage: Float[np.ndarray, "N"]
    """Share of the reachable floor seen after each frame."""
    clearance_m: float
    """Least distance of any camera to a true surface."""
    step_m: float
    turn_deg: float
    """Largest movement and turn between two frames."""

    def at(self, frames: int) -> float:
        """Coverage after so many frames, or at the end of a shorter walk."""
        return float(self.coverage[min(frames, len(self.coverage)) - 1])

    def area(self, frames: int) -> float:
        """Mean coverage over the first `frames`; a shorter walk keeps what it had."""
        held = np.concatenate([self.coverage[:frames], np.full(max(frames - len(self.coverage), 0), self.coverage[-1])])
        return float(held.mean())


class Place:
    """Truth about one place and a start in it."""

    def __init__(self, scene: ProceduralScene, home: Float[np.ndarray, "4 4"], floor: Float[np.ndarray, "N 2"]) -> None:
        self.scene, self.home = scene, home
        self.floor = np.column_stack([floor, floor_height(scene, floor)])
        """(N, 3) centres of the floor cells that are to be seen."""

    def frames(self, poses: Float[np.ndarray, "N 4 4"]) -> Frames:
        """Exact depth and labels, black images."""
        shown = [render(self.scene, pose, DEPTH, colour=False) for pose in poses]
        depth = np.stack([view.depth_m for view in shown])
        valid = np.stack([view.valid for view in shown]) & (depth > 0) & (depth < MAX_RANGE_M)
        return Frames(
            images=np.zeros((*depth.shape, 3), np.uint8),
            depth_m=np.where(valid, depth, np.float32(0)),
            valid=valid,
            origin=np.full(depth.shape, int(PixelOrigin.GENERATED), np.uint8),
            label=np.stack([view.label for view in shown]),
            cam_to_world=np.asarray(poses, np.float64),
            intrinsics=DEPTH,
        )

    def sees(self, pose: Float[np.ndarray, "4 4"], floor: Float[np.ndarray, "N 3"]) -> Bool[np.ndarray, "N"]:
        """Which floor points are in the picture, within 6 m and in plain view."""
        seen = np.zeros(len(floor), bool)
        at = np.flatnonzero(((floor - pose[:3, 3]) ** 2).sum(1) <= REACH_M**2)
        local = floor[at] @ (inverse := invert(pose))[:3, :3].T + inverse[:3, 3]
        z = np.maximum(local[:, 2], 1e-9)
        u, v = local[:, 0] / z * JUDGE.fx + JUDGE.cx, local[:, 1] / z * JUDGE.fy + JUDGE.cy
        at = at[(local[:, 2] > 0) & (u >= 0) & (u < JUDGE.width) & (v >= 0) & (v < JUDGE.height)]
        away = floor[at] - pose[:3, 3]
        t, _, _ = ray_scene(self.scene).cast(np.broadcast_to(pose[:3, 3], (len(at), 3)), away)
        seen[at] = (1 - t) * -away[:, 2] <= RUG_M
        return seen

    def score(self, poses: Float[np.ndarray, "N 4 4"]) -> Score:
        """Score of a walk; its first pose is the start."""
        left, coverage = self.floor, []
        for pose in poses:
            left = left[~self.sees(pose, left)]
            coverage.append(1 - len(left) / len(self.floor))
        turn = np.einsum("nji,njk->nik", poses[:-1, :3, :3], poses[1:, :3, :3])
        cosine = np.clip((np.trace(turn, axis1=1, axis2=2) - 1) / 2, -1, 1)
        return Score(
            coverage=np.array(coverage),
            clearance_m=float(truth_distance(self.scene, poses[:, :3, 3]).min()),
            step_m=float(np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1).max(initial=0)),
            turn_deg=float(np.degrees(np.arccos(cosine)).max(initial=0)),
        )


def in_flat(scene: ProceduralScene, seed: int, height_m: float) -> Place:
    """A random free start in the largest island of a flat; the floor to be seen is that island.

    Args:
        height_m: of the camera above the floor.
    """
    origin, shape = bounds(scene, CELL_M)
    free = free_mask(scene, origin, shape, CELL_M, RADIUS_M)
    roomy = free_mask(scene, origin, shape, CELL_M, 0.4, slab_m=(0.01, height_m + 0.4))
    rng = np.random.default_rng([seed, 5])
    group = np.asarray(ndimage.label(free)[0])  # pyright: ignore[reportIndexIssue]
    largest = group == 1 + int(np.bincount(group.ravel())[1:].argmax())
    cells = np.argwhere(largest & roomy)
    start = cells[int(rng.integers(len(cells)))]
    home = _start(scene, origin + (start + 0.5) * CELL_M, height_m, rng)
    return Place(scene, home, origin + (np.argwhere(largest) + 0.5) * CELL_M)


def in_street(scene: ProceduralScene, seed: int, height_m: float) -> Place:
    """A random free start on the middle third of a road; the floor to be seen is all that is free of road and
    pavements."""
    rng = np.random.default_rng([seed, 5])
    x0, y0, x1, y1 = scene.rooms_m[-1]
    spots = rng.uniform((x0 / 3, y0 + 0.5), (x1 / 3, y1 - 0.5), (200, 2))
    start = spots[truth_free(scene, spots, 0.4, slab_m=(0.01, height_m + 0.4))][0]
    cells = []
    for rect in scene.rooms_m:
        x, y = (np.arange(rect[k] + CELL_M / 2, rect[k + 2], CELL_M) for k in (0, 1))
        cells.append(np.stack(np.meshgrid(x, y), -1).reshape(-1, 2))
    floor = np.concatenate([strip[truth_free(scene, strip, RADIUS_M)] for strip in cells])
    return Place(scene, _start(scene, start, height_m, rng), floor)


def _start(scene: ProceduralScene, xy: np.ndarray, height_m: float, rng: np.random.Generator) -> np.ndarray:
    eye = np.append(xy, floor_height(scene, xy[None])[0] + height_m)
    return look(eye, float(rng.uniform(-np.pi, np.pi)), 0.12)
