"""The tasks."""

from lyra_sim_nav.tasks import nav  # noqa: F401
