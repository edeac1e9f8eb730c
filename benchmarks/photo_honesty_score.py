"""How honest one observed photo is: its free floor, its obstacles and its depth against the truth."""

from dataclasses import dataclass

import numpy as np
from photo_honesty_cases import Case
from scipy.spatial import cKDTree

from lyra_sim.core.records import Intrinsics, Label
from lyra_sim.geometry.camera import invert, pixel_rays, project, transform
from lyra_sim.procedural.truth import truth_free

CELL_M = 0.05
FREE_RANGE_M = 4.0
BOUNDARY_RANGE_M = 5.0
SLAB_M = (0.06, 0.6)
BODY_M = (0.06, 1.8)
ONE_SURFACE, TORN = 0.01, 0.03
"""Largest step in depth between neighbouring pixels of one true surface, and least step that tears it."""


@dataclass(frozen=True)
class Estimate:
    """What an observer says about a photo."""

    depth_m: np.ndarray
    valid: np.ndarray
    floor: np.ndarray
    """Pixels it calls floor."""
    T_world_cam: np.ndarray
    """Z up, floor at z = 0."""


def gravity_error_deg(case: Case, up_cam: np.ndarray) -> float:
    """Angle between the estimated and the true up direction."""
    assert case.T_truth_cam is not None
    return float(np.rad2deg(np.arccos(np.clip(up_cam @ case.T_truth_cam[2, :3], -1, 1))))


def points_of(depth: np.ndarray, mask: np.ndarray, camera: Intrinsics, T: np.ndarray) -> np.ndarray:
    """World points of the masked pixels."""
    return transform(T, pixel_rays(camera)[mask] * depth[mask][:, None].astype(float))


class FloorMap:
    """5 cm cells round the camera's foot: seen floor without anything standing in the robot's slab."""

    def __init__(self, depth: np.ndarray, valid: np.ndarray, floor: np.ndarray, camera: Intrinsics, T: np.ndarray):
        self.eye = T[:2, 3]
        side = int(2 * (FREE_RANGE_M + 1) / CELL_M)
        self.low = self.eye - side * CELL_M / 2
        index = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), -1).reshape(-1, 2)
        centre = self.low + (index + 0.5) * CELL_M
        uv, z = project(transform(invert(T), np.c_[centre, np.zeros(len(centre))]), camera)
        u, v = np.floor(uv).T.astype(int)
        seen = (z > 0.05) & (u >= 0) & (v >= 0) & (u < camera.width) & (v < camera.height)
        seen &= np.linalg.norm(centre - self.eye, axis=1) < FREE_RANGE_M
        claimed = np.zeros(len(centre), bool)
        claimed[seen] = (floor & valid)[v[seen], u[seen]]
        blocked = np.zeros((side, side), bool)
        points = points_of(depth, valid & ~floor, camera, T)
        points = points[(points[:, 2] > SLAB_M[0]) & (points[:, 2] < SLAB_M[1])]
        cell = np.floor((points[:, :2] - self.low) / CELL_M).astype(int)
        cell = cell[((cell >= 0) & (cell < side)).all(1)]
        blocked[cell[:, 0], cell[:, 1]] = True
        self.blocked = blocked
        self.free = claimed.reshape(side, side) & ~blocked

    def centres(self) -> np.ndarray:
        """(N, 2) centres of the free cells."""
        return self.low + (np.argwhere(self.free) + 0.5) * CELL_M

    def lookup(self, grid: np.ndarray, xy: np.ndarray) -> np.ndarray:
        """Values of a cell grid at points, False outside."""
        cell = np.floor((xy - self.low) / CELL_M).astype(int)
        inside = ((cell >= 0) & (cell < len(grid))).all(1)
        out = np.zeros(len(xy), bool)
        out[inside] = grid[cell[inside, 0], cell[inside, 1]]
        return out


def free_floor(case: Case, estimate: Estimate) -> tuple[int, int, int, int]:
    """(free cells that are free in truth, judged free cells, truly free cells found, truly free cells).

    On rendered places the truth is exact everywhere. On measured frames a cell is judged by the depth at the pixel
    that shows it: not free where something stands in it or hides it, not judged where nothing was measured.
    """
    assert case.T_truth_cam is not None
    mine = FloorMap(estimate.depth_m, estimate.valid, estimate.floor, case.camera, estimate.T_world_cam)
    true = FloorMap(case.depth_m, case.valid, case.floor, case.camera, case.T_truth_cam)
    claim = mine.centres()
    at = transform(case.T_truth_cam @ invert(estimate.T_world_cam), np.c_[claim, np.zeros(len(claim))])
    if case.scene is not None and case.scene_from_truth is not None:
        right = truth_free(case.scene, transform(case.scene_from_truth, at)[:, :2], 0.0)
        judged = np.ones(len(at), bool)
    else:
        right = true.lookup(true.free, at[:, :2])
        measured = _measured_at(case, at)
        judged = right | measured | true.lookup(true.blocked, at[:, :2])
    truly = true.centres()
    back = transform(estimate.T_world_cam @ invert(case.T_truth_cam), np.c_[truly, np.zeros(len(truly))])
    found = mine.lookup(mine.free, back[:, :2])
    return int((right & judged).sum()), int(judged.sum()), int(found.sum()), len(truly)


