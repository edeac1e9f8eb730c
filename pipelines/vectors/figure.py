"""One comparison: what was measured, how far it is off, how far it may be off."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from safetensors import safe_open

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


class Vectors(Mapping[str, np.ndarray]):
    """A file of reference tensors with its metadata, read one tensor at a time."""

    def __init__(self, path: str) -> None:
        self._file = safe_open(path, "np")
        self.metadata: dict[str, str] = self._file.metadata() or {}
        self._names = list(self._file.keys())

    def __getitem__(self, name: str) -> np.ndarray:
        return self._file.get_tensor(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names  # the file's own lookup raises no KeyError, so the inherited one would not do

    def __iter__(self):
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


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
