"""Where people hold cameras: walks through every room or along the street, and single photos."""

import functools

import numpy as np
from jaxtyping import Float64
from scipy import ndimage
from skimage.graph import MCP_Geometric

from lyra_sim.core.records import Intrinsics
from lyra_sim.procedural.render import ray_scene
from lyra_sim.procedural.scene import ProceduralScene
from lyra_sim.procedural.truth import bounds, floor_height, free_mask

CELL_M = 0.1
BODY_M = 0.25
"""Radius a walking person keeps from things; `BODY_SLAB_M` is where people are in the way of things."""
BODY_SLAB_M = (0.15, 1.75)


def pinhole(width: int, height: int, hfov_deg: float) -> Intrinsics:
    """A camera with its principal point in the middle."""
    f = width / 2 / np.tan(np.radians(hfov_deg) / 2)
    return Intrinsics(fx=float(f), fy=float(f), cx=width / 2, cy=height / 2, width=width, height=height)


def look(eye: np.ndarray, yaw: float, pitch_down: float, roll: float = 0.0) -> Float64[np.ndarray, "4 4"]:
    """`cam_to_world` at `eye` heading along yaw (about Z from x), pitched down, rolled clockwise; radians."""
    forward = np.array([np.cos(yaw) * np.cos(pitch_down), np.sin(yaw) * np.cos(pitch_down), -np.sin(pitch_down)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([c * right + s * down, c * down - s * right, forward], 1)
    pose[:3, 3] = eye
    return pose


def walk_cameras(
    scene: ProceduralScene,
    seed: int,
    n: int,
    *,
    height_m: float = 1.5,
    pitch_deg: float = 27.0,
    stops_per_room: int = 2,
) -> Float64[np.ndarray, "n 4 4"]:
    """A hand-held walk of `n` frames through all rooms and back (of a street: along it and back).

    At each stop the person turns on the spot; between stops the view follows the way and swings from side to side.
    Height and angles sway as a hand does. The camera stays `BODY_M` from everything between knee and head.
    """
    rng = np.random.default_rng([seed, scene.seed, 2])
    origin, free = _walkable(scene)
    stops = _stops(scene, rng, origin, free, stops_per_room)
    way = _tour(origin, free, stops)
    xy, yaw = _motion(way, rng)
    pick = np.linspace(0, len(xy) - 1, n).round().astype(int)
    xy, yaw = xy[pick], yaw[pick]
    sway = ndimage.gaussian_filter1d(rng.standard_normal((n, 3)), 1.5, axis=0, mode="wrap")
    z = floor_height(scene, xy)
    z = ndimage.gaussian_filter1d(np.where(np.isfinite(z), z, 0.0), 1.0, mode="nearest")
    pitch = np.radians(pitch_deg + 6 * np.sin(np.arange(n) * 2.1) + 2 * sway[:, 0])
    roll = np.radians(1.5 * sway[:, 1])
    eye = np.column_stack([xy, z + height_m + 0.03 * sway[:, 2]])
    return np.stack([look(e, y, p, r) for e, y, p, r in zip(eye, yaw, pitch, roll, strict=True)])


def photo_camera(
    scene: ProceduralScene, seed: int, *, height_m: float, pitch_deg: float, intrinsics: Intrinsics, tries: int = 90
) -> Float64[np.ndarray, "4 4"]:
    """A plausible hand-held photo: from free ground, rolled by up to 3 degrees, into open space.

    Of `tries` random positions and headings the one with the best view is kept: nothing upright within 0.7 m (better
    1.5 m), an open middle, and ground as well as upright things in view, as far as the pitch allows.
    """
    rng = np.random.default_rng([seed, scene.seed, 3])
    origin, free = _walkable(scene)
    cells = np.argwhere(free)
    if scene.kind == "street":
        cells = cells[np.abs(origin[0] + cells[:, 0] * CELL_M) < 18]
    best, best_score = np.eye(4), -np.inf
    roll = np.radians(rng.uniform(-3, 3))
    for cell in cells[rng.integers(len(cells), size=tries)]:
        xy = origin + (cell + 0.5) * CELL_M
        z = float(floor_height(scene, xy[None])[0]) + height_m
        yaw = rng.uniform(-np.pi, np.pi)
        if scene.kind == "street":
            yaw = float(rng.choice([0.0, np.pi])) + rng.uniform(-1, 1) * (0.6 if pitch_deg < 12 else 1.3)
        pose = look(np.array([*xy, z]), yaw, np.radians(pitch_deg), roll)
        score = _view_score(scene, pose, intrinsics) + 0.2 * rng.random()
        if score > best_score:
            best, best_score = pose, score
    return best


def _view_score(scene: ProceduralScene, pose: np.ndarray, camera: Intrinsics) -> float:
    u, v = np.meshgrid((np.arange(16) + 0.5) / 16 * camera.width, (np.arange(12) + 0.5) / 12 * camera.height)
    ray = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], 2).reshape(-1, 3)
    way = ray @ pose[:3, :3].T
    t, hit, _ = ray_scene(scene).cast(np.broadcast_to(pose[:3, 3], way.shape), way)
    distance = np.where(hit >= 0, t, 30.0)
    floor = float(np.mean((hit >= 0) & (scene.face_label[hit] == 1)))
    level = distance.reshape(12, 16)[2:8]
    stands = (hit >= 0) & (scene.face_label[hit] != 1)
    upright = float(np.mean(stands & (distance < 8.0)))
    score = (
        0.6 * min(float(np.median(level)), 5.0) / 5 + min(floor, 0.5) + 1.2 * min(upright, 0.3) - max(0, floor - 0.75)
    )
    near = float(distance[stands].min()) if stands.any() else 5.0
    return score - (3.0 if near < 0.7 else 0.7 * (1.5 - near) if near < 1.5 else 0.0)


