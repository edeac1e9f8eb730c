"""Paths that are given, by a preset or a file, instead of planned: their poses, and whether they can be driven.

Frame k of a given path is its k-th new frame, `poses[k - 1]`; frame 0 is the start itself.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int
from numba import njit
from scipy.spatial.transform import Rotation

from lyra_sim.config.path import FilePath, PathConfig, PlannedPath
from lyra_sim.core.errors import InputError
from lyra_sim.geometry.camera import invert
from lyra_sim.trajectory.motion import Pace
from lyra_sim.trajectory.path_file import load_path
from lyra_sim.trajectory.presets import preset_poses
from lyra_sim.trajectory.voxels import BLOCK, OCCUPIED, VOXEL_M, VoxelMap, state_at

MOST_M = 45.0
"""A path leads no farther from its start: space is mapped 51 m about it."""


def given_path(config: PathConfig, home: Float64[np.ndarray, "4 4"], pace: Pace) -> Float64[np.ndarray, "N 4 4"]:
    """Camera to world of all frames after `home`.

    The first camera of a file is laid on `home`, `pose_i = home @ inv(first) @ pose_i`: what counts is motion relative
    to it, whatever frame the file is in. A file may move faster than `pace` (`beyond_pace` says where).

    Raises:
        ConfigError: a preset that takes more frames than any walk has.
        InputError: a file that is not a path.
    """
    assert not isinstance(config, PlannedPath), "a planned path is not given"
    if not isinstance(config, FilePath):
        return preset_poses(config, home, pace.step_m, pace.turn_rad)
    poses, _ = load_path(config.path)
    far = float(np.linalg.norm(poses[:, :3, 3] - poses[0, :3, 3], axis=1).max())
    if far > MOST_M:
        raise InputError(
            config.path,
            expected=f"cameras within {MOST_M:g} m of the first one",
            got=f"one that is {far:.0f} m away",
            todo="Positions are metres; cut longer paths into several.",
        )
    if len(poses) < 2:
        raise InputError(
            config.path, expected="the start's camera and at least one more", got="1 pose", todo="Add poses."
        )
    return (home @ invert(poses[0])) @ poses[1:]


def beyond_pace(poses: Float64[np.ndarray, "N 4 4"], home: Float64[np.ndarray, "4 4"], pace: Pace) -> str:
    """A sentence on the frames that move or turn more than `pace` allows; empty where none does."""
    every = np.concatenate([home[None], poses])
    steps = np.linalg.norm(np.diff(every[:, :3, 3], axis=0), axis=1)
    turns = Rotation.from_matrix(every[:, :3, :3])
    angles = (turns[:-1].inv() * turns[1:]).magnitude()
    fast = np.flatnonzero((steps > pace.step_m * (1 + 1e-6)) | (angles > pace.turn_rad * (1 + 1e-6))) + 1
    if not len(fast):
        return ""
    return (
        f"{frame_ranges(fast)} move up to {steps.max():.2f} m and turn up to {np.rad2deg(angles.max()):.1f} degrees "
        f"from the frame before; a planned path keeps to {pace.step_m:g} m and {np.rad2deg(pace.turn_rad):g} degrees"
    )


def collisions(
    poses: Float64[np.ndarray, "N 4 4"], home: Float64[np.ndarray, "4 4"], space: VoxelMap, clearance_m: float
) -> Int[np.ndarray, "M"]:
    """Numbers of the frames that collide, exactly for voxels as boxes: the camera's centre is nearer than `clearance_m`
    to an occupied voxel, or the straight line from the frame before runs through one. Unknown space does not count."""
    return np.flatnonzero(_hits(poses, home, space, clearance_m)[0]) + 1


def refuse_collisions(
    poses: Float64[np.ndarray, "N 4 4"], home: Float64[np.ndarray, "4 4"], space: VoxelMap, clearance_m: float
) -> None:
    """Refuse a path that collides. Where the start itself stands nearer to something than `clearance_m`, the path must
    keep the start's own distance.

    Raises:
        InputError: names the frames, and how near they come.
    """
    kept = kept_clearance(home, space, clearance_m)
    hit, distance = _hits(poses, home, space, kept)
    if not hit.any():
        return
    own = f", here {kept:.2f} m, the start's own," if kept < clearance_m else ""
    raise InputError(
        "explore.path",
        expected=f"a path that stays explore.clearance_m ({clearance_m:g} m){own} away from what stands there",
        got=f"{frame_ranges(np.flatnonzero(hit) + 1)} of {len(poses)} come as near as {distance[hit].min():.2f} m",
        todo="Shorten, scale or move the path, or have one planned: explore.path.kind=planned.",
    )


def kept_clearance(home: Float64[np.ndarray, "4 4"], space: VoxelMap, clearance_m: float) -> float:
    """Metres that a given path keeps from what stands there: the clearance, or the start's own distance if smaller."""
    return min(clearance_m, float(_nearest(home[None, :3, 3], clearance_m, *_grid(space))[0]))


