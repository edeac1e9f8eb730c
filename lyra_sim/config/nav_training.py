"""Settings of navigation training: the policy's networks, PPO with the names of rsl-rl, budget, evaluation."""

from typing import Any, Literal

from pydantic import Field, model_validator

from lyra_sim.config.envs import EnvConfig, RandomConfig
from lyra_sim.config.model import Config


class NetworkConfig(Config):
    """One network: an optional recurrent layer, then an MLP."""

    hidden_dims: tuple[int, ...] = (128, 128)
    """Widths of the MLP's hidden layers."""
    activation: Literal["elu", "relu", "tanh", "selu", "gelu"] = "elu"
    """Between layers."""
    obs_normalization: bool = True
    """Observations are brought to mean 0 and deviation 1 by running statistics, which are part of the policy."""
    rnn_type: Literal["none", "gru", "lstm"] = "none"
    """What remembers from step to step; `none`: nothing does."""
    rnn_hidden_dim: int = Field(default=128, ge=1, le=4096)
    """Width of the memory."""
    rnn_num_layers: int = Field(default=1, ge=1, le=4)
    """Depth of the memory."""


class PpoConfig(Config):
    """Proximal policy optimisation (Schulman et al. 2017) as rsl-rl runs it; fields and meanings are those of its
    `PPO`."""

    num_learning_epochs: int = Field(default=3, ge=1)
    num_mini_batches: int = Field(default=4, ge=1)
    clip_param: float = Field(default=0.2, gt=0)
    gamma: float = Field(default=0.99, gt=0, le=1)
    lam: float = Field(default=0.95, ge=0, le=1)
    value_loss_coef: float = Field(default=1.0, ge=0)
    entropy_coef: float = Field(default=0.003, ge=0)
    learning_rate: float = Field(default=1e-3, gt=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    schedule: Literal["adaptive", "fixed"] = "adaptive"
    desired_kl: float = Field(default=0.01, gt=0)
    use_clipped_value_loss: bool = True


class NavTrainingConfig(Config):
    """Training of one robot's navigation policy, and its evaluation."""

    seed: int = Field(default=0, ge=0)
    """Of networks, episodes and noise."""
    num_envs: int = Field(default=512, ge=1)
    """Robots that drive at the same time."""
    num_steps_per_env: int = Field(default=32, ge=2)
    """Steps of each robot between two updates; a recurrent policy learns over at most this many."""
    minutes: float = Field(default=60.0, gt=0)
    """Training stops after this much time spent training, resumed parts counted in."""
    steps: int = Field(default=1_000_000_000, ge=1)
    """Training also stops after this many steps of all robots together."""
    checkpoint_s: float = Field(default=60.0, gt=0)
    """Between two checkpoints, seconds of training; a kill loses no more than this."""
    init_std: float = Field(default=0.6, gt=0)
    """First deviation of the drawn actions; actions run from -1 to 1."""
    actor: NetworkConfig = NetworkConfig(rnn_type="gru")
    """The policy: sees what the robot senses."""
    critic: NetworkConfig = NetworkConfig()
    """Only used in training: also sees the distance left and the way."""
    ppo: PpoConfig = PpoConfig()
    """The algorithm."""
    env: EnvConfig = EnvConfig(reset_to="any", random=RandomConfig(mirror=True))
    """The simulation; evaluation takes it without `random` and `curriculum`."""
    train_share: float | None = Field(default=None, gt=0, lt=1)
    """Divide the worlds by hash of their name instead of by their split: this share is trained on, the rest tested."""
    train_worlds: tuple[str, ...] = ()
    """Names of worlds to train on, instead of any rule; then `test_worlds` must be given too."""
    test_worlds: tuple[str, ...] = ()
    """Names of worlds to test on."""
    geodesic_m: tuple[float, float] = (0.0, 1000.0)
    """Shortest and longest way of the episodes that are trained on and judged."""
    eval_episodes: int = Field(default=24, ge=1)
    """Episodes per world of an evaluation; where a world has fewer, that many of every world."""
    eval_draws: int = Field(default=2000, ge=100)
    """Draws of the bootstrap intervals."""
    starts: int = Field(default=400, ge=0)
    """Episodes per world that are trained on beside those it comes with: starts drawn from its distance fields."""
    starts_m: tuple[float, float] = (1.0, 14.0)
    """Shortest and longest way of these."""
    boxes: int = Field(default=0, ge=0)
    """Train on this many flats of boxes, made in memory, beside the folder's worlds."""
    only_boxes: bool = False
    """Leave the folder's worlds out of training, to compare with."""

    @model_validator(mode="after")
    def _consistent(self) -> "NavTrainingConfig":
        for name, (low, high) in (("geodesic_m", self.geodesic_m), ("starts_m", self.starts_m)):
            if not 0 <= low < high:
                raise ValueError(f"{name} must be two rising lengths, got {low}, {high}")
        if self.only_boxes and not self.boxes:
            raise ValueError("only_boxes needs boxes")
        if self.boxes and not self.starts:
            raise ValueError("boxes have only drawn episodes: starts must be more than 0")
        if self.env.depth:
            raise ValueError("env.depth is not for these policies, which see the lidar")
        if self.ppo.num_mini_batches > self.num_envs:
            raise ValueError(f"ppo.num_mini_batches {self.ppo.num_mini_batches} is more than num_envs {self.num_envs}")
        return self

    def rsl_rl(self) -> dict[str, Any]:
        """The same as the configuration of rsl-rl's runner: what Isaac Lab's `RslRlOnPolicyRunnerCfg` becomes."""
        spread = {"class_name": "GaussianDistribution", "init_std": self.init_std, "std_type": "log"}
        return {
            "seed": self.seed,
            "num_steps_per_env": self.num_steps_per_env,
            "obs_groups": {"actor": ["policy"], "critic": ["critic"]},
            "actor": {**_network(self.actor), "distribution_cfg": spread},
            "critic": _network(self.critic),
            "algorithm": {"class_name": "PPO", **self.ppo.model_dump()},
            "multi_gpu": None,
        }


def _network(config: NetworkConfig) -> dict[str, Any]:
    tree = config.model_dump()
    tree["hidden_dims"] = list(config.hidden_dims)
    if config.rnn_type == "none":
        tree = {key: value for key, value in tree.items() if not key.startswith("rnn_")}
    return {"class_name": "MLPModel" if config.rnn_type == "none" else "RNNModel", **tree}
