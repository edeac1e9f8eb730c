"""The Isaac Lab package: what is written, that all of it can be imported and resolved, and that its terms give the
light simulation's observations, rewards and ends on the same poses."""

import importlib
import json
import math
import py_compile
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from pxr import Usd, UsdGeom, UsdPhysics

from lyra_sim.config.envs import CurriculumConfig, EnvConfig
from lyra_sim.config.robots import load_robots
from robot_tasks.build import build_nav_of_soups
from robot_tasks.envs.atlas import DISTANCE_UNIT_M
from robot_tasks.isaaclab import write_isaaclab_package
from robot_tasks.worlds import read_worlds
from tests.robot_tasks import rooms
from tests.robot_tasks.fake_isaaclab import package
from tests.robot_tasks.isaac_reference import record_drives

torch = pytest.importorskip("torch")
from tests.robot_tasks import isaac_replay  # noqa: E402

ROBOTS = load_robots(("jetbot", "nova_carter", "go2", "turtlebot"))
LABS = (2, 3)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder of two worlds, one of them for both robots, with the package."""
    out = tmp_path_factory.mktemp("out")
    flat, lines = rooms.Flat(), []
    for name, shift, robots in (("alpha", 0.0, (rooms.JETBOT, rooms.CARTER)), ("beta", 0.7, (rooms.JETBOT,))):
        crate = ((1.2 + shift, 2.2, -0.05), (1.5 + shift, 2.5, 1.0))
        soup = rooms.soup(*flat.boxes, crate)
        holes = (*flat.rectangles, (crate[0][0], crate[0][1], crate[1][0], crate[1][1]))
        floor = rooms.floor_grid(*flat.size, holes=holes)
        (out / name).mkdir()
        rooms.write_usd(out / name / "scene.usda", flat.boxes)
        rooms.write_usd(out / name / "nav_collision.usdc", flat.boxes[:1])
        build_nav_of_soups([soup], out / name, floor=floor, robots=robots, config=rooms.FEW, seed=3)
        row = {"world": name, "path": name, "robots": [r.name for r in robots], "split": "train", "scale_sigma": 0.02}
        lines.append(json.dumps(row))
    (out / "worlds.jsonl").write_text("\n".join(lines) + "\n")
    near_first = CurriculumConfig(bins=3, window=8, promote=0.3)
    write_isaaclab_package(
        out, ROBOTS, EnvConfig(curriculum=near_first, time_factor=1.5, time_turns=0.5, stop_share=0.9)
    )
    return out


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_same_robots_give_the_same_bytes_and_replace_what_was_there(out: Path, tmp_path: Path) -> None:
    shutil.copy(out / "worlds.jsonl", tmp_path)
    first = bytes_of(write_isaaclab_package(tmp_path, ROBOTS))
    (tmp_path / "isaaclab" / "stale.py").write_text("")
    assert bytes_of(write_isaaclab_package(tmp_path, ROBOTS)) == first
    assert not list(tmp_path.glob(".*"))
    assert bytes_of(write_isaaclab_package(tmp_path, ROBOTS[:1])) != first


def test_every_file_can_be_read(out: Path, tmp_path: Path) -> None:
    files = [p for p in (out / "isaaclab").rglob("*") if p.is_file()]
    for file in files:
        if file.suffix == ".py":
            py_compile.compile(str(file), cfile=str(tmp_path / "x.pyc"), doraise=True)
        elif file.suffix == ".yaml":
            yaml.safe_load(file.read_text())
        elif file.suffix == ".toml":
            tomllib.loads(file.read_text())
        elif file.suffix == ".json":
            json.loads(file.read_text())
        assert b"/root/" not in file.read_bytes()
    suffixes = {file.suffix for file in files}
    assert suffixes == {".py", ".yaml", ".toml", ".json", ".md", ".sh", ".usda"}


@pytest.mark.parametrize("lab", LABS)
@pytest.mark.parametrize("mode", ["per_env", "shared"])
def test_every_entry_point_resolves_and_validates(out: Path, lab: int, mode: str, monkeypatch) -> None:
    import gymnasium as gym

    monkeypatch.setenv("LYRA_SIM_SCENES", mode)
    with package(out, lab):
        specs = [spec for name, spec in gym.registry.items() if name.startswith("LyraSim-Nav-")]
        names = {spec.id for spec in specs}
        assert names == {
            f"LyraSim-Nav-{r}{p}-v0" for r in ("Jetbot", "NovaCarter", "Go2", "Turtlebot") for p in ("", "-Play")
        }
        for spec in specs:
            module, name = spec.entry_point.split(":")
            assert hasattr(importlib.import_module(module), name)
            for key, entry in spec.kwargs.items():
                module, name = entry.split(":")
                found = importlib.import_module(module)
                if name.endswith(".yaml"):
                    assert (Path(found.__file__).parent / name).is_file()
                elif key == "env_cfg_entry_point" and not any(r in spec.id for r in ("Jetbot", "NovaCarter")):
                    with pytest.raises(NotImplementedError, match=r"wheel joints|locomotion policy"):
                        getattr(found, name)()
                else:
                    getattr(found, name)().validate()


def test_a_misspelt_field_is_refused(out: Path) -> None:
    with package(out, 2):
        from lyra_sim_nav.tasks.nav import nav_env_cfg  # pyright: ignore[reportMissingImports]

        with pytest.raises(TypeError, match="splitt"):
            nav_env_cfg.JetbotNavEnvCfg(splitt="val")


def test_classes_that_equal_ways_leave_empty_are_skipped(out: Path) -> None:
    far = torch.cat([torch.ones(60), torch.linspace(2, 9, 40)])  # one and a half classes of the same way
    row = torch.zeros(100, dtype=torch.long)
    tables = SimpleNamespace(geodesic_m=far, world=row)
    goal = SimpleNamespace(tables=tables, share_open=torch.tensor([100]), episode=row)
    env = SimpleNamespace(
        num_envs=100, device="cpu", command_manager=SimpleNamespace(get_term=lambda _: goal),
        episode_length_buf=torch.ones(100),
        termination_manager=SimpleNamespace(get_term=lambda _: torch.ones(100, dtype=torch.bool)),
    )  # fmt: skip
    rules = {"command_name": "goal", "bins": 4, "promote": 0.8, "window": 8}
    with package(out, 2):
        from lyra_sim_nav.tasks.nav import mdp  # pyright: ignore[reportMissingImports]

        term = mdp.NearGoalsFirst(SimpleNamespace(params=rules), env)
        assert goal.share_open.item() == 60
        assert term(env, torch.arange(100), **rules) == 2 and goal.share_open.item() == 75
        goal.episode = torch.full((100,), 74)
        assert term(env, torch.arange(100), **rules) == 3 and goal.share_open.item() == 100


def test_the_scene_is_the_worlds_files(out: Path, monkeypatch) -> None:
    with package(out, 3):
        from lyra_sim_nav.tasks.nav import nav_env_cfg  # pyright: ignore[reportMissingImports]

        apart = nav_env_cfg.JetbotNavEnvCfg().scene
        assert apart.world.spawn.usd_path == [str(out / "isaaclab/worlds" / f"{w}.usda") for w in ("alpha", "beta")]
        assert apart.world.prim_path == "{ENV_REGEX_NS}/Place" and not apart.world.spawn.random_choice
        assert not apart.replicate_physics and apart.env_spacing > 2 * 4.6
        assert apart.lidar.mesh_prim_paths[0].target_prim_expr == "{ENV_REGEX_NS}/Place/Rays"
        monkeypatch.setenv("LYRA_SIM_SCENES", "shared")
        shared = nav_env_cfg.NovaCarterNavEnvCfg().scene
        assert shared.world.prim_path == "/World/Place" and shared.world.collision_group == -1
        assert shared.world.spawn.usd_path == str(out / "isaaclab/worlds/alpha.usda")
        assert (
            shared.env_spacing == 0
            and shared.filter_collisions
            and shared.lidar.mesh_prim_paths == ["/World/Place/Rays"]
        )
        assert shared.robot.spawn.usd_path == "https://assets/Isaac/Robots/NVIDIA/NovaCarter/nova_carter.usd"
        assert shared.lidar.offset.pos[2] == pytest.approx(rooms.CARTER.lidar.height_m)


def test_a_moved_folder_is_found_and_a_missing_one_is_told(out: Path, tmp_path: Path, monkeypatch) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(out, moved)
    with package(moved, 2):
        from lyra_sim_nav import worlds  # pyright: ignore[reportMissingImports]

        assert worlds.world_folders("jetbot") == [moved / "alpha", moved / "beta"]
        monkeypatch.setenv("LYRA_SIM_WORLDS", "beta")
        assert worlds.world_folders("jetbot") == [moved / "beta"]
        with pytest.raises(worlds.WorldsError, match="beta"):
            worlds.world_folders("nova_carter")
        monkeypatch.delenv("LYRA_SIM_WORLDS")
        monkeypatch.setenv("LYRA_SIM_SPLIT", "test")
        with pytest.raises(worlds.WorldsError, match="LYRA_SIM_SPLIT"):
            worlds.world_folders("jetbot")
        monkeypatch.setenv("LYRA_SIM_OUT", str(tmp_path))
        with pytest.raises(worlds.WorldsError, match="pip install -e"):
            worlds.out_folder()


@pytest.mark.parametrize("version", ["0.46.3", "1.2.0", "10.0.0", "0.0.0", "unknown"])
def test_an_unknown_isaac_lab_is_told(out: Path, version: str) -> None:
    with package(out, 3, version), pytest.raises(RuntimeError, match="is unknown"):
        importlib.import_module("lyra_sim_nav.compat")


def test_a_version_that_orders_quaternions_otherwise_is_told(out: Path) -> None:
    with package(out, 3, "0.54.2"), pytest.raises(RuntimeError, match="orders quaternions"):
        importlib.import_module("lyra_sim_nav.compat")


@pytest.mark.parametrize("lab", LABS)
def test_heading_of_a_tilted_body(out: Path, lab: int) -> None:
    from scipy.spatial.transform import Rotation

    with package(out, lab):
        compat = importlib.import_module("lyra_sim_nav.compat")
        turns = Rotation.from_euler("ZYX", [[0.3, 0.05, -0.1], [-2.8, 0.2, 0.1], [3.1, 0, 0]])
        quat = turns.as_quat()
        given = torch.tensor(np.roll(quat, 1, 1) if lab == 2 else quat)
        assert np.allclose(compat.heading(given).numpy(), [0.3, -2.8, 3.1], atol=1e-6)
        level = compat.quaternion(torch.tensor([0.7]))[0].numpy()
        assert np.allclose(
            Rotation.from_quat(np.roll(level, -1) if lab == 2 else level).as_rotvec(), [0, 0, 0.7], atol=1e-6
        )


def test_distances_are_those_of_grid_sample(out: Path) -> None:
    """Torch's own bilinear sampling as the oracle, on cells whose neighbours are all known."""
    with package(out, 2):
        read = importlib.import_module("lyra_sim_nav.worlds").read_world
        tables_class = importlib.import_module("lyra_sim_nav.tasks.nav.mdp.tables").NavTables
        both = [read(out / name, "jetbot", rooms.JETBOT.radius_m) for name in ("alpha", "beta")]
        tables = tables_class(both, "cpu")
        episode = torch.arange(len(tables.yaw))
        rng = np.random.default_rng(0)
        point = torch.tensor(rng.uniform(0.2, 2.8, (len(episode), 2)), dtype=torch.float32)
        found = tables.way_m(episode, point)
        for row in range(len(episode)):
            world = both[int(tables.world[row])]
            number = int(tables.field[row]) - int(tables.world[row]) * len(both[0].distance)
            grid = torch.tensor(world.distance[number].astype(np.float32)) * DISTANCE_UNIT_M
            size = torch.tensor(grid.shape) * world.cell_m
            at = 2 * (point[row] - torch.tensor(world.origin_m, dtype=torch.float32)) / size - 1
            want = torch.nn.functional.grid_sample(
                grid.T[None, None], at[None, None, None].float(), padding_mode="border", align_corners=False
            )
            if math.isfinite(found[row]):
                assert float(found[row]) == pytest.approx(float(want), abs=2e-4)
        assert torch.isfinite(found).float().mean() > 0.5
        start = tables.way_m(episode, tables.start[:, :2])
        assert float((start - tables.geodesic_m).abs().max()) < 0.08  # half a cell of map, and a follower's path


