"""The Isaac Lab task package of an output folder.

Owns: `package/`, which is copied to OUT/isaaclab/ as it stands (it imports `isaaclab`, and nothing of lyra-sim), and
task.json beside it: robots and rules as data. Does not own: worlds, episodes, the rules themselves
(`lyra_sim/config/envs.py`; `robot_tasks/envs` plays by them, the tests hold both together).
Start reading at `write.py`, then `package/source/lyra_sim_nav/lyra_sim_nav/tasks/nav/nav_env_cfg.py`.
"""

from robot_tasks.isaaclab.write import write_isaaclab_package

__all__ = ["write_isaaclab_package"]
