"""Sources as plain values, so that they can travel to workers and into keys, and back."""

import dataclasses
from pathlib import Path
from typing import Any

from lyra_sim.core.licence import Licence
from lyra_sim.sources.discover import Source


def plain_source(source: Source) -> dict[str, Any]:
    """A source as JSON values; `key` is the hash of everything its capture depends on, `captions` that of the words."""
    return {
        "kind": source.kind,
        "path": str(source.path.absolute()),
        "digest": source.digest,
        "name": source.name,
        "notice": dataclasses.asdict(source.notice) if source.notice else None,
        "key": source.key,
        "captions": source.captions,
    }


def source_from(plain: dict[str, Any]) -> Source:
    """The source that `plain_source` wrote."""
    notice = Licence(**plain["notice"]) if plain["notice"] else None
    return Source(plain["kind"], Path(plain["path"]), plain["digest"], plain["name"], notice=notice)