@pytest.mark.parametrize("lab", LABS)
@pytest.mark.parametrize(("mode", "robot"), [("per_env", rooms.JETBOT), ("shared", rooms.CARTER)])
def test_terms_give_what_the_light_simulation_gives(out: Path, lab: int, mode: str, robot, monkeypatch) -> None:
    monkeypatch.setenv("LYRA_SIM_SCENES", mode)
    worlds = read_worlds(out, robot)
    assert len(worlds) == (2 if mode == "per_env" else 1)
    rules = EnvConfig.model_validate(json.loads((out / "isaaclab" / "task.json").read_text())["env"])
    drives = record_drives(worlds, robot, rules, envs=16, steps=400)
    assert drives["terminated"].sum() > 10 and drives["truncated"].sum() > 0 and drives["hit"].sum() > 20
    assert drives["level"][-1] > 0
    order = [isaac_replay.nearest_first(world.folder, robot.name) for world in worlds]
    with package(out, lab):
        nav_env_cfg = importlib.import_module("lyra_sim_nav.tasks.nav.nav_env_cfg")
        managers = importlib.import_module("isaaclab.managers")
        cfg = (nav_env_cfg.JetbotNavEnvCfg if robot.name == "jetbot" else nav_env_cfg.NovaCarterNavEnvCfg)()
        cfg.scene.num_envs = 16
        stage = stage_of(out, [worlds[int(w)].name for w in drives["world"][0]])
        worst = isaac_replay.replay(cfg, drives, order, managers, lab, stage)
    assert worst["terminated"] == worst["truncated"] == worst["level"] == 0
    assert worst["policy"] < (1e-5 if mode == "shared" else 2e-4)  # float32, 150 m from the origin
    assert worst["reward"] < (1e-5 if mode == "shared" else 2e-4)
    assert worst["critic"] < (1e-4 if mode == "shared" else 2e-3)