def frame_ranges(numbers: np.ndarray) -> str:
    """`frames 12-19, 44` of increasing numbers; beyond ten ranges only how many more frames there are."""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    shown = ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs[:10])
    more = sum(len(run) for run in runs[10:])
    return f"{'frame' if len(numbers) == 1 else 'frames'} {shown}" + (f" and {more} more" if more else "")


def _hits(
    poses: np.ndarray, home: np.ndarray, space: VoxelMap, clearance_m: float
) -> tuple[Bool[np.ndarray, "N"], Float64[np.ndarray, "N"]]:
    """Whether each frame collides, and its distance to what stands there: 0 on the line, inf beyond the clearance."""
    centres = np.ascontiguousarray(np.concatenate([home[None, :3, 3], poses[:, :3, 3]]))
    distance = _nearest(centres[1:], clearance_m, *_grid(space))
    through = _through(centres, *_grid(space))
    distance[through] = 0.0
    # A hair less than the clearance: what stands exactly at it, the start among them, does not collide.
    return through | (distance < clearance_m - 1e-9), distance


def _grid(space: VoxelMap) -> tuple[np.ndarray, ...]:
    return space.origin_m, space.index, space.passed, space.hits


@njit(cache=True)
def _occupied(i, j, k, origin, index, passed, hits):
    x, y, z = origin[0] + (i + 0.5) * VOXEL_M, origin[1] + (j + 0.5) * VOXEL_M, origin[2] + (k + 0.5) * VOXEL_M
    return state_at(x, y, z, origin, index, passed, hits) == OCCUPIED


@njit(cache=True)
def _nearest(points, reach, origin, index, passed, hits):
    """Distance from each point to the nearest occupied voxel's box; inf where none is nearer than `reach`."""
    out = np.full(len(points), np.inf)
    for n in range(len(points)):
        p = (points[n] - origin) / VOXEL_M
        low = np.floor(p - reach / VOXEL_M).astype(np.int64)
        high = np.floor(p + reach / VOXEL_M).astype(np.int64)
        best = reach / VOXEL_M
        for i in range(low[0], high[0] + 1):
            x = max(i - p[0], p[0] - i - 1, 0.0)
            for j in range(low[1], high[1] + 1):
                y = max(j - p[1], p[1] - j - 1, 0.0)
                if x * x + y * y >= best * best:
                    continue
                for k in range(low[2], high[2] + 1):
                    z = max(k - p[2], p[2] - k - 1, 0.0)
                    far = np.sqrt(x * x + y * y + z * z)
                    if far < best and _occupied(i, j, k, origin, index, passed, hits):
                        best = far
                        out[n] = far * VOXEL_M
    return out


@njit(cache=True)
def _through(points, origin, index, passed, hits):
    """Whether the line from each point to the next runs through an occupied voxel: from border to border (Amanatides
    and Woo 1987), on the part of the line that lies in the map."""
    out = np.zeros(len(points) - 1, np.bool_)
    for n in range(len(out)):
        a, b = (points[n] - origin) / VOXEL_M, (points[n + 1] - origin) / VOXEL_M
        begin, end = _part_inside(a, b - a, np.array(index.shape) * BLOCK)
        if begin > end:
            continue
        away = b - a
        at, last = np.floor(a + begin * away).astype(np.int64), np.floor(a + end * away).astype(np.int64)
        step = np.sign(last - at)
        border, cell = np.full(3, np.inf), np.full(3, np.inf)
        for axis in range(3):
            if step[axis] != 0:
                cell[axis] = abs(1 / away[axis])
                border[axis] = (at[axis] + (step[axis] > 0) - a[axis]) / away[axis]
        out[n] = _occupied(at[0], at[1], at[2], origin, index, passed, hits)
        while not out[n] and (at != last).any():
            axis = np.argmin(border)
            at[axis] += step[axis]
            border[axis] = border[axis] + cell[axis] if at[axis] != last[axis] else np.inf
            out[n] = _occupied(at[0], at[1], at[2], origin, index, passed, hits)
    return out


@njit(cache=True)
def _part_inside(a, away, size):
    """Shares (begin, end) of the line a + t * away, 0 to 1, inside a box from 0 to `size`; begin > end outside."""
    begin, end = 0.0, 1.0
    for axis in range(3):
        if away[axis] == 0.0:
            if a[axis] < 0 or a[axis] > size[axis]:
                return 1.0, 0.0
        else:
            one, two = -a[axis] / away[axis], (size[axis] - a[axis]) / away[axis]
            begin, end = max(begin, min(one, two)), min(end, max(one, two))
    return begin, end
