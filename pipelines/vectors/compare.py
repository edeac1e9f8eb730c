"""Which kind of reference numbers a file holds, and the table of what was compared."""

import importlib
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from lyra_sim.core.errors import InputError, LyraError
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
_MISFITS = (ArithmeticError, IndexError, LyraError, RuntimeError, ValueError)
"""What tensors of wrong shapes lead to; other errors are ours and end the command."""


def compare(files: list[Path]) -> int:
    """Print one JSON line per file with all its figures, and a table of them on stderr.

    Returns:
        Exit code: 1 when a figure is above its bar, else 3 when a file cannot be compared, else 0.
    """
    code = 0
    for file in files:
        try:
            kind, vectors = open_vectors(file)
            print(f"{file} ({kind})", file=sys.stderr)
            found = [_shown(figure) for figure in _figures_of(file, kind, vectors)]
            if not found:
                raise InputError(
                    file, expected=f"at least one case of the kind {kind}", got="none", todo="Get the file again."
                )
            line: dict[str, Any] = {"kind": kind, "ok": all(f.ok for f in found), "figures": [f.plain for f in found]}
            code = code if line["ok"] else 1
        except InputError as error:
            print(f"lyra-sim: {error}", file=sys.stderr)
            line, code = {"ok": False, "error": str(error)}, code or error.exit_code
        print(json.dumps({"file": str(file), **line}), flush=True)
    return code


def _shown(figure: Figure) -> Figure:
    verdict = "info" if figure.bar is None else "ok" if figure.ok else "MISSED"
    bar = "" if figure.bar is None else f"<= {figure.bar:8.1e}"
    print(f"  {verdict:6}  {figure.error:10.2e} {bar:11}  {figure.name}", file=sys.stderr, flush=True)
    return figure


def _figures_of(file: Path, kind: str, vectors: Vectors) -> Iterator[Figure]:
    check: Callable[[Vectors], Iterator[Figure]] = importlib.import_module(f"pipelines.vectors.{kind}").figures
    try:
        yield from check(vectors)
    except InputError:
        raise
    except _MISFITS as error:  # where it happened is told
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
