"""What a policy must be fed and what its outputs mean, so that it can be run without this package."""

from typing import Any

from lyra_sim.config.envs import EnvConfig
from lyra_sim.config.tasks import RobotConfig
from robot_tasks.envs.kernels import PHYSICS_S


def input_contract(robot: RobotConfig, env: EnvConfig) -> dict[str, Any]:
    """Measurements, the observation made of them, and commands made of the actions.

    `formula` is numpy without its prefix, over the names in `measurements` (or `action`); rows of `observation` and
    `command` fill the vector in order.
    """
    omni = robot.drive == "omni"
    speeds = [("forward", "m/s", robot.speed_m_s), ("turn", "rad/s", robot.turn_rad_s)]
    if omni:
        speeds.insert(1, ("left", "m/s", robot.side_m_s))
    lidar, names = robot.lidar, [name for name, _, _ in speeds]
    rows: list[tuple[str, int, str]] = [
        ("lidar", lidar.beams, f"minimum(lidar_m, {lidar.range_m}) / {lidar.range_m}"),
        ("goal_distance", 1, "log1p(hypot(goal_m[0], goal_m[1]))"),
        ("goal_cos", 1, "cos(arctan2(goal_m[1], goal_m[0]))"),
        ("goal_sin", 1, "sin(arctan2(goal_m[1], goal_m[0]))"),
        *((f"{name}_speed", 1, f"velocity[{k}] / {top}") for k, (name, _, top) in enumerate(speeds)),
        ("last_action", len(speeds), "last_action"),
    ]
    layout, at = [], 0
    for name, count, formula in rows:
        layout.append({"name": name, "from": at, "to": at + count, "formula": formula})
        at += count
    units = "; ".join(f"{name} in {unit}" for name, unit, _ in speeds)
    return {
        "frame": "robot: x ahead, y to the left, origin at its centre on the floor; angles counterclockwise, radians",
        "period_s": env.decimation * PHYSICS_S,
        "measurements": {
            "lidar_m": f"({lidar.beams},) ranges in metres from the robot's centre, {lidar.height_m} m high; "
            f"beam k looks along 2 pi k / {lidar.beams}; {lidar.range_m} where nothing is nearer",
            "goal_m": "(2,) the goal in the robot's frame, metres",
            "velocity": f"({len(speeds)},) as measured: {units}",
            "last_action": f"({len(speeds)},) the action before, cut to -1..1; zeros at the start of an episode",
        },
        "observation": layout,
        "observation_size": at,
        "normalisation": "part of the network: feed observations as they are",
        "command": [_command(k, row, robot, omni) for k, row in enumerate(speeds)],
        "command_order": names,
        "goal_reached_m": env.success_m,
    }


def _command(k: int, row: tuple[str, str, float], robot: RobotConfig, omni: bool) -> dict[str, Any]:
    name, unit, top = row
    cut = f"clip(action[{k}], -1, 1)" if omni or name == "turn" else f"clip(action[{k}], 0, 1)"
    return {
        "name": name,
        "unit": unit,
        "formula": f"{cut} * {top}",
        "most_change_per_s": robot.turn_accel_rad_s2 if name == "turn" else robot.accel_m_s2,
    }
