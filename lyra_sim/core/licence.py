"""Who allows what: one line of a licence chain. Apart from the other records, so that it is there without numpy."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Licence:
    """One line of the licence chain of a world."""

    subject: str
    """What it covers: an input file, a set of weights, a code package."""
    name: str
    """SPDX identifier or a sentence; 'not stated' where the source says nothing."""
    holder: str
    source: str
    """Where the statement was found (EXIF, a LICENSE file, the configuration)."""
