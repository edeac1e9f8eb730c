"""GPUs for the workers that hold networks: how many there are, which worker sees which, and the error without one."""

import os
from typing import Any

from lyra_sim.core.errors import ConfigError, ResourceError
from pipelines.graph import networks_of
from pipelines.stage import Stage


def gpu_devices(config: dict[str, Any]) -> list[str]:
    """Devices of the configured networks that are not the CPU."""
    return [n["device"] for found in networks_of(config).values() for n in found if n["device"] != "cpu"]


def gpu_slots(config: dict[str, Any]) -> list[str | None]:
    """One entry for each worker with a GPU of this machine: its CUDA_VISIBLE_DEVICES, None to leave that as it is.

    Every GPU gets a worker, unless the configuration names GPUs by number, or torch finds none to give away.
    """
    devices = gpu_devices(config)
    if not devices:
        return []
    import torch

    count = torch.accelerator.device_count()
    if not count or any(":" in device for device in devices):
        return [None]
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return [name.strip() for name in visible[:count]] if visible else [str(i) for i in range(count)]


def refuse_numbers(config: dict[str, Any]) -> None:
    """Refuse devices with a number for workers of a cluster, of which each sees one GPU only.

    Raises:
        ConfigError: there is one.
    """
    numbered = sorted({device for device in gpu_devices(config) if ":" in device})
    if numbered:
        raise ConfigError(
            "device with --engine ray",
            expected="a device without a number: Ray gives every worker one GPU of the cluster",
            got=", ".join(numbered),
            todo=f"Write {numbered[0].partition(':')[0]}, or use --engine local.",
        )


def insist_on_gpu(stage: Stage) -> None:
    """Refuse where torch finds no GPU for a stage.

    Raises:
        ResourceError: there is none on this machine.
    """
    import torch

    if not torch.accelerator.is_available():
        raise ResourceError(
            f"stage {stage.name} on {os.uname().nodename}",
            expected="a GPU, as the configuration's `device` says",
            got=f"torch {torch.__version__} finds none",
            todo="`lyra-sim check` with the same --config says what is missing.",
        )
