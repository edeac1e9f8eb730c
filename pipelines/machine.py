"""What `lyra-sim check` finds out: can this machine run this configuration, what is missing, how to get it."""

import os
import shutil
import sys
from pathlib import Path

import psutil

from lyra_sim.config.lyra2 import Lyra2Config
from lyra_sim.config.robots import load_robots
from lyra_sim.config.world import WorldConfig
from lyra_sim.core.packages import installed
from pipelines.gpus import gpu_slots
from pipelines.weights import depth_networks, generator_requirements

_PACKAGES = {
    "open3d": "ray casting and distances",
    "numba": "fusion, warps and geodesics",
    "skimage": "marching cubes",
    "cv2": "line segments and filling",
    "coacd": "convex decompositions in scenes that are judged",
    "pxr": "USD",
    "newton": "the drop test",
    "imageio_ffmpeg": "walk.mp4",
}
"""They come with `pip install lyra-sim`."""
_NEED_GB, _NEED_DISK_GB = 4.0, 5.0


def check_machine(config: WorldConfig) -> int:
    """Print one line per requirement; 0 when the configuration can run here, else 5.

    Raises:
        ConfigError: a robot without a profile.
    """
    load_robots(config.tasks.robots)
    rows = [(f"package {name}", installed(name), why) for name, why in _PACKAGES.items()]
    memory = psutil.virtual_memory().available / 2**30
    disk = shutil.disk_usage(Path.cwd()).free / 2**30
    rows.append((f"memory: {memory:.1f} GiB free", memory >= _NEED_GB, f"{_NEED_GB:.0f} GiB per worker"))
    rows.append((f"disk: {disk:.0f} GiB free here", disk >= _NEED_DISK_GB, "about 0.2 GiB per world"))
    generator = config.explore.generator
    workers = max(1, len(gpu_slots(config.model_dump(mode="json")))) if installed("torch") else 1
    rows += [(row.what, row.ok, row.why) for row in generator_requirements(config, workers)]
    learned = depth_networks(config)
    for setting, network in learned.items():
        from lyra_sim.depth.networks.requirements import requirements as needs_of

        rows += needs_of(network, setting)
    for what, ok, why in dict.fromkeys(rows):  # several networks may need the same
        print(f"{'ok     ' if ok else 'MISSING'}  {what}  ({why})")
    backends = f"{config.observe.photo.backend}, {generator.backend}, {config.reconstruct.backend}"
    needs = "" if learned or isinstance(generator, Lyra2Config) else "; no weights, no GPU needed"
    print(f"python {sys.version.split()[0]}, {os.cpu_count()} cores; backends: {backends}{needs}")
    missing = list(dict.fromkeys(what for what, ok, _ in rows if not ok))
    if missing:
        print(f"not ready: {', '.join(missing)}. How to get each stands in its line.", file=sys.stderr)
    return 5 if missing else 0
