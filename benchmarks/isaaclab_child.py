"""Holds a written Isaac Lab package against the real sources of Isaac Lab, without Isaac Sim; run by
isaaclab_package.py in an environment of its own. Only Kit's modules (omni, carb, isaacsim, usdrt) are stand-ins, which
answer anything.

    python benchmarks/isaaclab_child.py SOURCES OUT DRIVES

Prints one JSON object.
"""

import importlib
import importlib.abc
import importlib.machinery
import json
import os
import sys
import types
from pathlib import Path
from typing import Any

KIT = ("omni", "carb", "isaacsim", "usdrt")
PROJECTS = ("isaaclab", "isaaclab_tasks", "isaaclab_assets", "isaaclab_rl", "isaaclab_contrib")


class _Meta(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything


class Anything(metaclass=_Meta):
    """Can be called, asked and subclassed."""

    def __init__(self, *args: Any, **named: Any) -> None:
        pass

    def __call__(self, *args: Any, **named: Any) -> Any:
        return Anything()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything()

    def __iter__(self) -> Any:
        return iter(())

    def __str__(self) -> str:
        return "stand-in"


class Module(types.ModuleType):
    """Has every name."""

    __path__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds Kit's modules."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name.split(".")[0] in KIT:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> Module:
        return Module(spec.name)

    def exec_module(self, module: Any) -> None:
        pass


def prepare(sources: Path) -> None:
    """Make Isaac Lab importable."""
    sys.path[:0] = [str(sources / name) for name in PROJECTS]
    sys.meta_path.insert(0, Finder())
    import pxr

    for name in ("PhysxSchema", "Semantics"):  # Kit's own builds of OpenUSD have these
        sys.modules[f"pxr.{name}"] = module = Module(f"pxr.{name}")
        setattr(pxr, name, module)
    import carb  # pyright: ignore[reportMissingImports]
    import isaacsim.core.version as version  # pyright: ignore[reportMissingImports]

    version.get_version = lambda: ("5.1.0", "", "5", "1", "0", "", "", "")
    asked = types.SimpleNamespace(get=lambda key: "https://assets", get_as_bool=lambda key: False)
    carb.settings = Module("carb.settings")
    carb.settings.get_settings = lambda: asked
    sys.modules["carb.settings"] = carb.settings


def load_all() -> dict[str, Any]:
    """Every registered configuration through Isaac Lab's own loader, in both modes."""
    import gymnasium as gym
    from isaaclab_tasks.utils.parse_cfg import load_cfg_from_registry  # pyright: ignore[reportMissingImports]

    found = {"validated": 0, "refused": 0, "yaml": 0}
    for mode in ("per_env", "shared"):
        os.environ["LYRA_SIM_SCENES"] = mode
        for task in sorted(name for name in gym.registry if name.startswith("LyraSim-Nav-")):
            for key in gym.spec(task).kwargs:
                try:
                    cfg = load_cfg_from_registry(task, key)
                except NotImplementedError:
                    found["refused"] += 1
                    continue
                found["yaml" if isinstance(cfg, dict) else "validated"] += 1
                if not isinstance(cfg, dict):
                    cfg.validate()
                    cfg.to_dict()
            module, name = gym.spec(task).entry_point.split(":")
            assert hasattr(importlib.import_module(module), name)
    return found


def misspelt() -> int:
    """How many of these wrong fields are refused."""
    from lyra_sim_nav.tasks.nav import mdp, nav_env_cfg, scene_cfg  # pyright: ignore[reportMissingImports]

    refused = 0
    for make in (nav_env_cfg.JetbotNavEnvCfg, scene_cfg.NavSceneCfg, mdp.EpisodeGoalCommandCfg):
        try:
            make(no_such_field=1)
        except TypeError:
            refused += 1
    return refused


def replays(out: Path, drives: Path) -> dict[str, Any]:
    """The package's terms in Isaac Lab's own managers, against drives of the light simulation."""
    import isaaclab.managers as managers  # pyright: ignore[reportMissingImports]
    import numpy as np
    from lyra_sim_nav.tasks.nav import nav_env_cfg  # pyright: ignore[reportMissingImports]

    from tests.robot_tasks import isaac_replay

    found = {}
    for file in sorted(drives.glob("*.npz")):
        robot, mode = file.stem.split("-")
        os.environ["LYRA_SIM_SCENES"] = mode
        recorded = dict(np.load(file))
        cfg = (nav_env_cfg.JetbotNavEnvCfg if robot == "jetbot" else nav_env_cfg.NovaCarterNavEnvCfg)()
        cfg.scene.num_envs = recorded["hit"].shape[1]
        folders = [Path(folder) for folder in cfg.commands.goal.worlds]
        order = [isaac_replay.nearest_first(folder, robot) for folder in folders]
        stage = stage_of([folders[int(w)] for w in recorded["world"][0]])
        found[file.stem] = isaac_replay.replay(cfg, recorded, order, managers, 2, stage)
        found[f"{file.stem} rays"] = rays(cfg, recorded, folders, order)
    return found


def stage_of(folders: list[Path]) -> Any:
    """A USD stage as the per-environment scene spawns it."""
    from lyra_sim_nav.worlds import place_file  # pyright: ignore[reportMissingImports]
    from pxr import Usd, UsdGeom

    stage = Usd.Stage.CreateInMemory()
    for number, folder in enumerate(folders):
        prim = UsdGeom.Xform.Define(stage, f"/World/envs/env_{number}/Place").GetPrim()
        prim.GetReferences().AddReference(str(place_file(folder)))
    return stage


def rays(cfg: Any, recorded: dict[str, Any], folders: list[Path], order: list[Any]) -> dict[str, float]:
    """Isaac Lab's lidar pattern and Warp caster on nav_collision.usdc from the first starts, beside the light
    simulation's scan: p50 and p90 of the difference, metres, the share of beams more than 0.25 m apart, and the share
    that meets nothing; the median with the beams in two wrong orders."""
    import numpy as np
    import torch
    from isaaclab.utils.warp import convert_to_warp_mesh, raycast_mesh  # pyright: ignore[reportMissingImports]
    from lyra_sim_nav.worlds import place_file, read_world  # pyright: ignore[reportMissingImports]
    from pxr import Usd, UsdGeom

    lidar, goal = cfg.scene.lidar, cfg.commands.goal
    _, along = lidar.pattern_cfg.func(lidar.pattern_cfg, "cpu")
    height = float(lidar.offset.pos[2]) + cfg.events.start.params["base_height_m"]
    scans = []
    for number, folder in enumerate(folders):
        stage = Usd.Stage.Open(str(place_file(folder)))
        below = Usd.PrimRange(stage.GetPrimAtPath("/Place/Rays"))
        (mesh,) = [UsdGeom.Mesh(prim) for prim in below if prim.IsA(UsdGeom.Mesh)]
        faces = np.array(mesh.GetFaceVertexIndicesAttr().Get())
        surface = convert_to_warp_mesh(np.array(mesh.GetPointsAttr().Get()), faces, device="cpu")
        world = read_world(folder, goal.profile, goal.radius_m)
        for n in np.flatnonzero(recorded["world"][0] == number):
            row = int(np.flatnonzero(order[number] == recorded["episode"][0][n])[0])
            c, s = np.cos(world.yaw[row]), np.sin(world.yaw[row])
            turn = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float32)
            start = torch.tensor(world.start[row] + [0, 0, height], dtype=torch.float32)
            hits = raycast_mesh(
                start.expand(1, len(along), 3).contiguous(), (along @ turn.T)[None].contiguous(),
                max_dist=lidar.max_distance, mesh=surface,
            )[0]  # fmt: skip
            far = torch.linalg.vector_norm(hits[0] - start, dim=-1).clamp(max=lidar.max_distance).numpy()
            scans.append((far, recorded["policy"][0][n][: len(along)] * lidar.max_distance))
    cast, light = (np.array(part) for part in zip(*scans, strict=True))
    orders = {"mirrored": np.roll(cast[:, ::-1], 1, 1), "one on": np.roll(cast, 1, 1)}
    off = np.abs(cast - light)
    return {
        "beams": float(off.size), "p50": float(np.median(off)), "p90": float(np.quantile(off, 0.9)),
        "far apart": float((off > 0.25).mean()), "meet nothing": float((cast >= lidar.max_distance).mean()),
        **{name: float(np.median(np.abs(turned - light))) for name, turned in orders.items()},
    }  # fmt: skip


