"""Navigation artefacts of exact flats: how right they are, and how long those of five robots take.

    OMP_NUM_THREADS=1 python benchmarks/nav_maps.py [--flats 6] [--first 801] [--rooms 22] [--time]

Of each flat (3 to 6 rooms) the triangles themselves are the colliders. Prints, for a small, a long and a tall robot:

- free floor: places for the robot's centre against the exact ones (a disc against every triangle), intersection over
  union: >= 0.95;
- islands against a labelling of the exact places on cells of 1 cm: half and more of each true one of 0.25 m2 is one
  island, no two of 0.25 m2 lie in one true island, and no place in another's;
- geodesics of the episodes against scikit-fmm on the exact places, cells of 1 cm: 95th percentile within 1.5 %, each
  episode with a true way;
- rooms and doors against the plan: number of both, width within 3 cm.

`--time` makes everything for five robots of a flat of about 20 x 20 m (`--rooms`), three times, and prints CPU seconds
(<= 10) beside scikit-fmm's and scipy's for as many fields on the same cells. Exits 1 when a bar is missed.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import skfmm
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra
from truth_flat import Table

from lyra_sim.config.robots import load_robots
from lyra_sim.config.tasks import RobotConfig, TasksConfig
from lyra_sim.core.records import FloorGrid
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.scene import ProceduralScene
from lyra_sim.procedural.truth import free_mask, true_floor
from robot_tasks.build import build_nav_of_soups
from robot_tasks.colliders import Soup
from robot_tasks.episodes import make_episodes
from robot_tasks.fields import domain, make_fields
from robot_tasks.islands import Space, find_space
from robot_tasks.navmap import NavMap
from robot_tasks.place import look_at
from robot_tasks.rooms import Rooms

JUDGED = ("jetbot", "nova_carter", "h1")
TIMED = ("jetbot", "nova_carter", "turtlebot", "spot", "h1")
FINE_M = 0.01
ISLAND_M2 = 0.25


def exact(scene: ProceduralScene) -> tuple[Soup, FloorGrid]:
    """A flat's own triangles and floor."""
    triangles = scene.vertices[scene.faces].astype(np.float64)
    return Soup(triangles=triangles, hull=np.full(len(triangles), -1, np.int32)), true_floor(scene)


def places(scene: ProceduralScene, robot: RobotConfig, origin: np.ndarray, shape: tuple, cell_m: float) -> np.ndarray:
    """Exact places for a robot's centre."""
    slab = (min(robot.step_m, robot.slab_m[0]), robot.slab_m[1])
    return free_mask(scene, origin, shape, cell_m, robot.radius_m, slab_m=slab)


def island_lines(name: str, scene: ProceduralScene, robot: RobotConfig, space: Space, table: Table) -> None:
    """Free floor and islands against the exact ones."""
    truth = places(scene, robot, space.origin_m, space.island.shape, space.cell_m)
    found = space.island > 0
    table.line(name, "free floor IoU", float((truth & found).sum() / (truth | found).sum()), least=0.95)
    fine_shape = tuple(int(n * space.cell_m / FINE_M) for n in space.island.shape)
    fine = np.asarray(ndimage.label(places(scene, robot, space.origin_m, fine_shape, FINE_M))[0])  # pyright: ignore[reportIndexIssue]
    area = np.bincount(fine.ravel()) * FINE_M**2
    cells = np.argwhere(found)
    at = ((cells + 0.5) * space.cell_m / FINE_M).astype(int)
    pairs = np.stack([space.island[tuple(cells.T)], fine[tuple(at.T)]])
    pairs = pairs[:, pairs[1] > 0]
    kinds, counts = np.unique(pairs, axis=1, return_counts=True)
    large = [k for k, size in enumerate(space.areas_m2, 1) if size >= ISLAND_M2 and (kinds[0] == k).any()]
    lies_in = {k: int(kinds[1][kinds[0] == k][counts[kinds[0] == k].argmax()]) for k in large}
    lost = [
        t
        for t in np.flatnonzero(area >= ISLAND_M2)
        if t and counts[kinds[1] == t].max(initial=0) * space.cell_m**2 < area[t] / 2
    ]
    table.line(
        name, "true islands lost or in pieces", float(len(lost) + len(large) - len(set(lies_in.values()))), most=0
    )
    wrong = sum(counts[kinds[0] == k].sum() - counts[kinds[0] == k].max() for k in large)
    table.line(name, "cells in another island", float(wrong), most=0)


def geodesic_lines(
    name: str, scene: ProceduralScene, robot: RobotConfig, nav: NavMap, space: Space, table: Table
) -> None:
    """Lengths of episodes against scikit-fmm on exact places."""
    config = TasksConfig(goals=4, episodes=40)
    fields = make_fields(nav, space, robot, config, 0)
    episodes = make_episodes(nav, fields, robot, config, 0)
    shape = tuple(int(n * space.cell_m / FINE_M) for n in space.island.shape)
    free = places(scene, robot, space.origin_m, shape, FINE_M)
    off, field_off = [], []
    for goal, cells in zip(fields.goals, fields.distance_m, strict=True):
        mine = [e for e in episodes if np.allclose(e.goal, goal)]
        i, j = ((goal - space.origin_m) / FINE_M).astype(int)
        front = np.ones(shape)
        front[i, j] = -1
        far = skfmm.distance(np.ma.MaskedArray(front, ~free), dx=FINE_M, order=2).filled(np.nan)
        for episode in mine:
            a, b = ((episode.start - space.origin_m) / FINE_M).astype(int)
            true = float(far[a, b]) + FINE_M / 2
            c, d = ((episode.start - nav.origin_m) / nav.cell_m).astype(int)
            off.append(abs(episode.geodesic_m / true - 1))
            field_off.append(abs(float(cells[c, d]) / true - 1))
    known = np.isfinite(off)
    table.line(name, "episodes without a true way", float((~known).sum()), most=0)
    table.line(name, "geodesics off p95", float(np.percentile(np.array(off)[known], 95)), most=0.015)
    table.line(name, "geodesics off, most", float(np.array(off)[known].max()))
    table.line(name, "fields off, median", float(np.median(np.array(field_off)[known])))


