"""Small stages for tests of the machinery: what they do is named by the source's name."""

import ctypes
import os
import subprocess
import sys
import time

import numpy as np

from lyra_sim.core.errors import SceneError
from pipelines.stage import Job, Stage

GRAPH = (
    Stage("first", 1, ("capture",), (), "tests.fake_stages:first", deadline_s=20, memory_mb=1500),
    Stage("second", 1, ("surface",), ("first",), "tests.fake_stages:second", deadline_s=6, memory_mb=600),
    Stage("third", 1, (), ("first", "second"), "tests.fake_stages:third", deadline_s=20, memory_mb=1500),
)


def first(job: Job) -> None:
    time.sleep(0.05)
    (job.out / "name.txt").write_text(job.source["name"])


def second(job: Job) -> None:
    """Commits pieces one by one in `partial`, like explore, then misbehaves if told to."""
    name = job.source["name"]
    job.partial.mkdir(parents=True, exist_ok=True)
    for piece in range(3):
        path = job.partial / f"{piece}.txt"
        if not path.exists():
            path.write_text(f"{name} {piece}")
            with (job.partial.parent.parent / "pieces.log").open("a") as log:
                log.write(f"{job.key} {piece}\n")
            time.sleep(0.05)
    _talk(job, name)
    _misbehave(name)
    for piece in range(3):  # linked, not moved, as explore does: until the stage is committed they stay findable
        os.link(job.partial / f"{piece}.txt", job.out / f"{piece}.txt")


def _talk(job: Job, name: str) -> None:
    for step in range(3 if name.startswith("talk") else 0):
        job.report(f"step {step}")
        time.sleep(1.0)


def _misbehave(name: str) -> None:
    if name.startswith("scene"):
        raise SceneError("second", expected="a floor", got="none", todo="Take another photo.")
    if name.startswith("exit"):
        os._exit(7)
    if name.startswith("segv"):
        os.kill(os.getpid(), 11)
    if name.startswith("hang"):
        time.sleep(60)
    if name.startswith("bug"):
        raise KeyError("surprise")
    if name.startswith("full"):
        raise OSError(28, "No space left on device")
    if name.startswith("hogchild"):  # the worker stays small
        subprocess.run([sys.executable, "-c", "x = bytearray(2**30); import time; time.sleep(30)"], check=False)
    if name.startswith("hog"):
        hog = [np.ones(2**24) for _ in range(8)]
        if name.startswith("hoglock"):  # like a native library: memory taken, Python's lock held
            ctypes.PyDLL(None).sleep(30)
        time.sleep(30)
        hog.clear()


def third(job: Job) -> None:
    text = "".join(p.read_text() for p in sorted(job.inputs["second"].glob("*.txt")))
    (job.out / "all.txt").write_text(text + (job.inputs["first"] / "name.txt").read_text())
