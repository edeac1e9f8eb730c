"""Whose inputs these are: the licence statements found in, beside and above the files."""

import re
from pathlib import Path
from typing import Any

from lyra_sim.core.licence import Licence
from lyra_sim.sources.names import printable

NOT_STATED = "not stated"
NOTICE_STEMS = ("license", "licence", "attribution", "copying", "copyright")
NOTICE_SUFFIXES = ("", ".txt", ".md")
NOTICE_BYTES = 65536
KNOWN = (
    (r"SPDX-License-Identifier:\s*([\w.+() -]+)", None),
    (r"\bCC0\b|CC-Zero|creativecommons\.org/publicdomain/zero", "CC0-1.0"),
    (r"\bCC[ -](BY(?:-(?:NC|SA|ND))*)[ -]?([1-4]\.\d)?", "CC"),
    (r"creativecommons\.org/licenses/(by(?:-(?:nc|sa|ND))*)/([1-4]\.\d)", "CC"),
    (r"Apache License,?\s+Version 2\.0|\bApache-2\.0\b", "Apache-2.0"),
    (r"\bMIT License\b|Permission is hereby granted, free of charge", "MIT"),
)
"""Wordings by which a statement is recognised, and the SPDX identifier they mean."""


def is_notice(path: Path) -> bool:
    """True where the file name says that it states rights: LICENSE, ATTRIBUTION.txt, `<image>.license` and so on."""
    name = path.name.lower()
    stem = name.split(".")[0]
    return name.endswith(".license") or (
        stem in NOTICE_STEMS and name[len(stem) :].lower() in NOTICE_SUFFIXES and not name.startswith(".")
    )


def notice_beside(path: Path) -> Licence | None:
    """The statement of rights beside a source: `<image>.license` (REUSE), else a LICENSE or ATTRIBUTION file in the
    walk's folder, or in the folder that holds the photo. None where there is none or it cannot be read."""
    own = path.with_name(path.name + ".license")
    folder = path if path.is_dir() else path.parent
    try:
        beside = sorted(file for file in folder.iterdir() if is_notice(file) and not file.name.endswith(".license"))
    except OSError:
        beside = []
    for file in (own, *beside):
        try:
            with file.open("rb") as stream:
                text = stream.read(NOTICE_BYTES).decode("utf-8", "replace")
        except OSError:
            continue
        if text.strip():
            source = f"{printable(file.name)} beside it"
            return Licence(subject=printable(path.name), name=spdx(text), holder=_holder(text), source=source)
    return None


def spdx(text: str) -> str:
    """SPDX identifier of a statement where it is recognised, else its first line (at most 120 characters)."""
    for pattern, name in KNOWN:
        match = re.search(pattern, text, re.IGNORECASE)
        if match is None:
            continue
        if name == "CC":
            return f"CC-{match[1].upper()}-{match[2] or '4.0'}" if match[2] else f"CC-{match[1].upper()}"
        return name or match[1].strip()
    first = next((line.strip(" #*=\t") for line in text.splitlines() if line.strip(" #*=-\t")), NOT_STATED)
    return "".join(c for c in first if c.isprintable())[:120]


def licence_of(
    subject: str, *, configured: str | None, beside: Licence | None, exif: dict[str, Any], stated: str | None = None
) -> Licence:
    """The licence line of one input.

    What the configuration says goes first, then `stated` (a licence in the camera file), then the file beside the
    input, then EXIF Copyright; else 'not stated'. The holder is the EXIF artist or copyright, or what the file names.
    """
    holder = str(exif.get("artist") or exif.get("copyright") or (beside.holder if beside else NOT_STATED))
    if configured is not None:
        return Licence(subject=subject, name=configured, holder=holder, source="configuration (capture.licence)")
    if stated is not None:
        return Licence(subject=subject, name=stated, holder=holder, source="camera file")
    if beside is not None:
        keep = beside.holder if beside.holder != NOT_STATED else holder
        return Licence(subject=subject, name=beside.name, holder=keep, source=beside.source)
    if "copyright" in exif:
        return Licence(subject=subject, name=spdx(str(exif["copyright"])), holder=holder, source="EXIF Copyright")
    return Licence(subject=subject, name=NOT_STATED, holder=holder, source="nothing found in or beside the input")


def _holder(text: str) -> str:
    match = re.search(r"(?:copyright|©)(?:text)?:?\s*(?:\(c\)|©)?\s*([^\n]+)", text, re.IGNORECASE)
    cleaned = "".join(c for c in match[1] if c.isprintable()).strip() if match else ""
    return cleaned[:120] or NOT_STATED