def learns() -> str:
    """The policy that Isaac Lab's rsl-rl makes of the runner's configuration and improves twice on made-up numbers."""
    import tempfile

    import torch
    from lyra_sim_nav.tasks.nav.agents.rsl_rl_ppo_cfg import NavPPORunnerCfg  # pyright: ignore[reportMissingImports]
    from rsl_rl.env import VecEnv
    from rsl_rl.runners import OnPolicyRunner
    from tensordict import TensorDict

    class MadeUp(VecEnv):
        num_envs, num_actions, max_episode_length, device = 8, 2, 100, "cpu"
        cfg: Any = None
        episode_length_buf = torch.zeros(8, dtype=torch.long)

        def get_observations(self) -> TensorDict:
            return TensorDict({"policy": torch.randn(8, 71), "critic": torch.randn(8, 74)}, batch_size=[8])

        def step(self, actions: torch.Tensor) -> Any:
            return self.get_observations(), torch.randn(8), torch.rand(8) < 0.1, {"time_outs": torch.zeros(8)}

    with tempfile.TemporaryDirectory() as folder:
        runner = OnPolicyRunner(MadeUp(), NavPPORunnerCfg(device="cpu").to_dict(), log_dir=folder, device="cpu")
        runner.disable_logs, runner.git_status_repos = True, []
        runner.learn(2)
    return type(runner.alg.policy).__name__


def main() -> None:
    sources, out, drives = (Path(argument) for argument in sys.argv[1:4])
    prepare(sources)
    sys.path.insert(0, str(out / "isaaclab" / "source" / "lyra_sim_nav"))
    import isaaclab  # pyright: ignore[reportMissingImports]

    importlib.import_module("lyra_sim_nav")
    found = {"version": isaaclab.__version__, **load_all(), "misspelt": misspelt(), "learns": learns()}
    found["replays"] = replays(out, drives)
    print("FOUND " + json.dumps(found))


if __name__ == "__main__":
    main()
