"""Finding the inputs: which given files and folders are photos, which are RGB-D walks, and what is left aside."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from lyra_sim.core.errors import ConfigError
from lyra_sim.core.licence import Licence
from lyra_sim.io.sniff import HEAD_BYTES, IMAGE_SUFFIXES, image_kind
from lyra_sim.sources.captions import caption_file
from lyra_sim.sources.digests import Digests
from lyra_sim.sources.layout import WalkLayout, walk_layout
from lyra_sim.sources.licences import is_notice, notice_beside
from lyra_sim.sources.names import natural_key, printable, slug
from lyra_sim.sources.sidecar import photo_sidecar

Kind = Literal["auto", "photo", "rgbd"]
NO_IMAGE = "not an image, by content or by name"
MAX_DEPTH = 3
"""Folders this many levels below a given one are still searched."""


@dataclass(frozen=True)
class Source:
    """One input: a photo file, or the folder of an RGB-D walk."""

    kind: Literal["photo", "rgbd"]
    path: Path
    digest: str
    """sha256 (hex) of the content: a photo's bytes and its camera file; a walk's poses, camera and all frames."""
    name: str
    """Stem of the file or name of the folder, printable."""
    also: tuple[Path, ...] = ()
    """Other places where the same content was found."""
    notice: Licence | None = None
    """Statement of rights found beside it."""
    captions: str | None = None
    """sha256 of the file with its captions; no part of the key, for they are read only where something is generated."""

    @property
    def key(self) -> str:
        """sha256 over everything of this source that its capture depends on: content, kind, name, notice."""
        notice = [self.notice.name, self.notice.holder, self.notice.source] if self.notice else None
        return hashlib.sha256(json.dumps([self.kind, self.digest, self.name, notice]).encode()).hexdigest()


@dataclass(frozen=True)
class Skipped:
    """A path that is no input, and why. Does not change the outcome of a run."""

    path: Path
    why: str


@dataclass(frozen=True)
class Discovery:
    """What was found, in a fixed order."""

    sources: tuple[Source, ...]
    skipped: tuple[Skipped, ...]


def discover(paths: Sequence[Path], kind: Kind = "auto", *, digests: Digests | None = None) -> Discovery:
    """Find all inputs at and below `paths`.

    A folder with poses.txt and camera.json, or with colour and depth images side by side, is one RGB-D source (an
    incomplete one too: reading it says what is missing). Any other folder is searched, to `MAX_DEPTH` levels. A file
    is a photo when its first bytes are an image's or its name claims so. Symbolic links are followed, each folder is
    visited once. Sources are ordered by path in natural order; the same content twice is one source.

    Args:
        kind: "photo" takes the colour images of RGB-D folders as photos; "rgbd" leaves photos aside.
        digests: remembers content hashes between runs.

    Raises:
        ConfigError: a path does not exist.
    """
    search = _Search(kind, digests or Digests())
    for given in paths:
        path = Path(given)
        _require(path)
        if path.is_dir():
            search.folder(path, 0)
        else:
            search.file(path)
    unused = (item for item in search.skipped if item.path not in search.used)
    return Discovery(tuple(_merged(search.found)), tuple(sorted(unused, key=lambda item: _order(item.path))))


def world_name(source: Source) -> str:
    """Folder name of the source's world: slug of its name and 8 hex digits of its content."""
    return f"{slug(source.name)}-{source.digest[:8]}"


