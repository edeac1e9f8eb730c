"""A stand-in for the parts of Isaac Lab that the task package touches: configurations that refuse unknown fields, and
managers that call terms as Isaac Lab's do. Written by hand; the real 2.3.2 is in benchmarks/isaaclab_package.py."""

import copy
import inspect
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import torch

VERSIONS = {2: "0.54.2", 3: "4.5.1"}


def _fields(cls: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in reversed(cls.__mro__[:-1]):
        found.update(dict.fromkeys(vars(part).get("__annotations__", {}), MISSING))
        plain = (types.FunctionType, property, classmethod, staticmethod)
        found.update({k: v for k, v in vars(part).items() if k[0] != "_" and not isinstance(v, plain)})
    return {
        k: v for k, v in found.items() if not (isinstance(v, type) and v.__qualname__.endswith(f"{cls.__name__}.{k}"))
    }


def configclass(cls: type) -> type:
    """Fields with copied defaults; an unknown one raises TypeError."""

    def init(self: Any, **given: Any) -> None:
        known = _fields(type(self))
        if unknown := given.keys() - known.keys():
            raise TypeError(f"{type(self).__name__} got unexpected fields {sorted(unknown)}")
        for name, value in {**known, **given}.items():
            setattr(self, name, copy.deepcopy(value) if not isinstance(value, type) else value)
        if hasattr(self, "__post_init__"):
            self.__post_init__()

    def validate(self: Any) -> None:
        for name, value in vars(self).items():
            if value is MISSING:
                raise TypeError(f"{type(self).__name__}.{name} is missing")
            if hasattr(value, "validate") and not isinstance(value, type):
                value.validate()

    cls.__init__, cls.validate = init, validate
    cls.__dataclass_fields__ = _fields(cls)
    return cls


def _cfg(name: str, bases: tuple[type, ...] = (), **fields: Any) -> type:
    return configclass(type(name, bases, fields))


class Term:
    """Of any manager."""

    def __init__(self, cfg: Any, env: Any) -> None:
        self.cfg, self._env = cfg, env
        self.num_envs, self.device = env.num_envs, env.device
        self.metrics: dict[str, torch.Tensor] = {}
        if hasattr(cfg, "asset_name"):
            self._asset = env.scene[cfg.asset_name]


class Manager:
    """Terms by name; parameters must be the function's arguments, by name, as Isaac Lab insists."""

    skip = 1

    def __init__(self, cfg: Any, env: Any) -> None:
        self.env, self.terms = env, {k: copy.deepcopy(v) for k, v in vars(cfg).items() if v is not None}
        for term in self.terms.values():
            if hasattr(term, "func"):
                called = term.func.__call__ if inspect.isclass(term.func) else term.func
                names = list(inspect.signature(called).parameters)[self.skip + inspect.isclass(term.func) :]
                if set(names) != set(term.params):
                    raise ValueError(f"{term.func} takes {names}, got {list(term.params)}")
                if inspect.isclass(term.func):
                    term.func = term.func(cfg=term, env=env)

    def reset(self, env_ids: Any = None) -> None:
        """Nothing is kept."""


class CommandManager(Manager):
    def __init__(self, cfg: Any, env: Any) -> None:
        super().__init__(cfg, env)
        self.made = {name: term.class_type(term, env) for name, term in self.terms.items()}

    def get_term(self, name: str) -> Any:
        return self.made[name]

    def get_command(self, name: str) -> torch.Tensor:
        return self.made[name].command

    def reset(self, env_ids: Any = None) -> None:
        for term in self.made.values():
            term._resample_command(env_ids)

    def compute(self, dt: float) -> None:
        for term in self.made.values():
            term._update_metrics()
            term._update_command()


class ActionManager(Manager):
    def __init__(self, cfg: Any, env: Any) -> None:
        super().__init__(cfg, env)
        self.made = {name: term.class_type(term, env) for name, term in self.terms.items()}

    def get_term(self, name: str) -> Any:
        return self.made[name]

    def process_action(self, action: torch.Tensor) -> None:
        for term in self.made.values():
            term.process_actions(action)

    def apply_action(self) -> None:
        for term in self.made.values():
            term.apply_actions()

    def reset(self, env_ids: Any = None) -> None:
        for term in self.made.values():
            term.reset(env_ids)


class EventManager(Manager):
    skip = 2

    def apply(self, mode: str, env_ids: Any, global_env_step_count: int) -> None:
        for term in self.terms.values():
            term.func(self.env, env_ids, **term.params)


class TerminationManager(Manager):
    def compute(self) -> torch.Tensor:
        self.done = {name: term.func(self.env, **term.params) for name, term in self.terms.items()}
        none = torch.zeros(self.env.num_envs, dtype=torch.bool)
        self.time_outs, self.terminated = none.clone(), none.clone()
        for name, term in self.terms.items():
            target = self.time_outs if term.time_out else self.terminated
            target |= self.done[name]
        return self.time_outs | self.terminated

    def get_term(self, name: str) -> torch.Tensor:
        return getattr(self, "done", {}).get(name, torch.zeros(self.env.num_envs, dtype=torch.bool))


class RewardManager(Manager):
    def compute(self, dt: float) -> torch.Tensor:
        return sum(term.func(self.env, **term.params) * term.weight * dt for term in self.terms.values())


class CurriculumManager(Manager):
    skip = 2

    def compute(self, env_ids: Any) -> None:
        self.states = {name: term.func(self.env, env_ids, **term.params) for name, term in self.terms.items()}

    def get_active_iterable_terms(self, env_idx: int) -> list[tuple[str, list[float]]]:
        return [(name, [float(state)]) for name, state in self.states.items()]


class ObservationManager(Manager):
    def __init__(self, cfg: Any, env: Any) -> None:
        self.env = env
        self.groups = {name: Manager(group, env) for name, group in vars(cfg).items()}

    def compute(self) -> dict[str, torch.Tensor]:
        return {
            name: torch.cat([term.func(self.env, **term.params) for term in group.terms.values()], -1)
            for name, group in self.groups.items()
        }


def _managers() -> dict[str, Any]:
    term = {"func": MISSING, "params": {}}
    return {
        "CommandTerm": Term, "ActionTerm": Term, "ManagerTermBase": Term,
        "CommandTermCfg": _cfg(
            "CommandTermCfg", class_type=MISSING, resampling_time_range=MISSING, debug_vis=False
        ),
        "ActionTermCfg": _cfg("ActionTermCfg", class_type=MISSING, asset_name=MISSING, debug_vis=False),
        "CurriculumTermCfg": _cfg("CurriculumTermCfg", **term),
        "EventTermCfg": _cfg("EventTermCfg", mode=MISSING, **term),
        "ObservationGroupCfg": _cfg("ObservationGroupCfg"),
        "ObservationTermCfg": _cfg("ObservationTermCfg", **term),
        "RewardTermCfg": _cfg("RewardTermCfg", weight=MISSING, **term),
        "TerminationTermCfg": _cfg("TerminationTermCfg", time_out=False, **term),
        **{
            cls.__name__: cls
            for cls in (
                CommandManager, ActionManager, EventManager, TerminationManager, RewardManager, CurriculumManager,
                ObservationManager,
            )
        },
    }  # fmt: skip


def _modules(lab: int) -> dict[str, dict[str, Any]]:
    usd = _cfg("UsdFileCfg", usd_path=MISSING, activate_contact_sensors=False, variants=None)
    asset = _cfg("AssetBaseCfg", prim_path=MISSING, spawn=None, collision_group=0)
    state = _cfg("InitialStateCfg", pos=(0.0, 0.0, 0.0))
    ray = _cfg(
        "RayCasterCfg", prim_path=MISSING, mesh_prim_paths=MISSING, offset=None, ray_alignment="base",
        pattern_cfg=MISSING, max_distance=1e6,
    )  # fmt: skip
    ray.OffsetCfg = _cfg("OffsetCfg", pos=(0.0, 0.0, 0.0))
    multi = _cfg("MultiMeshRayCasterCfg", (ray,))
    path = "prim_expr" if lab == 2 else "target_prim_expr"  # both names were released
    multi.RaycastTargetCfg = _cfg("RaycastTargetCfg", **{path: MISSING, "track_mesh_transforms": True})
    scene = {"num_envs": MISSING, "env_spacing": MISSING, "replicate_physics": True, "filter_collisions": True}
    sim = _cfg("SimulationCfg", dt=1 / 60, render_interval=1)
    actuator = _cfg("ImplicitActuatorCfg", joint_names_expr=MISSING, stiffness=MISSING, damping=MISSING)
    robot = _cfg("ArticulationCfg", (asset,), init_state=None, actuators=MISSING)
    robot.InitialStateCfg = state
    lidar = _cfg("LidarPatternCfg", channels=MISSING, vertical_fov_range=MISSING, horizontal_fov_range=MISSING,
                 horizontal_res=MISSING)  # fmt: skip

    def euler(roll: torch.Tensor, pitch: torch.Tensor, yaw: torch.Tensor) -> torch.Tensor:
        one, nil = torch.ones_like(yaw), torch.zeros_like(yaw)
        return torch.stack([one, nil, nil, nil] if lab == 2 else [nil, nil, nil, one], -1)

    return {
        "isaaclab": {"__version__": VERSIONS[lab]},
        "isaaclab.utils": {},
        "isaaclab.utils.math": {"quat_from_euler_xyz": euler},
        "isaaclab.utils.configclass": {"configclass": configclass},
        "isaaclab.utils.assets": {"ISAAC_NUCLEUS_DIR": "https://assets/Isaac"},
        "isaaclab.sim": {
            "UsdFileCfg": usd,
            "MultiUsdFileCfg": _cfg("MultiUsdFileCfg", (usd,), random_choice=True),
            "DomeLightCfg": _cfg("DomeLightCfg", intensity=1.0),
        },
        "isaaclab.actuators": {"ImplicitActuatorCfg": actuator},
        "isaaclab.assets": {"AssetBaseCfg": asset, "ArticulationCfg": robot},
        "isaaclab.scene": {"InteractiveSceneCfg": _cfg("InteractiveSceneCfg", **scene)},
        "isaaclab.sensors": {
            "RayCasterCfg": ray,
            "MultiMeshRayCasterCfg": multi,
            "patterns": types.SimpleNamespace(LidarPatternCfg=lidar),
            "ContactSensorCfg": _cfg("ContactSensorCfg", prim_path=MISSING, history_length=0),
        },
        "isaaclab.managers": _managers(),
        "isaaclab.envs": {
            "ManagerBasedRLEnv": object,
            "ManagerBasedRLEnvCfg": _cfg(
                "ManagerBasedRLEnvCfg", decimation=MISSING, episode_length_s=MISSING, sim=sim()
            ),
        },
        "isaaclab_rl": {},
        "isaaclab_rl.rsl_rl": _rsl_rl(lab),
    }  # fmt: skip


def _rsl_rl(lab: int) -> dict[str, Any]:
    algorithm = dict.fromkeys(
        "value_loss_coef use_clipped_value_loss clip_param entropy_coef num_learning_epochs num_mini_batches "
        "learning_rate schedule gamma lam desired_kl max_grad_norm".split(),
        MISSING,
    )
    runner = dict.fromkeys("num_steps_per_env max_iterations save_interval experiment_name algorithm".split(), MISSING)
    networks = {"obs_groups": None, "policy": None} if lab == 2 else {"obs_groups": None, "actor": None, "critic": None}
    found = {
        "RslRlPpoAlgorithmCfg": _cfg("RslRlPpoAlgorithmCfg", **algorithm),
        "RslRlOnPolicyRunnerCfg": _cfg("RslRlOnPolicyRunnerCfg", seed=42, **runner, **networks),
    }
    memory = dict.fromkeys("rnn_type rnn_hidden_dim rnn_num_layers".split(), MISSING)
    if lab == 2:
        names = "init_noise_std noise_std_type actor_obs_normalization critic_obs_normalization actor_hidden_dims "
        fields = dict.fromkeys((names + "critic_hidden_dims activation").split(), MISSING)
        return {**found, "RslRlPpoActorCriticRecurrentCfg": _cfg("RslRlPpoActorCriticRecurrentCfg", **fields, **memory)}
    mlp = _cfg(
        "RslRlMLPModelCfg", hidden_dims=MISSING, activation=MISSING, obs_normalization=False, distribution_cfg=None
    )
    mlp.GaussianDistributionCfg = _cfg("GaussianDistributionCfg", init_std=MISSING, std_type="scalar")
    return {**found, "RslRlMLPModelCfg": mlp, "RslRlRNNModelCfg": _cfg("RslRlRNNModelCfg", (mlp,), **memory)}


@contextmanager
def package(out: Path, lab: int, version: str = "") -> Iterator[types.ModuleType]:
    """The task package of an output folder, imported against the stand-in of Isaac Lab `lab`; forgotten afterwards."""
    import importlib

    import gymnasium as gym

    source = str(out / "isaaclab" / "source" / "lyra_sim_nav")
    for name, content in _modules(lab).items():
        module = types.ModuleType(name)
        module.__path__ = []  # pyright: ignore[reportAttributeAccessIssue]
        vars(module).update(content)
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
    if version:
        sys.modules["isaaclab"].__version__ = version  # pyright: ignore[reportAttributeAccessIssue]
    sys.path.insert(0, source)
    try:
        yield importlib.import_module("lyra_sim_nav")
    finally:
        sys.path.remove(source)
        for name in [n for n in sys.modules if n.split(".")[0] in ("isaaclab", "isaaclab_rl", "lyra_sim_nav")]:
            del sys.modules[name]
        for task in [t for t in gym.registry if t.startswith("LyraSim-Nav-")]:
            del gym.registry[task]
