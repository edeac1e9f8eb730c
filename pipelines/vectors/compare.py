"""Which kind of reference numbers a file holds, and the table of what was compared."""

import importlib
import sys
import traceback
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
        InputError: a file that cannot be compared, after all others were and where they passed.
    """
    passed, wrong = True, list[InputError]()
    for file in files:
        try:
            for figure in figures_of(file):
                verdict = "ok" if figure.ok else "MISSED"
                print(f"  {verdict:6}  {figure.error:10.2e} <= {figure.bar:8.1e}  {figure.name}", flush=True)
                passed &= figure.ok
        except InputError as error:
            wrong.append(error)
    last = wrong.pop() if wrong and passed else None  # the command prints what is raised
    for error in wrong:
        print(f"lyra-sim: {error}", file=sys.stderr)
    if last is not None:
        raise last
    return passed


def figures_of(file: Path) -> Iterator[Figure]:
    """The comparisons of one file, below its name.

    Raises:
        InputError: it cannot be read, is of no known kind, or its entries do not fit together.
    """
    kind, vectors = open_vectors(file)
    print(f"{file} ({kind})")
    check: Callable[[Vectors], Iterator[Figure]] = importlib.import_module(f"pipelines.vectors.{kind}").figures
    try:
        yield from check(vectors)
    except InputError:
        raise
    except Exception as error:  # whatever tensors of wrong shapes and texts lead to; where it happened is told
        place = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise InputError(
            file,
            expected=f"tensors and metadata of the kind {kind} that fit together",
            got=f"{said} ({Path(place.filename).name}:{place.lineno})",
            todo="Get the file again; if it is right, this is an error of lyra-sim.",
        ) from error


def open_vectors(file: Path) -> tuple[str, Vectors]:
    """(kind, tensors); the kind is told by the tensors, not by the name of the file."""
    try:
        vectors = Vectors(str(file))
    except (SafetensorError, OSError) as error:
        got = "a folder" if file.is_dir() else str(error)
        raise InputError(
            file, expected="a safetensors file of reference vectors", got=got, todo="Check the path."
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
