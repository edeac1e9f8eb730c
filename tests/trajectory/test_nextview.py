"""The next-best-view planner: gains against areas on paper, and whole explorations of a room and of a flat."""

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from lyra_sim.core.records import Frames, PixelOrigin
from lyra_sim.procedural.cameras import look, pinhole
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.render import render
from lyra_sim.procedural.truth import SLAB_M, truth_distance, truth_free
from lyra_sim.trajectory.freemap import CELL_M, map_of
from lyra_sim.trajectory.gain import BIN_RAD, BINS, FAR_M, expect, known_share, new_floor, over_pictures
from lyra_sim.trajectory.motion import Pace, heading_of, steer
from lyra_sim.trajectory.nextview import DOWN_RAD, LEAST_KNOWN, NextView, View, nearest_free, opening
from lyra_sim.trajectory.survey import Survey
from lyra_sim.trajectory.ways import distances, way_back
from tests.trajectory.box_room import (
    BOX_HIGH,
    BOX_LOW,
    CAMERA,
    HIGH,
    LOW,
    all_around,
    pose_at,
    room_distance,
    room_frames,
)

PACE = Pace(robot_height_m=0.6, clearance_m=0.35, step_m=0.1, turn_rad=float(np.deg2rad(3)))
HEIGHT = 0.6
STEEPEST = 0.5


@pytest.fixture(scope="module")
def known() -> Survey:
    """The whole room was seen."""
    survey = Survey(np.array([1.5, 0.0, 1.4]), HEIGHT)
    poses = [pose_at(x, y, z, a, p) for x, y in ((0.5, 1.2), (4.4, 1.5), (1.9, -1.7), (4.4, -1.7))
             for a in np.arange(0, 6.2, 0.6) for z, p in ((1.4, 0.5), (0.9, 0.0))]  # fmt: skip
    survey.see(room_frames(np.stack([*all_around(), *poses])))
    return survey


def visible_area(eye: np.ndarray, bearing: float, steepest: float = STEEPEST, far: float = FAR_M) -> float:
    """Square metres of floor in one bin of azimuth by rays on paper, from where the picture begins to where it ends."""
    area = 0.0
    for r in np.arange(eye[2] / np.tan(steepest), far, 0.01):
        spot = eye[:2] + r * np.array([np.cos(bearing), np.sin(bearing)])
        if not ((spot > LOW[:2]) & (spot < HIGH[:2])).all():
            break
        along = eye + np.linspace(0, 1, 200)[:, None] * (np.append(spot, 0.0) - eye)
        if not ((along > BOX_LOW) & (along < BOX_HIGH)).all(1).any():
            area += 0.01 * r * BIN_RAD
    return area


@pytest.mark.parametrize("place", [(0.5, 0.0), (1.5, -1.2), (4.2, 1.0)])
def test_new_floor_is_the_area_that_rays_reach(known, place):
    eye = np.array([*place, HEIGHT])
    unseen = np.ones(known.floor.shape, np.float32)
    found = new_floor(known.space, eye, unseen, known.origin_m, CELL_M, STEEPEST)
    truth = np.array([visible_area(eye, (b + 0.5) * BIN_RAD - np.pi) for b in range(BINS)])
    assert 0.87 * truth.sum() < found.sum() < 1.02 * truth.sum(), "voxels of walls cover up to 10 cm of floor"
    hidden = truth < 0.7 * np.roll(truth, 25).max()
    assert np.corrcoef(found, truth)[0, 1] > 0.95 and hidden.any()


def test_a_look_down_shows_the_floor_between_its_edges(known):
    eye = np.array([1.5, -1.2, HEIGHT])
    unseen = np.ones(known.floor.shape, np.float32)
    found = new_floor(known.space, eye, unseen, known.origin_m, CELL_M, 0.9, 0.25)
    truth = np.array([visible_area(eye, (b + 0.5) * BIN_RAD - np.pi, 0.9, HEIGHT / np.tan(0.25)) for b in range(BINS)])
    assert 0.87 * truth.sum() < found.sum() < 1.05 * truth.sum() and np.corrcoef(found, truth)[0, 1] > 0.9


