"""Terms of the navigation task; the same numbers as lyra-sim's light simulation gives at the same poses."""

from lyra_sim_nav.tasks.nav.mdp.actions import DifferentialDriveAction, DifferentialDriveActionCfg  # noqa: F401
from lyra_sim_nav.tasks.nav.mdp.commands import EpisodeGoalCommand, EpisodeGoalCommandCfg  # noqa: F401
from lyra_sim_nav.tasks.nav.mdp.curriculums import NearGoalsFirst  # noqa: F401
from lyra_sim_nav.tasks.nav.mdp.events import reset_from_episodes  # noqa: F401
from lyra_sim_nav.tasks.nav.mdp.observations import goal_polar, last_action, lidar, speeds, way_left  # noqa: F401
from lyra_sim_nav.tasks.nav.mdp.rewards import contact, progress, success, time  # noqa: F401
from lyra_sim_nav.tasks.nav.mdp.terminations import reached, time_is_up, touches  # noqa: F401
