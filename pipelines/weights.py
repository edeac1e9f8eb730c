"""Weights as the command line sees them: converted into safetensors with their hashes, and what a run depends on."""

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lyra_sim.config.depth_network import SCENES, Da3Config, DepthAnythingConfig, LearnedDepth, TinyDepthConfig
from lyra_sim.config.geometry3d import FeedforwardConfig
from lyra_sim.config.lyra2 import LICENCE, LICENCE_URL, Lyra2Config
from lyra_sim.config.path import FilePath
from lyra_sim.config.robots import load_robots
from lyra_sim.config.world import WorldConfig
from lyra_sim.core.errors import ConfigError, ResourceError
from lyra_sim.core.packages import require_networks
from lyra_sim.memory.packing import Packing
from lyra_sim.sources.digests import Digests
from pipelines.stage import digest

if TYPE_CHECKING:
    from lyra_sim.worldgen.lyra2.requirements import Requirement


def convert(source: Path, out: Path, config: WorldConfig) -> None:
    """Convert with the type and packing that the configuration has.

    Raises:
        ResourceError, ConfigError: see `lyra_sim.worldgen.lyra2.checkpoint.convert_transformer`.
    """
    generator = config.explore.generator
    if not isinstance(generator, Lyra2Config):
        raise ConfigError(
            "--config", expected="one whose generator is lyra2", got=generator.backend, todo="Leave it away."
        )
    require_networks("lyra-sim convert-weights")
    from lyra_sim.worldgen.lyra2.checkpoint import convert_transformer
    from lyra_sim.worldgen.lyra2.network import torch_dtype, transformer_sizes

    print(f"the released weights stay under the {LICENCE}: {LICENCE_URL}", file=sys.stderr)
    hashes = convert_transformer(
        source,
        out,
        sizes=transformer_sizes(generator),
        dtype=torch_dtype(generator),
        progress=lambda share, what: print(f"{share:4.0%}  {what}", file=sys.stderr, flush=True),
    )
    for name, made in hashes.items():
        print(f"{made}  {name}")


def weights_of(config: WorldConfig) -> dict[str, str]:
    """Hash of what each stage reads beside its configuration, by stage name: weights of networks, a camera path,
    robot profiles.

    Raises:
        InputError: a camera path that is none.
        ConfigError: the licence of the weights is not accepted; a robot profile that is none.
        ResourceError: weights, a package or a device that the configuration asks for are not there.
    """
    found: dict[str, Any] = {}
    generator = config.explore.generator
    if isinstance(generator, Lyra2Config):
        found["explore"] = [_generator_weights(generator), depth_weights(generator.depth, "explore.generator.depth")]
    if isinstance(config.explore.path, FilePath):
        from lyra_sim.trajectory.path_file import load_path  # heavy, for the driver

        load_path(config.explore.path.path)
        found.setdefault("explore", []).append({"path": Digests().of(config.explore.path.path)})
    for kind in ("rgbd", "photo"):
        backend = getattr(config.observe, kind)
        if isinstance(backend, LearnedDepth):
            found.setdefault("observe", []).append(depth_weights(backend, f"observe.{kind}"))
    if isinstance(config.reconstruct, FeedforwardConfig):
        found["reconstruct"] = _splat_weights(config.reconstruct.network)
    found["tasks"] = [robot.model_dump(mode="json") for robot in load_robots(config.tasks.robots)]
    return {stage: digest(parts) for stage, parts in found.items()}


def insist_on_machine(config: WorldConfig, workers: int = 1) -> None:
    """Refuse where this machine lacks the memory or the devices of the configured networks.

    Args:
        workers: how many of this machine hold them, each with a GPU of its own.

    Raises:
        ResourceError: see there.
        ConfigError: torch knows no such device.
    """
    missing = [row.what for row in generator_requirements(config, workers) if row.of_machine and not row.ok]
    for setting, network in depth_networks(config).items():
        from lyra_sim.depth.networks.requirements import device_of, device_there

        if not device_there(device_of(network.device, setting)):
            missing.append(f"device {network.device} of {setting}")
    if missing:
        raise _lacking("this machine", missing)


@functools.lru_cache(maxsize=1)
def insist_on_worker(config: str) -> None:
    """The same in a worker before it loads networks, asked once in its life: then they lie in what was free.

    Args:
        config: `WorldConfig` as JSON.
    """
    insist_on_machine(WorldConfig.model_validate_json(config))


def generator_requirements(config: WorldConfig, workers: int) -> list["Requirement"]:
    """Every requirement of a video generator with what lies beside it on its workers; none of other generators."""
    generator = config.explore.generator
    if not isinstance(generator, Lyra2Config):
        return []
    from lyra_sim.worldgen.lyra2.requirements import requirements

    beside = [(config.observe.photo, 1)] if isinstance(config.observe.photo, Da3Config) else []
    if isinstance(config.reconstruct, FeedforwardConfig):
        beside.append((config.reconstruct.network, config.reconstruct.max_views))
    return requirements(generator, beside=beside, workers=workers)


def depth_networks(config: WorldConfig) -> dict[str, LearnedDepth]:
    """Every depth network of a configuration by the setting that names it."""
    found: dict[str, Any] = {f"observe.{kind}": getattr(config.observe, kind) for kind in ("rgbd", "photo")}
    if isinstance(config.explore.generator, Lyra2Config):
        found["explore.generator.depth"] = config.explore.generator.depth
    if isinstance(config.reconstruct, FeedforwardConfig):
        found["reconstruct"] = config.reconstruct.network
    return {setting: network for setting, network in found.items() if isinstance(network, LearnedDepth)}


def _generator_weights(generator: Lyra2Config) -> dict[str, str]:
    require_networks("explore.generator")
    from lyra_sim.worldgen.lyra2.provenance import accept, manifest
    from lyra_sim.worldgen.lyra2.requirements import requirements

    accept(generator)
    Packing.parse(generator.packing)
    missing = [row.what for row in requirements(generator) if not row.of_machine and not row.ok]
    if missing:
        raise _lacking("explore.generator", missing)
    return manifest(generator)


def _lacking(where: str, missing: list[str]) -> ResourceError:
    return ResourceError(
        where,
        expected="everything that the configured networks need",
        got=f"missing: {'; '.join(missing)}",
        todo="`lyra-sim check` with the same --config says how to get each.",
    )


def _splat_weights(network: Da3Config) -> dict[str, str]:
    from lyra_sim.depth.networks.requirements import requirements

    rows = requirements(network, "reconstruct")
    missing = [f"{what} ({how})" for what, ok, how in rows if not ok and not what.startswith("device")]
    if missing:
        raise _lacking("reconstruct", missing)
    return depth_weights(network, "reconstruct.weights")


def depth_weights(backend: LearnedDepth, setting: str) -> dict[str, str]:
    """File -> sha256 of a depth network's weights.

    Raises:
        ResourceError: they are not on this machine, or its packages are not.
    """
    from lyra_sim.depth.networks.requirements import packages
    from lyra_sim.depth.networks.weights import locate

    require_networks(setting, packages(backend))
    if isinstance(backend, TinyDepthConfig):
        return {"random": f"seed {backend.seed}"}
    if isinstance(backend, DepthAnythingConfig):
        names = [backend.weights(s) for s in SCENES if backend.scene in ("auto", s)]
    else:
        assert isinstance(backend, Da3Config)
        names = [backend.weights]
    digests, made = Digests.of_user(), {}
    for name in names:
        folder = locate(name, (), setting=setting)
        made |= {f"{name}/{file.name}": digests.of(file) for file in sorted(folder.iterdir()) if file.is_file()}
    digests.save()
    return made
