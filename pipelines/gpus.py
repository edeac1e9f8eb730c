"""GPUs for the workers that hold networks: how many there are, which worker sees which, and the error without one."""

import os
from collections.abc import Sequence
from typing import Any

from lyra_sim.core.errors import ResourceError
from pipelines.graph import networks_of
from pipelines.stage import Stage


def gpu_slots(config: dict[str, Any]) -> list[str | None]:
    """One entry for each worker with a GPU of this machine: its CUDA_VISIBLE_DEVICES, None to leave that as it is.

    Every GPU gets a worker, unless the configuration names GPUs by number.
    """
    devices = [n["device"] for found in networks_of(config).values() for n in found if n["device"] != "cpu"]
    if not devices:
        return []
    if any(":" in device for device in devices):
        return [None]
    import torch

    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    count = max(1, torch.accelerator.device_count())
    return [name.strip() for name in visible[:count]] if visible else [str(i) for i in range(count)]


def insist_on_gpu(stages: Sequence[Stage]) -> None:
    """Refuse where one of these stages needs a GPU and torch finds none.

    Raises:
        ResourceError: there is none on this machine.
    """
    needing = [stage.name for stage in stages if stage.gpu]
    if not needing:
        return
    import torch

    if not torch.accelerator.is_available():
        raise ResourceError(
            f"stage {', '.join(needing)} on {os.uname().nodename}",
            expected="a GPU, as the configuration's `device` says",
            got=f"torch {torch.__version__} finds none",
            todo="`lyra-sim check` with the same --config says what is missing.",
        )
