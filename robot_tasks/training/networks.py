"""The networks of a navigation policy: rsl-rl's models, built from the settings, trained or read from a checkpoint."""

import copy

from rsl_rl.algorithms import PPO
from rsl_rl.env import VecEnv
from rsl_rl.models import MLPModel
from rsl_rl.storage import RolloutStorage
from rsl_rl.utils import resolve_class
from tensordict import TensorDict

from lyra_sim.config.nav_training import NavTrainingConfig


def build_networks(obs: TensorDict, actions: int, config: NavTrainingConfig) -> tuple[MLPModel, MLPModel]:
    """Actor and critic for observations like `obs`.

    Args:
        obs: groups `policy` and `critic`, each (N, size).
    """
    tree = copy.deepcopy(config.rsl_rl())
    made = []
    for name, outputs in (("actor", actions), ("critic", 1)):
        kind, settings = resolve_class(tree[name])
        made.append(kind(obs, tree["obs_groups"], name, outputs, **settings))
    return made[0], made[1]


def build_ppo(env: VecEnv, config: NavTrainingConfig) -> PPO:
    """The algorithm with fresh networks and room for one rollout. Draws from torch's random state."""
    obs = env.get_observations()
    actor, critic = build_networks(obs, env.num_actions, config)
    room = RolloutStorage("rl", env.num_envs, config.num_steps_per_env, obs, [env.num_actions], "cpu")
    return PPO(actor, critic, room, device="cpu", **config.ppo.model_dump())
