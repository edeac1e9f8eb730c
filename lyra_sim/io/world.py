"""A world on disk: the start and one folder per committed segment, opened one at a time."""

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np

from lyra_sim.core.errors import InputError
from lyra_sim.core.records import PosedFrames, Segment, World
from lyra_sim.io.records import load_record, save_record

START, SEGMENTS = "start", "segments"


def save_start(folder: Path, start: PosedFrames) -> None:
    """Write what was observed into `folder`/start."""
    save_record(start, folder / START)


def save_segment(folder: Path, segment: Segment) -> Path:
    """Write one segment into `folder`/segments/NNN and return that path."""
    path = segment_folder(folder, segment.index)
    save_record(segment, path)
    return path


def save_world(folder: Path, world: World) -> None:
    """Write start and all segments; loads lazy segments one by one."""
    save_start(folder, world.start)
    for segment in world.segments:
        save_segment(folder, segment)


def segment_folder(folder: Path, index: int) -> Path:
    """Where segment `index` of the world in `folder` lies."""
    return folder / SEGMENTS / f"{index:03d}"


def load_world(folder: Path) -> World:
    """Open a world; the start is read now, segments when they are asked for.

    Raises:
        InputError: no world, or a segment is missing between others.
    """
    return World(start=load_record(PosedFrames, folder / START), segments=stored_segments(folder))


def stored_segments(folder: Path) -> "StoredSegments":
    """The segments of the world in `folder`, none where none was committed.

    Raises:
        InputError: the numbering has a gap.
    """
    root = folder / SEGMENTS
    entries = root.iterdir() if root.is_dir() else ()
    numbers = sorted(int(path.name) for path in entries if path.is_dir() and path.name.isdecimal())
    for index, number in enumerate(numbers):
        if number != index:
            todo = "Run again with --fresh to explore anew."
            raise InputError(root, expected=f"segment {index:03d}", got=f"segment {number:03d} next", todo=todo)
    return StoredSegments(tuple(segment_folder(folder, index) for index in range(len(numbers))))


def stored_frames(folder: Path) -> int:
    """How many frames the segments of the world in `folder` have; no image is read."""
    count = 0
    for path in (folder / SEGMENTS).glob("*/arrays.npz"):
        with np.load(path, allow_pickle=False) as stored:
            count += len(stored["frames/cam_to_world"])
    return count


class StoredSegments(Sequence[Segment]):
    """Segments read from disk when indexed; only the last one is kept, so that 1,000 frames never sit in memory."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self._folders = folders
        self._last: Segment | None = None

    def __len__(self) -> int:
        return len(self._folders)

    @overload
    def __getitem__(self, index: int) -> Segment: ...

    @overload
    def __getitem__(self, index: slice) -> "StoredSegments": ...

    def __getitem__(self, index: int | slice) -> "Segment | StoredSegments":
        """A segment (InputError where its files are broken), or a lazy part of the sequence."""
        if isinstance(index, slice):
            return StoredSegments(self._folders[index])
        folder = self._folders[index]
        segment, self._last = self._last, None
        if segment is None or segment.index != int(folder.name):
            segment = None  # frees the previous one before the next is read
            segment = load_record(Segment, folder)
        self._last = segment
        return segment