def stage_of(out: Path, names: list[str]) -> Usd.Stage:
    """A stage whose environments reference these worlds' assets."""
    stage = Usd.Stage.CreateInMemory()
    for number, name in enumerate(names):
        prim = stage.DefinePrim(f"/World/envs/env_{number}/Place", "Xform")
        prim.GetReferences().AddReference(str(out / "isaaclab" / "worlds" / f"{name}.usda"))
    return stage


def test_the_asset_of_a_world_moves_with_the_folder(out: Path, tmp_path: Path) -> None:
    shutil.copytree(out, tmp_path / "moved")
    stage = Usd.Stage.Open(str(tmp_path / "moved/isaaclab/worlds/beta.usda"))
    assert UsdGeom.GetStageUpAxis(stage) == "Z" and UsdGeom.GetStageMetersPerUnit(stage) == 1
    place = stage.GetDefaultPrim()
    colliders = [p for p in Usd.PrimRange(place.GetChild("Scene")) if p.HasAPI(UsdPhysics.CollisionAPI)]
    meshes = [p for p in Usd.PrimRange(place.GetChild("Rays")) if p.IsA(UsdGeom.Mesh)]
    assert len(colliders) == len(rooms.Flat().boxes) and len(meshes) == 1
    assert all(layer.anonymous or "moved" in layer.realPath for layer in stage.GetUsedLayers())


