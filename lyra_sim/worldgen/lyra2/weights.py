"""Tensors of a checkpoint in any layout in use, read piece by piece, and put into a model without a second copy.

Layouts: a folder of torch.distributed.checkpoint, a torch file (`.pth`, `.pt`), safetensors (one file, or several with
an index), a folder that diffusers saved. Nothing a file can hold is executed: torch files are read with `weights_only`,
and the index of a distributed checkpoint through an allow-list of classes (`_MetadataUnpickler`).
"""

import contextlib
import dataclasses
import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load as load_distributed

from lyra_sim.core.errors import ConfigError, ResourceError

Shape = tuple[int, ...]
DtypeOf = Callable[[str], torch.dtype]
BATCH_BYTES = 1 << 30
"""About how much is read at one time."""
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Weights:
    """What a checkpoint holds; `read` fetches some of it, cast to the given types."""

    where: Path
    shapes: Mapping[str, Shape | None]
    """None for an entry that is no tensor."""
    read: Callable[[Sequence[str], DtypeOf], dict[str, Tensor]]

    def without(self, ignored: Callable[[str], bool]) -> "Weights":
        """The same without some entries."""
        return dataclasses.replace(self, shapes={k: v for k, v in self.shapes.items() if not ignored(k)})

    def stripped(self, prefix: str) -> "Weights":
        """The same with a prefix taken off the names that have it.

        Raises:
            ConfigError: a name is there with and without the prefix.
        """
        saved = {name.removeprefix(prefix): name for name in self.shapes}
        twice = [plain for plain, name in saved.items() if plain != name and plain in self.shapes]
        if twice:
            raise ConfigError(
                self.where, expected="every name once", got=f"twice: {listed(twice)}", todo="Keep one of each."
            )

        def read(names: Sequence[str], dtype_of: DtypeOf) -> dict[str, Tensor]:
            tensors = self.read([saved[name] for name in names], lambda name: dtype_of(name.removeprefix(prefix)))
            return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}

        return Weights(self.where, {plain: self.shapes[name] for plain, name in saved.items()}, read)


def open_weights(path: Path) -> Weights:
    """What lies at `path`, in whichever layout.

    Raises:
        ResourceError: nothing is there.
        ConfigError: no layout that is known, or a damaged file.
    """
    path = path.expanduser()
    if not path.exists():
        raise ResourceError(
            path, expected="weights", got="nothing there", todo="`lyra-sim check` says how to get them."
        )
    with _explained(path):
        if (path / ".metadata").is_file():
            weights = _distributed(path)
        elif path.is_dir():
            weights = _safetensors(path, _listed_files(path))
        elif path.suffix == ".safetensors":
            weights = _safetensors(path, [path])
        else:
            weights = of_tensors(path, read_torch(path))

    def read(names: Sequence[str], dtype_of: DtypeOf) -> dict[str, Tensor]:
        with _explained(path):  # a damaged file may show only now
            return weights.read(names, dtype_of)

    return dataclasses.replace(weights, read=read)


_FAULTS = (
    OSError, SafetensorError, pickle.UnpicklingError, RuntimeError, LookupError, ValueError, TypeError, AttributeError,
    EOFError, CheckpointException,
)  # fmt: skip


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except _FAULTS as error:
        said = str(error).strip().splitlines() or [""]
        raise ConfigError(
            path,
            expected="a distributed checkpoint, safetensors, or a torch file of tensors",
            got=f"{type(error).__name__}: {said[0][:200]}",
            todo="Name the folder or file itself, and check that its download is complete.",
        ) from error


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many there are."""
    more = f" ... ({len(names)} in all)" if len(names) > _SHOWN else ""
    return ", ".join(sorted(names)[:_SHOWN]) + more


def read_torch(path: Path) -> dict[str, Any]:
    """A torch file, mapped into memory where its format allows it, tensors only.

    Raises:
        ConfigError: it is damaged, or something else.
    """
    allowed = torch.serialization.safe_globals([io.BytesIO])  # states of fused attention modules; they are ignored
    with _explained(path), allowed:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        if not isinstance(state, dict):
            raise ValueError(f"one {type(state).__name__}, no table of tensors")
    return state


def of_tensors(where: Path, tensors: Mapping[str, Any]) -> Weights:
    """Weights that are in memory, or mapped into it."""
    shapes = {name: tuple(t.shape) if isinstance(t, Tensor) else None for name, t in tensors.items()}
    return Weights(where, shapes, lambda names, dtype_of: {n: tensors[n].to(dtype_of(n), copy=True) for n in names})


def _listed_files(folder: Path) -> list[Path]:
    index = sorted(folder.glob("*.safetensors.index.json"))
    if index:
        named: set[str] = set(json.loads(index[0].read_text())["weight_map"].values())
        if any(Path(name).name != name for name in named):
            raise ValueError(f"{index[0].name} names files of other folders")
        return [folder / name for name in sorted(named)]
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError("no .metadata and no .safetensors in this folder")
    return files


def _safetensors(where: Path, files: list[Path]) -> Weights:
    opened = [safe_open(str(file), "pt") for file in files]
    holder = {name: file for file in opened for name in file.keys()}  # noqa: SIM118
    shapes = {name: tuple(file.get_slice(name).get_shape()) for name, file in holder.items()}
    return Weights(where, shapes, lambda names, dtype_of: {n: holder[n].get_tensor(n).to(dtype_of(n)) for n in names})


def _distributed(folder: Path) -> Weights:
    reader = _Reader(folder)
    kept = reader.read_metadata().state_dict_metadata
    shapes = {name: tuple(m.size) if isinstance(m, TensorStorageMetadata) else None for name, m in kept.items()}

    def read(names: Sequence[str], dtype_of: DtypeOf) -> dict[str, Tensor]:
        tensors = {name: torch.empty(shapes[name] or (), dtype=dtype_of(name)) for name in names}
        with warnings.catch_warnings(action="ignore"):  # that it reads in one process is meant
            load_distributed(dict(tensors), storage_reader=reader, no_dist=True)
        return tensors

    return Weights(folder, shapes, read)


class _Reader(FileSystemReader):
    """torch's reader, but for its index, which torch would unpickle whatever it holds."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        with (Path(self.path) / ".metadata").open("rb") as file:
            metadata = _MetadataUnpickler(file).load()
        if not isinstance(metadata, Metadata):
            raise pickle.UnpicklingError(".metadata holds something else")
        metadata.storage_meta = metadata.storage_meta or StorageMeta()
        metadata.storage_meta.load_id = self.load_id
        return metadata


