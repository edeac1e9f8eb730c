"""The Isaac Sim example against stand-ins: every name it imports exists there, and a unicycle in the robot's place is
driven to the goal. What Isaac Sim itself does cannot be tested without it."""

import gzip
import importlib.util
import json
import math
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from pxr import Usd, UsdGeom, UsdPhysics

SCRIPT = Path(__file__).parents[2] / "examples" / "isaac_sim" / "open_scene.py"
PATH = [[0.0, 0.0], [1.5, 0.0], [1.5, 1.5]]


class Robot:
    """A differential drive without mass."""

    def __init__(self, prim_path: str, name: str) -> None:
        self.prim_path, self.x, self.y, self.yaw, self.wheels = prim_path, 9.0, 9.0, 0.0, (0.0, 0.0)
        self.height = 0.0

    def get_dof_index(self, name: str) -> int:
        return ["joint_caster", "joint_wheel_left", "joint_wheel_right"].index(name)

    def set_world_pose(self, position: np.ndarray, orientation: np.ndarray) -> None:
        self.x, self.y, self.height = position
        self.yaw = 2 * math.atan2(orientation[3], orientation[0])

    def get_world_pose(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array([self.x, self.y, 0]), np.array([math.cos(self.yaw / 2), 0, 0, math.sin(self.yaw / 2)])

    def apply_action(self, action: "Action") -> None:
        assert action.joint_indices.tolist() == [1, 2]
        self.wheels = tuple(action.joint_velocities)

    def move(self, seconds: float) -> None:
        left, right = (0.14 * speed for speed in self.wheels)
        self.yaw += (right - left) / 0.413 * seconds
        self.x += (left + right) / 2 * math.cos(self.yaw) * seconds
        self.y += (left + right) / 2 * math.sin(self.yaw) * seconds


class Action:
    def __init__(self, joint_velocities: np.ndarray, joint_indices: np.ndarray) -> None:
        self.joint_velocities, self.joint_indices = joint_velocities, joint_indices


class World:
    def __init__(self, stage_units_in_meters: float, physics_dt: float, rendering_dt: float) -> None:
        self.scene, self.robots, self.physics_dt = self, [], physics_dt
        MADE.append(self)

    def add(self, robot: Robot) -> Robot:
        self.robots.append(robot)
        return robot

    def reset(self) -> None: ...

    def step(self, render: bool) -> None:
        for robot in self.robots:
            robot.move(self.physics_dt)


MADE: list[World] = []
"""The script makes its world itself; the test wants to see it."""


class App:
    def __init__(self, settings: dict[str, bool]) -> None:
        assert settings == {"headless": True}

    def close(self) -> None: ...


@pytest.fixture
def isaac(monkeypatch: pytest.MonkeyPatch) -> Usd.Stage:
    """Stand-ins for Isaac's modules; the stage with the robot that Isaac would hold."""
    stage = Usd.Stage.CreateInMemory()

    def refer(usd_path: str, prim_path: str) -> None:
        assert usd_path.endswith("/NovaCarter/nova_carter.usd")
        UsdGeom.Xform.Define(stage, prim_path)
        UsdPhysics.ArticulationRootAPI.Apply(UsdGeom.Xform.Define(stage, prim_path + "/chassis_link").GetPrim())

    context = types.SimpleNamespace(get_stage=lambda: stage)
    modules = {
        "isaacsim": {"SimulationApp": App},
        "isaacsim.core": {},
        "isaacsim.core.api": {"World": World},
        "isaacsim.core.prims": {"SingleArticulation": Robot},
        "isaacsim.core.utils": {},
        "isaacsim.core.utils.stage": {"open_stage": lambda p: Path(p).is_file(), "add_reference_to_stage": refer},
        "isaacsim.core.utils.types": {"ArticulationAction": Action},
        "isaacsim.storage": {},
        "isaacsim.storage.native": {"get_assets_root_path": lambda: "https://assets"},
        "omni": {},
        "omni.usd": {"get_context": lambda: context},
    }
    for name, members in modules.items():
        module = types.ModuleType(name)
        module.__dict__.update(members, __path__=[])
        monkeypatch.setitem(sys.modules, name, module)
    for name in modules:
        if "." in name:
            parent, child = name.rsplit(".", 1)
            setattr(sys.modules[parent], child, sys.modules[name])
    MADE.clear()
    return stage


@pytest.fixture
def script() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("open_scene", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["open_scene"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def world_folder(tmp_path: Path) -> Path:
    row = {
        "start_position": [0.0, 0.0, 0.01],
        "start_rotation": [math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)],
        "goals": [{"position": [1.5, 1.5, 0.01], "radius": 0.2}],
        "path": PATH,
    }
    (tmp_path / "nav" / "nova_carter").mkdir(parents=True)
    (tmp_path / "stage.usda").write_text("#usda 1.0\n")
    file = tmp_path / "nav" / "nova_carter" / "episodes.json.gz"
    file.write_bytes(gzip.compress(json.dumps({"episodes": [row]}).encode()))
    return tmp_path


def test_the_robot_drives_the_episode(isaac: Usd.Stage, script, world_folder: Path, capsys):
    assert script.main([str(world_folder), "--headless"]) == 0
    assert capsys.readouterr().out == "goal reached\n"
    (robot,) = MADE[0].robots
    assert robot.prim_path == "/NovaCarter/chassis_link"
    assert math.hypot(robot.x - 1.5, robot.y - 1.5) < 0.35
    assert robot.height == pytest.approx(0.04)  # 3 cm over the floor
    assert script.main([str(world_folder), "--headless", "--seconds", "1"]) == 1


def test_what_is_missing_is_named(script, world_folder: Path):
    with pytest.raises(SystemExit, match="there is no episode 7"):
        script.main([str(world_folder), "--episode", "7"])
    with pytest.raises(SystemExit, match=r"episodes\.json\.gz is missing"):
        script.main([str(world_folder / "nowhere")])


def test_wheels_turn_the_robot_the_right_way(script):
    left, right = script.wheel_speeds(0.0, 1.0)
    assert left == -right and right > 0
    assert script.carrot([(0, 0), (1, 0), (1, 1)], 0.9, 0.05, 0.3) == pytest.approx((1.0, 0.2))
