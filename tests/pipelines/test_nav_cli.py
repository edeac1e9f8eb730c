"""`lyra-sim nav`: what is missing and what is misspelt is said before anything starts."""

import pytest

from lyra_sim.config.load import load_model
from lyra_sim.config.nav_training import NavTrainingConfig
from lyra_sim.core.errors import ConfigError
from lyra_sim.core.packages import GET_NAV_TRAINING
from tests.pipelines.test_without_networks import hidden


@pytest.mark.parametrize("command", ["nav train worlds", "nav eval worlds --policy policy"])
def test_without_the_training_packages_it_says_how_to_get_them(command, tmp_path):
    result = hidden(tmp_path, "-m", "pipelines", *command.split())
    told = result.stdout + result.stderr
    assert result.returncode == 5, told
    assert "Traceback" not in told and GET_NAV_TRAINING in told and "torch" in told


def test_settings_are_checked_with_a_suggestion():
    config = load_model(NavTrainingConfig, None, ["ppo.gamma=0.98", "env.reward.success=7", "actor.rnn_type=lstm"])
    assert (config.ppo.gamma, config.env.reward.success, config.actor.rnn_type) == (0.98, 7.0, "lstm")
    with pytest.raises(ConfigError, match="gamma"):
        load_model(NavTrainingConfig, None, ["ppo.gama=0.98"])
    with pytest.raises(ConfigError, match="num_mini_batches"):
        load_model(NavTrainingConfig, None, ["num_envs=2"])
