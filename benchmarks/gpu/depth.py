"""Depth networks on photos of known depth: seconds per frame, memory, AbsRel; and their scale from known cameras.

    python benchmarks/gpu/depth.py [NETWORK...] [--device cuda] [--photos 8] [--out FILE.json]
    python benchmarks/gpu/depth.py --gaussians 128 [NETWORK]   splats of a walk of so many views, by a giant DA3
    python benchmarks/gpu/depth.py --tiny [--gaussians 6]      the same path at tiny size, random weights, on a CPU

NETWORK is a released checkpoint (folder or Hugging Face name in the local cache): Depth Anything V2 metric (indoor ones
see flats, outdoor ones streets) or Depth Anything 3. Default: the small indoor and outdoor V2 and the nested giant DA3.
Photos are rendered by lyra_sim.procedural at 832x480, so their depth is known; real photos are harder in texture and
easier in style. AbsRel is the mean of |predicted / true - 1| over valid pixels up to 25 m; once as it is, once after
one factor per photo (median), which leaves the shape. `window`: ten views from a metre's way as the loop asks for them.
`--gaussians` also makes splats of a walk with the backend feedforward, for networks with a Gaussian head.
Prints one JSON line per network.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _gaussians import FromTruth, measure_gaussians

from lyra_sim.config.depth_network import Da3Config, DepthAnythingConfig, TinyDepthConfig
from lyra_sim.config.geometry3d import FeedforwardConfig
from lyra_sim.core.errors import LyraError
from lyra_sim.core.records import Intrinsics, Label
from lyra_sim.depth.networks.build import build_network
from lyra_sim.depth.networks.prediction import DepthNetwork
from lyra_sim.depth.new_frames import DepthUpdate
from lyra_sim.geometry.camera import invert
from lyra_sim.procedural.cameras import photo_camera, pinhole
from lyra_sim.procedural.flat import make_flat
from lyra_sim.procedural.render import Rendered, render
from lyra_sim.procedural.street import make_street

NETWORKS = (
    "depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf",
    "depth-anything/Depth-Anything-V2-Metric-Outdoor-Small-hf",
    "depth-anything/DA3NESTED-GIANT-LARGE-1.1",
)
FAR_M, VIEWS = 25.0, 10
FIRST_SEED = 7100


def photos_of(kinds: list[str], count: int, camera: Intrinsics) -> list[tuple[str, Rendered]]:
    """(kind, photo) of `count` places of each kind."""
    made = []
    for kind in kinds:
        for seed in range(FIRST_SEED, FIRST_SEED + count):
            scene = make_flat(seed) if kind == "flat" else make_street(seed)
            pose = photo_camera(scene, seed, height_m=1.4, pitch_deg=12.0, intrinsics=camera)
            made.append((kind, render(scene, pose, camera, noise_seed=seed)))
    return made


def window_of(camera: Intrinsics, views: int) -> tuple[list[Rendered], np.ndarray]:
    """Views of one flat from a way of 0.9 m, and their w2c."""
    scene = make_flat(FIRST_SEED)
    start = photo_camera(scene, FIRST_SEED, height_m=1.4, pitch_deg=12.0, intrinsics=camera)
    poses = np.repeat(start[None], views, 0)
    share = np.linspace(0, 1, views)[:, None]
    poses[:, :3, 3] += (
        0.6 * share * start[:3, 0] + 0.6 * share**2 * start[:3, 2] - 0.1 * np.sin(6 * share) * start[:3, 1]
    )
    return [render(scene, pose, camera, noise_seed=i) for i, pose in enumerate(poses)], invert(poses)


def abs_rel(depth: np.ndarray, valid: np.ndarray, truth: Rendered) -> dict[str, float] | None:
    """AbsRel as it is and after one factor, and that factor's logarithm; None where nothing is to be compared."""
    true = np.asarray(truth.depth_m)
    known = valid & (true > 0) & (true <= FAR_M) & (np.asarray(truth.label) != Label.SKY)
    if not known.any():
        return None
    ratio = depth[known].astype(np.float64) / true[known]
    middle = float(np.median(ratio))
    return {
        "abs_rel": float(np.abs(ratio - 1).mean()),
        "abs_rel_scaled": float(np.abs(ratio / middle - 1).mean()),
        "log_scale": float(np.log(middle)),
        "compared": float(known.mean()),
    }