class _MetadataUnpickler(pickle.Unpickler):
    """Builds the classes of an index and nothing else."""

    allowed = {  # noqa: RUF012
        "torch.distributed.checkpoint.metadata": {
            "BytesStorageMetadata", "ChunkStorageMetadata", "Metadata", "MetadataIndex", "StorageMeta",
            "TensorProperties", "TensorStorageMetadata", "_MEM_FORMAT_ENCODING",
        },
        "torch.distributed._shard.sharded_tensor.metadata": {"TensorProperties", "MEM_FORMAT_ENCODING"},
        "torch.distributed.checkpoint.filesystem": {"_StorageInfo"},
        "torch.serialization": {"_get_layout"},
        "collections": {"OrderedDict"},
        "pathlib": {"PosixPath", "PurePosixPath"},
        "pathlib._local": {"PosixPath", "PurePosixPath"},
        "torch": {"Size", *(name for name, value in vars(torch).items() if isinstance(value, torch.dtype))},
    }  # fmt: skip

    def find_class(self, module: str, name: str) -> Any:
        if name in self.allowed.get(module, ()):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f".metadata asks for {module}.{name}")


def fill(model: nn.Module, weights: Weights, dtype_of: DtypeOf, device: torch.device | str = "cpu") -> None:
    """Put every tensor into the parameter of its name; the model may lie on the meta device.

    At no time more exists than the model and one batch (`BATCH_BYTES`) of the source.

    Raises:
        ConfigError: names that are missing or unexpected, or other shapes; says which and how many.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in model.named_parameters()}
    check_names(weights, wanted)
    for names in batches(wanted):
        tensors = {name: tensor.to(device) for name, tensor in weights.read(names, dtype_of).items()}
        model.load_state_dict(tensors, strict=False, assign=True)


def batches(shapes: Mapping[str, Shape], limit: int = BATCH_BYTES, item: int = 4) -> Iterator[list[str]]:
    """The names in order, in runs of at most `limit` bytes (a larger tensor alone), `item` bytes per value."""
    names: list[str] = []
    size = 0
    for name, shape in shapes.items():
        bytes_ = item * torch.Size(shape).numel()
        if names and size + bytes_ > limit:
            yield names
            names, size = [], 0
        names.append(name)
        size += bytes_
    if names:
        yield names


def check_names(weights: Weights, wanted: Mapping[str, Shape]) -> None:
    """
    Raises:
        ConfigError: names that are missing or unexpected, or other shapes; says which and how many.
    """
    found = weights.shapes
    missing, extra = [n for n in wanted if n not in found], [n for n in found if n not in wanted]
    other = [f"{n} {found[n]} (wanted {wanted[n]})" for n in wanted if n in found and found[n] != wanted[n]]
    faults = {"missing": missing, "unexpected": extra, "of another shape": other}
    said = "; ".join(f"{len(names)} {what}: {listed(names)}" for what, names in faults.items() if names)
    if said:
        raise ConfigError(
            weights.where,
            expected=f"the {len(wanted)} tensors of this network",
            got=said,
            todo="Check that the file belongs to this network and that its sizes and packing are configured.",
        )
