"""Packages that only networks need: which they are, and a refusal that says how to get them."""

import importlib.util
import sys
from collections.abc import Sequence

from lyra_sim.core.errors import ResourceError

NETWORKS = ("torch", "diffusers", "transformers", "accelerate", "peft", "safetensors", "tokenizers", "ftfy")
"""What the extra `networks` brings."""
GET_NETWORKS = "pip install 'lyra-sim[networks]'"
NAV_TRAINING = ("torch", "rsl_rl", "tensordict", "onnx", "onnxscript", "matplotlib")
"""What the extra `train` brings."""
GET_NAV_TRAINING = "pip install 'lyra-sim[train]'"


def installed(package: str) -> bool:
    """Whether a package can be found; it is not imported."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # somebody forbids it, or put something else in its place
        return False


def require_networks(where: str, packages: Sequence[str] = NETWORKS, get: str = GET_NETWORKS) -> None:
    """To be called before anything that imports these packages is imported.

    Args:
        where: what needs them: a command or a setting.
        get: the command that brings them.

    Raises:
        ResourceError: some are missing.
    """
    missing = [package for package in packages if not installed(package)]
    if missing:
        raise ResourceError(
            where,
            expected="the packages that networks need",
            got=f"no {', '.join(missing)}",
            todo=f"{get} brings them.",
        )


def exit_without_networks(command: str) -> None:
    """`require_networks` for a module that is run as a command: prints the error and ends with its exit code."""
    try:
        require_networks(command)
    except ResourceError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
