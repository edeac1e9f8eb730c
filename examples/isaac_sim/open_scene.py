"""Opens a world in Isaac Sim, puts a Nova Carter on the start of an episode and drives it to the goal.

    ./python.sh examples/isaac_sim/open_scene.py OUT/<world> [--episode 0] [--headless]

Written for Isaac Sim 5 (NVIDIA's Python API of that version, still shipped with 6). NOT RUN ON ISAAC SIM HERE: the
project's tests run it against stand-ins of Isaac's modules, which proves names, arguments and the driving, not physics.
"""

import argparse
import gzip
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

ROBOT = "nova_carter"
ASSET = "/Isaac/Robots/NVIDIA/NovaCarter/nova_carter.usd"
PRIM = "/NovaCarter"
WHEELS = ("joint_wheel_left", "joint_wheel_right")
WHEEL_RADIUS_M, WHEEL_DISTANCE_M = 0.14, 0.413
"""NVIDIA's values for its differential controller."""
SPAWN_LIFT_M = 0.03
"""Wheels that start exactly on the floor get a violent kick from the solver."""
SPEED_M_S, TURN_RAD_S = 0.5, 1.0
LOOK_AHEAD_M, TURN_FIRST_RAD = 0.35, 0.6
GOAL_M = 0.3
STEP_S = 1 / 60


@dataclass(frozen=True)
class Episode:
    """A way to drive, in the world frame of the scene (Z up, metres)."""

    start: tuple[float, float, float]
    yaw_rad: float
    path: tuple[tuple[float, float], ...]
    goal: tuple[float, float]
    goal_m: float


def read_episode(world: Path, number: int) -> Episode:
    """One episode of `nav/nova_carter/episodes.json.gz`."""
    file = world / "nav" / ROBOT / "episodes.json.gz"
    if not file.is_file():
        sys.exit(f"{file} is missing: this world has no episodes for {ROBOT}; see gates.json in that folder.")
    rows = json.loads(gzip.decompress(file.read_bytes()))["episodes"]
    if not 0 <= number < len(rows):
        sys.exit(f"{file} has {len(rows)} episodes; there is no episode {number}.")
    row = rows[number]
    w, _, _, z = row["start_rotation"]
    goal = row["goals"][0]
    return Episode(
        start=tuple(row["start_position"]),
        yaw_rad=2 * math.atan2(z, w),
        path=tuple((x, y) for x, y in row["path"]),
        goal=(goal["position"][0], goal["position"][1]),
        goal_m=max(float(goal["radius"]), GOAL_M),
    )


def carrot(path: Sequence[tuple[float, float]], x: float, y: float, ahead_m: float) -> tuple[float, float]:
    """The point of the path that lies `ahead_m` further on than the point nearest to (x, y); pure pursuit."""
    best, nearest, along = math.inf, 0.0, [0.0]
    for (ax, ay), (bx, by) in pairwise(path):
        length = math.hypot(bx - ax, by - ay)
        t = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / max(length**2, 1e-12)
        t = min(max(t, 0.0), 1.0)
        distance = math.hypot(ax + t * (bx - ax) - x, ay + t * (by - ay) - y)
        if distance < best:
            best, nearest = distance, along[-1] + t * length
        along.append(along[-1] + length)
    wanted = min(nearest + ahead_m, along[-1])
    for k, ((ax, ay), (bx, by)) in enumerate(pairwise(path)):
        if wanted <= along[k + 1]:
            t = (wanted - along[k]) / max(along[k + 1] - along[k], 1e-12)
            return ax + t * (bx - ax), ay + t * (by - ay)
    return path[-1]


def steer(path: Sequence[tuple[float, float]], x: float, y: float, yaw_rad: float) -> tuple[float, float]:
    """Forward speed (m/s) and turn rate (rad/s) towards the path: turn on the spot when it lies sideways."""
    tx, ty = carrot(path, x, y, LOOK_AHEAD_M)
    off = math.atan2(ty - y, tx - x) - yaw_rad
    off = math.atan2(math.sin(off), math.cos(off))
    turn = max(-TURN_RAD_S, min(TURN_RAD_S, 2.0 * off))
    return (0.0 if abs(off) > TURN_FIRST_RAD else SPEED_M_S * math.cos(off)), turn


