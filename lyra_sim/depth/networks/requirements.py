"""What a depth network needs of a machine: packages, weights and their licence, the device. Loads no network."""

from lyra_sim.config.depth_network import Da3Config, DepthAnythingConfig, LearnedDepth
from lyra_sim.core.errors import ResourceError
from lyra_sim.core.packages import GET_NETWORKS, installed
from lyra_sim.depth.networks.weights import GET_DA3, licence_of, locate

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


def device_there(device: str) -> bool:
    """Whether torch has this device."""
    import torch

    return not device.startswith("cuda") or torch.cuda.is_available()


def _device(device: str, setting: str) -> tuple[str, bool, str]:
    known = device_there(device)
    return f"device {device}", known, f"{setting}.device" if known else f"torch finds no GPU; or {setting}.device=cpu"
