"""Child processes that end with their parent, however that ends."""

import os
import signal
import sys


def die_with_parent(parent: int) -> None:
    """Ask the kernel to end this process when its parent ends (Linux), so that nothing outlives a killed run.

    Call it early in the child. The parent must have started the child from a thread that lives as long as the child
    shall: the kernel means that thread by "parent".

    Args:
        parent: process id of the parent, as the parent saw it; this process exits at once when it is gone already.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)
