"""Names of sources and worlds: readable, safe as folder names on every system, never taken from a path unfiltered."""

import re
import unicodedata
from pathlib import Path


def printable(path: Path | str) -> str:
    """A path or name as text that every terminal and file can hold (bytes that are no UTF-8 become '�')."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def slug(text: str) -> str:
    """`text` in [a-z0-9-], at most 40 characters; accents are dropped; 'world' where nothing is left."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")[:40].rstrip("-") or "world"


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts frame2 before frame10."""
    parts = re.findall(r"\d+|\D+", name)
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts)