def room_lines(name: str, scene: ProceduralScene, found: Rooms, table: Table) -> None:
    """Rooms and doors against the plan."""
    table.line(name, "rooms more or less than truth", float(abs(len(found.areas_m2) - len(scene.rooms_m))), most=0)
    table.line(name, "doors more or less than truth", float(abs(len(found.doors) - len(scene.doors_m))), most=0)
    middles = np.array([door.centre for door in found.doors])
    for door in scene.doors_m:
        k = int(np.argmin(np.hypot(*(middles - (door[:2] + door[2:]) / 2).T)))
        width = max(door[2] - door[0], door[3] - door[1])
        table.line(name, "door width off m", abs(found.doors[k].width_m - width), most=0.03)


def timed(rooms: int, table: Table) -> None:
    """CPU seconds of everything for five robots, and of other people's fields on the same cells."""
    robots, config = load_robots(TIMED), TasksConfig()
    scene = make_flat(701, rooms=rooms)
    soup, floor = exact(scene)
    size = scene.rooms_m[:, 2:].max(0) - scene.rooms_m[:, :2].min(0)
    spent = []
    for _ in range(4):  # the first compiles
        with tempfile.TemporaryDirectory() as folder:
            start = time.process_time()
            build_nav_of_soups([soup], Path(folder), floor=floor, robots=robots, config=config, seed=0)
            spent.append(time.process_time() - start)
    print(f"flat of {size[0]:.1f} x {size[1]:.1f} m, {len(soup.triangles)} triangles, load {os.getloadavg()[0]:.1f}")
    table.line("timed", "five robots, CPU s, median of 3", float(np.median(spent[1:])), most=10)
    _, _, navs = look_at([soup], None, floor, robots[1:2], config.cell_m)
    space = find_space(navs[0], robots[1].radius_m, config.cell_m / 2)
    cells = domain(space, 2)
    goals = [tuple(c) for c in np.argwhere(cells)[:: cells.sum() // 8]][:8]
    fields = make_fields(navs[0], space, robots[1], TasksConfig(goals=8), 0)
    start = time.process_time()
    make_fields(navs[0], space, robots[1], TasksConfig(goals=8), 0)
    table.line("timed", f"16 of our fields, {len(fields.goals)} goals, s", time.process_time() - start)
    start = time.process_time()
    for goal in goals:
        front = np.ones(cells.shape)
        front[goal] = -1
        skfmm.distance(np.ma.MaskedArray(front, ~cells), dx=config.cell_m, order=2)
    table.line("timed", "scikit-fmm, 16 fields, s", 2 * (time.process_time() - start))
    start = time.process_time()
    number = np.full(cells.shape, -1)
    number[cells] = np.arange(cells.sum())
    rows, columns, far = [], [], []
    for di, dj in ((1, 0), (0, 1), (1, 1), (1, -1)):
        moved = np.roll(number, (-di, -dj), (0, 1))
        joined = (number >= 0) & (moved >= 0)
        rows, columns = [*rows, number[joined]], [*columns, moved[joined]]
        far.append(np.full(joined.sum(), np.hypot(di, dj) * config.cell_m))
    graph = coo_matrix((np.concatenate(far), (np.concatenate(rows), np.concatenate(columns))), [cells.sum()] * 2)
    dijkstra(graph.tocsr(), directed=False, indices=[number[g] for g in goals])
    table.line("timed", "scipy dijkstra, 16 fields, s", 2 * (time.process_time() - start))


def main() -> int:
    """Print every figure; 0 when all bars are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flats", type=int, default=6)
    parser.add_argument("--first", type=int, default=801, help="seed")
    parser.add_argument("--rooms", type=int, default=22, help="of the flat that is timed")
    parser.add_argument("--time", action="store_true")
    args = parser.parse_args()
    table = Table()
    if args.time:
        timed(args.rooms, table)
        return 1 if table.missed else 0
    for seed in range(args.first, args.first + args.flats):
        scene = make_flat(seed, rooms=3 + seed % 4)
        soup, floor = exact(scene)
        robots = load_robots(JUDGED)
        site, _, navs = look_at([soup], None, floor, robots, 0.05)
        room_lines(scene.name, scene, site.rooms, table)
        for robot, nav in zip(robots, navs, strict=True):
            space = find_space(nav, robot.radius_m, 0.025)
            name = f"{scene.name} {robot.name}"
            island_lines(name, scene, robot, space, table)
            geodesic_lines(name, scene, robot, nav, space, table)
    return 1 if table.missed else 0


if __name__ == "__main__":
    sys.exit(main())
