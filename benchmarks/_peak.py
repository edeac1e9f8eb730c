"""The most memory that this process has held. Linux only; nothing but the standard library."""

from pathlib import Path


def peak_mb() -> float:
    """Peak resident memory since the program began. `ru_maxrss` would count the parent's up to then, too."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))