def wheel_speeds(forward_m_s: float, turn_rad_s: float) -> tuple[float, float]:
    """Left and right wheel, rad/s, of a differential drive."""
    half = turn_rad_s * WHEEL_DISTANCE_M / 2
    return (forward_m_s - half) / WHEEL_RADIUS_M, (forward_m_s + half) / WHEEL_RADIUS_M


def articulation_root(stage: Any, below: str) -> str:
    """Path of the prim with the articulation under `below`."""
    from pxr import Usd, UsdPhysics

    for prim in Usd.PrimRange(stage.GetPrimAtPath(below)):
        if prim.HasAPI(UsdPhysics.ArticulationRootAPI):
            return str(prim.GetPath())
    sys.exit(f"The robot asset below {below} has no articulation; check the asset path {ASSET}.")


def drive(robot: Any, world: Any, episode: Episode, *, render: bool, seconds: float) -> bool:
    """Follow the episode's path; True when the goal is reached in time."""
    import numpy as np
    from isaacsim.core.utils.types import ArticulationAction

    wheels = np.array([robot.get_dof_index(name) for name in WHEELS])
    for _ in range(round(seconds / STEP_S)):
        position, (w, qx, qy, qz) = robot.get_world_pose()
        x, y = float(position[0]), float(position[1])
        if math.hypot(x - episode.goal[0], y - episode.goal[1]) <= episode.goal_m:
            return True
        yaw_rad = math.atan2(2 * (w * qz + qx * qy), 1 - 2 * (qy * qy + qz * qz))
        speeds = np.array(wheel_speeds(*steer(episode.path, x, y, yaw_rad)))
        robot.apply_action(ArticulationAction(joint_velocities=speeds, joint_indices=wheels))
        world.step(render=render)
    return False


def simulate(folder: Path, episode: Episode, *, headless: bool, seconds: float) -> bool:
    """Open the stage, spawn the robot, drive. Isaac's modules exist only once SimulationApp runs."""
    import numpy as np
    import omni.usd
    from isaacsim.core.api import World
    from isaacsim.core.prims import SingleArticulation
    from isaacsim.core.utils.stage import add_reference_to_stage, open_stage
    from isaacsim.storage.native import get_assets_root_path

    if not open_stage(str((folder / "stage.usda").resolve())):
        sys.exit(f"Isaac Sim cannot open {folder / 'stage.usda'}.")
    assets = get_assets_root_path()
    if assets is None:
        sys.exit("Isaac Sim's assets cannot be reached; check the network or the local asset root.")
    world = World(stage_units_in_meters=1.0, physics_dt=STEP_S, rendering_dt=STEP_S)
    add_reference_to_stage(usd_path=assets + ASSET, prim_path=PRIM)
    root = articulation_root(omni.usd.get_context().get_stage(), PRIM)
    robot = world.scene.add(SingleArticulation(prim_path=root, name=ROBOT))
    world.reset()
    half = episode.yaw_rad / 2
    x, y, floor = episode.start
    robot.set_world_pose(
        position=np.array([x, y, floor + SPAWN_LIFT_M]),
        orientation=np.array([math.cos(half), 0.0, 0.0, math.sin(half)]),
    )
    return drive(robot, world, episode, render=not headless, seconds=seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit code 0 when the robot reached its goal."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("world", type=Path, help="a published world folder")
    parser.add_argument("--episode", type=int, default=0, help="number of the episode")
    parser.add_argument("--seconds", type=float, default=120.0, help="give up after this much simulated time")
    parser.add_argument("--headless", action="store_true", help="without a window")
    options = parser.parse_args(arguments)
    episode = read_episode(options.world, options.episode)

    from isaacsim import SimulationApp

    app = SimulationApp({"headless": options.headless})
    reached = simulate(options.world, episode, headless=options.headless, seconds=options.seconds)
    print("goal reached" if reached else "goal not reached", flush=True)
    app.close()
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