@dataclass
class _Search:
    kind: Kind
    digests: Digests
    found: list[Source] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    visited: set[tuple[int, int]] = field(default_factory=set)
    used: set[Path] = field(default_factory=set)
    """Camera files, captions and statements of rights that belong to a source."""

    def folder(self, path: Path, depth: int) -> None:
        try:
            status = path.stat()
            entries = sorted(path.iterdir(), key=lambda entry: natural_key(entry.name))
        except OSError as error:
            self.skip(path, f"cannot be read: {error.strerror}")
            return
        if (status.st_dev, status.st_ino) in self.visited:
            return  # reached twice, through a link or a path given twice
        self.visited.add((status.st_dev, status.st_ino))
        layout = walk_layout(path)
        if layout is not None and self.kind != "photo":
            self.add_walk(layout)
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if layout is not None and layout.holds_depth(entry):
                self.skip(entry, "depth images of an RGB-D folder read as photos")
            elif entry.is_dir():
                self.subfolder(entry, depth + 1)
            else:
                self.file(entry)

    def subfolder(self, path: Path, depth: int) -> None:
        if path.suffix.lower() in IMAGE_SUFFIXES:
            self.skip(path, "a folder, although its name ends like an image file's")
        elif depth > MAX_DEPTH:
            self.skip(path, f"more than {MAX_DEPTH} folders below the one given; give it directly")
        else:
            self.folder(path, depth)

    def file(self, path: Path) -> None:
        claims = path.suffix.lower() in IMAGE_SUFFIXES
        if not path.is_file():  # a pipe or device must not be opened, a broken link cannot be
            self.skip(path, "a broken link" if path.is_symlink() else "no regular file")
            return
        try:
            with path.open("rb") as file:
                kind = image_kind(file.read(HEAD_BYTES))
            is_image = claims or kind not in (None, "hdr", "openexr")
        except OSError as error:
            is_image, kind = claims, None
            if not claims:
                self.skip(path, f"cannot be read: {error.strerror}")
                return
        if not is_image:
            if not is_notice(path):
                self.skip(path, NO_IMAGE if kind is None else "a high dynamic range map, not a photo")
        elif self.kind == "rgbd":
            self.skip(path, "a photo, but only RGB-D walks were asked for")
        else:
            sidecar = photo_sidecar(path)
            self.used.update([sidecar] if sidecar else [])
            parts = [("photo", path)] + ([("camera", sidecar)] if sidecar else [])
            digest = _digest(parts, self.digests)
            self.add(Source("photo", path, digest, printable(path.stem), notice=notice_beside(path)))

    def add_walk(self, layout: WalkLayout) -> None:
        parts = [(printable(file.relative_to(layout.folder)), file) for file in layout.files()]
        name = printable(layout.folder.resolve().name)
        self.add(Source("rgbd", layout.folder, _digest(parts, self.digests), name, notice=notice_beside(layout.folder)))

    def add(self, source: Source) -> None:
        captions = caption_file(source.path)
        if captions is not None:
            self.used.add(captions)
            source = replace(source, captions=self.digests.of(captions))
        self.found.append(source)

    def skip(self, path: Path, why: str) -> None:
        self.skipped.append(Skipped(path, why))


def _require(path: Path) -> None:
    try:
        path.stat()
    except OSError as error:
        todo = "Check the spelling and the rights; quote names with spaces."
        got = error.strerror or "nothing there"
        raise ConfigError(printable(path), expected="an existing file or folder", got=got, todo=todo) from error


def _merged(found: Sequence[Source]) -> Iterator[Source]:
    """One source per content and kind, in path order; the others of the same content become its `also`."""
    groups: dict[tuple[str, str], list[Source]] = {}
    for source in sorted(found, key=lambda item: _order(item.path)):
        groups.setdefault((source.kind, source.digest), []).append(source)
    for first, *others in groups.values():
        also = dict.fromkeys(other.path for other in others if other.path != first.path)
        yield replace(first, also=tuple(also))


def _order(path: Path) -> tuple[tuple[tuple[int, int, str], ...], ...]:
    return tuple(natural_key(part) for part in path.parts)


def _digest(parts: Sequence[tuple[str, Path]], digests: Digests) -> str:
    """sha256 of one file, or of several with their names."""
    sums = [(name, digests.of(path)) for name, path in parts]
    if len(sums) == 1:
        return sums[0][1]
    return hashlib.sha256(json.dumps(sums, ensure_ascii=False).encode()).hexdigest()
