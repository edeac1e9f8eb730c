"""Point-goal navigation with a scanner in worlds of lyra-sim, for wheeled robots.

Numbers come from task.json and the worlds' files; rules are those of lyra-sim's light simulation, so a policy trained
there sees the same observations here.
"""

import math
from typing import Any

from isaaclab.envs import ManagerBasedRLEnvCfg
from isaaclab.managers import CurriculumTermCfg as CurrTerm
from isaaclab.managers import EventTermCfg as EventTerm
from isaaclab.managers import ObservationGroupCfg as ObsGroup
from isaaclab.managers import ObservationTermCfg as ObsTerm
from isaaclab.managers import RewardTermCfg as RewTerm
from isaaclab.managers import TerminationTermCfg as DoneTerm

from lyra_sim_nav.compat import configclass
from lyra_sim_nav.drives import DRIVES
from lyra_sim_nav.tasks.nav import mdp
from lyra_sim_nav.tasks.nav.scene_cfg import LIFT_M, PLACE, NavSceneCfg, build_scene
from lyra_sim_nav.worlds import longest_m, scenes, task, world_folders

LIGHT_STEP_S = 0.1
"""Physics step of the light simulation, in which task.json counts its decimation."""
PHYSICS_PER_LIGHT = 12
"""Steps of PhysX in that time: 120 Hz."""
CONTACT_N = 1.0
"""A push from the side that counts as a contact."""


@configclass
class ActionsCfg:
    """Filled in for the robot."""

    drive: mdp.DifferentialDriveActionCfg | None = None


@configclass
class CommandsCfg:
    """Filled in for the robot and its worlds."""

    goal: mdp.EpisodeGoalCommandCfg | None = None


@configclass
class ObservationsCfg:
    """Two groups, each one row of numbers."""

    @configclass
    class PolicyCfg(ObsGroup):
        """What a robot knows. The order is that of the light simulation."""

        lidar: ObsTerm | None = None
        goal: ObsTerm | None = None
        speeds: ObsTerm | None = None
        last_action: ObsTerm | None = None

    @configclass
    class CriticCfg(PolicyCfg):
        """The same, and what only the simulation knows."""

        way_left: ObsTerm | None = None

    policy: PolicyCfg = PolicyCfg()
    critic: CriticCfg = CriticCfg()


@configclass
class EventsCfg:
    """Start poses."""

    start: EventTerm | None = None


@configclass
class RewardsCfg:
    """What steps are worth."""

    progress: RewTerm | None = None
    success: RewTerm | None = None
    contact: RewTerm | None = None
    time: RewTerm | None = None


@configclass
class TerminationsCfg:
    """Ends; `contact` is off unless a class turns it on with `end_on_contact`."""

    success: DoneTerm | None = None
    time_out: DoneTerm | None = None
    contact: DoneTerm | None = None


@configclass
class CurriculumCfg:
    """Near goals first."""

    near_goals: CurrTerm | None = None


