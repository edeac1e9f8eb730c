"""Splats of one walk by a network's Gaussian head, through the backend `feedforward` as the reconstruct stage calls it:
seconds, memory, scale, what was left out, and how far the splats are from the true surfaces."""

import time
from typing import Any

import numpy as np
import torch

from lyra_sim.config.geometry3d import FeedforwardConfig
from lyra_sim.core.errors import LyraError
from lyra_sim.core.records import Frames, Intrinsics, PixelOrigin, PosedFrames, Provenance, World, WorldFrame
from lyra_sim.depth.networks.prediction import GaussianNetwork, PixelGaussians
from lyra_sim.geometry.camera import invert, pixel_rays
from lyra_sim.procedural.cameras import walk_cameras
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.render import ray_scene, render
from lyra_sim.reconstruct.feedforward import add_splats
from lyra_sim.reconstruct.tsdf import fuse

SEED = 7100


class FromTruth:
    """Round Gaussians of one pixel at the true depth: stands for a Gaussian head at tiny size."""

    name, licences, hashes = "the truth", (), {"scene": str(SEED)}

    def gaussians(self, images: np.ndarray, w2c: np.ndarray, K: np.ndarray) -> PixelGaussians:
        """See `GaussianNetwork.gaussians`."""
        height, width = images.shape[1:3]
        ranges = np.empty(images.shape[:3], np.float32)
        for i, (T, k) in enumerate(zip(invert(w2c), K, strict=True)):
            camera = Intrinsics(fx=k[0, 0], fy=k[1, 1], cx=k[0, 2], cy=k[1, 2], width=width, height=height)
            depth = render(make_flat(SEED), T, camera).depth_m
            ranges[i] = depth * np.linalg.norm(pixel_rays(camera), axis=-1)
        return PixelGaussians(
            distance=ranges,
            offset_px=np.zeros((*ranges.shape, 2), np.float32),
            extent=np.full((*ranges.shape, 3), 5.0, np.float32),
            quaternions_xyzw=np.tile(np.float32([0, 0, 0, 1]), (*ranges.shape, 1)),
            sh_dc=(images / 255.0 - 0.5).astype(np.float32),
            opacity=np.full(ranges.shape, 0.9, np.float32),
            w2c=w2c,
        )


class Timed:
    """Counts the seconds of a network."""

    def __init__(self, network: GaussianNetwork) -> None:
        self._network, self.seconds = network, 0.0
        self.name, self.licences, self.hashes = network.name, network.licences, network.hashes

    def gaussians(self, images: np.ndarray, w2c: np.ndarray, K: np.ndarray) -> PixelGaussians:
        """See `GaussianNetwork.gaussians`; what it answers lies on the CPU, so that nothing is left to wait for."""
        start = time.perf_counter()
        made = self._network.gaussians(images, w2c, K)
        self.seconds += time.perf_counter() - start
        return made


def walk_of(camera: Intrinsics, views: int) -> World:
    """A walk through a flat with true depth."""
    scene = make_flat(SEED)
    poses = walk_cameras(scene, SEED, views)
    seen = [render(scene, pose, camera, noise_seed=i) for i, pose in enumerate(poses)]
    valid = np.stack([view.valid for view in seen])
    frames = Frames(
        images=np.stack([view.image for view in seen]),
        depth_m=np.stack([view.depth_m for view in seen]),
        valid=valid,
        origin=np.full(valid.shape, PixelOrigin.MEASURED, np.uint8),
        label=np.stack([view.label for view in seen]),
        cam_to_world=poses,
        intrinsics=camera,
    )
    frame = WorldFrame(
        metric="sensor", gravity="planes", gravity_sigma_rad=0.0, scale_sigma=0.0, T_world_source=np.eye(4)
    )
    made = Provenance(backend="render", version="1", config_hash="", seed=SEED, inputs=(), licences=())
    return World(start=PosedFrames(frames=frames, frame=frame, environment="indoor", provenance=made), segments=())


def measure_gaussians(network: GaussianNetwork, camera: Intrinsics, views: int, config: FeedforwardConfig) -> Any:
    """All figures of one walk; what was refused and why, where the scale is not to be had."""
    world, timed = walk_of(camera, views), Timed(network)
    fused = fuse(world, config)
    cuda = config.device.startswith("cuda")
    if cuda:
        torch.cuda.reset_peak_memory_stats(config.device)
    start = time.perf_counter()
    try:
        made = add_splats(fused, world, config, timed)
    except LyraError as error:
        return {"refused": str(error), "network_seconds": timed.seconds}
    seconds = time.perf_counter() - start
    assert made.splats is not None
    few = made.splats.means[:: max(1, len(made.splats.means) // 50_000)].astype(np.float64)
    apart = ray_scene(make_flat(SEED)).distance(few)
    return {
        **made.notes,
        "seconds": seconds,
        "network_seconds": timed.seconds,
        "truth_median_m": float(np.median(apart)),
        "truth_p95_m": float(np.percentile(apart, 95)),
        "peak_gib": torch.cuda.max_memory_allocated(config.device) / 2**30 if cuda else None,
    }
