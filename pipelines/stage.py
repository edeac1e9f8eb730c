"""A stage is plain data plus the name of a function; its key says when it must run again.

Light on purpose: the driver imports this and nothing heavy, workers import the function by name.
"""

import dataclasses
import hashlib
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Stage:
    """One step of the path of a world."""

    name: str
    version: int
    """Raise when the stage's code changes what it writes; finished work is then redone."""
    reads: tuple[str, ...]
    """Sections of the configuration that the stage depends on."""
    upstream: tuple[str, ...]
    """Stages whose output it reads."""
    function: str
    """`module:name`, imported in the worker; called with a `Job`."""
    deadline_s: float = 600.0
    memory_mb: int = 6000
    gpu: bool = False
    """Needs a worker that has a GPU to itself."""
    captions: tuple[str, ...] = ()
    """Kinds of inputs (`photo`, `rgbd`) beside which it reads the words."""

    def open(self) -> Callable[["Job"], None]:
        """Import the work function; may be slow the first time in a worker."""
        module, name = self.function.split(":")
        return getattr(importlib.import_module(module), name)


@dataclasses.dataclass(frozen=True)
class Job:
    """What a work function is given. It writes its result below `out` and nothing elsewhere but `partial`."""

    stage: str
    key: str
    world: str
    source: dict[str, Any]
    """kind, path, name, digest, captions of the input."""
    config: dict[str, Any]
    """The whole configuration as plain values; the function reads the sections its stage declares."""
    inputs: dict[str, Path]
    """Committed folders of the upstream stages by stage name."""
    out: Path
    partial: Path
    """Survives a killed attempt: pieces committed here are found again by the next attempt with the same key."""
    report: Callable[[str], None]
    """Progress within the stage, one short line."""
    piece_done: Callable[[int], None]
    """Note that piece number n was committed in `partial`."""


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of plain values."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def key_fields(
    stage: Stage, config: dict[str, Any], upstream: dict[str, str], source: dict[str, Any], weights: str | None = None
) -> dict[str, Any]:
    """Everything the stage's result depends on, as plain values.

    Args:
        upstream: content hash of each upstream stage's committed output.
        source: its `key`, the hash of everything its capture depends on, counts for stages without upstream; its
            `captions`, the hash of the words beside it, where there are any, for stages that read them.
        weights: hash of the weights of the stage's networks, where it has any.
    """
    fields: dict[str, Any] = {
        "stage": stage.name,
        "version": stage.version,
        "seed": config["seed"],
        "config": {section: config[section] for section in stage.reads},
        "upstream": upstream,
    }
    if not stage.upstream:
        fields["source"] = source["key"]
    if source.get("kind") in stage.captions and source.get("captions"):
        fields["captions"] = source["captions"]
    if weights is not None:
        fields["weights"] = weights
    return fields
