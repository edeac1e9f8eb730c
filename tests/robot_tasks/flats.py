"""The flat of `rooms.py` as a world to train in, in memory and as an output folder."""

import functools
import json
import shutil
from pathlib import Path

import numpy as np

from lyra_sim.config.envs import EnvConfig
from lyra_sim.config.tasks import RobotConfig
from lyra_sim.core.records import FloorGrid
from robot_tasks import build_nav
from robot_tasks.colliders import Soup, rays_of
from robot_tasks.envs.vector import VectorNav
from robot_tasks.episodes import make_episodes
from robot_tasks.fields import make_fields
from robot_tasks.islands import find_space
from robot_tasks.lidar import cut
from robot_tasks.navmap import build_map, measure_ground, robot_slab
from robot_tasks.worlds import NavWorld, world_in_memory
from tests.robot_tasks import rooms

FLAT = rooms.Flat()
SEED = 3


@functools.cache
def flat(name: str) -> NavWorld:
    """The flat for one robot, made in memory."""
    robot = {r.name: r for r in (rooms.JETBOT, rooms.CARTER)}[name]
    return world_of(FLAT.soup, FLAT.floor, robot)


def world_of(soup: Soup, floor: FloorGrid, robot: RobotConfig) -> NavWorld:
    """The world of some colliders and their floor for one robot, made in memory."""
    ground = measure_ground(rays_of(soup), floor)
    nav = build_map(soup, ground, robot_slab(robot), 0.05)
    space = find_space(nav, robot.radius_m, 0.025)
    fields = make_fields(nav, space, robot, rooms.FEW, SEED)
    episodes = make_episodes(nav, fields, robot, rooms.FEW, SEED)
    lines = cut(soup, ground, robot.lidar.height_m)
    return world_in_memory("flat", robot, nav, space, fields, lines, episodes, scale_sigma=0.02)


def write_output(out: Path) -> None:
    """An output folder with the flat twice: for both robots to train in, and for the small one to be tested in."""
    (out / "flat").mkdir()
    rooms.write_usd(out / "flat" / "scene.usda", FLAT.boxes)
    build_nav(
        out / "flat" / "scene.usda", out / "flat", floor=FLAT.floor, robots=(rooms.JETBOT, rooms.CARTER),
        config=rooms.FEW, seed=SEED,
    )  # fmt: skip
    shutil.copytree(out / "flat", out / "flat_b")
    lines = [
        {"world": name, "path": name, "robots": robots, "split": split, "scale_sigma": 0.02}
        for name, split, robots in (("flat", "train", ("jetbot", "nova_carter")), ("flat_b", "test", ("jetbot",)))
    ]
    (out / "worlds.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def core(robot: RobotConfig = rooms.CARTER, envs: int = 8, seed: int = 0, **settings) -> VectorNav:
    """An environment in the flat, started."""
    world = flat("jetbot" if robot.name == "jetbot" else "nova_carter")
    made = VectorNav([world], robot, EnvConfig(**settings), envs)
    made.reset(seed)
    return made


def put(env: VectorNav, x: float, y: float, yaw: float) -> None:
    """All robots of `env` at a pose, at rest, with all the time in the world."""
    env.state.pose[:] = np.array([x, y, yaw], np.float32)
    env.state.velocity[:] = 0
    env.state.last_age[:] = 10**6


def cast(soup: Soup, robot: RobotConfig, poses, floor_m: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """Ranges (N, B) in metres of level rays against the triangles, from poses (N, 3) of the world as it is on disk, in
    one that is `scale` times as large."""
    poses, beams = np.array(poses, float), robot.lidar.beams
    bearing = poses[:, 2:] + np.arange(beams) * 2 * np.pi / beams
    way = np.stack([np.cos(bearing), np.sin(bearing), np.zeros_like(bearing)], -1).reshape(-1, 3)
    start = np.column_stack([poses[:, :2], np.full(len(poses), floor_m + robot.lidar.height_m)])
    depth, _, _ = rays_of(soup).cast(np.repeat(start, beams, 0), way)
    return np.minimum(depth.reshape(len(poses), beams) * scale, robot.lidar.range_m)
