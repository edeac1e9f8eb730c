"""Which kind of reference numbers a file holds, and the table of what was compared."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path

from safetensors import SafetensorError

from lyra_sim.core.errors import InputError
from pipelines.vectors.figure import Figure, Vectors

KINDS = {
    "dit_forward": "in/x_B_C_T_H_W",
    "geometry": "canonical_coords",
    "conditioning": "vae_weights",
    "scheduler": "dmd/schedule_sigmas",
    "depth_align": "general/given_w2c",
    "self_augment": "augment/net_timestep",
}
"""Module here -> a tensor that only its files hold."""


def compare(files: list[Path]) -> bool:
    """Print one line per figure; True when all are within their bars.

    Raises:
        InputError: a file that cannot be read, or holds none of the known kinds.
    """
    passed = True
    for file in files:
        kind, vectors = open_vectors(file)
        print(f"{file} ({kind})")
        check: Callable[[Vectors], Iterator[Figure]] = importlib.import_module(f"pipelines.vectors.{kind}").figures
        for figure in check(vectors):
            verdict = "info" if figure.bar is None else "ok" if figure.ok else "MISSED"
            bar = "" if figure.bar is None else f"<= {figure.bar:8.1e}"
            print(f"  {verdict:6}  {figure.error:10.2e} {bar:11}  {figure.name}", flush=True)
            passed &= figure.ok
    return passed


def open_vectors(file: Path) -> tuple[str, Vectors]:
    """(kind, tensors); the kind is told by the tensors, not by the name of the file."""
    try:
        vectors = Vectors(str(file))
    except (SafetensorError, OSError) as error:
        raise InputError(
            file, expected="a safetensors file of reference vectors", got=str(error), todo="Check the path."
        ) from error
    for kind, tensor in KINDS.items():
        if tensor in vectors:
            return kind, vectors
    known = ", ".join(KINDS)
    raise InputError(
        file,
        expected=f"reference vectors of one kind of {known}",
        got=f"{len(vectors)} other tensors",
        todo="Check it.",
    )
