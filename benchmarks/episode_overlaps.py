"""Does any robot start, end or drive inside something? Every spawn and goal, judged by what is not ours.

    python benchmarks/episode_overlaps.py WORLDS [--episodes 2000] [--robots NAME...] [--paths 5] [--physx PYTHON]
        [--shift M]

WORLDS is the output folder of a run; its trainable robots are judged, an equal share of each world and robot until
there are `--episodes` (at least as many must be there). From the written maps: distance of starts and goals to the
nearest cell that is not free, and cells that reach into the robot's outline as it starts. From the written stage: the
robot's box (length and width, from its step to its top) at every start and goal and, every 2 cm and 3 degrees, along
`--paths` whole paths of each world and robot, among the colliders, by Embree and, with the interpreter of an
environment that has ovphysx, by overlap queries of PhysX. `--shift` moves every pose so far in a random direction:
then robots must be found in walls, which shows that the tests can fail. Exits 1 on any overlap, or too few episodes.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from _stage_solids import Boxes, Solids
from _written_episodes import Written, WrittenMap, read_written, sweep

from lyra_sim.config.robots import load_robots
from lyra_sim.config.tasks import RobotConfig

COARSE_M = 0.06
"""Lattice of rays at the poses along paths; at starts and goals it is finer."""


@dataclass
class Found:
    """What was counted for one robot in one world, or for many."""

    episodes: int = 0
    near: int = 0
    """Starts and goals nearer than radius and cell to a cell of the written map that is not free."""
    least_m: float = np.inf
    """Least of those distances less radius and cell."""
    outline: int = 0
    """Starts at whose outline the written map is not free."""
    ends: int = 0
    """Starts and goals."""
    ends_embree: int = 0
    ends_physx: int = 0
    poses: int = 0
    """Along paths."""
    poses_embree: int = 0
    poses_physx: int = 0
    apart: int = 0
    """Poses at which Embree and PhysX say otherwise."""
    where: list[str] = field(default_factory=list)

    def add(self, other: "Found") -> None:
        """Count another one in."""
        for name, value in vars(other).items():
            mine = getattr(self, name)
            setattr(self, name, min(mine, value) if name == "least_m" else mine + value)

    @property
    def overlaps(self) -> int:
        """What the bar wants to be 0."""
        return self.near + self.outline + self.ends_embree + self.ends_physx + self.poses_embree + self.poses_physx

    def row(self, name: str) -> str:
        """One line of the table."""
        return (
            f"{name} | {self.episodes} | {self.least_m * 100:+.1f} cm, {self.near} | {self.outline} | {self.ends} | "
            f"{self.ends_embree} | {self.ends_physx} | {self.poses} | {self.poses_embree} | {self.poses_physx} | "
            f"{self.apart}"
        )


HEAD = (
    "world, robot | episodes | least clearance beyond radius and cell, below | outline not free | starts and goals | "
    "in something: Embree | PhysX | poses along paths | Embree | PhysX | engines differ"
)


def boxes_of(poses: np.ndarray, robot: RobotConfig) -> Boxes:
    """The robot at (x, y, floor height, yaw): from what it steps over to its top."""
    low, high = min(robot.step_m, robot.slab_m[0]), robot.slab_m[1]
    centre = poses[:, :3] + (0, 0, (low + high) / 2)
    return Boxes(centre, poses[:, 3], np.array([*robot.footprint_m, high - low]) / 2)


def path_poses(solids: Solids, written: Written, k: int, robot: RobotConfig) -> np.ndarray:
    """(N, 4) along a path, on the collider under the robot's centre; where it would be in something there, on the
    highest one under its outline that it climbs."""
    poses = sweep(written.paths[k], written.start[k, 3])
    share = np.linspace(0, 1, len(poses))
    floor = written.start[k, 2] + share * (written.goal[k, 2] - written.start[k, 2])
    slope = math.tan(math.radians(robot.slope_deg))
    below = solids.drop(np.column_stack([poses[:, :2], floor + robot.step_m + 0.02]))
    known = np.abs(below - floor) <= robot.step_m + 0.02
    poses = np.column_stack([poses[:, :2], np.where(known, below, floor), poses[:, 2]])
    for n in np.flatnonzero(solids.hit(boxes_of(poses, robot), COARSE_M, exact=False)):
        poses[n, 2] = solids.stand(poses[n], robot.footprint_m, robot.step_m, slope)
    return poses


def physx_hits(python: str | None, stage: Path, boxes: list[Boxes]) -> list[np.ndarray]:
    """Which boxes PhysX finds something in; nothing without an interpreter that has it."""
    if python is None:
        return [np.zeros(len(b.yaw), bool) for b in boxes]
    with tempfile.TemporaryDirectory() as folder:
        asked, told = Path(folder) / "in.npz", Path(folder) / "out.npy"
        half = np.concatenate([np.tile(b.half - 1e-4, (len(b.yaw), 1)) for b in boxes])
        centre, yaw = (np.concatenate([getattr(b, name) for b in boxes]) for name in ("centre", "yaw"))
        np.savez(asked, centre=centre, yaw=yaw, half=half)
        program = Path(__file__).with_name("_physx_boxes.py")
        command = [python, str(program), str(stage.resolve()), str(asked), str(told)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env={**os.environ, "PYTHONPATH": ""})
        if not told.exists():
            raise SystemExit(f"{stage}: PhysX failed\n{done.stderr[-2000:]}")
        return np.split(np.load(told), np.cumsum([len(b.yaw) for b in boxes])[:-1])


def judge(world: Path, robots: list[tuple[RobotConfig, int]], args: argparse.Namespace) -> list[tuple[str, Found]]:
    """One world, its robots with how many episodes of each; a row for each robot."""
    rng, solids = np.random.default_rng(0), Solids(world / "scene.usda")
    asked: list[tuple[Found, Written, np.ndarray, Boxes, Boxes]] = []
    for robot, count in robots:
        folder = world / "nav" / robot.name
        written, plan = read_written(folder), WrittenMap(folder)
        chosen = np.linspace(0, len(written.paths) - 1, min(args.paths, len(written.paths))).round().astype(int)
        along = [path_poses(solids, written, int(k), robot) for k in chosen]
        ends = np.concatenate([written.start[:count], written.goal[:count]])
        poses = np.concatenate([ends, *along])
        angle = rng.uniform(0, 2 * np.pi, len(poses))
        poses[:, :2] += args.shift * np.stack([np.cos(angle), np.sin(angle)], 1)
        ends, poses = np.split(poses, [2 * count])
        room = plan.clearance(ends[:, :2]) - robot.radius_m - plan.cell_m
        outline = sum(not plan.outline_free(pose, robot) for pose in ends[:count])
        found = Found(count, int((room < -1e-3).sum()), float(room.min(initial=np.inf)), outline, len(ends))
        found.poses = len(poses)
        asked.append((found, written, np.concatenate([ends, poses]), boxes_of(ends, robot), boxes_of(poses, robot)))
    struck = physx_hits(args.physx, world / "stage.usda", [b for row in asked for b in row[3:]])
    rows = []
    for k, ((robot, _), (found, _, poses, ends, along)) in enumerate(zip(robots, asked, strict=True)):
        ours = [solids.hit(ends), solids.hit(along, COARSE_M, exact=False)]
        theirs = struck[2 * k : 2 * k + 2]
        found.ends_embree, found.poses_embree = (int(hit.sum()) for hit in ours)
        found.ends_physx, found.poses_physx = (int(hit.sum()) for hit in theirs)
        one, two = np.concatenate(ours), np.concatenate(theirs)
        found.apart = int((one != two).sum()) if args.physx else 0
        for i in np.flatnonzero(one | two)[:3]:
            what = "Embree and PhysX" if one[i] and two[i] else "Embree" if one[i] else "PhysX"
            x, y, z, yaw = poses[i]
            place = "end" if i < len(ends.yaw) else "path"
            found.where.append(f"{world.name} {robot.name} {place} x {x:.3f} y {y:.3f} z {z:.3f} yaw {yaw:.3f}: {what}")
        rows.append((f"{world.name}, {robot.name}", found))
    return rows


def shares(out: Path, names: list[str] | None, wanted: int) -> dict[Path, list[tuple[RobotConfig, int]]]:
    """Of each world the robots to judge, and of how many episodes: equal shares until there are enough."""
    rows = [json.loads(line) for line in (out / "worlds.jsonl").read_text().splitlines()]
    pairs = [(out / row["path"], name) for row in rows for name in row["robots"] if names is None or name in names]
    have = [len(read_written(world / "nav" / name).paths) for world, name in pairs]
    limit = next((k for k in range(1, max(have, default=0)) if sum(min(n, k) for n in have) >= wanted), 10**9)
    profiles = {robot.name: robot for robot in load_robots(sorted({name for _, name in pairs}))}
    made: dict[Path, list[tuple[RobotConfig, int]]] = {}
    for (world, name), count in zip(pairs, have, strict=True):
        made.setdefault(world, []).append((profiles[name], min(count, limit)))
    return made


def main() -> int:
    """Print the table, totals of each robot and of all; 0 where nothing overlaps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worlds", type=Path)
    parser.add_argument("--episodes", type=int, default=2000)
    parser.add_argument("--robots", nargs="+")
    parser.add_argument("--paths", type=int, default=5, help="whole paths of each world and robot")
    parser.add_argument("--physx", metavar="PYTHON", help="interpreter of an environment that has ovphysx")
    parser.add_argument("--shift", type=float, default=0.0, help="metres by which every pose is moved at random")
    args = parser.parse_args()
    total, each = Found(), {}
    print(HEAD, flush=True)
    for world, robots in shares(args.worlds, args.robots, args.episodes).items():
        for name, found in judge(world, robots, args):
            print(found.row(name), flush=True)
            total.add(found)
            each.setdefault(name.split(", ")[1], Found()).add(found)
    for name, found in sorted(each.items()):
        print(found.row(f"all worlds, {name}"))
    print(total.row("all worlds, all robots"))
    print("\n".join(total.where[:40]))
    enough = total.episodes >= args.episodes
    print(f"{'kept' if enough else 'MISSED'}: {total.episodes} episodes, >= {args.episodes}")
    print(f"{'MISSED' if total.overlaps else 'kept'}: {total.overlaps} overlaps")
    return 0 if enough and not total.overlaps else 1


if __name__ == "__main__":
    sys.exit(main())
