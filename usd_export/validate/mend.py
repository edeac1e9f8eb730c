"""A corrected copy of a scene: what the rules find and a machine can mend without guessing. The original is only read;
edits lie in the root layer of the copy."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from pxr import Usd

from lyra_sim.core.errors import ConfigError, InputError
from usd_export.reader import open_stage
from usd_export.validate.copying import copy_scene
from usd_export.validate.mend_prims import MENDS
from usd_export.validate.rule_table import Finding
from usd_export.validate.rules import scene_findings

_PASSES = 3
"""A mended prim may show the next fault: a new collider wants a material."""
_BY_COPYING = {
    "LYRA-PATH-001": "copied the file into the folder",
    "LYRA-PATH-002": "copied the file into the folder",
    "LYRA-LAY-001": "saved the layer as usdc",
    "LYRA-PKG-001": "unpacked; the camera is switched off",
    "LYRA-PKG-002": "unpacked with the root layer at the top",
}


@dataclass(frozen=True)
class Mended:
    """A corrected copy."""

    file: Path
    """The copy to open."""
    done: tuple[tuple[Finding, str], ...]
    """Findings that were mended, and how."""


def mend_scene(path: Path, out: Path) -> Mended:
    """Write a copy of a scene, with all files it depends on, in which everything mechanical is mended.

    Args:
        path: .usd, .usda, .usdc or .usdz; it is not changed.
        out: a new or empty folder. A package comes to lie there unpacked, since packages cannot be edited.

    Raises:
        InputError: not a readable USD file, or a package with unsafe names.
        ConfigError: `out` is not a new or empty folder.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(
            out, expected="a new or empty folder", got="one with files", todo="Choose another with --out."
        )
    before = scene_findings(open_stage(path))
    out.mkdir(parents=True, exist_ok=True)
    with _unpacked(path) as source:
        root = copy_scene(source, out)
    stage = open_stage(root)
    done: list[tuple[Finding, str]] = []
    for _ in range(_PASSES):
        found = scene_findings(stage)
        now = [(f, how) for f in found if (mend := MENDS.get(f.rule.id)) and (how := mend(stage, f))]
        if not now:
            break
        done += now
    if path.suffix.lower() == ".usdz":
        _switch_off_cameras(stage, before)
    stage.GetRootLayer().Save()
    left = {(f.rule.id, f.path) for f in scene_findings(stage)}
    copied = [
        (f, _BY_COPYING[f.rule.id]) for f in before if f.rule.id in _BY_COPYING and (f.rule.id, f.path) not in left
    ]
    return Mended(root, tuple(copied + done))


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """The root layer to copy; a package's is unpacked for the while."""
    if path.suffix.lower() != ".usdz":
        yield path
        return
    with TemporaryDirectory() as folder, zipfile.ZipFile(path) as package:
        names = [PurePosixPath(name.replace("\\", "/")) for name in package.namelist()]
        unsafe = [str(name) for name in names if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]]
        if unsafe:
            expected, todo = "names inside the package", "Unpack it by hand and look at it."
            raise InputError(path, expected=expected, got=f"the name {unsafe[0]}", todo=todo)
        package.extractall(folder)
        yield Path(folder) / names[0]


def _switch_off_cameras(stage: Usd.Stage, before: tuple[Finding, ...]) -> None:
    """So that packing the copy again gives no package with cameras."""
    for found in before:
        prim = stage.GetPrimAtPath(found.path) if found.rule.id == "LYRA-PKG-001" else None
        if prim and not prim.IsInstanceProxy():
            prim.SetActive(False)
