"""The store below OUT/.lyra: committed stage outputs by key, failures by key, partial work, the lock.

A commit is atomic: written beside, flushed, `COMMIT.json` last, renamed into place. The first committer wins, so a
crash leaves nothing half-made and running a stage twice has the effect of running it once.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
import uuid
from pathlib import Path
from typing import Any

from lyra_sim.core.errors import LockedError, ResourceError

WORKERS_GONE_S = 60.0
"""How long a run waits for the workers of a killed run to end."""


class Store:
    """Everything a run remembers, as files below `root` (OUT/.lyra)."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, stage: str, key: str) -> Path:
        return self.root / "store" / stage / key[:32]

    def partial(self, stage: str, key: str) -> Path:
        return self.root / "partial" / f"{stage}-{key[:32]}"

    def commit_of(self, stage: str, key: str) -> dict[str, Any] | None:
        """COMMIT.json of a finished stage, or None."""
        try:
            return json.loads((self.folder(stage, key) / "COMMIT.json").read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def begin(self) -> Path:
        """A fresh temporary folder on the same file system."""
        path = self.root / "tmp" / uuid.uuid4().hex
        path.mkdir(parents=True)
        return path

    def commit(self, out: Path, stage: str, key: str, meta: dict[str, Any]) -> str:
        """Move the finished folder `out` into place under (stage, key); returns its content hash.

        `meta` (cost, host, key fields) goes into COMMIT.json, outside the content hash.
        """
        files = {path.relative_to(out).as_posix(): file_hash(path) for path in sorted(out.rglob("*")) if path.is_file()}
        content = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
        for path in [*out.rglob("*"), out]:
            _sync(path)
        (out / "COMMIT.json").write_text(
            json.dumps({"content": content, "files": files, **meta}, sort_keys=True) + "\n"
        )
        _sync(out / "COMMIT.json")
        _sync(out)
        final = self.folder(stage, key)
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            out.rename(final)
        except OSError:  # another attempt committed first: its result stands
            if not (final / "COMMIT.json").exists():
                raise
            shutil.rmtree(out)
        _sync(final.parent)
        shutil.rmtree(self.partial(stage, key), ignore_errors=True)
        return content

    def failure_of(self, stage: str, key: str) -> dict[str, Any] | None:
        """Why this stage cannot succeed on this input, as recorded by an earlier run, or None."""
        try:
            return json.loads((self.root / "failed" / stage / f"{key[:32]}.json").read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def record_failure(self, stage: str, key: str, failure: dict[str, Any]) -> None:
        write_atomic(self.root / "failed" / stage / f"{key[:32]}.json", json.dumps(failure, sort_keys=True) + "\n")

    def forget_failures(self) -> None:
        """Quarantined worlds get another try."""
        shutil.rmtree(self.root / "failed", ignore_errors=True)

    def log_event(self, **event: Any) -> None:
        """Append to events.jsonl; advisory, never read for truth."""
        with (self.root / "events.jsonl").open("a") as file:
            file.write(json.dumps(event, sort_keys=True) + "\n")

    def lock(self) -> int:
        """Take the run lock; the kernel frees it when the process ends, however it ends. Returns the open descriptor.

        Waits for workers of a killed run to be gone (on Ray that takes a moment): they would commit beside ours.

        Raises:
            LockedError: another run holds this folder, or its workers do.
            ResourceError: the folder cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.root / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ResourceError(
                self.root, expected="a folder that can be written", got=str(error), todo="Choose another --out."
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise LockedError(
                self.root.parent,
                expected="an output folder that no other run uses",
                got=f"a running lyra-sim ({holder})",
                todo="Wait for it, stop it, or choose another --out.",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()} on {os.uname().nodename}\n".encode(), 0)
        try:
            self._wait_for_workers()
        except LockedError:
            os.close(descriptor)
            raise
        return descriptor

    def _wait_for_workers(self) -> None:
        descriptor, give_up = self._open_workers(), time.monotonic() + WORKERS_GONE_S
        try:
            while True:
                try:
                    return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    if time.monotonic() > give_up:
                        raise LockedError(
                            self.root.parent,
                            expected="no worker of an earlier run",
                            got=f"some that still run {WORKERS_GONE_S:.0f} s after their run was killed",
                            todo="End the processes named pipelines.worker, or wait for them.",
                        ) from error
                    time.sleep(0.1)
        finally:
            os.close(descriptor)

    def join(self) -> int:
        """Called by a worker: as long as it lives and holds the descriptor returned, no other run gets the lock."""
        descriptor = self._open_workers()
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor

    def _open_workers(self) -> int:
        return os.open(self.root / "WORKERS", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def sweep(self) -> None:
        """Remove temporary folders of killed attempts; call with the lock held and no worker alive."""
        shutil.rmtree(self.root / "tmp", ignore_errors=True)


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, text: str) -> None:
    """Write a small file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    beside.write_text(text)
    _sync(beside)
    beside.replace(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
