"""All that differs between Isaac Lab 2.3 and 3.x, decided once, when this is imported.

Isaac Lab counts the versions of its core package apart from its releases: 2.3.2 carries 0.54, quaternions are xyzw from
1.0 on, the releases named 3 carry 3 and more (source/isaaclab/docs/CHANGELOG.rst, migrating_to_isaaclab_3-0.rst).
"""

from collections.abc import Sequence
from typing import Any

import isaaclab
import torch
from isaaclab.utils import math as _math
from isaaclab.utils.configclass import configclass

__all__ = ["LAB", "configclass"]

_TESTED = "this package knows 2.3.2 and later 2.3 releases (core 0.54 to 0.99) and 3.x (core 3 to 9)"


def generation(version: str) -> int:
    """2 or 3, from the version of Isaac Lab's core package.

    Raises:
        RuntimeError: a version of which nothing is known.
    """
    parts = version.split(".")
    major, minor = (int(part) if part.isdigit() else -1 for part in (*parts, "", "")[:2])
    if major == 0 and 54 <= minor <= 99:
        return 2
    if 3 <= major <= 9:
        return 3
    raise RuntimeError(f"Isaac Lab core {version} is unknown: {_TESTED}. Extend compat.py.")


LAB = generation(isaaclab.__version__)
_FIRST = float(_math.quat_from_euler_xyz(*torch.zeros(3, 1))[0, 0])
if (_FIRST == 1.0) != (LAB == 2):
    raise RuntimeError(f"Isaac Lab core {isaaclab.__version__} orders quaternions as another version does: {_TESTED}.")


def tensor(array: Any) -> torch.Tensor:
    """Data of assets and sensors as a tensor: 3.x wraps Warp arrays."""
    if isinstance(array, torch.Tensor):
        return array
    if hasattr(array, "torch"):
        return array.torch
    import warp

    return warp.to_torch(array)


def quaternion(yaw: torch.Tensor) -> torch.Tensor:
    """(N, 4) of headings (N,), in Isaac Lab's order."""
    zero, c, s = torch.zeros_like(yaw), torch.cos(yaw / 2), torch.sin(yaw / 2)
    return torch.stack([c, zero, zero, s] if LAB == 2 else [zero, zero, s, c], -1)


def heading(quat: torch.Tensor) -> torch.Tensor:
    """Heading (N,) of quaternions (N, 4) in Isaac Lab's order: of the body's x axis seen from above."""
    w, x, y, z = (quat if LAB == 2 else quat.roll(1, -1)).unbind(-1)
    return torch.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def place(robot: Any, position: torch.Tensor, yaw: torch.Tensor, env_ids: torch.Tensor) -> None:
    """Put robots at rest at positions (M, 3) with headings (M,); joints go to their defaults."""
    pose = torch.cat([position, quaternion(yaw)], -1)
    still = torch.zeros(len(pose), 6, device=pose.device)
    joints = tensor(robot.data.default_joint_pos)[env_ids].clone()
    if LAB == 2:
        robot.write_root_pose_to_sim(pose, env_ids=env_ids)
        robot.write_root_velocity_to_sim(still, env_ids=env_ids)
        robot.write_joint_state_to_sim(joints, torch.zeros_like(joints), env_ids=env_ids)
        return
    robot.write_root_pose_to_sim_index(root_pose=pose, env_ids=env_ids)
    robot.write_root_velocity_to_sim_index(root_velocity=still, env_ids=env_ids)
    robot.write_joint_position_to_sim_index(position=joints, env_ids=env_ids)
    robot.write_joint_velocity_to_sim_index(velocity=torch.zeros_like(joints), env_ids=env_ids)


def spin_wheels(robot: Any, speed: torch.Tensor, joint_ids: Sequence[int]) -> None:
    """Velocity targets (N, J), rad/s."""
    target = getattr(getattr(robot, "actuators", None), "target_command", None)
    if LAB == 3 and target is not None:
        target.set_velocity_index(value=speed, joint_ids=joint_ids)
    else:
        robot.set_joint_velocity_target(speed, joint_ids=joint_ids)


def contact_forces(sensor: Any) -> torch.Tensor:
    """Normal forces (N, T, B, 3) over the sensor's history, N."""
    name = "net_normal_forces_w_history"
    return tensor(getattr(sensor.data, name if hasattr(sensor.data, name) else "net_forces_w_history"))


def ray_target(target_class: type, path: str) -> Any:
    """A static mesh to cast rays at; early releases named the path otherwise."""
    field = "prim_expr" if "prim_expr" in target_class.__dataclass_fields__ else "target_prim_expr"
    return target_class(**{field: path, "track_mesh_transforms": False})


def recurrent_models(init_std: float, rnn_dim: int, hidden: list[int]) -> dict[str, Any]:
    """Networks of rsl-rl as fields of its runner's configuration: an actor with a GRU, a critic that sees more."""
    from isaaclab_rl import rsl_rl

    if LAB == 2:
        policy = rsl_rl.RslRlPpoActorCriticRecurrentCfg(
            init_noise_std=init_std, noise_std_type="log", actor_obs_normalization=True, critic_obs_normalization=True,
            actor_hidden_dims=hidden, critic_hidden_dims=hidden, activation="elu", rnn_type="gru",
            rnn_hidden_dim=rnn_dim, rnn_num_layers=1,
        )  # fmt: skip
        return {"policy": policy, "obs_groups": {"policy": ["policy"], "critic": ["critic"]}}
    spread = rsl_rl.RslRlMLPModelCfg.GaussianDistributionCfg(init_std=init_std, std_type="log")
    common: dict[str, Any] = {"hidden_dims": hidden, "activation": "elu", "obs_normalization": True}
    return {
        "actor": rsl_rl.RslRlRNNModelCfg(
            rnn_type="gru", rnn_hidden_dim=rnn_dim, rnn_num_layers=1, distribution_cfg=spread, **common
        ),
        "critic": rsl_rl.RslRlMLPModelCfg(**common),
        "obs_groups": {"actor": ["policy"], "critic": ["critic"]},
    }