def test_an_environment_without_a_world_is_told(out: Path) -> None:
    with package(out, 2):
        commands = importlib.import_module("lyra_sim_nav.tasks.nav.mdp.commands")
        worlds = importlib.import_module("lyra_sim_nav.worlds")
        both = [worlds.read_world(out / name, "jetbot", 0.12) for name in ("alpha", "beta")]
        scene = SimpleNamespace(env_prim_paths=["/World/envs/env_0"], stage=Usd.Stage.CreateInMemory())
        with pytest.raises(worlds.WorldsError, match="one of the worlds"):
            commands.worlds_of_environments(scene, both, "Place/Scene")


def test_a_robot_off_the_map_gets_finite_numbers_and_no_progress(out: Path, monkeypatch) -> None:
    monkeypatch.setenv("LYRA_SIM_SCENES", "shared")
    with package(out, 2):
        cfg = importlib.import_module("lyra_sim_nav.tasks.nav.nav_env_cfg").JetbotNavEnvCfg(end_on_contact=True)
        cfg.scene.num_envs = 3
        scene = isaac_replay.Scene(cfg.scene, 2, cfg.decimation)
        scene.see(np.full((3, 64), 9.0, np.float32), 5.0)
        env = isaac_replay.Env(cfg, importlib.import_module("isaaclab.managers"), scene)
        goal = env.command_manager.get_term("goal")
        left = goal.previous_m.clone()
        scene.robot.drive_to(np.full((3, 3), 500.0, np.float32), np.zeros((3, 3), np.float32), scene.env_origins)
        assert env.reward_manager.compute(dt=env.step_dt).tolist() == pytest.approx([EnvConfig().reward.time] * 3)
        env.command_manager.compute(dt=env.step_dt)
        assert torch.equal(goal.previous_m, left) and not env.termination_manager.compute().any()
        found = env.observation_manager.compute()
        assert all(torch.isfinite(value).all() for value in found.values())
        assert found["policy"][:, :64].eq(1).all() and found["critic"][:, -2:].eq(0).all()
        scene.feel(np.array([False, True, False]))
        assert env.termination_manager.compute().tolist() == [False, True, False]


