"""Retrieval from a memory of 1,000 frames (125 entries of 480 x 832 pixels), and one whole conditioning step.

`python benchmarks/retrieval.py` prints the median of 3 in seconds with the load, for one target view and for five
that are covered together, and compares what is chosen with a plain reference. With `--step` also the time and the
memory of everything that a step of the video generator hands to its network (80 targets, 5 memory slots), without the
VAE. The place is a room of 8 x 5 x 3 m with noise on its depth; the cameras walk a loop and look around.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from lyra_sim.memory import warp
from lyra_sim.memory.packing import RELEASED, Packing
from lyra_sim.memory.spatial import DOWNSAMPLE, OCCLUSION_M, STRIDE, SpatialMemory

BAR_S = 0.4
FRAMES = 1000
SIZE = (480, 832)
HALF_M = (4.0, 1.5, 2.5)
K = np.array([[600.0, 0, 415.7], [0, 600, 239.3], [0, 0, 1]])


def walk(frames: int) -> np.ndarray:
    """World-to-camera matrices of a loop through the room, y down."""
    t = np.arange(frames) / frames * 2 * np.pi
    yaw = 3 * t + 0.4 * np.sin(11 * t)
    c, s, zero, one = np.cos(yaw), np.sin(yaw), np.zeros(frames), np.ones(frames)
    R = np.stack([c, zero, -s, zero, one, zero, s, zero, c], -1).reshape(-1, 3, 3)
    centre = np.stack([2.5 * np.cos(t), 0.2 * np.sin(5 * t), 1.2 * np.sin(t)], -1)
    w2c = np.tile(np.eye(4), (frames, 1, 1))
    w2c[:, :3, :3], w2c[:, :3, 3] = R, -np.einsum("nij,nj->ni", R, centre)
    return w2c


def room_depth(w2c: np.ndarray, step: int = 1) -> np.ndarray:
    """z-depth of the room's walls, floor and ceiling at every `step`-th pixel, exact."""
    v, u = np.mgrid[: SIZE[0] : step, : SIZE[1] : step]
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(K).T @ w2c[:3, :3]
    centre = -w2c[:3, :3].T @ w2c[:3, 3]
    return ((np.sign(rays) * HALF_M - centre) / rays).min(-1)


def remember(w2c: np.ndarray) -> SpatialMemory:
    """Every 8th frame of the walk, with 1 % noise and 3 % unknown pixels."""
    rng = np.random.default_rng(0)
    memory = SpatialMemory()
    for frame in range(0, len(w2c), STRIDE):
        small = room_depth(w2c[frame], DOWNSAMPLE)
        small *= rng.normal(1, 0.01, small.shape) * (rng.random(small.shape) > 0.03)
        memory.add(frame, small.repeat(DOWNSAMPLE, 0).repeat(DOWNSAMPLE, 1), w2c[frame], K)
    return memory


def seen_plainly(memory: SpatialMemory, w2c: np.ndarray) -> np.ndarray:
    """(entries, pixels): what each entry sees of one target, by whole-array numpy."""
    height, width = SIZE[0] // DOWNSAMPLE, SIZE[1] // DOWNSAMPLE
    P = (np.diag([1 / DOWNSAMPLE, 1 / DOWNSAMPLE, 1]) @ K).T
    keys, depths = [], []
    for points in memory.points:
        cam = points.astype(np.float64) @ w2c[:3, :3].T + w2c[:3, 3]
        uv = np.rint((cam @ P)[:, :2] / (cam[:, 2:] + 1e-7))
        inside = (cam[:, 2] > 0) & (uv >= 0).all(1) & (uv < [width, height]).all(1)
        keys.append((uv[inside, 1] * width + uv[inside, 0]).astype(int))
        depths.append(cam[inside, 2])
    nearest = np.full(height * width, np.inf)
    np.minimum.at(nearest, np.concatenate(keys), np.concatenate(depths))
    seen = np.zeros((len(keys), height * width), bool)
    for row, key, z in zip(seen, keys, depths, strict=True):
        row[key[z <= nearest[key] + OCCLUSION_M]] = True
    return seen


def retrieve_plainly(memory: SpatialMemory, targets: np.ndarray, count: int = 5) -> list[int]:
    """Frame ids, best last; the latest entry is left out and what it sees is covered."""
    seen = np.concatenate([seen_plainly(memory, w2c) for w2c in targets], 1)
    left, picked = ~seen[-1], []
    for _ in range(count):
        gain = (seen & left).sum(1)
        if not gain.any():
            break
        picked.append(memory.ids[int(gain.argmax())][1])
        left &= ~seen[gain.argmax()]
    return picked[::-1]


def median_s(work: Callable[[], object]) -> float:
    """Of three runs after a first one, which compiles."""
    seconds = []
    for _ in range(4):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[1:])


def whole_step(memory: SpatialMemory, w2c: np.ndarray) -> float:
    """Seconds of one conditioning step with numpy warps, compiled."""
    import torch  # only here: retrieval needs none

    from lyra_sim.worldgen.lyra2.conditioning import Known, condition

    packing, begin = Packing.parse(RELEASED), 801
    image = np.random.default_rng(1).uniform(-1, 1, (3, *SIZE)).astype(np.float32)
    latent = (SIZE[0] // 8, SIZE[1] // 8)
    known = Known(
        frames=begin,
        pixels=lambda _: image,
        latents=torch.zeros(16, packing.history_latents + (begin - 1) // 4, *latent),
        w2c=w2c,
        K=np.tile(K, (len(w2c), 1, 1)),
        last_depth=room_depth(w2c[begin - 1]),
        memory=memory,
        depth=lambda frame: room_depth(w2c[frame]),
    )
    return median_s(lambda: condition(known, packing, lambda x: torch.zeros(16, 1 + len(x) // 4, *latent), warp))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", action="store_true", help="time a whole conditioning step too (2 minutes, 4 GB)")
    options = parser.parse_args()
    w2c = walk(FRAMES)
    memory = remember(w2c)
    found: dict[str, object] = {"entries": len(memory)}
    passed = True
    for views in (1, 5):
        targets = w2c[np.linspace(170, 250, views + 1).astype(int)[1:]]
        arguments = (targets, np.tile(K, (views, 1, 1)), SIZE)
        seconds = median_s(lambda given=arguments: memory.retrieve(*given))
        ids = [frame_id for _, frame_id in memory.retrieve(*arguments)]
        equal = ids == retrieve_plainly(memory, targets)
        found |= {f"views_{views}_s": round(seconds, 3), f"views_{views}_ids": ids, f"views_{views}_equal": equal}
        passed &= equal and (views > 1 or seconds <= BAR_S)
    if options.step:
        found["step_s"] = round(whole_step(memory, w2c), 1)
        found["peak_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 1)
    print(json.dumps(found | {"load": f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"}))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
