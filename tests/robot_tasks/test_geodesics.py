"""Distances and paths against scikit-fmm, plain flooding and geometry done on paper."""

from collections import deque
from itertools import pairwise

import numpy as np
import pytest
import skfmm

from robot_tasks import plan
from robot_tasks.fields import make_fields
from robot_tasks.geodesic import goal_field, sample
from robot_tasks.islands import find_space
from robot_tasks.navmap import map_of_soup
from tests.robot_tasks import rooms

FLAT = rooms.Flat()


def _oracle(free, goal, cell):
    """scikit-fmm, second order, from a disc of 1.5 cells around the goal's centre."""
    at = np.indices(free.shape).transpose(1, 2, 0)
    phi = np.ma.MaskedArray(np.hypot(*(at - goal).transpose(2, 0, 1)) * cell - 1.5 * cell, ~free)
    return np.ma.filled(skfmm.travel_time(phi, np.ones(free.shape), dx=cell, order=2), np.inf) + 1.5 * cell


def _maze(rng, n=120):
    free = np.ones((n, n), bool)
    for _ in range(14):
        i, j = rng.integers(5, n - 45, 2)
        if rng.random() < 0.5:
            free[i : i + 3, j : j + 40] = False
        else:
            free[i : i + 40, j : j + 3] = False
    return free


@pytest.mark.parametrize("seed", range(3))
def test_fields_agree_with_scikit_fmm(seed):
    rng = np.random.default_rng(seed)
    free = _maze(rng)
    goal = tuple(int(v) for v in np.argwhere(free)[rng.integers(free.sum())])
    ours, theirs = goal_field(free, goal, 0.05), _oracle(free, np.array(goal), 0.05)
    far = np.isfinite(theirs) & (theirs > 1.0)
    assert np.array_equal(np.isfinite(ours), np.isfinite(theirs))
    assert np.abs(ours[far] / theirs[far] - 1).max() < 0.02
    assert ours[goal] == 0


def test_field_of_an_open_floor_is_the_euclidean_distance():
    free = np.ones((90, 130), bool)
    found = goal_field(free, (20, 30), 0.05)
    true = np.hypot(*(np.indices(free.shape) - np.array([20, 30])[:, None, None])) * 0.05
    assert np.abs(found - true).max() < 0.002


def test_what_cannot_be_reached_is_infinite():
    free = np.ones((30, 30), bool)
    free[15] = False
    found = goal_field(free, (5, 5), 0.05)
    assert np.isinf(found[15:]).all()
    assert np.isfinite(found[:15]).all()
    assert np.isinf(goal_field(free, (15, 3), 0.05)).all()


def test_corners_are_not_cut():
    free = np.zeros((20, 20), bool)
    free[:10, :10], free[10:, 10:] = True, True  # two squares that touch only over a corner
    assert np.isinf(goal_field(free, (2, 2), 0.05)[15, 15])


@pytest.mark.parametrize(("robot", "tolerance"), [(rooms.JETBOT, 0.01), (rooms.CARTER, 0.01)])
def test_shortest_path_through_a_door_is_the_one_on_paper(robot, tolerance):
    nav = map_of_soup(FLAT.soup, robot, FLAT.floor)
    space = find_space(nav, robot.radius_m, 0.025)
    ends = space.cell(np.array([[0.6, 2.5], [3.4, 2.5]]) + 1e-6)
    field = goal_field(space.main, (int(ends[1, 0]), int(ends[1, 1])), 0.025)
    path = plan.tighten(
        space.centre(plan.descend(field, (int(ends[0, 0]), int(ends[0, 1])))), nav, robot.radius_m, robot.radius_m
    )
    assert path is not None
    true = rooms.around_the_door(robot.radius_m)
    assert abs(plan.length(path) / true - 1) < tolerance + 0.02 / true  # the ends are cell centres
    assert abs(field[tuple(ends[0])] / true - 1) < 0.03
    dense = np.concatenate([np.linspace(p, q, 20) for p, q in pairwise(path)])
    assert FLAT.clearance(dense).min() > robot.radius_m - 0.006


def test_islands_are_those_of_plain_flooding():
    closed = rooms.soup(*FLAT.boxes, ((1.95, 1.05, 0.0), (2.05, 1.95, 2.0)))
    nav = map_of_soup(closed, rooms.CARTER, FLAT.floor)
    space = find_space(nav, 0.25, 0.025)
    allowed, seen, sizes = space.island > 0, np.zeros(space.island.shape, bool), []
    for start in map(tuple, np.argwhere(allowed)):
        if seen[start]:
            continue
        seen[start], queue, labels = True, deque([start]), []
        while queue:
            i, j = queue.popleft()
            labels.append(space.island[i, j])
            for step in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
                if allowed[step] and not seen[step]:
                    seen[step] = True
                    queue.append(step)
        assert len(set(labels)) == 1
        sizes.append(len(labels))
    assert [round(a / 0.025**2) for a in space.areas_m2] == sorted(sizes, reverse=True)
    assert space.areas_m2[0] == pytest.approx((1.95 - 0.5) * (3.0 - 0.5), rel=0.04)  # the room without the crate


@pytest.mark.parametrize(("door", "passable"), [(0.9, True), (0.58, True), (0.48, False)])
def test_a_door_is_passable_when_it_is_wider_than_the_robot(door, passable):
    boxes = [
        *FLAT.boxes[:5],
        ((1.95, -0.05, 0.0), (2.05, 1.5 - door / 2, 2.0)),
        ((1.95, 1.5 + door / 2, 0.0), (2.05, 3.05, 2.0)),
    ]
    nav = map_of_soup(rooms.soup(*boxes), rooms.CARTER, rooms.floor_grid(4, 3))
    main = find_space(nav, 0.25, 0.025).areas_m2[0]
    assert (main > 6) == passable


def test_goals_are_reachable_and_spread():
    nav = map_of_soup(FLAT.soup, rooms.CARTER, FLAT.floor)
    space = find_space(nav, 0.25, 0.025)
    fields = make_fields(nav, space, rooms.CARTER, rooms.FEW, 0)
    apart = np.hypot(*(fields.goals[:, None] - fields.goals[None]).transpose(2, 0, 1)) + 9 * np.eye(len(fields.goals))
    assert apart.min() >= 0.5
    assert (FLAT.clearance(fields.goals) > 0.4).all()
    assert all(np.isfinite(d[space.coarse(2)]).all() for d in fields.distance_m)


def test_sampling_is_bilinear():
    x, y = np.meshgrid((np.arange(8) + 0.5) * 0.1, (np.arange(6) + 0.5) * 0.1, indexing="ij")
    points = np.random.default_rng(0).uniform([0.06, 0.06], [0.74, 0.54], (50, 2))
    found = sample(3 * x - 2 * y, np.zeros(2), 0.1, points)
    assert np.allclose(found, 3 * points[:, 0] - 2 * points[:, 1])