def test_the_drive_turns_the_wheels_as_a_differential_drive(out: Path) -> None:
    with package(out, 2):
        cfg = importlib.import_module("lyra_sim_nav.tasks.nav.nav_env_cfg").NovaCarterNavEnvCfg()
        robot = isaac_replay.Robot(2, 2)
        env = SimpleNamespace(num_envs=2, device="cpu", physics_dt=cfg.sim.dt, scene={"robot": robot})
        drive = cfg.actions.drive.class_type(cfg.actions.drive, env)
        drive.process_actions(torch.tensor([[1.0, 0.5], [-1.0, 3.0]]))
        for _ in range(12):  # a tenth of a second: 1 m/s2 and 3 rad/s2
            drive.apply_actions()
        v, w = 0.1, 0.3
        want = [[v - w * 0.413 / 2, v + w * 0.413 / 2], [-w * 0.413 / 2, w * 0.413 / 2]]
        assert np.allclose(robot.wheels.numpy(), np.array(want) / 0.14, atol=1e-5)
        assert drive.raw_actions.tolist() == [[1.0, 0.5], [-1.0, 1.0]]
        drive.reset([1])
        assert drive.raw_actions.tolist() == [[1.0, 0.5], [0.0, 0.0]]


def test_a_script_is_run_with_the_tasks(out: Path, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("word = 'seen'")
    script = tmp_path / "script.py"
    count = "sum(name.startswith('LyraSim-Nav-') for name in gymnasium.registry)"
    script.write_text(f"import sys, gymnasium, beside\nprint(beside.word, sys.argv[1:], {count})")
    command = [sys.executable, str(out / "isaaclab" / "with_tasks.py"), str(script), "--task", "x"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert run.stdout.strip() == "seen ['--task', 'x'] 8"