@functools.lru_cache(maxsize=2)
def _walkable(scene: ProceduralScene) -> tuple[np.ndarray, np.ndarray]:
    """(origin, mask) of the largest connected ground a person can walk on."""
    origin, shape = bounds(scene, CELL_M)
    free = free_mask(scene, origin, shape, CELL_M, BODY_M, slab_m=BODY_SLAB_M)
    if scene.kind == "street":
        x = origin[0] + (np.arange(shape[0]) + 0.5) * CELL_M
        y = origin[1] + (np.arange(shape[1]) + 0.5) * CELL_M
        strips = scene.rooms_m  # pavements and road; not the park behind them
        free &= (np.abs(x) < 22)[:, None] & ((y > strips[:, 1].min()) & (y < strips[:, 3].max()))
    groups = np.asarray(ndimage.label(free)[0])  # pyright: ignore[reportIndexIssue]
    assert groups.any(), "a procedural place always has walkable ground"
    return origin, groups == 1 + int(np.bincount(groups.ravel())[1:].argmax())


def _clearance(free: np.ndarray) -> np.ndarray:
    """Distance of each free cell to the nearest cell that is not, metres."""
    return np.asarray(ndimage.distance_transform_edt(np.pad(free, 1)))[1:-1, 1:-1] * CELL_M


def _stops(
    scene: ProceduralScene, rng: np.random.Generator, origin: np.ndarray, free: np.ndarray, per_room: int
) -> np.ndarray:
    """(S, 2) cells: in each room the most open spot and those farthest from it, in the order of a short tour."""
    clear = _clearance(free)
    chosen: list[np.ndarray] = []
    for x0, y0, x1, y1 in scene.rooms_m if scene.kind == "flat" else _street_strips(scene, rng):
        i, j = np.nonzero(free)
        x, y = origin[0] + (i + 0.5) * CELL_M, origin[1] + (j + 0.5) * CELL_M
        inside = (x > x0) & (x < x1) & (y > y0) & (y < y1)
        cells = np.stack([i, j], 1)[inside]
        if not len(cells):
            continue
        room = np.minimum(clear[cells[:, 0], cells[:, 1]], 0.6)
        picked = [cells[int(np.argmax(room))]]
        for _ in range(per_room - 1):
            away = np.min([np.linalg.norm(cells - p, axis=1) for p in picked], axis=0) * CELL_M
            spot = int(np.argmax(away * np.minimum(room + 0.1, 0.4)))
            if away[spot] > 1.0:
                picked.append(cells[spot])
        chosen.extend(picked)
    return _order(np.array(chosen))


