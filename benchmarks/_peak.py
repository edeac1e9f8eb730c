"""The most memory that this process holds. Linux with glibc only; nothing but the standard library."""

import ctypes
from pathlib import Path


def peak_mb() -> float:
    """Peak resident memory since the program began, or since `restarted_peak_mb`.

    `ru_maxrss` would count the parent's up to then, too.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def restarted_peak_mb() -> float:
    """Give back what is no longer held, as from reading data, and begin a new peak with what is still held."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak_mb()
