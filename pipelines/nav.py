"""`lyra-sim nav`: navigation policies in finished worlds. Tables go to stdout, progress to stderr."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from lyra_sim.core.errors import ConfigError
from lyra_sim.core.packages import GET_NAV_TRAINING, NAV_TRAINING, require_networks

nav = typer.Typer(help="Train and judge navigation policies in finished worlds.", no_args_is_help=True)

Worlds = Annotated[Path, typer.Argument(help="output folder of a run", metavar="DIR")]


@nav.command()
def train(
    worlds: Worlds,
    out: Annotated[Path | None, typer.Option(help="folder of the policy; default: DIR/policies/ROBOT")] = None,
    robot: Annotated[str, typer.Option(help="name of a robot profile that DIR has maps for")] = "nova_carter",
    minutes: Annotated[float | None, typer.Option(help="time to train; default: 60", min=0.01)] = None,
    train_share: Annotated[
        float | None, typer.Option(help="share of the worlds to train on, instead of their split")
    ] = None,
    config: Annotated[str | None, typer.Option("--config", help="YAML file of settings")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="one field, as a.b=value", metavar="A.B=VALUE")
    ] = None,
) -> None:
    """Train a policy by PPO and judge it in worlds that were kept from it; the same --out continues."""
    require_networks("lyra-sim nav train", NAV_TRAINING, GET_NAV_TRAINING)
    from lyra_sim.config.load import load_model
    from lyra_sim.config.nav_training import NavTrainingConfig
    from robot_tasks.training.session import train as train_policy

    given = {"minutes": minutes, "train_share": train_share}
    sets = [*(set_ or []), *(f"{name}={value}" for name, value in given.items() if value is not None)]
    settings = load_model(NavTrainingConfig, config, sets)
    folder = out or worlds / "policies" / Path(robot).stem
    train_policy(worlds, robot, settings, folder, _tell)
    _judge(worlds, [folder], folder, settings.eval_episodes, settings.eval_draws)


@nav.command("eval")
def evaluate(
    worlds: Worlds,
    policy: Annotated[list[Path], typer.Option(help="folder of a policy; more of them are compared")],
    out: Annotated[Path | None, typer.Option(help="folder of eval.json and tracks.png; default: the policy's")] = None,
    episodes: Annotated[
        int, typer.Option(help="per world; the smallest world's number where it has fewer", min=1)
    ] = 24,
    draws: Annotated[int, typer.Option(help="of the bootstrap intervals", min=100)] = 2000,
) -> None:
    """Judge policies in those worlds of DIR that none of them was trained on, beside random, greedy and oracle."""
    require_networks("lyra-sim nav eval", NAV_TRAINING, GET_NAV_TRAINING)
    if not policy:
        raise ConfigError("--policy", expected="at least one policy", got="none", todo="Give --policy FOLDER.")
    _judge(worlds, policy, out or policy[0], episodes, draws)


def _judge(worlds: Path, policies: list[Path], out: Path, episodes: int, draws: int) -> None:
    from robot_tasks.training.judge import judge
    from robot_tasks.training.session import read_policy

    read = [read_policy(folder) for folder in policies]
    _, text = judge(worlds, read, out, _tell, episodes=episodes, draws=draws)
    print(text)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
