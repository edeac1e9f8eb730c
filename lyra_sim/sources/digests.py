"""Content hashes of files, remembered by what the file system says of them, so that a second run need not read them."""

import contextlib
import hashlib
import json
import os
from pathlib import Path


class Digests:
    """SHA-256 by path; a file whose size, inode or time of change differs is read again.

    Args:
        memory: JSON file to remember in; None remembers nothing beyond this object.
    """

    def __init__(self, memory: Path | None = None) -> None:
        self._memory, self._known, self._changed = memory, {}, False
        if memory is not None and memory.exists():
            try:
                self._known = json.loads(memory.read_text())
            except ValueError:  # only a cache: a damaged one is made anew
                self._known = {}

    @classmethod
    def of_user(cls) -> "Digests":
        """Remembered in the user's cache folder: for weights, which many runs share."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cls(cache / "lyra-sim" / "digests.json")

    def of(self, path: Path) -> str:
        """SHA-256 (hex) of a file; one that cannot be read counts as its path and error.

        Reading it later fails with a message; until then two unreadable files must not look like one.
        """
        name = os.fspath(path.absolute())
        try:
            status = path.stat()
            stamp = [status.st_size, status.st_ino, status.st_mtime_ns]
            known = self._known.get(name)
            if known is not None and known[1:] == stamp:
                return known[0]
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            return hashlib.sha256(f"{os.fspath(path)} {error.errno}".encode("utf-8", "surrogateescape")).hexdigest()
        self._known[name] = [digest, *stamp]
        self._changed = True
        return digest

    def save(self) -> None:
        """Write what was learned, if there is anything new and somewhere to write it."""
        if self._memory is not None and self._changed:
            self._changed = False
            with contextlib.suppress(OSError):  # only a cache
                self._memory.parent.mkdir(parents=True, exist_ok=True)
                beside = self._memory.with_suffix(f".{os.getpid()}.new")  # workers may save at the same time
                beside.write_text(json.dumps(self._known))
                beside.replace(self._memory)
