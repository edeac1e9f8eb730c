"""One comparison: what was measured, how far it is off, how far it may be off."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError
from safetensors import safe_open

from lyra_sim.core.errors import InputError

T = TypeVar("T")
MOVED = 0.008
"""Share of a splat's values that rounding may move, as for the lists of unstable values beside the numbers."""


@dataclass(frozen=True)
class Figure:
    """`error` <= `bar` is a pass; a bar of 0 asks for equality; without a bar it is for information only."""

    name: str
    error: float
    bar: float | None

    @property
    def ok(self) -> bool:
        return self.bar is None or bool(self.error <= self.bar)  # NaN is no pass

    @property
    def plain(self) -> dict[str, Any]:
        """JSON values; an error that is no number is a text."""
        error = self.error if math.isfinite(self.error) else str(self.error)
        return {"name": self.name, "error": error, "bar": self.bar, "ok": self.ok}


class Vectors(Mapping[str, np.ndarray]):
    """A file of reference tensors with its metadata, read one tensor at a time; an entry that is not there is an
    InputError."""

    def __init__(self, path: str) -> None:
        self._path, self._file = path, safe_open(path, "np")
        self.metadata: Mapping[str, str] = _Metadata(path, self._file.metadata() or {})
        self._names = list(self._file.keys())

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise _missing(self._path, f"a tensor {name!r}")
        return self._file.get_tensor(name)

    def shaped(self, name: str, *shape: int | None) -> np.ndarray:
        """A tensor of this shape; None is any length.

        Raises:
            InputError: it is not there, or of another shape.
        """
        tensor = self[name]
        if len(shape) != tensor.ndim or any(n not in (None, m) for n, m in zip(shape, tensor.shape, strict=True)):
            wanted = ", ".join("any" if n is None else str(n) for n in shape)
            raise InputError(
                self._path,
                expected=f"a tensor {name!r} of shape ({wanted})",
                got=str(tensor.shape),
                todo="Get the file again.",
            )
        return tensor

    def value(self, name: str, form: type[T]) -> T:
        """An entry of the metadata that is JSON, in its form.

        Raises:
            InputError: it is not there, or of another form.
        """
        try:
            return TypeAdapter(form).validate_json(self.metadata[name])
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise InputError(
                self._path,
                expected=f"an entry {name!r} of the metadata in its form",
                got=": ".join([*map(str, first["loc"]), first["msg"]]),
                todo="Get the file again.",
            ) from error

    def __contains__(self, name: object) -> bool:
        return name in self._names  # the file's own lookup raises no KeyError, so the inherited one would not do

    def __iter__(self):
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _Metadata(dict[str, str]):
    def __init__(self, path: str, entries: Mapping[str, str]) -> None:
        super().__init__(entries)
        self._path = path

    def __missing__(self, name: str) -> str:
        raise _missing(self._path, f"an entry {name!r} of the metadata")


def _missing(path: str, entry: str) -> InputError:
    return InputError(
        path, expected=entry, got="none", todo="This kind of reference vectors needs it; get the file again."
    )


def largest(name: str, made: np.ndarray, wanted: np.ndarray, bar: float | None) -> Figure:
    """The largest absolute difference; infinite where the shapes differ."""
    made, wanted = np.asarray(made), np.asarray(wanted)
    if made.shape != wanted.shape:
        return Figure(f"{name} (shape {made.shape}, wanted {wanted.shape})", float("inf"), bar)
    off = np.abs(made.astype(np.float64) - wanted.astype(np.float64))
    return Figure(name, float(off.max()) if off.size else 0.0, bar)


def splatted(name: str, made: np.ndarray, wanted: np.ndarray, bar: float, *, single: bool) -> Iterator[Figure]:
    """What was splatted. In single precision some points land on the other side of a pixel centre or of a threshold, so
    the largest difference is for information there, and few values may be off by more than `bar`."""
    if not single:
        yield largest(name, made, wanted, bar)
        return
    yield largest(name, made, wanted, None)
    share = 1.0
    if made.shape == wanted.shape:
        near = np.abs(np.asarray(made, np.float64) - np.asarray(wanted, np.float64)) <= bar
        share = 1.0 - float(near.mean())
    yield Figure(f"{name}, share off by more than {bar:g}", share, MOVED)


def differing(name: str, made: np.ndarray, wanted: np.ndarray) -> Figure:
    """How many values are not equal; the bar is none."""
    made, wanted = np.asarray(made), np.asarray(wanted)
    if made.shape != wanted.shape:
        return Figure(f"{name} (shape {made.shape}, wanted {wanted.shape})", float("inf"), 0)
    return Figure(name, float((made != wanted).sum()), 0)
