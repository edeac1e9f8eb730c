"""What a depth network needs of a machine: packages, weights and their licence, the device. Loads no network."""

from typing import TYPE_CHECKING

from lyra_sim.config.depth_network import Da3Config, DepthAnythingConfig, LearnedDepth
from lyra_sim.core.errors import ConfigError, ResourceError
from lyra_sim.core.packages import GET_NETWORKS, installed
from lyra_sim.depth.networks.weights import GET_DA3, licence_of, locate

if TYPE_CHECKING:
    import torch

_PACKAGES = {"depth_anything": ("torch", "transformers", "safetensors"), "da3": ("torch",), "tiny_depth": ("torch",)}


def packages(config: LearnedDepth) -> tuple[str, ...]:
    """What of the extra `networks` this backend imports."""
    return _PACKAGES[str(getattr(config, "backend", ""))]


def requirements(config: LearnedDepth, setting: str) -> list[tuple[str, bool, str]]:
    """(what, met, why and how to get it), one for each line of `lyra-sim check`.

    Args:
        setting: where the user configured it.
    """
    rows = [(f"package {name}", installed(name), GET_NETWORKS) for name in packages(config)]
    if isinstance(config, Da3Config):
        rows.append(("package depth_anything_3", installed("depth_anything_3"), GET_DA3))
        rows.append(_weights(config.weights, ("config.json", "model.safetensors"), setting))
    if isinstance(config, DepthAnythingConfig):
        scenes = ("indoor", "outdoor") if config.scene == "auto" else (config.scene,)
        files = ("config.json", "model.safetensors", "preprocessor_config.json")
        rows += [_weights(config.weights(scene), files, f"{setting}.{scene}") for scene in scenes]
    if all(ok for what, ok, _ in rows if what.startswith("package torch")):
        rows.append(_device(config.device, setting))
    return rows


def _weights(weights: str, files: tuple[str, ...], setting: str) -> tuple[str, bool, str]:
    what = f"weights {weights}, licence {licence_of(weights).name}"
    try:
        locate(weights, files, setting=setting)
    except ResourceError as error:
        return what, False, f"{error.got}; {error.todo}"
    except ImportError:
        return what, False, f"{GET_NETWORKS} first"
    return what, True, setting


def device_of(device: str, setting: str) -> "torch.device":
    """A device as torch names it.

    Raises:
        ConfigError: torch knows no such name.
    """
    import torch

    try:
        return torch.device(device)
    except RuntimeError as error:
        raise ConfigError(
            f"{setting}.device", expected="a device of torch", got=repr(device), todo="Write cuda, cuda:1 or cpu."
        ) from error


def device_there(device: "torch.device") -> bool:
    """Whether this machine has the device, as far as torch sees."""
    import torch

    if device.type == "cpu":
        return True
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found is not None and found.type == device.type and (device.index or 0) < torch.accelerator.device_count()


def _device(device: str, setting: str) -> tuple[str, bool, str]:
    known = device_there(device_of(device, setting))
    return f"device {device}", known, f"{setting}.device" if known else f"torch finds none; or {setting}.device=cpu"
