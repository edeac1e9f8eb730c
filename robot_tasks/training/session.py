"""A policy trained in the worlds of an output folder, and read back: what `lyra-sim nav train` does."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rsl_rl.models import MLPModel
from tensordict import TensorDict

from lyra_sim.config.nav_training import NavTrainingConfig
from lyra_sim.config.robots import load_robots
from lyra_sim.config.tasks import RobotConfig
from lyra_sim.core.errors import ConfigError, InputError
from lyra_sim.core.record import record
from robot_tasks.envs.rsl import RslNav
from robot_tasks.envs.vector import VectorNav
from robot_tasks.training.boxes import box_worlds
from robot_tasks.training.division import divide, place_of, within
from robot_tasks.training.export import export_policy
from robot_tasks.training.networks import build_networks
from robot_tasks.training.pictures import draw_curves
from robot_tasks.training.ppo import CHECKPOINT, Training
from robot_tasks.training.starts import with_starts
from robot_tasks.worlds import read_worlds

TRAINING = "training.json"


@record
class Policy:
    """A trained policy as its folder holds it."""

    folder: Path
    robot: RobotConfig
    config: NavTrainingConfig
    worlds: tuple[str, ...]
    """Names of the worlds it was trained on."""
    places: tuple[str, ...]
    """Their source places."""
    actor: MLPModel


def train(out: Path, robot_name: str, config: NavTrainingConfig, folder: Path, progress: Callable[[str], None]) -> Path:
    """Train a policy in worlds of the output folder `out`; the same `folder` again goes on.

    Writes training.json, checkpoint.pt, log.jsonl, curves.png and the exported policy.

    Raises:
        ConfigError: nothing to train or to test on, or the folder holds another training.
        InputError: as `read_worlds`; a world's maps were made for another profile of the robot, for one.
    """
    robot = load_robots((robot_name,))[0]
    division = divide(within(read_worlds(out, robot), config.geodesic_m), config)
    if config.boxes:
        progress(f"making {config.boxes} flats of boxes")
    worlds = [*(() if config.only_boxes else division.train), *box_worlds(config.boxes, robot, config.seed)]
    drawn = [with_starts(world, robot, config.starts, config.starts_m, k) for k, world in enumerate(worlds)]
    worlds = within(drawn, config.geodesic_m)
    rules = [
        *([] if config.only_boxes else [division.rule]),
        *([f"{config.boxes} flats of boxes"] * (config.boxes > 0)),
    ]
    rule = ", and ".join(rules)
    progress(f"{robot.name}: {len(worlds)} worlds to train on, {len(division.held_out)} kept from it ({rule})")
    env = VectorNav(worlds, robot, config.env, config.num_envs, seed=config.seed)
    description = {
        "robot": robot.model_dump(mode="json"),
        "rule": rule,
        "sizes": env.sizes,
        "actions": env.action_size,
        "worlds": [world.name for world in worlds],
        "places": sorted({place_of(world) for world in worlds}),
        "held_out": [world.name for world in division.held_out],
    }
    _describe(folder, description)
    training = Training(RslNav(env), config, folder)
    env.rng = np.random.default_rng([config.seed, training.iteration])  # what goes on draws other episodes
    training.run(progress)
    draw_curves(training.log, folder / "curves.png")
    told = {"worlds": len(worlds), "rule": rule, "steps": training.steps, "minutes": round(training.seconds / 60, 2)}
    export_policy(training.ppo.get_policy(), robot, config, folder, told)
    return folder


def _describe(folder: Path, description: dict[str, Any]) -> None:
    """Write training.json, or check that the one there says the same."""
    path = folder / TRAINING
    if path.exists() and json.loads(path.read_bytes()) != json.loads(json.dumps(description)):
        raise ConfigError(
            path, expected="the robot and the worlds that this training began with", got="others",
            todo="Give another --out.",
        )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(description, indent=1) + "\n")


def read_policy(folder: Path) -> Policy:
    """A policy from the folder of its training, finished or not.

    Raises:
        InputError: there is none.
    """
    try:
        told = json.loads((folder / TRAINING).read_bytes())
        tree = torch.load(folder / CHECKPOINT, weights_only=True, map_location="cpu")
        config = NavTrainingConfig.model_validate_json(tree["infos"]["config"])
        obs = TensorDict({name: torch.zeros(1, size) for name, size in told["sizes"].items()}, batch_size=[1])
        actor, _ = build_networks(obs, told["actions"], config)
        actor.load_state_dict(tree["actor_state_dict"])
        return Policy(
            folder=folder, robot=RobotConfig.model_validate(told["robot"]), config=config,
            worlds=tuple(told["worlds"]), places=tuple(told["places"]), actor=actor.eval(),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(
            folder, expected="the folder of a training (training.json, checkpoint.pt)",
            got=f"{type(error).__name__}: {error}", todo="Give the --out of `lyra-sim nav train`.",
        ) from error  # fmt: skip