def _street_strips(scene: ProceduralScene, rng: np.random.Generator) -> list[tuple[float, float, float, float]]:
    """Three stretches of 5 m along one pavement and two on the road beside it."""
    pavement, road = scene.rooms_m[int(rng.integers(2))], scene.rooms_m[2]
    return [(x, r[1], x + 5.0, r[3]) for r, xs in ((pavement, (-7.5, -2.5, 2.5)), (road, (-5.0, 0.0))) for x in xs]


def _order(stops: np.ndarray) -> np.ndarray:
    """Nearest neighbour first, then 2-opt: a short closed tour."""
    left, tour = list(range(1, len(stops))), [0]
    gap = np.linalg.norm(stops[:, None] - stops[None], axis=2)
    while left:
        tour.append(left.pop(int(np.argmin(gap[tour[-1], left]))))
    for _ in range(20):
        for a in range(1, len(tour) - 1):
            for b in range(a + 1, len(tour)):
                after = tour[(b + 1) % len(tour)]
                old = gap[tour[a - 1], tour[a]] + gap[tour[b], after]
                new = gap[tour[a - 1], tour[b]] + gap[tour[a], after]
                if new < old - 1e-9:
                    tour[a : b + 1] = tour[a : b + 1][::-1]
    return stops[tour]


def _tour(origin: np.ndarray, free: np.ndarray, stops: np.ndarray) -> list[np.ndarray]:
    """Ways (N, 2) in metres from each stop to the next and from the last to the first, smoothed, kept free."""
    clear = _clearance(free)
    cost = np.where(free, 1.0 + 0.6 / (0.1 + clear), -1.0)
    ways = []
    for a, b in zip(stops, np.roll(stops, -1, axis=0), strict=True):
        finder = MCP_Geometric(cost)
        finder.find_costs([tuple(a.tolist())], [tuple(b.tolist())])
        cells = np.array(finder.traceback(tuple(b.tolist())), float)
        smooth = ndimage.gaussian_filter1d(cells, 3.0, axis=0, mode="nearest")
        smooth[0], smooth[-1] = cells[0], cells[-1]
        at = smooth.round().astype(int)
        smooth = np.where(free[at[:, 0], at[:, 1]][:, None], smooth, cells)
        ways.append(origin + (smooth + 0.5) * CELL_M)
    return ways


def _motion(ways: list[np.ndarray], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(M, 2) positions and (M,) unwrapped headings at an even pace: 3 cm or 2 degrees a step, turns at every stop."""
    xy_out, yaw_out = [], []
    yaw = 0.0
    for k, way in enumerate(ways):
        step = np.linalg.norm(np.diff(way, axis=0), axis=1)
        length = np.concatenate([[0], np.cumsum(step)])
        m = max(2, int(length[-1] / 0.03))
        s = np.linspace(0, length[-1], m)
        xy = np.stack([np.interp(s, length, way[:, c]) for c in (0, 1)], 1)
        ahead = np.stack([np.interp(np.minimum(s + 0.5, length[-1]), length, way[:, c]) for c in (0, 1)], 1) - xy
        ahead[np.linalg.norm(ahead, axis=1) < 0.1] = way[-1] - way[0] if length[-1] > 0.2 else [1.0, 0.0]
        heading = np.unwrap(np.arctan2(ahead[:, 1], ahead[:, 0]))
        heading = ndimage.gaussian_filter1d(heading, 8.0, mode="nearest")
        heading = heading + 0.5 * np.sin(s / 0.9 + k) * np.minimum(1, np.minimum(s, s[-1] - s) / 0.5)
        turn = (heading[0] - yaw + np.pi) % (2 * np.pi) - np.pi
        turn += 2 * np.pi * np.sign(turn + 1e-9) if k == 0 or abs(turn) < 2.2 else 0.0  # look around once at the stop
        spin = yaw + turn * np.linspace(0, 1, max(2, int(abs(turn) / 0.035)))
        xy_out += [np.repeat(xy[:1], len(spin), 0), xy]
        yaw_out += [spin, heading + (spin[-1] - heading[0])]
        yaw = float(yaw_out[-1][-1])
    return np.concatenate(xy_out), np.concatenate(yaw_out)
