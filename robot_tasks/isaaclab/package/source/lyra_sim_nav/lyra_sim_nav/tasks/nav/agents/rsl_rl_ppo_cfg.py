"""PPO of rsl-rl."""

from isaaclab_rl.rsl_rl import RslRlOnPolicyRunnerCfg, RslRlPpoAlgorithmCfg

from lyra_sim_nav.compat import configclass, recurrent_models


@configclass
class NavPPORunnerCfg(RslRlOnPolicyRunnerCfg):
    """A GRU remembers rooms that a scan does not show."""

    seed = 0
    num_steps_per_env = 32
    max_iterations = 1500
    save_interval = 50
    experiment_name = "lyra_sim_nav"
    algorithm = RslRlPpoAlgorithmCfg(
        value_loss_coef=1.0,
        use_clipped_value_loss=True,
        clip_param=0.2,
        entropy_coef=0.003,
        num_learning_epochs=4,
        num_mini_batches=4,
        learning_rate=1.0e-3,
        schedule="adaptive",
        gamma=0.99,
        lam=0.95,
        desired_kl=0.01,
        max_grad_norm=1.0,
    )

    def __post_init__(self) -> None:
        """Networks are named differently by each Isaac Lab."""
        for field, value in recurrent_models(init_std=0.6, rnn_dim=128, hidden=[128, 128]).items():
            setattr(self, field, value)
