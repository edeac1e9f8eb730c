"""The scene: worlds with their merged mesh for rays, the robot, its scanner, what it feels, light."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import isaaclab.sim as sim_utils
from isaaclab.actuators import ImplicitActuatorCfg
from isaaclab.assets import ArticulationCfg, AssetBaseCfg
from isaaclab.scene import InteractiveSceneCfg
from isaaclab.sensors import ContactSensorCfg, MultiMeshRayCasterCfg, RayCasterCfg, patterns
from isaaclab.utils.assets import ISAAC_NUCLEUS_DIR

from lyra_sim_nav.compat import configclass, ray_target
from lyra_sim_nav.drives import Drive
from lyra_sim_nav.worlds import place_file, size_m

PLACE = "Place"
"""Name of a world below /World or below each environment; Scene and Rays lie below it."""
LIFT_M = 0.03
"""Height of fall at the start of an episode."""
_GAP_M = 5.0
"""Between worlds of neighbouring environments."""


@configclass
class NavSceneCfg(InteractiveSceneCfg):
    """What `build_scene` fills in."""

    light: AssetBaseCfg = AssetBaseCfg(prim_path="/World/Light", spawn=sim_utils.DomeLightCfg(intensity=1000.0))
    world: AssetBaseCfg | None = None
    robot: ArticulationCfg | None = None
    lidar: RayCasterCfg | None = None
    contact: ContactSensorCfg | None = None


def build_scene(
    folders: Sequence[Path], mode: str, robot: str, profile: dict[str, Any], drive: Drive, num_envs: int, history: int
) -> NavSceneCfg:
    """The scene of one robot.

    Args:
        folders: of the worlds; one if `mode` is `shared`.
        mode: `shared`: one world, all robots in it, which do not touch each other; environments all have their origin
            at the world's. `per_env`: each environment has a world, in turn.
        profile: the robot's in task.json.
        history: physics steps per control step, over which contacts are kept.
    """
    shared = mode == "shared"
    root = "/World" if shared else "{ENV_REGEX_NS}"
    reach = 2 * max(size_m(folder, robot) for folder in folders) + _GAP_M
    scene = NavSceneCfg(
        num_envs=num_envs,
        env_spacing=0.0 if shared else reach,
        replicate_physics=shared or len(folders) == 1,
        filter_collisions=shared,
    )
    scene.world = AssetBaseCfg(
        prim_path=f"{root}/{PLACE}", spawn=_usd([place_file(f) for f in folders]), collision_group=-1 if shared else 0
    )
    scene.robot = _robot(profile, drive)
    body = f"{{ENV_REGEX_NS}}/Robot/{drive.base}"
    scene.lidar = _lidar(profile["lidar"], drive, body, f"{root}/{PLACE}/Rays", shared=shared)
    scene.contact = ContactSensorCfg(prim_path=body, history_length=history)
    return scene


def _usd(files: Sequence[Path]) -> sim_utils.UsdFileCfg:
    paths = [str(file) for file in files]
    if len(paths) == 1:
        return sim_utils.UsdFileCfg(usd_path=paths[0])
    return sim_utils.MultiUsdFileCfg(usd_path=paths, random_choice=False)


def _robot(profile: dict[str, Any], drive: Drive) -> ArticulationCfg:
    return ArticulationCfg(
        prim_path="{ENV_REGEX_NS}/Robot",
        spawn=sim_utils.UsdFileCfg(
            usd_path=f"{ISAAC_NUCLEUS_DIR}/{profile['asset'].removeprefix('Isaac/')}", activate_contact_sensors=True
        ),
        init_state=ArticulationCfg.InitialStateCfg(pos=(0.0, 0.0, drive.base_height_m + LIFT_M)),
        # no gains: those of the asset, whose wheels are made to be driven by speed
        actuators={
            "wheels": ImplicitActuatorCfg(joint_names_expr=[drive.left, drive.right], stiffness=None, damping=None)
        },
    )


def _lidar(lidar: dict[str, Any], drive: Drive, body: str, mesh: str, *, shared: bool) -> RayCasterCfg:
    """A level ring of rays, the first straight ahead, then to the left. Aligned with the body: with `yaw`, 2.3 turns
    where rays start, but not where they point."""
    common: dict[str, Any] = {
        "prim_path": body,
        "offset": RayCasterCfg.OffsetCfg(pos=(0.0, 0.0, lidar["height_m"] - drive.base_height_m)),
        "ray_alignment": "base",
        "max_distance": lidar["range_m"],
        "pattern_cfg": patterns.LidarPatternCfg(
            channels=1,
            vertical_fov_range=(0.0, 0.0),
            horizontal_fov_range=(0.0, 360.0),
            horizontal_res=360.0 / lidar["beams"],
        ),
    }
    if shared:
        return RayCasterCfg(mesh_prim_paths=[mesh], **common)
    target = ray_target(MultiMeshRayCasterCfg.RaycastTargetCfg, mesh)
    return MultiMeshRayCasterCfg(mesh_prim_paths=[target], **common)
