"""How fast is the light simulation, does it hold its robots back where nothing is, do its two kernels agree?

    OMP_NUM_THREADS=1 python benchmarks/vector_env.py [OUT] [--robots nova_carter jetbot] [--envs 1024] [--worlds 8]
        [--seconds 5] [--parity 10000]

Worlds are those of the output folder OUT, again from the first where there are fewer than asked for; without OUT,
flats of four rooms with boxes, 10 x 10 m, are made. Speed: control steps of 0.2 s (2 physics steps with 4 substeps
each, lidar, rewards, observations, episodes that start anew) in CPU seconds of one thread, random actions, median of 3,
once plain and once with everything randomised. Oracle: down the geodesic through every episode of every world; what it
fails, the simulation makes fail. Twins: numba's and Warp's kernels side by side over `--parity` steps of 16 randomised
robots, the largest difference of observations, rewards, ends and states. Exits 1 when a bar is missed.
"""

import argparse
import dataclasses
import os
import sys
import time
from pathlib import Path

import numpy as np
from _baselines import LEAST_SPL, LEAST_SUCCESS, drive_baselines

from lyra_sim.config.envs import EnvConfig, RandomConfig
from lyra_sim.config.robots import load_robots
from lyra_sim.config.tasks import RobotConfig, TasksConfig
from robot_tasks.colliders import rays_of
from robot_tasks.envs.vector import VectorNav
from robot_tasks.episodes import make_episodes
from robot_tasks.fields import make_fields
from robot_tasks.islands import find_space
from robot_tasks.lidar import cut
from robot_tasks.navmap import build_map, measure_ground, robot_slab
from robot_tasks.training.boxes import box_flat
from robot_tasks.worlds import NavWorld, read_worlds, world_in_memory
from tests.robot_tasks.twins import differences

LEAST_SPEED, MOST_APART = 50_000.0, 1e-4
CELL_M = 0.05
NOISY = RandomConfig(
    scale=True, footprint=0.1, speed=0.1, accel=0.1, latency_steps=2, goal_noise_m=0.05, drift_m=0.02, drift_rad=0.01,
    lidar_noise_m=0.01, lidar_dropout=0.01, mirror=True,
)  # fmt: skip


def box_world(robot: RobotConfig, seed: int) -> NavWorld:
    """A flat of boxes with driven episodes."""
    soup, floor = box_flat(seed)
    ground = measure_ground(rays_of(soup), floor)
    nav = build_map(soup, ground, robot_slab(robot), CELL_M)
    space = find_space(nav, robot.radius_m, CELL_M / 2)
    tasks = TasksConfig(episodes=100, goals=32)
    fields = make_fields(nav, space, robot, tasks, seed)
    episodes = make_episodes(nav, fields, robot, tasks, seed)
    lines = cut(soup, ground, robot.lidar.height_m)
    return world_in_memory(f"boxes-{seed}", robot, nav, space, fields, lines, episodes, scale_sigma=0.02)


def speed(env: VectorNav, seconds: float) -> float:
    """Control steps per CPU second."""
    action = np.random.default_rng(0).uniform(-1, 1, (64, env.num_envs, env.action_size)).astype(np.float32)
    env.reset(0)
    for k in range(64):
        env.step(action[k])
    rates = []
    for _ in range(3):
        start, count = time.process_time(), 0
        while time.process_time() - start < seconds / 3:
            env.step(action[count % 64])
            count += 1
        rates.append(count * env.num_envs / (time.process_time() - start))
    return float(np.median(rates))


def apart(worlds: list[NavWorld], robot: RobotConfig, steps: int, device: str) -> tuple[float, int]:
    """Largest difference between the two kernels, and how many episodes ended."""
    from robot_tasks.envs.warp_engine import WarpEngine

    settings = EnvConfig(random=NOISY, reset_to="any")
    a, b = VectorNav(worlds, robot, settings, 16), VectorNav(worlds, robot, settings, 16, engine=WarpEngine(device))
    worst, ends, _ = differences(a, b, steps)
    return worst, ends


def drive_all(worlds: list[NavWorld], robot: RobotConfig) -> bool:
    """Print how the baselines fare; whether the oracle reaches the bars in every world."""
    fine = True
    for name, table in drive_baselines(worlds, robot).items():
        each = [table["world"] == k for k in range(len(worlds))]
        least = min(float(table["success"][k].mean()) for k in each), min(float(table["spl"][k].mean()) for k in each)
        fine &= name != "oracle" or (least[0] >= LEAST_SUCCESS and least[1] >= LEAST_SPL)
        print(
            f"{robot.name} {name}: {len(table['spl'])} episodes in {len(worlds)} worlds, success "
            f"{table['success'].mean():.3f}, SPL {table['spl'].mean():.3f}, SoftSPL {table['softspl'].mean():.3f}, "
            f"{table['contacts'].mean():.2f} steps with contact; in the worst world {least[0]:.3f} and {least[1]:.3f}"
        )
    return fine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path)
    parser.add_argument("--robots", nargs="+", default=["nova_carter", "jetbot"])
    parser.add_argument("--envs", type=int, default=1024)
    parser.add_argument("--worlds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--parity", type=int, default=10_000)
    parser.add_argument("--device", default="cpu", help="of Warp, for the comparison: cpu or cuda:0")
    args = parser.parse_args()
    fine = True
    for robot in load_robots(args.robots):
        read = read_worlds(args.out, robot) if args.out else [box_world(robot, k) for k in range(args.worlds)]
        fine &= drive_all(list(read), robot)
        worlds = [dataclasses.replace(read[k % len(read)]) for k in range(args.worlds)]
        for name, random in (("plain", RandomConfig()), ("randomised", NOISY)):
            env = VectorNav(worlds, robot, EnvConfig(random=random), args.envs)
            rate = speed(env, args.seconds)
            fine &= rate >= LEAST_SPEED
            tables = sum(table.nbytes for table in env.atlas) / 1e6
            print(
                f"{robot.name} {name}: {rate:,.0f} steps per second and core (bar {LEAST_SPEED:,.0f}); "
                f"{args.envs} robots, {robot.lidar.beams} beams, {len(worlds)} worlds ({len(read)} different), "
                f"tables of {tables:.0f} MB; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
            )
        if args.parity:
            worst, ends = apart(list(read), robot, args.parity, args.device)
            fine &= worst <= MOST_APART
            print(
                f"{robot.name}: numba and Warp at most {worst:.2g} apart in {args.parity} steps, {ends} episodes ended"
            )
    print("all bars reached" if fine else "a bar is MISSED")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