@configclass
class NavEnvCfg(ManagerBasedRLEnvCfg):
    """The task; a robot's class names its profile."""

    profile: str = ""
    """Name of the robot in task.json and below nav/ of each world."""
    split: str = "train"
    """Of the worlds; the environment variable LYRA_SIM_SPLIT goes before."""
    end_on_contact: bool = False
    """Whether touching something ends the episode."""
    scene: NavSceneCfg = NavSceneCfg(num_envs=64, env_spacing=0.0)
    actions: ActionsCfg = ActionsCfg()
    commands: CommandsCfg = CommandsCfg()
    observations: ObservationsCfg = ObservationsCfg()
    events: EventsCfg = EventsCfg()
    rewards: RewardsCfg = RewardsCfg()
    terminations: TerminationsCfg = TerminationsCfg()
    curriculum: CurriculumCfg = CurriculumCfg()

    def __post_init__(self) -> None:
        """Numbers from the files."""
        profile, rules, drive = task()["robots"][self.profile], task()["env"], DRIVES[self.profile]
        folders, mode = world_folders(self.profile, self.split), scenes()
        self.decimation = PHYSICS_PER_LIGHT * rules["decimation"]
        self.sim.dt = LIGHT_STEP_S / PHYSICS_PER_LIGHT
        self.sim.render_interval = self.decimation
        far = max(longest_m(folder, self.profile) for folder in folders)
        turns = rules["time_turns"] * 2 * math.pi / profile["turn_rad_s"]
        self.episode_length_s = rules["time_factor"] * far / profile["speed_m_s"] + turns  # each has its own limit
        self.scene = build_scene(
            folders, mode, self.profile, profile, drive, self.scene.num_envs, history=self.decimation
        )
        tops: dict[str, Any] = {name: profile[name] for name in ("speed_m_s", "turn_rad_s")}
        self.actions.drive = mdp.DifferentialDriveActionCfg(
            asset_name="robot", left=drive.left, right=drive.right, wheel_radius_m=drive.wheel_radius_m,
            wheel_distance_m=drive.wheel_distance_m, accel_m_s2=profile["accel_m_s2"],
            turn_accel_rad_s2=profile["turn_accel_rad_s2"], **tops,
        )  # fmt: skip
        self.commands.goal = mdp.EpisodeGoalCommandCfg(
            asset_name="robot", profile=self.profile, radius_m=profile["radius_m"], worlds=[str(f) for f in folders],
            prim="" if mode == "shared" else f"{PLACE}/Scene", **tops,
            **{name: rules[name] for name in ("success_m", "stop_share", "time_factor", "time_turns")},
        )  # fmt: skip
        self._observe(profile["lidar"]["range_m"], tops)
        self._judge(rules)
        self.events.start = EventTerm(
            func=mdp.reset_from_episodes, mode="reset",
            params={"command_name": "goal", "base_height_m": drive.base_height_m, "lift_m": LIFT_M},
        )  # fmt: skip

    def _observe(self, range_m: float, tops: dict[str, Any]) -> None:
        for group in (self.observations.policy, self.observations.critic):
            group.lidar = ObsTerm(func=mdp.lidar, params={"sensor_name": "lidar", "range_m": range_m})
            group.goal = ObsTerm(func=mdp.goal_polar, params={"command_name": "goal"})
            group.speeds = ObsTerm(func=mdp.speeds, params={"asset_name": "robot", **tops})
            group.last_action = ObsTerm(func=mdp.last_action, params={"action_name": "drive"})
        self.observations.critic.way_left = ObsTerm(func=mdp.way_left, params={"command_name": "goal"})

    def _judge(self, rules: dict[str, Any]) -> None:
        """Rewards, ends, curriculum. Rewards of task.json are per step, Isaac Lab's weights per second."""
        pay, step_s = rules["reward"], LIGHT_STEP_S * rules["decimation"]
        there = {"command_name": "goal"}
        touch = {"sensor_name": "contact", "threshold_n": CONTACT_N}
        self.rewards.progress = RewTerm(func=mdp.progress, weight=pay["progress"] / step_s, params=dict(there))
        self.rewards.success = RewTerm(func=mdp.success, weight=pay["success"] / step_s, params=dict(there))
        self.rewards.contact = RewTerm(func=mdp.contact, weight=pay["contact"] / step_s, params=dict(touch))
        self.rewards.time = RewTerm(func=mdp.time, weight=pay["time"] / step_s)
        self.terminations.success = DoneTerm(func=mdp.reached, params=dict(there))
        self.terminations.time_out = DoneTerm(func=mdp.time_is_up, params=dict(there), time_out=True)
        if self.end_on_contact:
            self.terminations.contact = DoneTerm(func=mdp.touches, params=dict(touch))
        self.curriculum.near_goals = CurrTerm(
            func=mdp.NearGoalsFirst, params={"command_name": "goal", **rules["curriculum"]}
        )


@configclass
class NovaCarterNavEnvCfg(NavEnvCfg):
    """Training of the Nova Carter."""

    profile: str = "nova_carter"


@configclass
class JetbotNavEnvCfg(NavEnvCfg):
    """Training of the Jetbot."""

    profile: str = "jetbot"


@configclass
class NovaCarterNavEnvCfg_PLAY(NovaCarterNavEnvCfg):  # noqa: N801
    """A few Nova Carters, in worlds of every split, all episodes."""

    split: str = "all"
    scene: NavSceneCfg = NavSceneCfg(num_envs=16, env_spacing=0.0)

    def __post_init__(self) -> None:
        """Far goals too."""
        super().__post_init__()
        self.curriculum.near_goals = None


@configclass
class JetbotNavEnvCfg_PLAY(JetbotNavEnvCfg):  # noqa: N801
    """A few Jetbots, in worlds of every split, all episodes."""

    split: str = "all"
    scene: NavSceneCfg = NavSceneCfg(num_envs=16, env_spacing=0.0)

    def __post_init__(self) -> None:
        """Far goals too."""
        super().__post_init__()
        self.curriculum.near_goals = None
