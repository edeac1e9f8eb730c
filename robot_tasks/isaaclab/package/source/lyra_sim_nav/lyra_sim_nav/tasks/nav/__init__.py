"""`LyraSim-Nav-<Robot>-v0` to train and `LyraSim-Nav-<Robot>-Play-v0` to watch, for every robot of task.json."""

from gymnasium.envs.registration import register

from lyra_sim_nav.drives import DRIVES
from lyra_sim_nav.worlds import camel, task

for _robot in sorted(task()["robots"]):
    _module = "nav_env_cfg" if _robot in DRIVES else "undriven"
    for _kind, _suffix in (("", ""), ("-Play", "_PLAY")):
        register(
            id=f"LyraSim-Nav-{camel(_robot)}{_kind}-v0",
            entry_point="isaaclab.envs:ManagerBasedRLEnv",
            disable_env_checker=True,
            kwargs={
                "env_cfg_entry_point": f"{__name__}.{_module}:{camel(_robot)}NavEnvCfg{_suffix}",
                "rsl_rl_cfg_entry_point": f"{__name__}.agents.rsl_rl_ppo_cfg:NavPPORunnerCfg",
                "skrl_cfg_entry_point": f"{__name__}.agents:skrl_ppo_cfg.yaml",
                "sb3_cfg_entry_point": f"{__name__}.agents:sb3_ppo_cfg.yaml",
            },
        )
