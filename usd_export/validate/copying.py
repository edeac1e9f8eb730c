"""A copy of a scene that travels: every file it depends on lies in one folder under relative paths, and text layers
with large arrays become usdc.

`UsdUtils.LocalizeAsset` does not serve: it writes the paths of a nested layer relative to the root layer's folder.
"""

import os
import shutil
from pathlib import Path

from pxr import Ar, Sdf, UsdUtils

from usd_export.validate.rules import holds_large_array, is_text

_ELSEWHERE = "external"
"""Folder for files that lay outside the folder of the scene."""
_TILE = "<UDIM>"


def copy_scene(source: Path, out: Path) -> Path:
    """Copy a layer and all it depends on; what leads nowhere keeps its path.

    Args:
        source: the root layer, not in a package.
        out: an existing folder.

    Returns:
        The root layer's copy.
    """
    return _Copier(source.resolve(), out.resolve()).run()


class _Copier:
    def __init__(self, source: Path, out: Path) -> None:
        self._source, self._out = source, out
        self._places: dict[Path, Path] = {}
        self._queue: list[Path] = []

    def run(self) -> Path:
        root = self._place(self._source)
        while self._queue:
            self._copy_layer(self._queue.pop(0))
        return root

    def _place(self, file: Path) -> Path:
        """Where a file lies in the copy; it is copied, a layer later on."""
        if file in self._places:
            return self._places[file]
        inside = file.is_relative_to(self._source.parent)
        wanted = self._out / (file.relative_to(self._source.parent) if inside else Path(_ELSEWHERE) / file.name)
        layer = self._layer(file)
        if layer and is_text(layer) and wanted.suffix != ".usd" and holds_large_array(layer):
            wanted = wanted.with_suffix(".usdc")
        taken, place, number = set(self._places.values()), wanted, 1
        while place in taken:
            place, number = wanted.with_stem(f"{wanted.stem}_{number}"), number + 1
        self._places[file] = place
        place.parent.mkdir(parents=True, exist_ok=True)
        if layer:
            self._queue.append(file)
        else:
            shutil.copyfile(file, place)
        return place

    def _layer(self, file: Path) -> Sdf.Layer | None:
        """The layer in a file; None for textures and packages, which are copied as they are."""
        kind = Sdf.FileFormat.FindByExtension(file.suffix.lstrip("."))
        return Sdf.Layer.FindOrOpen(str(file)) if kind and not kind.IsPackage() else None

    def _copy_layer(self, file: Path) -> None:
        layer, place = self._layer(file), self._places[file]
        assert layer
        made = Sdf.Layer.CreateAnonymous(place.suffix)
        made.TransferContent(layer)
        UsdUtils.ModifyAssetPaths(made, lambda path: self._new_path(layer, place, path))
        binary = place.suffix == ".usdc" or not is_text(layer) or holds_large_array(layer)
        arguments = {"format": "usdc" if binary else "usda"} if place.suffix == ".usd" else {}
        made.Export(str(place), args=arguments)

    def _new_path(self, layer: Sdf.Layer, place: Path, path: str) -> str:
        outer, inner = Ar.SplitPackageRelativePathOuter(path)
        if not outer or outer.startswith("`"):
            return path
        found = Path(layer.ComputeAbsolutePath(outer))
        if _TILE in found.name:
            tiles = sorted(found.parent.glob(found.name.replace(_TILE, "[0-9][0-9][0-9][0-9]")))
            places = [self._place(tile.resolve()) for tile in tiles]
            target = places[0].with_name(found.name) if places else None
        else:
            target = self._place(found.resolve()) if found.is_file() else None
        if target is None:
            return path
        relative = Path(os.path.relpath(target, place.parent)).as_posix()
        return f"{relative}[{inner}]" if inner else relative
