"""Which files of a folder are the frames, poses and camera of an RGB-D capture."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lyra_sim.io.sniff import IMAGE_SUFFIXES
from lyra_sim.sources.names import natural_key

COLOR_FOLDER, DEPTH_FOLDER, POSES, CAMERA = "color", "depth", "poses.txt", "camera.json"
SINGLE_DEPTH = "depth.png"


@dataclass(frozen=True)
class WalkLayout:
    """The files of an RGB-D folder: a walk (color/, depth/, poses.txt, camera.json) or one frame (rgb.*, depth.png,
    camera.json, without poses). Files may be missing; reading says so."""

    folder: Path
    color: tuple[Path, ...]
    depth: tuple[Path, ...]
    single: bool

    def files(self) -> Iterator[Path]:
        """Everything the capture is made from, in a fixed order: camera, poses, colour, depth."""
        for path in (self.folder / CAMERA, self.folder / POSES):
            if path.is_file():
                yield path
        yield from self.color
        yield from self.depth

    def holds_depth(self, entry: Path) -> bool:
        """True for the entry of the folder that is depth, not colour."""
        return entry.name == (SINGLE_DEPTH if self.single else DEPTH_FOLDER)


def walk_layout(folder: Path) -> WalkLayout | None:
    """The RGB-D layout of a folder; None where it is an ordinary one.

    Two of poses.txt, camera.json, color/ and depth/ make a walk, if only to say what is missing: its depth images
    must not be taken for photos. A folder with depth.png, camera.json and rgb.* is one RGB-D frame.
    """
    marks = (folder / POSES).is_file() + (folder / CAMERA).is_file()
    marks += (folder / COLOR_FOLDER).is_dir() + (folder / DEPTH_FOLDER).is_dir()
    if marks >= 2:
        return WalkLayout(folder, _images(folder / COLOR_FOLDER), _images(folder / DEPTH_FOLDER), single=False)
    if not ((folder / CAMERA).is_file() and (folder / SINGLE_DEPTH).is_file()):
        return None
    color = tuple(path for path in _images(folder) if path.stem.lower() in ("rgb", "color"))
    return WalkLayout(folder, color, (folder / SINGLE_DEPTH,), single=True) if color else None


def _images(folder: Path) -> tuple[Path, ...]:
    """Image files by name, in natural order; hidden files and other programs' files are left out."""
    try:
        entries = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    except OSError:
        return ()
    visible = [path for path in entries if not path.name.startswith(".")]
    return tuple(sorted(visible, key=lambda path: (natural_key(path.stem), path.name)))
