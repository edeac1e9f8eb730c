"""A USDZ package whose bytes depend on the files only: stored, 64-byte aligned, fixed order and dates.

The layout is that of the USDZ specification 1.3 (Pixar): a zip without compression whose first file is the default
layer and whose file contents start at multiples of 64 bytes.
"""

import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

_ALIGN = 64
_LOCAL_HEADER = 30
_PADDING_ID = 0x1986
"""Id of the zip extra field that OpenUSD itself pads with."""
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_usdz(path: Path, folder: Path, first: str, others: Sequence[str]) -> None:
    """Pack files of `folder` into `path`.

    Args:
        first: the default layer, relative to `folder`.
        others: the other files, relative; packed in sorted order.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as package:
        for name in (first, *sorted(others)):
            content = (folder / name).read_bytes()
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o644 << 16
            assert package.fp is not None
            info.extra = _padding(package.fp.tell() + _LOCAL_HEADER + len(name.encode()))
            package.writestr(info, content)


def _padding(start: int) -> bytes:
    """An extra field (at least its own 4-byte header) that moves the content from `start` to a multiple of 64."""
    size = (-(start + 4)) % _ALIGN
    return struct.pack("<HH", _PADDING_ID, size) + bytes(size)