def test_a_view_from_above_is_reached_and_left_within_the_limits(known):
    home = pose_at(1.5, -1.2, HEIGHT, 0.3, 0.12)
    planner = NextView(known, PACE, CAMERA)
    assert not len(planner.plan(home, 10)), "all is seen"
    here = nearest_free(planner.map, home[:3, 3])
    assert here
    planner.away = distances(planner.map.free, here)
    cell = nearest_free(planner.map, np.array([1.5, -0.3]))
    assert cell
    down = planner._go(View(cell, BINS // 2, 1.0, DOWN_RAD), 200)
    poses = steer(home, [down], PACE.turn_rad)
    assert heading_of(poses[-1])[1] == pytest.approx(DOWN_RAD)
    planner.at, planner.heading, planner.pitch = poses[-1, :3, 3], float(down.heading[-1]), DOWN_RAD
    planner.away = distances(planner.map.free, cell)
    up = planner._go(View(here, 0, 1.0), 200)
    every = np.concatenate([home[None], poses, steer(poses[-1], [up], PACE.turn_rad)])
    step, turn = limits(every)
    assert step <= PACE.step_m + 1e-9 and turn <= PACE.turn_rad + 1e-7
    assert heading_of(every[-1]) == pytest.approx((0.5 * BIN_RAD - np.pi, 0.12), abs=0.01)
    pitch = np.array([heading_of(pose)[1] for pose in every])
    moving = np.linalg.norm(np.diff(every[:, :3, 3], axis=0), axis=1) > 1e-6
    assert pitch[1:][moving].max() < 0.13, "it walks level"


def test_a_few_unseen_cells_in_a_passage_open_what_lies_behind():
    known = np.zeros((120, 120), bool)
    known[10:110, 10:50] = known[10:110, 70:110] = known[50:70, 50:70] = True
    hidden = known.copy()
    hidden[50:70, 56:63] = False
    unseen = np.where(known & ~hidden, 1.0, 0.0).astype(np.float32)
    unseen[10:13, 20:25] = 1.0  # at the foot of a wall, where no camera gets anyway
    hidden[10:13, 20:25] = False
    blocked = ~known
    origin = np.zeros(2)
    here = map_of(origin, hidden, blocked, 0.3)
    found = opening(here, unseen, blocked, 0.3) & (unseen > 0)
    assert found[52:68, 56:63].all()
    assert not found[10:13, 20:25].any()


def test_what_is_expected_is_not_new_again(known):
    eye, hfov = np.array([1.0, 0.5, HEIGHT]), np.radians(70)
    unseen = np.ones(known.floor.shape, np.float32)
    before = over_pictures(new_floor(known.space, eye, unseen, known.origin_m, CELL_M, STEEPEST), hfov)
    expect(known.space, eye, unseen, known.origin_m, CELL_M, STEEPEST, 0.0, hfov)
    after = over_pictures(new_floor(known.space, eye, unseen, known.origin_m, CELL_M, STEEPEST), hfov)
    ahead = BINS // 2
    assert after[ahead] < 0.1 * before[ahead]
    moved = eye + np.array([0, 0.3, 0])
    beside = over_pictures(new_floor(known.space, moved, unseen, known.origin_m, CELL_M, STEEPEST), hfov)
    assert beside[ahead] < 0.35 * before[ahead], "from beside it is seen too"
    away = (ahead + 60) % BINS
    assert after[away] == before[away], "behind the camera nothing was expected"


def test_known_share_is_one_in_a_room_that_was_seen_and_the_picture_of_one_view(known):
    eye = np.array([1.0, 0.5, HEIGHT])
    assert known_share(known.space, eye).mean() > 0.97
    one = Survey(eye, HEIGHT)
    one.see(room_frames(pose_at(*eye, 0.0, 0.12)[None]))
    share = known_share(one.space, eye)
    ahead, half = BINS // 2, int(np.arctan(CAMERA.width / 2 / CAMERA.fx) / BIN_RAD)
    assert share[ahead - half + 2 : ahead + half - 2].min() > 0.6
    assert share[: ahead - half - 2].max() == 0 and share[ahead + half + 2 :].max() == 0


def test_distances_are_scipys_and_the_way_is_as_long():
    rng = np.random.default_rng(4)
    free = rng.random((40, 50)) > 0.25
    free[[0, -1]] = free[:, [0, -1]] = False
    start = tuple(np.argwhere(free)[200].tolist())
    number = np.arange(free.size).reshape(free.shape)
    rows, columns, lengths = [], [], []
    for i, j in np.argwhere(free):
        for di, dj in ((0, 1), (1, 0), (1, 1), (1, -1)):
            if free[i + di, j + dj] and free[i + di, j] | (dj == 0) and free[i, j + dj] | (di == 0):
                rows.append(number[i, j])
                columns.append(number[i + di, j + dj])
                lengths.append(CELL_M * np.hypot(di, dj))
    graph = coo_matrix((lengths, (rows, columns)), (free.size, free.size)).tocsr()
    truth = dijkstra(graph, directed=False, indices=int(number[start])).reshape(free.shape)
    truth[~free] = np.inf
    away = distances(free, start)
    np.testing.assert_allclose(away, truth, atol=1e-7)
    goal = tuple(np.argwhere(np.isfinite(away))[-1].tolist())
    way = way_back(free, away, goal)
    assert tuple(way[0]) == start and tuple(way[-1]) == goal
    assert CELL_M * np.linalg.norm(np.diff(way, axis=0), axis=1).sum() == pytest.approx(away[goal])


def limits(walk: np.ndarray) -> tuple[float, float]:
    """Largest step (m) and turn (rad)."""
    turn = np.einsum("nji,njk->nik", walk[:-1, :3, :3], walk[1:, :3, :3])
    angle = np.arccos(np.clip((np.trace(turn, axis1=1, axis2=2) - 1) / 2, -1, 1))
    return float(np.linalg.norm(np.diff(walk[:, :3, 3], axis=0), axis=1).max()), float(angle.max())


def explored(home: np.ndarray, show, camera, frames: int, piece: int) -> tuple[np.ndarray, Survey]:
    survey = Survey(home[:3, 3], HEIGHT)
    survey.see(show(home[None]))
    planner, walk = NextView(survey, PACE, camera), [home]
    while len(walk) <= frames and len(poses := planner.plan(walk[-1], min(piece, frames + 1 - len(walk)))):
        walk += list(poses)
        survey.see(show(poses[[*range(7, len(poses), 8), len(poses) - 1]]))
    return np.stack(walk), survey


def test_a_room_is_seen_whole_and_then_the_walk_ends():
    walk, survey = explored(pose_at(0.4, 0.6, HEIGHT, 0.3, 0.12), room_frames, CAMERA, 600, 24)
    assert len(walk) < 500, "it stops by itself"
    step, turn = limits(walk)
    assert step <= PACE.step_m + 1e-9 and turn <= PACE.turn_rad + 1e-7
    assert room_distance(walk[:, :2, 3]).min() >= PACE.clearance_m - CELL_M
    assert np.ptp(walk[:, 2, 3]) < 1e-9
    grid = np.stack(np.meshgrid(*(np.arange(a + 0.05, b, 0.1) for a, b in zip(LOW[:2], HIGH[:2], strict=True))), -1)
    floor = grid.reshape(-1, 2)[room_distance(grid.reshape(-1, 2)) > 0.1]
    floor = floor[~((floor > BOX_LOW[:2]) & (floor < BOX_HIGH[:2])).all(1)]
    seen = survey.near[tuple(np.floor((floor - survey.origin_m) / CELL_M).astype(int).T)]
    assert seen.mean() > 0.97
    again, _ = explored(pose_at(0.4, 0.6, HEIGHT, 0.3, 0.12), room_frames, CAMERA, 600, 24)
    assert again.tobytes() == walk.tobytes()


def test_a_flat_is_explored_without_touching_anything():
    scene, camera = make_flat(131, rooms=3), pinhole(208, 120, 70.0)

    def show(poses: np.ndarray) -> Frames:
        made = [render(scene, pose, camera, colour=False) for pose in poses]
        depth = np.stack([view.depth_m for view in made])
        return Frames(
            images=np.zeros((*depth.shape, 3), np.uint8), depth_m=depth, valid=depth > 0,
            origin=np.full(depth.shape, int(PixelOrigin.GENERATED), np.uint8),
            label=np.stack([view.label for view in made]), cam_to_world=poses, intrinsics=camera,
        )  # fmt: skip

    grid = np.stack(np.meshgrid(*np.linspace(scene.rooms_m[0, :2], scene.rooms_m[0, 2:], 60).T), -1).reshape(-1, 2)
    roomy = grid[truth_free(scene, grid, 0.5, slab_m=(0.01, 1.0))]
    home = look(np.append(roomy[len(roomy) // 2], HEIGHT), 0.7, 0.12)
    walk, survey = explored(home, show, camera, 500, 24)
    step, turn = limits(walk)
    assert step <= PACE.step_m + 1e-9 and turn <= PACE.turn_rad + 1e-7
    away = truth_distance(scene, walk[:, :3, 3])
    stands = truth_free(scene, walk[:, :2, 3], 0.25, slab_m=(0.08, SLAB_M[1]))  # lower things are taken for floor
    assert away.min() >= 0.30 and stands.all()
    visited = [((walk[:, :2, 3] > r[:2]) & (walk[:, :2, 3] < r[2:])).all(1).any() for r in scene.rooms_m]
    assert sum(visited) >= 2, "it goes through doors"
    rooms = sum((r[2] - r[0]) * (r[3] - r[1]) for r in scene.rooms_m)
    assert survey.near.sum() * CELL_M**2 > 0.6 * rooms


def test_views_that_would_show_mostly_unknown_are_left_for_later():
    survey = Survey(np.array([0.4, 0.6, HEIGHT]), HEIGHT)
    home = pose_at(0.4, 0.6, HEIGHT, 0.3, 0.12)
    survey.see(room_frames(home[None]))
    poses = NextView(survey, PACE, CAMERA).plan(home, 80)
    hfov = 2 * np.arctan(CAMERA.width / 2 / CAMERA.fx)
    assert len(poses) >= 8
    for pose in poses:
        share = over_pictures(known_share(survey.space, pose[:3, 3]), hfov) / over_pictures(np.ones(BINS), hfov)
        heading = np.arctan2(pose[1, 2], pose[0, 2])
        assert share[int((heading + np.pi) / BIN_RAD) % BINS] > LEAST_KNOWN - 0.1


def test_a_piece_ends_before_a_picture_of_which_too_little_is_known():
    survey = Survey(np.array([0.4, 0.6, HEIGHT]), HEIGHT)
    home = pose_at(0.4, 0.6, HEIGHT, 0.3, 0.12)
    survey.see(room_frames(home[None]))
    planner = NextView(survey, PACE, CAMERA)
    planner.plan(home, 8)
    hfov = 2 * np.arctan(CAMERA.width / 2 / CAMERA.fx)
    away = np.stack([pose_at(0.4, 0.6, HEIGHT, 0.3 + a, 0.12) for a in np.deg2rad(3) * np.arange(1, 25)])
    end = planner._known_until(away)
    assert 0.1 * hfov < np.deg2rad(3) * end < 0.4 * hfov, (
        "of 67 degrees no more than 22 percent and some are turned away"
    )
    still = np.repeat(home[None], 24, 0)
    assert planner._known_until(still) == 24


def test_floor_is_taken_for_granted_at_the_start_only():
    ledge = room_frames(pose_at(0.4, 0.6, HEIGHT, 0.3, 0.12)[None])
    start = Survey(ledge.cam_to_world[0, :3, 3], HEIGHT)
    start.see(ledge)
    foot = tuple(np.floor((ledge.cam_to_world[0, :2, 3] - start.origin_m) / CELL_M).astype(int))
    assert start.floor[foot] and not start.near[foot]
    for centre, height in ((np.array([3.0, 0.6, HEIGHT]), HEIGHT), (ledge.cam_to_world[0, :3, 3], 0.3)):
        other = Survey(centre, height)
        other.see(ledge)
        at = tuple(np.floor((ledge.cam_to_world[0, :2, 3] - other.origin_m) / CELL_M).astype(int))
        assert not other.floor[at]


def test_hope_goes_where_a_look_showed_no_floor_and_only_there():
    pose = pose_at(0.4, 0.6, HEIGHT, 0.3, 0.9)
    frames = room_frames(pose[None])
    survey = Survey(pose[:3, 3], HEIGHT)
    survey.see(frames)
    far = np.argwhere(survey.hope < 1) * CELL_M + survey.origin_m
    edge = HEIGHT / np.tan(0.9 - np.arctan(CAMERA.height / 2 / CAMERA.fy))
    assert len(far) and np.linalg.norm(far - pose[:2, 3], axis=1).max() < edge + 0.3