def _measured_at(case: Case, at: np.ndarray) -> np.ndarray:
    """Whether the truth has depth at the pixels that show floor points `at`."""
    assert case.T_truth_cam is not None
    uv, z = project(transform(invert(case.T_truth_cam), np.c_[at[:, :2], np.zeros(len(at))]), case.camera)
    u, v = np.floor(uv).T.astype(int)
    inside = (z > 0.05) & (u >= 0) & (v >= 0) & (u < case.camera.width) & (v < case.camera.height)
    out = np.zeros(len(at), bool)
    out[inside] = case.valid[v[inside], u[inside]]
    return out


def boundary(case: Case, estimate: Estimate) -> tuple[int, int]:
    """(degrees of azimuth whose nearest true obstacle within 5 m has estimated structure within 0.3 m, such degrees).

    The boundary is the nearest point the camera sees between 6 cm and 1.8 m above the floor, per degree.
    """
    assert case.T_truth_cam is not None
    points = points_of(case.depth_m, case.valid & ~case.floor, case.camera, case.T_truth_cam)
    points = points[(points[:, 2] > BODY_M[0]) & (points[:, 2] < BODY_M[1])]
    reach = np.linalg.norm(points[:, :2], axis=1)
    points, reach = points[reach < BOUNDARY_RANGE_M], reach[reach < BOUNDARY_RANGE_M]
    if not len(points):
        return 0, 0
    degree = np.floor(np.rad2deg(np.arctan2(points[:, 1], points[:, 0]))).astype(int)
    order = np.lexsort((reach, degree))
    first = order[np.r_[True, np.diff(degree[order]) != 0]]
    mine = points_of(estimate.depth_m, estimate.valid & ~estimate.floor, case.camera, estimate.T_world_cam)
    mine = mine[(mine[:, 2] > BODY_M[0]) & (mine[:, 2] < BODY_M[1])]
    if not len(mine):
        return 0, len(first)
    at = transform(case.T_truth_cam @ invert(estimate.T_world_cam), mine)
    distance, _ = cKDTree(at[:, :2]).query(points[first, :2])
    return int((distance <= 0.3).sum()), len(first)


def torn(case: Case, estimate: Estimate) -> float:
    """Share of the pairs of pixels side by side on one true surface, no floor, whose estimated depths are torn apart:
    from anywhere else there is a hole between them."""
    upright = case.valid & ~case.floor & estimate.valid & ~estimate.floor & (estimate.depth_m > 0)
    pair = upright[:, 1:] & upright[:, :-1]
    true, mine = (
        np.abs(np.diff(depth, axis=1))[pair] / np.minimum(depth[:, 1:], depth[:, :-1])[pair]
        for depth in (case.depth_m.astype(float), estimate.depth_m.astype(float))
    )
    one = true < ONE_SURFACE
    return float((mine[one] > TORN).mean()) if one.any() else np.nan


def depth_errors(case: Case, estimate: Estimate) -> dict[str, float]:
    """AbsRel and delta < 1.25, raw and after median scaling, over pixels both know; `floor` over true floor pixels;
    `torn` as above."""
    both = case.valid & estimate.valid & (estimate.depth_m > 0)
    if both.sum() < 50:
        return {}
    out = {}
    truth, mine = case.depth_m[both].astype(float), estimate.depth_m[both].astype(float)
    for name, value in (("raw", mine), ("scaled", mine * np.median(truth) / np.median(mine))):
        out[f"absrel_{name}"] = float(np.mean(np.abs(value - truth) / truth))
        out[f"delta_{name}"] = float(np.mean(np.maximum(value / truth, truth / value) < 1.25))
    floor = both & case.floor
    if floor.sum() > 200:
        truth, mine = case.depth_m[floor].astype(float), estimate.depth_m[floor].astype(float)
        out["floor"] = float(np.mean(np.abs(mine - truth) / truth))
    out["torn"] = torn(case, estimate)
    return out


def from_frames(frames) -> Estimate:
    """The estimate held by the `Frames` of one photo."""
    return Estimate(
        depth_m=frames.depth_m[0],
        valid=frames.valid[0],
        floor=frames.label[0] == int(Label.FLOOR),
        T_world_cam=frames.cam_to_world[0],
    )