def measure(network: DepthNetwork, kinds: list[str], count: int, camera: Intrinsics, device: str) -> dict[str, Any]:
    """All figures of one network."""
    K = np.array([[[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1.0]]])
    cuda = device.startswith("cuda")
    photos = photos_of(kinds, count, camera)
    network.predict(np.asarray(photos[0][1].image)[None], None, K)  # what is compiled or cached is not measured
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    seconds, scores = [], []
    for kind, photo in photos:
        start = time.perf_counter()
        made = network.predict(np.asarray(photo.image)[None], None, K)  # ends on the CPU: nothing is left to wait for
        seconds.append(time.perf_counter() - start)
        score = abs_rel(made.depth[0], made.valid[0], photo)
        scores += [{"kind": kind, **score}] if score is not None else []
    figures: dict[str, Any] = {"network": network.name, "photos": len(photos), "metric": network.metric}
    figures["seconds_per_frame"] = statistics.median(seconds)
    for key in ("abs_rel", "abs_rel_scaled", "compared"):
        figures[key] = statistics.mean(score[key] for score in scores) if scores else None
    figures["log_scale_sigma"] = float(np.sqrt(np.mean([s["log_scale"] ** 2 for s in scores]))) if scores else None
    figures["window"] = measure_window(network, camera, np.repeat(K, VIEWS, 0))
    figures["peak_gib"] = torch.cuda.max_memory_allocated(device) / 2**30 if cuda else None
    return figures


def measure_window(network: DepthNetwork, camera: Intrinsics, K: np.ndarray) -> dict[str, Any]:
    """Depth of ten views at the scale of their cameras, as the loop asks for it."""
    views, w2c = window_of(camera, VIEWS)
    images = np.stack([np.asarray(view.image) for view in views])
    start = time.perf_counter()
    try:
        made = DepthUpdate(network).estimate(range(VIEWS), images, w2c, K)
    except LyraError as error:
        return {"refused": str(error)}
    seconds = time.perf_counter() - start
    scores = [abs_rel(d, v, view) for d, v, view in zip(made.depth_m, made.valid, views, strict=True)]
    known = [score["abs_rel"] for score in scores if score is not None]
    return {"seconds": seconds, "abs_rel": statistics.mean(known) if known else None, **made.notes}


def splats_of(network: DepthNetwork, camera: Intrinsics, views: int, device: str) -> dict[str, Any]:
    """Splats of a walk; by the truth where the network has no Gaussian head (the tiny one)."""
    small = {"side_px": 56, "voxel_m": 0.05, "max_memory_gib": 0.05} if device == "cpu" else {}
    head: Any = network if hasattr(network, "gaussians") else FromTruth()
    return measure_gaussians(head, camera, views, FeedforwardConfig(device=device, **small))


def main() -> int:
    """Print one JSON line per network; 5 where one is not on this machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--photos", type=int, default=8, help="places of each kind")
    parser.add_argument("--gaussians", type=int, default=0, metavar="VIEWS", help="splats of a walk of so many views")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    camera = pinhole(96, 64, 65.0) if args.tiny else pinhole(832, 480, 65.0)
    rows, missing = [], False
    for name in ["tiny"] if args.tiny else args.networks:
        kinds = ["street"] if "Outdoor" in name else ["flat"] if "Indoor" in name else ["flat", "street"]
        config = TinyDepthConfig() if args.tiny else Da3Config(weights=name, device=args.device)
        if "V2" in name:
            config = DepthAnythingConfig(indoor=name, outdoor=name, device=args.device)
        try:
            network = build_network(config, "outdoor" if kinds == ["street"] else "indoor", setting=name)
        except LyraError as error:
            print(error, file=sys.stderr)
            missing = True
            continue
        device = "cpu" if args.tiny else args.device
        rows.append(measure(network, kinds, 1 if args.tiny else args.photos, camera, device))
        if args.gaussians and (args.tiny or "GIANT" in name.upper()):
            rows[-1]["gaussians"] = splats_of(network, camera, args.gaussians, device)
        card = torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"
        rows[-1].update(device=card, size=[camera.width, camera.height], torch=torch.__version__)
        print(json.dumps(rows[-1]), flush=True)
    if args.out is not None:
        args.out.write_text(json.dumps(rows, indent=1) + "\n")
    return 5 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
