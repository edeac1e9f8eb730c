"""What a world shows, in words, as its user put them beside the input: for generators that read."""

import json
from pathlib import Path

from lyra_sim.core.errors import InputError
from lyra_sim.sources.names import printable

MAX_BYTES = 8192
"""A longer text beside a photo is something else, and is left aside."""
_DIGITS = 9
_TODO = 'Write {"0": "a sentence", "81": "another one, from frame 81 on"}.'


def caption_file(source: Path) -> Path | None:
    """The file with the captions of a photo (`<stem>.captions.json`, `<file>.txt` or `<stem>.txt` beside it) or of a
    walk (`captions.json` or `caption.txt` in its folder); None where there is none."""
    if source.is_dir():
        names = [source / "captions.json", source / "caption.txt"]
    else:
        beside = [f"{source.stem}.captions.json", f"{source.name}.txt", f"{source.stem}.txt"]
        names = [source.with_name(name) for name in beside if name != source.name]
    return next((path for path in names if path.is_file() and (path.suffix == ".json" or _short_text(path))), None)


def read_captions(path: Path) -> dict[int, str]:
    """Captions by the number of the frame from which on they hold, in order, the first from frame 0; a text file is one
    sentence.

    Raises:
        InputError: not UTF-8, or JSON that is no such mapping.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        tree = json.loads(text) if path.suffix == ".json" else {"0": " ".join(text.split())}
    except (OSError, ValueError, RecursionError) as error:
        got = error.strerror if isinstance(error, OSError) else str(error)[:200]
        raise InputError(printable(path), expected="captions", got=str(got), todo=_TODO) from error
    if not isinstance(tree, dict) or "0" not in tree:
        raise InputError(printable(path), expected='an object with the key "0"', got=str(tree)[:80], todo=_TODO)
    for frame, caption in tree.items():
        if not frame.isdecimal() or len(frame) > _DIGITS or not isinstance(caption, str) or not caption.strip():
            got = f"{frame!r}: {caption!r}"[:120]
            raise InputError(printable(path), expected="frame numbers with sentences", got=got, todo=_TODO)
    return {int(frame): tree[frame].strip() for frame in sorted(tree, key=int)}


def captions_beside(source: Path) -> dict[int, str]:
    """Captions of a photo or a walk; none where there is no file with any.

    Raises:
        InputError: see `read_captions`.
    """
    path = caption_file(source)
    return {} if path is None else read_captions(path)


def _short_text(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        return len(raw) <= MAX_BYTES and bool(raw.decode("utf-8-sig").strip())
    except (OSError, UnicodeDecodeError):
        return False
