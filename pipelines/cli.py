"""The command line. Results go to stdout, progress and messages to stderr. What a command does lies elsewhere."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lyra_sim.core.errors import ConfigError, LyraError
from lyra_sim.core.packages import require_networks
from pipelines.nav import nav

app = typer.Typer(
    name="lyra-sim",
    help="Photos and RGB-D walks in; USD worlds a robot can be trained in out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(nav, name="nav")

Sources = Annotated[list[Path], typer.Argument(help="images, folders of images, RGB-D walks", metavar="SOURCE...")]
ConfigName = Annotated[str, typer.Option("--config", help="packaged name or YAML file")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="one field, as a.b=value", metavar="A.B=VALUE")]


class EngineName(StrEnum):
    """Where stages run."""

    local = "local"
    ray = "ray"


@app.command()
def run(
    source: Sources,
    out: Annotated[Path, typer.Option(help="output folder; the same folder again continues")],
    config: ConfigName = "default",
    set_: Sets = None,
    engine: Annotated[EngineName, typer.Option(help="worker processes here, or Ray")] = EngineName.local,
    ray_address: Annotated[str, typer.Option(help="Ray cluster; 'local' starts one here")] = "local",
    workers: Annotated[int, typer.Option(help="processes for stages on the CPU; 0: one per core", min=0)] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="forget finished work of this output folder")] = False,
    retry_quarantined: Annotated[bool, typer.Option("--retry-quarantined", help="try failed worlds again")] = False,
) -> None:
    """Make worlds of images and RGB-D walks."""
    from lyra_sim.config.load import load_config
    from pipelines.run import RunOptions
    from pipelines.run import run as run_all

    options = RunOptions(engine.value, ray_address, workers, fresh, retry_quarantined)
    raise typer.Exit(run_all(source, out, load_config(config, set_), options))


@app.command()
def plan(
    source: Sources,
    out: Annotated[Path, typer.Option(help="folder of the pictures; a run with the same --out reuses the work")] = (
        Path("plans")
    ),
    config: ConfigName = "default",
    set_: Sets = None,
    as_json: Annotated[bool, typer.Option("--json", help="the table, for programs")] = False,
) -> None:
    """What would run and what it would cost, with a picture of every input's path; generates nothing.

    Plans from what each input itself shows: a run plans anew after every segment. Exits 3 when some inputs cannot be
    planned, or their given path collides.
    """
    from lyra_sim.config.load import load_config
    from pipelines.plan import plan_all

    raise typer.Exit(plan_all(source, out, load_config(config, set_), as_json=as_json))


@app.command()
def check(config: ConfigName = "default", set_: Sets = None) -> None:
    """What this machine can run, what is missing and how to get it."""
    from lyra_sim.config.load import load_config
    from pipelines.machine import check_machine

    raise typer.Exit(check_machine(load_config(config, set_)))


@app.command()
def show(
    out: Annotated[Path, typer.Argument(help="output folder of a run", metavar="DIR")],
    as_json: Annotated[bool, typer.Option("--json", help="summary.json as it is")] = False,
) -> None:
    """Worlds, gates and times of an output folder."""
    from pipelines.inspect import show_folder

    show_folder(out, as_json)


@app.command()
def explain(
    out: Annotated[Path, typer.Argument(help="output folder of a run", metavar="DIR")],
    world: Annotated[str, typer.Argument(help="name of a world", metavar="WORLD")],
) -> None:
    """Why the stages of a world ran, and which fields changed since the run before."""
    from pipelines.inspect import explain_world

    explain_world(out, world)


@app.command()
def validate(
    scene: Annotated[Path, typer.Argument(help="any USD scene, or the folder of a finished world")],
    physics: Annotated[bool, typer.Option("--physics", help="drop balls on the floor too")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="everything, for programs")] = False,
    fix: Annotated[bool, typer.Option("--fix", help="mend what is mechanical in a copy, and judge that")] = False,
    out: Annotated[Path | None, typer.Option(help="folder of the copy; default: SCENE_fixed beside it")] = None,
) -> None:
    """What is wrong with any USD scene, why it matters, how to mend it. Exits 3 when there are errors.

    Of a finished world, OUT/WORLD: its gates from the written files beside those before writing. Exits 1 where they
    differ.
    """
    if out is not None and not fix:
        raise ConfigError("--out", expected="--fix with it", got="no --fix", todo="Add --fix.")
    if scene.is_dir():
        from pipelines.recheck import recheck_world

        if fix:
            raise ConfigError(scene, expected="a scene file with --fix", got="a folder", todo="Give its scene.usda.")
        raise typer.Exit(recheck_world(scene, as_json=as_json))
    from pipelines.verdict import judge_scene

    raise typer.Exit(judge_scene(scene, physics=physics, as_json=as_json, fix=fix, out=out))


@app.command()
def example(folder: Annotated[Path, typer.Argument(help="a new folder", metavar="DIR")]) -> None:
    """Write synthetic inputs with known truth: RGB-D walks and photos."""
    from lyra_sim.procedural.example import write_example

    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(folder, expected="a new or empty folder", got="one with files", todo="Choose another.")
    write_example(folder)
    print(folder)


@app.command("convert-weights")
def convert_weights(
    source: Annotated[Path, typer.Argument(help="a checkpoint of the Lyra 2.0 transformer", metavar="SOURCE")],
    out: Annotated[Path, typer.Argument(help="a new folder", metavar="OUT")],
    config: ConfigName = "lyra2",
    set_: Sets = None,
) -> None:
    """Write a released checkpoint of the video generator as safetensors, with a manifest of hashes."""
    from lyra_sim.config.load import load_config
    from pipelines.weights import convert

    convert(source, out, load_config(config, set_))


@app.command(hidden=True)
def vectors(files: Annotated[list[Path], typer.Argument(help="reference vectors", metavar="FILE...")]) -> None:
    """Compare the generator, its geometry, sampler and training with numbers of the published code."""
    require_networks("lyra-sim vectors")
    from pipelines.vectors import compare

    raise typer.Exit(compare(files))


def main() -> None:
    """Entry point; maps errors to exit codes."""
    try:
        app(standalone_mode=True)
    except LyraError as error:
        print(f"lyra-sim: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(0)
