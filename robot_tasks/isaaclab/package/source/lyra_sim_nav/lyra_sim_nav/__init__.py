"""Navigation tasks for Isaac Lab in worlds of lyra-sim; importing it registers them with gymnasium."""

from lyra_sim_nav import tasks  # noqa: F401
