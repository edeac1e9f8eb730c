"""Episodes are what they claim: shortest distances, drivable paths, spawns that touch nothing; and bad ones fail."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import skfmm

from lyra_sim.core.records import Gate
from robot_tasks import footprint
from robot_tasks.episodes import Episode, make_episodes
from robot_tasks.fields import make_fields
from robot_tasks.follower import drive, success_and_spl
from robot_tasks.gates import Findings, as_rows, robot_gates, verdict, with_world
from robot_tasks.islands import find_space
from robot_tasks.judge import count_overlaps, end_clearance_m
from robot_tasks.navmap import FREE, map_of_soup
from robot_tasks.place import look_at
from robot_tasks.swept import Stances
from tests.robot_tasks import rooms

FLAT = rooms.Flat()


@dataclass
class Made:
    robot: Any
    nav: Any
    episodes: tuple[Episode, ...]


@pytest.fixture(scope="module", params=[rooms.JETBOT, rooms.CARTER], ids=lambda r: r.name)
def made(request) -> Made:
    robot = request.param
    nav = map_of_soup(FLAT.soup, robot, FLAT.floor)
    space = find_space(nav, robot.radius_m, 0.025)
    fields = make_fields(nav, space, robot, rooms.FEW, 0)
    return Made(robot, nav, make_episodes(nav, fields, robot, rooms.FEW, 0))


def test_geodesics_are_within_3_percent_of_the_truth(made):
    cell = 0.01
    at = (np.indices((400, 300)).transpose(1, 2, 0) + 0.5) * cell
    free = FLAT.clearance(at) >= made.robot.radius_m
    worst = 0.0
    for goal in {tuple(e.goal) for e in made.episodes}:
        phi = np.ma.MaskedArray(np.hypot(*(at - goal).transpose(2, 0, 1)) - 0.05, ~free)
        true = np.ma.filled(skfmm.travel_time(phi, np.ones(free.shape), dx=cell, order=2), np.inf) + 0.05
        for e in made.episodes:
            if tuple(e.goal) == goal:
                worst = max(worst, abs(e.geodesic_m / true[tuple((e.start / cell).astype(int))] - 1))
    assert len(made.episodes) == rooms.FEW.episodes
    assert worst < 0.03


def test_starts_and_goals_keep_a_cell_more_than_the_radius_on_the_written_map(made):
    nav, robot = made.nav, made.robot
    low = nav.origin_m + np.argwhere(nav.state != FREE) * nav.cell_m
    for end in (p for e in made.episodes for p in (e.start, e.goal)):
        gap = np.maximum(np.maximum(low - end, end - low - nav.cell_m), 0)
        assert np.hypot(*gap.T).min() >= robot.radius_m + nav.cell_m
    assert end_clearance_m(nav, made.episodes) >= robot.radius_m + nav.cell_m


def test_no_episode_leads_round_a_gap_that_may_be_open():
    """A wall with a door at one end; at the other end it stops short of the wall, and nobody saw the floor there."""
    wall = ((1.95, 0.9, -0.05), (2.05, 2.4, 2.0))
    frame = [((x0, y0, -0.05), (x1, y1, 2.0)) for x0, y0, x1, y1 in FLAT.rectangles[:4]]
    soup = rooms.soup(FLAT.boxes[0], *frame, wall)
    made = {}
    for name, holes in (("unknown", [(1.8, 2.4, 2.2, 3.0)]), ("seen", [])):
        floor = rooms.floor_grid(4.0, 3.0, holes=[*FLAT.rectangles[:4], (1.95, 0.9, 2.05, 2.4), *holes])
        nav = map_of_soup(soup, rooms.JETBOT, floor)
        space = find_space(nav, rooms.JETBOT.radius_m, 0.025)
        fields = make_fields(nav, space, rooms.JETBOT, rooms.FEW, 0)
        made[name] = make_episodes(nav, fields, rooms.JETBOT, rooms.FEW, 0)
    across = {k: [e for e in v if (e.start[0] - 2) * (e.goal[0] - 2) < 0] for k, v in made.items()}
    assert len(made["unknown"]) == len(made["seen"]) == rooms.FEW.episodes
    assert len(across["unknown"]) > 5
    assert any(max(e.start[1], e.goal[1]) > 2.0 and e.path[:, 1].max() > 2.4 for e in across["seen"])
    for e in across["unknown"]:  # the way through the other gap, had it been open, is no shorter
        turn = [np.hypot(e.start[0] - x, e.start[1] - 2.52) for x in (1.95, 2.05)]
        back = [np.hypot(e.goal[0] - x, e.goal[1] - 2.52) for x in (1.95, 2.05)]
        other = min(turn[0] + 0.1 + back[1], turn[1] + 0.1 + back[0])
        assert e.geodesic_m < 1.06 * other


def test_episodes_are_long_enough_and_some_are_not_straight(made):
    ratio = np.array([e.geodesic_m / e.euclidean_m for e in made.episodes])
    assert min(e.geodesic_m for e in made.episodes) >= 0.95
    assert (ratio > 0.99).all()
    assert np.sort(ratio)[-5] > 1.08  # two rooms hold few ways that are not nearly straight
    assert len({round(e.start_yaw, 3) for e in made.episodes}) > 5


def test_paths_keep_the_outline_off_the_walls(made):
    half = np.array(made.robot.footprint_m) / 2
    u = np.linspace(-1, 1, 25)
    edge = np.concatenate([np.stack([a, b], 1) * half for a, b in ((u, u**0), (u, -(u**0)), (u**0, u), (-(u**0), u))])
    for e in made.episodes:
        yaws = footprint.headings(e.path)
        for p, q, yaw in zip(e.path[:-1], e.path[1:], yaws, strict=True):
            turn = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
            for s in np.linspace(0, 1, max(int(np.hypot(*(q - p)) / 0.05), 2)):
                assert FLAT.clearance(edge @ turn + p + s * (q - p)).min() > 0
        assert FLAT.clearance(e.path).min() >= e.clearance_m - 1e-6


def test_follower_succeeds_near_the_shortest_way(made):
    drives = [drive(e, made.nav, made.robot) for e in made.episodes]
    success, spl = success_and_spl(drives, made.episodes)
    assert success == 1.0
    assert 0.95 <= spl <= 1.0
    speed = [np.hypot(*np.diff(d.track[:, :2], axis=0).T).max() / 0.1 for d in drives]
    spin = [np.abs(np.diff(d.track[:, 2])).max() / 0.1 for d in drives]
    assert max(speed) <= made.robot.speed_m_s + 1e-6
    assert max(spin) <= made.robot.turn_rad_s + 1e-6
    assert all(FLAT.clearance(d.track[:, :2]).min() > made.robot.radius_m - 0.01 for d in drives)


def _straight(start, goal, yaw=0.0) -> Episode:
    path = np.array([start, goal], float)
    way = float(np.hypot(*(path[1] - path[0])))
    return Episode(
        start=path[0].copy(), start_yaw=yaw, goal=path[1].copy(), geodesic_m=way, path=path, path_m=way, clearance_m=0.0
    )


def test_follower_that_meets_a_wall_fails():
    nav = map_of_soup(FLAT.soup, rooms.CARTER, FLAT.floor)
    through = _straight((0.8, 2.5), (3.2, 2.5))
    ended = drive(through, nav, rooms.CARTER)
    assert ended.collided
    assert not ended.success
    assert abs(ended.track[-1, 0] - (1.95 - rooms.CARTER.footprint_m[0] / 2)) < 0.06
    assert success_and_spl([ended], [through]) == (0.0, 0.0)
    good = _straight((0.8, 1.5), (3.2, 1.5))
    assert drive(good, nav, rooms.CARTER).success
    assert success_and_spl([], []) == (0.0, 0.0)


def test_spl_counts_detours():
    nav = map_of_soup(FLAT.soup, rooms.JETBOT, FLAT.floor)
    path = np.array([[0.8, 1.5], [0.8, 2.7], [1.4, 2.7], [1.4, 1.5]])
    detour = Episode(
        start=path[0].copy(),
        start_yaw=0.0,
        goal=path[-1].copy(),
        geodesic_m=0.6,
        path=path,
        path_m=3.0,
        clearance_m=0.3,
    )
    success, spl = success_and_spl([drive(detour, nav, rooms.JETBOT)], [detour])
    assert success == 1.0
    assert spl == pytest.approx(0.6 / 3.0, abs=0.02)


def test_the_long_robot_does_not_turn_where_it_cannot():
    tight = rooms.soup(
        ((-0.1, -0.1, -0.1), (4.1, 1.0, 0.0)),
        ((-0.1, 0.62, 0.0), (4.1, 0.72, 1.0)),
        ((-0.1, -0.1, 0.0), (4.1, 0.0, 1.0)),
    )
    nav = map_of_soup(tight, rooms.CARTER, rooms.floor_grid(4, 0.6))
    assert footprint.pose_clear(nav, rooms.CARTER, 2.0, 0.305, 0.0)
    assert not footprint.pose_clear(nav, rooms.CARTER, 2.0, 0.305, np.pi / 2)
    assert not footprint.sweep_clear(nav, rooms.CARTER, np.array([[2.0, 0.305, 0.0], [2.0, 0.305, np.pi]]))


def test_spawn_overlaps_are_counted_in_3d():
    site, _, _ = look_at([FLAT.soup], None, FLAT.floor, (rooms.CARTER,), 0.05)
    stances = Stances(site.ground, rooms.CARTER)
    clear, touching = _straight((0.9, 1.5), (3.2, 1.5)), _straight((0.3, 2.0), (3.2, 1.5))
    assert count_overlaps(site, stances, [clear]) == 0
    assert count_overlaps(site, stances, [clear, touching]) == 1


def test_verdict_says_why():
    good = Findings(
        origin_floor_m=-0.004, origin_away_m=0.02, area_m2=5.0, floor_share=0.8, largest_share=0.95, rooms=3,
        unreached=(), end_clearance_m=0.05, cell_m=0.05, overlaps=0, path_overlaps=0, success=1.0, spl=0.99,
        random_success=0.0, straight_success=0.2, visual_iou=0.97, door_margin_m=0.3, episodes=40, min_episodes=20,
    )  # fmt: skip
    assert verdict(robot_gates(good), 4.0)["trainable"] is True
    assert verdict(robot_gates(good), 4.0)["why"] == ""
    assert verdict(robot_gates(good), 4.0)["warnings"] == []
    for change, word in (
        ({"area_m2": 1.4}, "too little room; the largest island has 1.40 m2, its longest way is 4.00 m"),
        ({"overlaps": 2}, "2 start or goal"),
        ({"success": 0.98}, "98.0%"),
        ({"spl": 0.94}, "SPL 0.940"),
        ({"episodes": 3}, "3 verified episodes, 20 needed"),
        ({"end_clearance_m": 0.04}, "nearer to something"),
        ({"path_overlaps": 1}, "1 paths touch"),
    ):
        judged = verdict(robot_gates(replace(good, **change)), 4.0)
        assert judged["trainable"] is False
        assert word in judged["why"]
    for change, word in (
        ({"floor_share": 0.4}, "floor_share 0.4: most of the free floor"),
        ({"largest_share": 0.8}, "in pieces"),
        ({"unreached": (2, 3)}, "out of reach: room 2, 3"),
        ({"random_success": 0.1}, "a random drive"),
        ({"straight_success": 0.6}, "straight at the goal"),
        ({"visual_iou": 0.8}, "other places"),
        ({"door_margin_m": -0.1}, "narrower than the robot"),
        ({"origin_floor_m": -0.02}, "origin_floor_m 0.02: the floor at the world's origin"),
        ({"origin_floor_m": None}, "origin_floor_m -: the floor at the world's origin"),
        ({"origin_away_m": 0.3}, "cannot stand at the world's origin"),
        ({"origin_away_m": None}, "cannot stand at the world's origin"),
    ):
        judged = verdict(robot_gates(replace(good, **change)), 4.0)
        assert judged["trainable"] is True
        assert len(judged["warnings"]) == 1 and word in judged["warnings"][0]
    for change, name, word in (
        ({"door_margin_m": None}, "door_margin_m", "no door on any route"),
        ({"visual_iou": None}, "visual_map_iou", "no visual mesh"),
        ({"rooms": 0, "unreached": ()}, "rooms_reached_share", "no room was found"),
    ):
        (row,) = (row for row in as_rows(robot_gates(replace(good, **change))) if row["name"] == name)
        assert (row["value"], row["ok"], row["why"]) == (None, True, word)
    loads = Gate(name="usd_errors", value=0.0, limit=0.0, unit="1", ok=True, why="")
    rows, told = as_rows(robot_gates(good)), verdict(robot_gates(good), 4.0)
    tree = with_world({"gates": rows, **told}, [loads])
    assert tree["gates"][1:] == rows and tree["usd_errors"] == 0 and told.items() <= tree.items()
    assert tree["gates"][0] == {**vars(loads), "decides": True}
    easy = replace(good, rooms=1, random_success=0.2, straight_success=1.0)
    assert verdict(robot_gates(easy), 4.0)["warnings"] == []
