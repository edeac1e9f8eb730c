"""Records to folders and back: arrays in `arrays.npz`, everything else in `record.json`. No pickle; the same record
gives the same bytes."""

import dataclasses
import json
import types
import typing
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lyra_sim.core.errors import InputError

T = TypeVar("T")


def save_record(record: Any, folder: Path, *, compress: bool = False) -> None:
    """Write `record` (a dataclass made with `@record`) into `folder`, which is created.

    Nested records, and tuples and dictionaries of records, are followed. `compress` makes large masks and grids small
    and costs some time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, np.ndarray] = {}
    tree = _encode(record, "", arrays)
    writer = np.savez_compressed if compress else np.savez
    writer(folder / "arrays.npz", **arrays)  # pyright: ignore[reportArgumentType]
    text = json.dumps(tree, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / "record.json").write_text(text, encoding="utf-8")


def load_record(cls: type[T], folder: Path) -> T:
    """Read back what `save_record` wrote.

    Raises:
        InputError: the folder does not hold a record of this type.
    """
    try:
        tree = json.loads((folder / "record.json").read_text(encoding="utf-8"))
        with np.load(folder / "arrays.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return _decode(cls, tree, arrays)
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            folder,
            expected=f"a saved {cls.__name__} (record.json, arrays.npz)",
            got=f"{type(error).__name__}: {error}"[:300],
            todo="Run again with --fresh to make it anew.",
        ) from error


def load_plain(folder: Path, field: str) -> Any:
    """One field of a saved record that holds no arrays, without reading those of the others.

    Raises:
        InputError: there is no such record.
    """
    try:
        return json.loads((folder / "record.json").read_text(encoding="utf-8"))[field]
    except (OSError, ValueError, KeyError, TypeError) as error:
        todo = "Run again with --fresh to make it anew."
        raise InputError(folder, expected=f"a saved record with {field}", got=str(error)[:300], todo=todo) from error


def _encode(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {f.name: _encode(getattr(value, f.name), f"{path}/{f.name}" if path else f.name, arrays) for f in fields}
    if isinstance(value, np.ndarray):
        arrays[path] = value
        return {"array": path}
    if isinstance(value, (tuple, list)):
        return [_encode(item, f"{path}/{i}", arrays) for i, item in enumerate(value)]
    if isinstance(value, dict):
        return {key: _encode(item, f"{path}/{key}", arrays) for key, item in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    return value


def _decode(kind: Any, tree: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(tree, dict) and set(tree) == {"array"}:
        return arrays[tree["array"]]
    if tree is None:
        return None
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kind = next(arg for arg in typing.get_args(kind) if arg is not types.NoneType)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(tree, dict):
            raise ValueError(f"no {kind.__name__} in record.json")
        hints = typing.get_type_hints(kind, include_extras=True)
        return kind(**{name: _decode(hints[name], item, arrays) for name, item in tree.items()})
    inner = typing.get_args(kind)
    if typing.get_origin(kind) in (tuple, Sequence):
        return tuple(_decode(inner[0] if inner else Any, item, arrays) for item in tree)
    if typing.get_origin(kind) is dict:
        return {key: _decode(inner[1], item, arrays) for key, item in tree.items()}
    return tree
