"""The light simulation as gymnasium environments: `lyra/Nav-v0` for one robot, and the same id vectorised for many."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from lyra_sim.config.envs import EnvConfig
from lyra_sim.config.robots import load_robots
from lyra_sim.core.errors import ConfigError
from robot_tasks.envs.vector import VectorNav
from robot_tasks.worlds import NavWorld, read_worlds

ID = "lyra/Nav-v0"


def make_core(
    *,
    out: Path | str | None = None,
    robot: str = "nova_carter",
    split: str | None = None,
    worlds: Sequence[NavWorld] | None = None,
    config: EnvConfig | None = None,
    envs: int = 1,
    seed: int | None = None,
) -> VectorNav:
    """The core from an output folder, or from worlds that were read or made before; without a seed, no two are alike.

    Raises:
        ConfigError: not exactly one of `out` and `worlds`.
        InputError: as `read_worlds`.
    """
    if (out is None) == (worlds is None):
        raise ConfigError("out", expected="a folder or worlds", got="both or none", todo="Give one of the two.")
    (profile,) = load_robots([robot])
    found = worlds if worlds is not None else read_worlds(Path(str(out)), profile, split)
    return VectorNav(found, profile, config or EnvConfig(), envs, seed=seed)


def spaces(core: VectorNav) -> tuple[gymnasium.Space, gymnasium.Space]:
    """Spaces of one environment: the groups of `VectorNav`, whose largest values are logarithms of metres, and its
    actions."""
    groups: dict[str, gymnasium.Space] = {
        name: gymnasium.spaces.Box(-8, 8, shape, np.float32) for name, shape in core.shapes.items()
    }
    return gymnasium.spaces.Dict(groups), gymnasium.spaces.Box(-1, 1, (core.action_size,), np.float32)


class NavEnv(gymnasium.Env):
    """One robot. Observations: a dict of `policy` and `critic` (privileged: leave it out of what the policy sees)."""

    metadata = {"render_modes": []}  # noqa: RUF012  gymnasium's own form

    def __init__(self, *, core: VectorNav | None = None, **build: Any) -> None:
        """Args: core: of one environment; else the arguments of `make_core`."""
        self.core = core or make_core(**build, envs=1)
        self.observation_space, self.action_space = spaces(self.core)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Next episode; `options["episode"]` is its row of `core.pool`, else it is drawn.

        Raises:
            ConfigError: there is no such row.
        """
        super().reset(seed=seed)
        chosen = (options or {}).get("episode")
        observed = self.core.reset(seed, quota=None if chosen is None else np.array([chosen]))
        return _row(observed, 0), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One control step; info at the end of an episode as `VectorNav.step`, one value each."""
        observed, reward, terminated, truncated, info = self.core.step(np.asarray(action)[None])
        ended = len(info["env"]) > 0
        seen = info.pop("final_obs") if ended else observed
        told = {name: value[0].item() for name, value in info.items() if ended and name != "env"}
        return _row(seen, 0), float(reward[0]), bool(terminated[0]), bool(truncated[0]), told


class NavVectorEnv(gymnasium.vector.VectorEnv):
    """Many robots; an environment starts its next episode in the step that ends one."""

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(self, num_envs: int = 1, *, core: VectorNav | None = None, **build: Any) -> None:
        """Args: core: instead of `num_envs` and the arguments of `make_core`."""
        self.core = core or make_core(**build, envs=num_envs)
        self.num_envs = self.core.num_envs
        self.single_observation_space, self.single_action_space = spaces(self.core)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start everywhere anew; `options["quota"]` as `VectorNav.reset`."""
        super().reset(seed=seed)
        return self.core.reset(seed, quota=(options or {}).get("quota")), {}

    def step(self, actions: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One control step. Infos: `final_obs` (N,) of dicts and `final_info` of arrays (N,), each with the mask
        `_<name>` of the environments that it is said of, as gymnasium's own vector environments."""
        observed, reward, terminated, truncated, info = self.core.step(actions)
        envs = info["env"]
        if len(envs) == 0:
            return observed, reward, terminated, truncated, {}
        ended = np.zeros(self.num_envs, np.bool_)
        ended[envs] = True
        last = np.full(self.num_envs, None, object)
        for k, env in enumerate(envs):
            last[env] = _row(info["final_obs"], k)
        final: dict[str, Any] = {}
        for name, value in info.items():
            if name not in ("env", "final_obs"):
                final[name] = np.zeros(self.num_envs, value.dtype)
                final[name][envs] = value
                final[f"_{name}"] = ended.copy()
        infos = {"final_obs": last, "_final_obs": ended, "final_info": final, "_final_info": ended.copy()}
        return observed, reward, terminated, truncated, infos


def _row(observed: dict[str, np.ndarray], k: int) -> dict[str, np.ndarray]:
    return {name: value[k].copy() for name, value in observed.items()}


def register() -> None:
    """Make `gymnasium.make("lyra/Nav-v0", out=..., robot=...)` and `gymnasium.make_vec(..., num_envs=N)` known."""
    if ID not in gymnasium.registry:
        gymnasium.register(
            ID,
            entry_point="robot_tasks.envs.gym:NavEnv",
            vector_entry_point="robot_tasks.envs.gym:NavVectorEnv",
            order_enforce=True,
        )


register()
